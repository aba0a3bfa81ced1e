"""The protocol of a contrast for one head: inversion times of presets are solved for it, and mismatches are noted."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ProtocolError, Remedy
from ...imaging.tissue_maps import TissueMaps
from ...physics.contrast import TissuePoint
from ...physics.nulling import nulled
from ...physics.presets import Preset, adapted, all_presets, protocol_for
from ...physics.protocol import Protocol
from ...physics.sequences import meant
from .head_points import head_points

_USUAL = {1: "synthetic-flair", 2: "synthetic-dir"}
"""The preset that gives TR, TE and readout if only the tissues to null are given, by their number."""


def protocol_of(maps: TissueMaps, spec: str | Protocol | None, null: Sequence[str] = (), source: str = "command line") -> Protocol:
    """The protocol of ``spec`` for ``maps``, with the tissues ``null`` nulled; its notes name mismatches with these maps.

    A Protocol is used unchanged, except for nulled tissues.

    Raises ProtocolError when neither is given, when ``spec`` is invalid, and when the tissues cannot be nulled.
    """
    if spec is None and not null:
        raise ProtocolError("No contrast is asked for.", Remedy.GIVE_CONTRAST)
    if isinstance(spec, Protocol) and not null:
        return spec
    points = head_points(maps)
    if isinstance(spec, Protocol):
        return nulled(spec, [named(points, name) for name in null])
    protocol = protocol_for(spec or _USUAL[min(2, len(null))], points, source)
    if null:
        protocol = nulled(protocol, [named(points, name) for name in null])
    preset = all_presets().get((spec or "").partition(",")[0].strip().lower())
    note = mismatch(preset, field_strength(maps)) if preset is not None and not null else None
    return protocol if note is None else protocol.changed(source, note)


def mismatch(preset: Preset, strength: float) -> str | None:
    """A note for a preset of another field strength; None if it is adapted or matches."""
    if preset.null or preset.is_for(strength):
        return None
    return f"{preset.title} is a protocol for {preset.field_strength:g} T, and these maps are of {strength:g} T: its contrast differs here."


def field_strength(maps: TissueMaps) -> float:
    """Field strength of the maps' scanner in tesla; 3 if unknown."""
    return float(maps.provenance.get("field_strength_tesla") or 3.0)


def named(points: dict[str, TissuePoint], name: str) -> TissuePoint:
    """The tissue of that name. Raises ProtocolError that lists the known names."""
    if name in points:
        return points[name]
    raise ProtocolError(f"Unknown tissue '{name}': use {', '.join(points)}.{meant(name, points)}")


def clinical_protocols(points: dict[str, TissuePoint]) -> dict[str, Protocol]:
    """The clinical presets and the user's own for a head of these tissues, by name, without those that cannot null here."""
    found = {}
    for preset in all_presets().values():
        if preset.group in ("clinical", "own"):
            try:
                found[preset.name] = adapted(preset, points)
            except ProtocolError:
                continue
    return found


def caption(protocol: Protocol) -> str:
    """A contrast in a few plain words: ``DIR · TR 11000 TE 25 TI1 3478 TI2 444``, for views, pictures and lists."""
    values = (f"{name} {value:.0f}" if value >= 10.0 else f"{name} {value:.3g}" for name, value in _shown(protocol))
    return f"{protocol.sequence.name.replace('_', ' ').upper()} · {' '.join(values)}"


def _shown(protocol: Protocol) -> list[tuple[str, float]]:
    return [(name, value) for name, value in protocol.values.items() if name.startswith(("TR", "TE", "TI", "FA"))]
