"""An image with the protocol it was acquired by."""

from __future__ import annotations

from dataclasses import dataclass

from ..physics.protocol import Protocol
from .volumes import Volume


@dataclass(frozen=True)
class Acquisition:
    """One input: ``name`` as the user knows it (t1w, t2w, flair, …), its volume and its protocol.

    ``field_strength`` in tesla where the header states it. ``conventional_echo_time`` (ms) is given when the echo time in the header is
    only nominal and is to be fitted around this value.
    """

    name: str
    volume: Volume
    protocol: Protocol
    conventional_echo_time: float | None = None
    field_strength: float | None = None
    slice_thickness_mm: float | None = None
    """Width of the slice profile along the thickest axis (None: the spacing, slices without gap)."""
