"""What scans of known times usually have beside them, for headers that do not state it: inversion time, flip angle, echo spacing."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

from ..resource_files import RESOURCES

LOOKED_UP = "assumed: as in "
"""How the source of a looked-up value begins."""
_FILE = RESOURCES / "oasis3_protocols.json"
_SAME_REPETITION, _SAME_ECHO = 0.01, 0.2
"""Relative differences: scanners of one protocol have the same TR, and echo times that differ by their gradients."""


@cache
def counted_scans() -> tuple[dict[str, Any], ...]:
    """Scans of OASIS-3 by ``role``, ``TR``, ``TE`` and ``TI`` (ms; None: not stated) with their ``count``."""
    return tuple(_known()["scans"])


@cache
def _known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def usual_pulses(repetition_ms: float, inversion_ms: float) -> dict[str, tuple[float, str]]:
    """Flip angle (FA, degrees) and echo spacing (ESP, ms) of an MPRAGE with these times, and the source that says whose they are; nothing
    where no widespread protocol has these times."""
    for pulses in _known()["pulses"]:
        if all(_near(pulses[name], value) for name, value in (("TR", repetition_ms), ("TI", inversion_ms))):
            told = f"{LOOKED_UP}other MPRAGE scans with TR {pulses['TR']} and TI {pulses['TI']} ms"
            return {name: (float(pulses[name]), told) for name in ("FA", "ESP")}
    return {}


def usual_inversion_time(role: str, repetition_ms: float, echo_ms: float) -> tuple[float, str] | None:
    """TI (ms) of most counted scans of a ``role`` t1w or flair with this TR and about this TE, and the source that says so; None where
    there are none."""
    alike: Counter[float] = Counter()
    for scan in counted_scans():
        if scan["role"] == role and scan["TI"] is not None and _is_like(scan, repetition_ms, echo_ms):
            alike[float(scan["TI"])] += scan["count"]
    if not alike:
        return None
    ((inversion, count),) = alike.most_common(1)
    return inversion, f"{LOOKED_UP}{count} scan{'s' if count > 1 else ''} of OASIS-3 with this TR and TE"


def _is_like(scan: dict[str, Any], repetition_ms: float, echo_ms: float) -> bool:
    return _near(scan["TR"], repetition_ms) and abs(scan["TE"] - echo_ms) <= _SAME_ECHO * echo_ms


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_REPETITION * other
