"""The groups of heads that the suite of samples compares."""

from __future__ import annotations

from typing import Any

from .anatomies import Anatomy

SAMPLED, TRAINING, DEFORMED, CONDENSED, JOINED, RECONSTRUCTED, DECIDED, HELD_OUT = (
    "samples", "training heads", "training heads deformed", "training heads from codes", "mixed heads",
    "held-out heads reconstructed", "held-out heads reconstructed, sharpened", "held-out heads",
)  # fmt: skip
COPIED = (DEFORMED, CONDENSED)
Groups = dict[str, list[Anatomy]]
Record = dict[str, Any]
"""Measurements of a head, as JSON types."""
