"""The user's own presets and sequences, as a JSON file to share with colleagues.

``{"presets": [{"name", "title", "sequence", "values", …}], "sequences": [{"name", "title", "equation", "signed"}]}``: presets as in the
package's protocols.json, where only these four fields are required; equations as in :mod:`.expression`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ProtocolError
from .expression import own_sequence
from .presets import OWN_PRESETS, Preset, load_presets, preset_from_row
from .sequences import OWN_SEQUENCES, SEQUENCES, Sequence

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_LARGEST = 1_000_000
_SOURCE = "Made by the user."


@dataclass(frozen=True)
class OwnEquation:
    """A signal equation as the user wrote it."""

    name: str
    title: str
    equation: str
    signed: bool = False

    @property
    def sequence(self) -> Sequence:
        """The sequence that it describes. Raises ProtocolError when it is invalid."""
        return own_sequence(self.name, self.title, self.equation, signed=self.signed)


EQUATIONS: dict[str, OwnEquation] = {}
"""Source texts of OWN_SEQUENCES, by name."""


def name_from(title: str) -> str:
    """A name for specs, made from a title: ``My DIR, 3 T`` becomes ``my-dir-3-t``."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "own"


def add_preset(preset: Preset) -> None:
    """Register a preset by its name. Raises ProtocolError for a name that the package uses, or that is invalid in a spec."""
    _check_name(preset.name, {*load_presets(), *SEQUENCES, *OWN_SEQUENCES})
    OWN_PRESETS[preset.name] = replace(preset, group="own")


def add_equation(equation: OwnEquation) -> Sequence:
    """Register a user's sequence by its name. Raises ProtocolError for an invalid name or equation."""
    _check_name(equation.name, {*load_presets(), *SEQUENCES, *OWN_PRESETS})
    sequence = equation.sequence
    EQUATIONS[equation.name], OWN_SEQUENCES[equation.name] = equation, sequence
    return sequence


def use_presets(path: Path) -> list[str]:
    """Register the presets and sequences of a file and return their names. Raises ProtocolError that names the file and the fault."""
    try:
        return use_text(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{path} cannot be read ({error}). Check the file.") from error
    except ProtocolError as error:
        raise ProtocolError(f"{path}: {error}") from error


def use_text(text: str) -> list[str]:
    """As :func:`use_presets`, from the text of such a file."""
    try:
        table = json.loads(text) if len(text) <= _LARGEST else None
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"This is not a JSON file of presets ({error}).") from error
    if not isinstance(table, dict):
        raise ProtocolError('This is not a file of presets: it must be a JSON object with "presets" or "sequences".')
    added = []
    for row in _rows(table, "sequences"):
        with_text = {key: str(row.get(key, "")) for key in ("name", "title", "equation")}
        added.append(add_equation(OwnEquation(**with_text, signed=row.get("signed") is True)).name)
    for row in _rows(table, "presets"):
        preset = _preset(row)
        add_preset(preset)
        added.append(preset.name)
    return added


def text_of(presets: Iterable[Preset], equations: Iterable[OwnEquation] = ()) -> str:
    """The text of a file with these presets and equations, which :func:`use_text` reads back."""
    rows = [
        {
            "name": preset.name, "title": preset.title, "sequence": preset.protocol.sequence.name, "values": dict(preset.protocol.values),
            "role": preset.role, "field_strength": preset.field_strength, "null": list(preset.null), "source": preset.source,
        }
        for preset in presets
    ]  # fmt: skip
    written = [{"name": e.name, "title": e.title, "equation": e.equation, "signed": e.signed} for e in equations]
    return json.dumps({"sequences": written, "presets": rows}, indent=1, ensure_ascii=False)


def _rows(table: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    rows = table.get(kind, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ProtocolError(f'"{kind}" must be a list of objects.')
    return rows


def _preset(row: dict[str, Any]) -> Preset:
    usual = {"role": "other", "field_strength": None, "citable": False, "source": _SOURCE, "title": row.get("name")}
    try:
        return preset_from_row({**usual, **row, "name": str(row["name"])})
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        name = str(row.get("name", ""))[:40]
        raise ProtocolError(f"The preset '{name}' is incomplete or damaged ({error!r}). Compare it with a saved one.") from error


def _check_name(name: str, taken: set[str]) -> None:
    if not _NAME.fullmatch(name):
        raise ProtocolError(f"'{name[:60]}' is not a name: use up to 40 small letters, digits, - and _.")
    if name in taken:
        raise ProtocolError(f"The name '{name}' is taken. Choose another one.")
