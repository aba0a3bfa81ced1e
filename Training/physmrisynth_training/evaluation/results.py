"""The results of an evaluation as files: ``results.json``, ``results.md`` and a figure per suite."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PhysMRISynthLib import __version__
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.whole_file import whole_file
from PhysMRISynthLib.workflow.results.outputs import finite

_FORMAT = "physmrisynth-evaluation-1"
_JSON, _MARKDOWN = "results.json", "results.md"
PROPERTIES_APART = " / "
"""Separator of PD, T1 and T2 in one cell."""


@dataclass(frozen=True)
class Table:
    """A table with text cells."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Findings:
    """Results of a suite: ``records`` (JSON values, one per measurement), ``tables`` with baselines, ``notes`` on how to read
    them, and ``draw``, which writes the figure to a PNG file; ``of`` identifies the measured weights by hashes if the plan does not;
    ``figures`` are further ones by name."""

    records: Sequence[Mapping[str, Any]]
    tables: Sequence[Table]
    notes: Sequence[str]
    draw: Callable[[Path], None]
    of: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


def read_results(out: Path) -> dict[str, Any]:
    """The suites' entries by name from earlier runs in the folder ``out`` (empty without results.json).

    Raises PhysMRISynthError when ``out`` is a file, or its results.json is damaged or something else.
    """
    path = out / _JSON
    if out.exists() and not out.is_dir():
        raise PhysMRISynthError(f"{out} is a file. Give a folder with --out.")
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PhysMRISynthError(f"{path} cannot be read ({error}). Delete it, or choose another --out.") from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT or not isinstance(found.get("suites"), dict):
        raise PhysMRISynthError(f"{path} was not written by this version's 'evaluate'. Choose another --out.")
    return found["suites"]


def write_findings(out: Path, suite: str, findings: Findings, settings: Mapping[str, Any], notes: Sequence[str] = ()) -> None:
    """Write a suite's figure and put its entry beside those of the other suites into both files of the folder ``out``.

    ``settings`` (JSON values) and ``notes`` of the whole run precede the suite's own notes.
    """
    suites = read_results(out)
    suites[suite] = {
        "settings": {**settings, **findings.of},
        "software": {"PhysMRISynth": __version__, "python": platform.python_version()},
        "notes": [*notes, *findings.notes],
        "tables": [{"title": table.title, "columns": table.columns, "rows": table.rows} for table in findings.tables],
        "records": list(findings.records),
        **({"figures": list(findings.figures)} if findings.figures else {}),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in {suite: findings.draw, **{f"{suite}-{name}": draw for name, draw in findings.figures.items()}}.items():
        with whole_file(out / f"{name}.png") as picture:
            draw(picture)
    text = json.dumps({"format": _FORMAT, "suites": finite(suites)}, indent=1, ensure_ascii=False, allow_nan=False)
    for name, content in ((_JSON, text), (_MARKDOWN, _document(suites))):
        with whole_file(out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")


def _document(suites: Mapping[str, Any]) -> str:
    parts = ["# Evaluation", *(_section(name, entry) for name, entry in sorted(suites.items()))]
    return "\n\n".join(parts) + "\n"


def _section(name: str, entry: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key.replace('_', ' ')} {_words(value)}" for key, value in entry["settings"].items() if value is not None)
    tables = [f"**{table['title']}**\n\n{markdown_table(table['columns'], table['rows'])}" for table in entry["tables"]]
    version = entry["software"]["PhysMRISynth"]
    figures = [f"![{figure}]({figure}.png)" for figure in (name, *(f"{name}-{further}" for further in entry.get("figures", ())))]
    return "\n\n".join([f"## {name}", f"PhysMRISynth {version}: {settings}.", *entry["notes"], *tables, *figures])


def _words(value: Any) -> str:
    return " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value) if isinstance(value, list) else str(value)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(str(cell) for cell in cells) + " |" for cells in (columns, ["---"] * len(columns), *rows))
