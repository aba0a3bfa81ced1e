"""Inversion times that null tissues: an intent such as "no white matter, no fluid", solved for one head's own T1 and T2.

A sequence can null as many tissues as it has inversion times. Only its signal is evaluated, so new sequences
need no rule of their own: a bracketed root for one tissue, a root from the best point of a coarse grid for two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Many
from itertools import pairwise

import numpy as np

from ..errors import ProtocolError
from .contrast import TissuePoint, signed_signals
from .protocol import Protocol
from .sequences import Sequence

_STEPS, _GRID_STEPS = 40, 20
_STARTS, _ROUNDS = 5, 12
_FLAT = 1e-16
"""Determinant of the slopes (1/ms²) below which two times have the same effect."""
_RESIDUAL = 1e-3
"""Of fully relaxed water: a tissue with less signal at whole milliseconds counts as nulled."""


def inversion_times(sequence: Sequence) -> tuple[str, ...]:
    """The names of a sequence's inversion times, in the order of its parameters; empty without inversion."""
    return tuple(p.name for p in sequence.parameters if p.name.startswith("TI") and p.default is not None)


def nulled(protocol: Protocol, tissues: Many[TissuePoint]) -> Protocol:
    """``protocol`` with inversion times, in whole ms, at which ``tissues`` give no signal; everything else stays.

    Raises ProtocolError when the sequence has too few inversions, or when no inversion time nulls them at this TR and TE.
    """
    names = inversion_times(protocol.sequence)
    titles = " and ".join(tissue.title.lower() for tissue in tissues)
    if not tissues:
        raise ProtocolError("No tissue to null. Name one or two, such as white_matter and csf.")
    if len(tissues) > min(2, len(names)):
        able = "no inversion" if not names else f"{len(names)} inversion{'s' if len(names) > 1 else ''}"
        raise ProtocolError(
            f"{protocol.sequence.title} has {able} and cannot null {titles}. Choose inversion recovery for one tissue, or double inversion "
            "recovery for two."
        )
    found = _one(protocol, names, tissues[0]) if len(tissues) == 1 else _two(protocol, names, tissues)
    if found is None:
        times = " or ".join(names)
        raise ProtocolError(f"No {times} nulls {titles} at TR {protocol.values['TR']:g} ms. Change TR, TE or the readout.")
    return protocol.changed(f"null of {titles}", None, **found)


def _one(protocol: Protocol, names: Many[str], tissue: TissuePoint) -> dict[str, float] | None:
    """The first of the times that has a null: where the signal changes its sign between two valid times."""
    for name in names:

        def signal(time: float, name: str = name) -> float:
            return float(signed_signals(protocol.sequence, {**protocol.values, name: time}, [tissue])[0])

        grid = [(time, signal(time)) for time in _times(protocol, name, _STEPS) if _is_valid(protocol, {name: time})]
        for (low, before), (high, after) in pairwise(grid):
            if before * after < 0.0:
                time = float(round(_bisected(signal, low, high, before)))
                if _is_valid(protocol, {name: time}):
                    return {name: time}
    return None


def _bisected(signal: Callable[[float], float], low: float, high: float, at_low: float) -> float:
    """A root between ``low`` and ``high`` (ms), to a tenth of a millisecond."""
    while high - low > 0.1:
        middle = (low + high) / 2.0
        low, high = (middle, high) if signal(middle) * at_low > 0.0 else (low, middle)
    return (low + high) / 2.0


def _two(protocol: Protocol, names: Many[str], tissues: Many[TissuePoint]) -> dict[str, float] | None:
    """Newton's method from the best points of a coarse grid."""
    first, second = names[:2]

    def signal(times: np.ndarray) -> np.ndarray:
        return signed_signals(protocol.sequence, {**protocol.values, first: float(times[0]), second: float(times[1])}, tissues)

    pairs = [(a, b) for a in _times(protocol, first, _GRID_STEPS) for b in _times(protocol, second, _GRID_STEPS)]
    starts = [np.array(pair) for pair in pairs if _is_valid(protocol, dict(zip((first, second), pair, strict=True)))]
    for start in sorted(starts, key=lambda start: float(np.abs(signal(start)).max()))[:_STARTS]:
        rounded = np.rint(_newton(signal, start))
        times = {first: float(rounded[0]), second: float(rounded[1])}
        if _is_valid(protocol, times) and np.abs(signal(rounded)).max() < _RESIDUAL:
            return times
    return None


def _newton(signal: Callable[[np.ndarray], np.ndarray], times: np.ndarray) -> np.ndarray:
    """Where Newton's method leads from ``times`` (2,) in ms, with slopes over one millisecond."""
    for _ in range(_ROUNDS):
        with np.errstate(all="ignore"):  # a step may overshoot far outside the valid range
            value = signal(times)
            slopes = np.stack([signal(times + step) - value for step in np.eye(2)], axis=1)
        if not np.isfinite(slopes).all() or abs(np.linalg.det(slopes)) < _FLAT:
            break
        times = times - np.linalg.solve(slopes, value)
    return times


def _times(protocol: Protocol, name: str, count: int) -> Iterator[float]:
    """A parameter's valid times within TR, from shortest to longest, spaced geometrically."""
    parameter = protocol.sequence.parameter(name)
    longest = min(parameter.maximum, protocol.values.get("TR", parameter.maximum))
    yield from np.geomspace(max(parameter.minimum, 1.0), longest, count).tolist()


def _is_valid(protocol: Protocol, times: Mapping[str, float]) -> bool:
    try:
        protocol.sequence.validate({**protocol.values, **times})
    except ProtocolError:
        return False
    return True
