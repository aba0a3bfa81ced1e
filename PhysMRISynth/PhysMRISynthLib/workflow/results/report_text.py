"""What a report's pages and its HTML have in common: the header, the verdict and the tissue table in words."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...physics.tissues import PROPERTIES, tissue_table
from ..estimation.knowledge import Knowledge, knowledge_in, worst

LEVEL_COLOURS = {"good": "#2e9e5b", "caution": "#d08a00", "do_not_use": "#d03c3c"}
LEVEL_TITLES = {"good": "Good", "caution": "Use with caution", "do_not_use": "Do not use"}
_UNITS = {"PD": "%", "T1": "ms", "T2": "ms"}


def number(value: float) -> str:
    """Whole from 10 on, one decimal below."""
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}"


def header_lines(report: Mapping[str, Any]) -> list[str]:
    """A title, then date, field strength, software, and a line for each input with what is known of its protocol."""
    inputs = report.get("inputs") or {}
    files = [Path(entry["file"]).name for entry in inputs.values() if entry.get("file")]
    software = (report.get("software") or {}).get("PhysMRISynth", "")
    today = datetime.date.today().isoformat()
    lines = [f"Tissue maps of {files[0] if files else 'a head'}"]
    lines.append(f"{today} · {float(report.get('field_strength_tesla') or 0):g} T · PhysMRISynth {software} · {_anatomy(report)}")
    known = knowledge_in(report)
    for role, entry in inputs.items():
        protocol = entry.get("protocol") or {}
        values = ", ".join(_value(name, told) for name, told in (protocol.get("parameters") or {}).items())
        lines.append(f"{known[role].glyph} {role}: {protocol.get('sequence', '')}: {values} ({known[role].value})")
    return lines


def _anatomy(report: Mapping[str, Any]) -> str:
    return "atlas + neural network" if report.get("network") else "atlas only"


def _value(name: str, told: Mapping[str, Any]) -> str:
    unit = told.get("unit") or ""
    gap = "" if unit in ("", "°") else " "
    return f"{name} {number(float(told.get('value', 0)))}{gap}{unit}"


def verdict_line(report: Mapping[str, Any]) -> str:
    """The verdict in one line, with its first reason."""
    title = LEVEL_TITLES.get(str(report.get("verdict")))
    if title is None:
        return "No verdict: these maps come from no estimate."
    reasons = [reason for reason in report.get("reasons") or () if reason.get("level") != "good"]
    if not reasons:
        return f"{title}. No problem was found with these maps."
    image = f"{reasons[0]['image']}: " if reasons[0].get("image") else ""
    return f"{title}. {image}{reasons[0]['text']}"


def table_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """The tissue table: a head, then a row a tissue with median and published range of PD, T1 and T2, the voxel's SD, and the volume;
    below a tissue, what single methods of measuring found of it.

    Assumed protocols take the SDs away: they would promise what nobody knows.
    """
    medians, published = report.get("tissue_medians") or {}, report.get("published_ranges") or {}
    unmeasured = report.get("from_literature") or {}
    assumed = worst(knowledge_in(report).values()) is Knowledge.UNKNOWN
    titles = {entry.name: entry.title for entry in tissue_table()} | {"csf": "Fluid in the brain mask"}
    head = ["Tissue", *(cell for name in PROPERTIES for cell in (f"{name} ({_UNITS[name]})", "published", "voxel SD")), "ml"]
    rows = [head]
    for tissue, told in medians.items():
        cells = [titles.get(tissue, tissue)]
        for name in PROPERTIES:
            if name in unmeasured.get(tissue, ()):
                cells += ["–", "unmeasured", "–"]
                continue
            limits = published.get(tissue, {}).get(name)
            sd = told.get(f"{name}_sd")
            cells += [number(told[name]), f"{limits[0]:g}–{limits[1]:g}" if limits else "–"]
            cells.append("assumed" if assumed else "–" if sd is None else number(sd))
        rows.append([*cells, number(told["volume_ml"])])
        rows += [_method_row(value, len(head)) for value in report.get("published_by_method") or () if value["tissue"] == tissue]
    return rows


def _method_row(value: Mapping[str, Any], columns: int) -> list[str]:
    """What one method of measuring found of a tissue, in the column of published values."""
    row = [""] * columns
    row[0], row[2 + 3 * PROPERTIES.index(value["quantity"])] = f"· {value['method']}", value["text"]
    return row
