"""Protocols by name: the contrasts that clinics read, public studies' and the seed paper's, each with the source of its values.

A preset that nulls tissues is an intent: its inversion times are those of the tissue table, and :func:`adapted` solves them for a head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from ..errors import ProtocolError
from .contrast import TissuePoint
from .nulling import nulled
from .protocol import Protocol, parse_protocol
from .sequences import SEQUENCES

_LARGEST_DIFFERENCE = 0.5
"""Tesla between a preset and maps that still have one field strength."""
_FILE = Path(__file__).parent.parent / "resources" / "protocols.json"


@dataclass(frozen=True)
class Preset:
    """A named protocol (ms, degrees) at a field strength in tesla (None: at any).

    ``group`` is clinical, study or own. ``null`` names the tissues that its inversion times null. ``role`` is t1w, t2w, flair, pd or other. ``source`` says where the values come from; ``citable`` is False when they are typical
    values without a source that could be cited. ``echo_time_estimated``: TE is the effective one of a variable-flip train, a guess that a
    fit should improve.
    """

    name: str
    title: str
    role: str
    field_strength: float | None
    protocol: Protocol
    source: str
    citable: bool
    echo_time_estimated: bool = False
    group: str = "study"
    null: tuple[str, ...] = ()

    def is_for(self, field_strength: float) -> bool:
        """Whether its values suit maps at a field strength in tesla as they are."""
        return self.field_strength is None or abs(self.field_strength - field_strength) <= _LARGEST_DIFFERENCE


@cache
def load_presets() -> dict[str, Preset]:
    """Every preset by its name, in the order in which a user should meet them. The dictionary is shared: do not change it."""
    table = json.loads(_FILE.read_text(encoding="utf-8"))
    return {row["name"]: _preset(row) for row in table["presets"]}


def _preset(row: dict) -> Preset:
    protocol = Protocol.of(row["sequence"], f"preset {row['name']}", **row["values"])
    return Preset(
        name=row["name"],
        title=row["title"],
        role=row["role"],
        field_strength=row["field_strength"],
        protocol=replace(protocol, notes=(row["note"],)) if "note" in row else protocol,
        source=row["source"],
        citable=row["citable"],
        echo_time_estimated=row.get("echo_time_estimated", False),
        group=row.get("group", "study"),
        null=tuple(row.get("null", ())),
    )


def adapted(preset: Preset, points: Mapping[str, TissuePoint]) -> Protocol:
    """The preset's protocol for a head whose tissues have these values: what it nulls is nulled, everything else is as it is.

    Raises ProtocolError when a tissue is not among ``points``, or cannot be nulled.
    """
    if not preset.null:
        return preset.protocol
    missing = [name for name in preset.null if name not in points]
    if missing:
        raise ProtocolError(f"{preset.title} nulls {missing[0].replace('_', ' ')}, of which no T1 is known here. Choose another preset.")
    return nulled(preset.protocol, [points[name] for name in preset.null])


def preset_named(name: str) -> Preset:
    """The preset of that name (any case). Raises ProtocolError that lists the names there are."""
    presets = load_presets()
    try:
        return presets[name.strip().lower()]
    except KeyError:
        raise ProtocolError(f"Unknown preset '{name}': use one of {', '.join(presets)}.") from None


def protocol_from_spec(text: str, source: str = "command line") -> Protocol:
    """Read ``PRESET``, ``PRESET,NAME=VALUE,…`` (the preset with some values changed) or ``SEQUENCE,NAME=VALUE,…``; ms, degrees.

    Values of a preset have the source "preset NAME", values in the text have ``source``. Raises ProtocolError that lists what is
    allowed.
    """
    name, *assignments = text.split(",")
    preset = load_presets().get(name.strip().lower())
    if preset is not None:
        return _changed(preset.protocol, assignments, source)
    if name.strip().lower() in SEQUENCES:
        return parse_protocol(text, source)
    raise ProtocolError(f"'{name}' in '{text}' is neither a preset ({', '.join(load_presets())}) nor a sequence ({', '.join(SEQUENCES)}).")


def echo_time_is_estimated(text: str) -> bool:
    """Whether a spec takes its echo time from a preset that only estimates it."""
    name, *assignments = text.split(",")
    preset = load_presets().get(name.strip().lower())
    given = {assignment.partition("=")[0].strip().upper() for assignment in assignments}
    return preset is not None and preset.echo_time_estimated and "TE" not in given


def _changed(protocol: Protocol, assignments: list[str], source: str) -> Protocol:
    """``protocol`` with other values. All are checked together, so that two may change that contradict the old values one by one."""
    given = {assignment.partition("=")[0].strip().upper() for assignment in assignments}
    kept = [f"{name}={value!r}" for name, value in protocol.values.items() if name not in given]
    parsed = parse_protocol(",".join([protocol.sequence.name, *kept, *assignments]), source)
    sources = {name: source if name in given else protocol.sources[name] for name in parsed.values}
    return replace(parsed, sources=sources, notes=protocol.notes)
