"""Protocols by name: clinical contrasts, public studies and the paper's, each with the source of its values.

A preset that nulls tissues is an intent: its inversion times are those of the tissue table, and :func:`adapted` solves them for a head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ..errors import ProtocolError
from ..resource_files import RESOURCES
from .contrast import TissuePoint
from .nulling import inversion_times, nulled
from .protocol import Protocol, parse_protocol
from .sequences import OWN_SEQUENCES, SEQUENCES, meant

_LARGEST_DIFFERENCE = 0.5
"""Largest difference in tesla between a preset and maps that count as the same field strength."""
_FILE = RESOURCES / "protocols.json"


@dataclass(frozen=True)
class Preset:
    """A named protocol (ms, degrees) at a field strength in tesla (None: at any).

    ``group`` is clinical, study or own. ``null`` names the tissues that its inversion times null. ``role`` is t1w, t2w, flair, pd or
    other. ``source`` says where the values come from; ``citable`` is False for typical values without a citable
    source. ``echo_time_estimated``: TE is the effective one of a variable-flip train, a guess that a fit should improve.
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
    """Every preset by its name, in display order. The dictionary is shared: do not change it."""
    table = json.loads(_FILE.read_text(encoding="utf-8"))
    return {row["name"]: preset_from_row(row) for row in table["presets"]}


def preset_from_row(row: dict[str, Any]) -> Preset:
    """A preset from its row in a file. Raises ProtocolError for values that contradict each other, LookupError for missing fields."""
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
    """The preset's protocol for a head whose tissues have these values: its inversion times are solved, everything else stays.

    Raises ProtocolError when a tissue is not among ``points``, or cannot be nulled.
    """
    if not preset.null:
        return preset.protocol
    missing = [name for name in preset.null if name not in points]
    if missing:
        raise ProtocolError(f"{preset.title} nulls {missing[0].replace('_', ' ')}, of which no T1 is known here. Choose another preset.")
    return nulled(preset.protocol, [points[name] for name in preset.null])


OWN_PRESETS: dict[str, Preset] = {}
"""Presets that the user made, by name."""


def all_presets() -> dict[str, Preset]:
    """Every preset by its name, the user's own after the clinical ones and before those of studies."""
    groups = ("clinical", "own", "study")
    known = [*load_presets().values(), *OWN_PRESETS.values()]
    return {preset.name: preset for preset in sorted(known, key=lambda preset: groups.index(preset.group))}


def preset_named(name: str) -> Preset:
    """The preset of that name (any case). Raises ProtocolError that lists the names there are."""
    presets = all_presets()
    try:
        return presets[name.strip().lower()]
    except KeyError:
        raise ProtocolError(f"Unknown preset '{name}': use one of {', '.join(presets)}.{meant(name, presets)}") from None


def protocol_from_spec(text: str, source: str = "command line") -> Protocol:
    """Read ``PRESET``, ``PRESET,NAME=VALUE,…`` (the preset with some values changed) or ``SEQUENCE,NAME=VALUE,…``; ms, degrees.

    Values of a preset have the source "preset NAME", values in the text have ``source``. Raises ProtocolError that lists what is
    allowed.
    """
    name, *assignments = text.split(",")
    presets, sequences = all_presets(), {**SEQUENCES, **OWN_SEQUENCES}
    preset = presets.get(name.strip().lower())
    if preset is not None:
        return _changed(preset.protocol, assignments, source)
    if name.strip().lower() in sequences:
        return parse_protocol(text, source)
    raise ProtocolError(
        f"'{name}' in '{text}' is neither a preset ({', '.join(presets)}) nor a sequence ({', '.join(sequences)})."
        f"{meant(name, [*presets, *sequences])}"
    )


def protocol_for(text: str, points: Mapping[str, TissuePoint], source: str = "command line") -> Protocol:
    """As :func:`protocol_from_spec`, for a head whose tissues have these values: inversion times of a nulling preset are solved for
    that head, unless the text states one."""
    name, *assignments = text.split(",")
    preset = all_presets().get(name.strip().lower())
    stated = {assignment.partition("=")[0].strip().upper() for assignment in assignments}
    if preset is None or not preset.null or stated & {*inversion_times(preset.protocol.sequence)}:
        return protocol_from_spec(text, source)
    changed = _changed(preset.protocol, [*assignments, *_provisional(preset.protocol, assignments)], source)
    return adapted(replace(preset, protocol=changed), points)


def _provisional(protocol: Protocol, assignments: list[str]) -> list[str]:
    """Inversion times that keep their share of TR, so that a new TR does not contradict them before they are solved."""
    stated = {name.strip().upper(): value for name, _, value in (assignment.partition("=") for assignment in assignments)}
    try:
        share = float(stated["TR"]) / protocol.values["TR"]
    except (KeyError, ValueError):
        return []
    return [f"{name}={protocol.values[name] * share!r}" for name in inversion_times(protocol.sequence)]


def echo_time_is_estimated(text: str) -> bool:
    """Whether a spec takes its echo time from a preset that only estimates it."""
    name, *assignments = text.split(",")
    preset = all_presets().get(name.strip().lower())
    given = {assignment.partition("=")[0].strip().upper() for assignment in assignments}
    return preset is not None and preset.echo_time_estimated and "TE" not in given


def _changed(protocol: Protocol, assignments: list[str], source: str) -> Protocol:
    """``protocol`` with new values, checked together: each alone may contradict the old values."""
    given = {assignment.partition("=")[0].strip().upper() for assignment in assignments}
    kept = [f"{name}={value!r}" for name, value in protocol.values.items() if name not in given]
    parsed = parse_protocol(",".join([protocol.sequence.name, *kept, *assignments]), source)
    sources = {name: source if name in given else protocol.sources[name] for name in parsed.values}
    return replace(parsed, sources=sources, notes=protocol.notes)
