"""The groups of heads that the suite of samples compares."""

from __future__ import annotations

from typing import Any

from .anatomies import Anatomy

SAMPLED, TRAINING, DEFORMED, CONDENSED, JOINED, RECONSTRUCTED, DECIDED, HELD_OUT = (
    "samples", "training heads", "training heads deformed", "training heads condensed", "heads of two people",
    "held-out heads reconstructed", "held-out heads reconstructed, decided", "held-out heads",
)  # fmt: skip
COPIED = (DEFORMED, CONDENSED)
Groups = dict[str, list[Anatomy]]
Record = dict[str, Any]
"""What is measured of a head, as JSON's types."""
