"""Contrast design: the values of a sequence at which two tissues differ most, within limits of time, darkness and signal.

Signals are in % of fully relaxed water at zero echo time. Contrast is the difference of two tissues' signals; with noise of 1 % it is the
contrast-to-noise ratio of one acquisition. Scan time grows with TR, so images of equal scan time are compared by contrast / √TR.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from ..errors import ProtocolError
from .contrast import TissuePoint, signals
from .protocol import Protocol
from .sequences import Parameter, Sequence

PER_CENT = 100.0
_SHORTEST = {"TR": 5.0, "TE": 10.0, "TI": 20.0}
"""ms: shortest times of scanners, used where the user sets no limit, unless the sequence's usual time is shorter."""
_DESIGNED = ("TR", "TE", "TI", "FA")
_REJECTED, _PENALTY = 1e4, 100.0
_MARGIN = 0.1
"""% of fully relaxed water: tolerance for rounding."""
_POPULATION, _GENERATIONS = 20, 120
_MOST_TRIES = 50_000


@dataclass(frozen=True)
class Limits:
    """Limits of a designed protocol.

    ``ranges``: lowest and highest value by parameter (None: the sequence's own bound). ``dark``: tissues whose signal may not exceed a
    percentage of the brighter of the two. ``least_signal``: % of fully relaxed water that the brighter of the two must give.
    ``per_time``: maximise the contrast at equal scan time, not that of one acquisition.
    """

    ranges: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    dark: tuple[tuple[TissuePoint, float], ...] = ()
    least_signal: float = 0.0
    per_time: bool = False


@dataclass(frozen=True)
class Contrast:
    """Contrast of two tissues under a protocol: their ``signals`` (%), the ``contrast`` (%), and ``per_time`` in % / √s."""

    protocol: Protocol
    signals: tuple[float, float]

    @classmethod
    def of(cls, protocol: Protocol, one: TissuePoint, other: TissuePoint) -> Contrast:
        """Of two tissues under a protocol."""
        first, second = (PER_CENT * signals(protocol, [one, other])).tolist()
        return cls(protocol, (first, second))

    @property
    def contrast(self) -> float:
        """The difference of the signals (%)."""
        return abs(self.signals[0] - self.signals[1])

    @property
    def per_time(self) -> float:
        """The contrast over the square root of TR (% / √s)."""
        return self.contrast / math.sqrt(self.protocol.values["TR"] / 1000.0)


def maximised(start: Protocol, one: TissuePoint, other: TissuePoint, limits: Limits | None = None) -> Contrast:
    """The protocol of ``start``'s sequence at which ``one`` and ``other`` differ most; its readout (train, echo spacing) stays.

    TR, TE, inversion times and flip angles are optimised within ``limits`` and the sequence's own bounds; deterministic.
    Raises ProtocolError when the tissues are the same or no protocol meets the limits.
    """
    from scipy.optimize import differential_evolution, minimize

    limits = limits or Limits()
    if (one.pd, one.t1, one.t2) == (other.pd, other.t1, other.t2):
        raise ProtocolError(f"{one.title} and {other.title.lower()} have the same PD, T1 and T2: no protocol separates them.")
    bounds = _bounds(start.sequence, limits)
    fixed = {name: value for name, value in start.values.items() if name not in bounds}
    scales = [(_scaled(low), _scaled(high)) for low, high in bounds.values()]

    def loss(point: np.ndarray) -> float:
        values = {**fixed, **dict(zip(bounds, _unscaled(point), strict=True))}
        return _loss(start.sequence, values, one, other, limits)

    first = _valid_points(start.sequence, fixed, bounds)
    found = differential_evolution(loss, scales, maxiter=_GENERATIONS, tol=1e-8, seed=0, polish=False, init=first)
    found = minimize(loss, found.x, method="Nelder-Mead", bounds=scales, options={"xatol": 1e-4, "fatol": 1e-5})
    values = dict(zip(bounds, _unscaled(found.x), strict=True))
    for digits in (0, 1, 2, 6):  # two nearly equal times need more digits to stay apart
        with suppress(ProtocolError):  # rounding may make values contradict each other
            protocol = start.changed("designed", None, **_rounded(values, bounds, digits))
            if _meets(protocol, one, other, limits):
                return Contrast.of(protocol, one, other)
    raise ProtocolError(
        f"No {start.sequence.title} protocol separates {one.title.lower()} and {other.title.lower()} within these limits. "
        "Allow a longer TR, more signal of the tissue to keep dark, or another sequence."
    )


def curve(protocol: Protocol, name: str, points: Iterable[TissuePoint], values: np.ndarray) -> np.ndarray:
    """The signal (%) of tissues, (tissues, values), against one parameter; NaN where a value contradicts the others."""
    tissues = list(points)
    found = np.full((len(tissues), values.size), np.nan)
    for column, value in enumerate(values.tolist()):
        try:
            found[:, column] = PER_CENT * signals(protocol.changed("curve", **{name: value}), tissues)
        except ProtocolError:
            continue
    return found


def _bounds(sequence: Sequence, limits: Limits) -> dict[str, tuple[float, float]]:
    """The range of each parameter to optimise. Raises ProtocolError for a limit that leaves none."""
    unknown = [name for name in limits.ranges if name not in {p.name for p in sequence.parameters}]
    if unknown:
        sequence.parameter(unknown[0])
    found = {}
    for parameter in sequence.parameters:
        if not parameter.name.startswith(_DESIGNED) or parameter.default is None:
            continue
        low, high = limits.ranges.get(parameter.name, (None, None))
        least = max(parameter.minimum, _least(parameter) if low is None else low)
        most = min(parameter.maximum, parameter.maximum if high is None else high)
        if least > most:
            raise ProtocolError(f"{parameter.name} cannot lie between {least:g} and {most:g}{parameter.unit}. Give a wider limit.")
        found[parameter.name] = (least, most)
    return found


def _valid_points(sequence: Sequence, fixed: Mapping[str, float], bounds: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Starting points, (population, parameters): valid ones, which are rare where a train must fit.

    Raises ProtocolError when the limits leave too few.
    """
    rng, found = np.random.default_rng(0), []
    low, high = (np.array([_scaled(bound[end]) for bound in bounds.values()]) for end in (0, 1))
    for point in rng.uniform(low, high, (_MOST_TRIES, len(bounds))):
        with suppress(ProtocolError):
            sequence.validate({**fixed, **dict(zip(bounds, _unscaled(point), strict=True))})
            found.append(point)
        if len(found) == _POPULATION * len(bounds):
            return np.array(found)
    raise ProtocolError(f"These limits leave no {sequence.title} protocol. Allow a longer TR or a shorter train.")


def _least(parameter: Parameter) -> float:
    """The least value where the user sets no limit."""
    shortest = _SHORTEST.get(parameter.name.rstrip("12"), parameter.minimum)
    return min(parameter.default or shortest, shortest)


def _loss(sequence: Sequence, values: Mapping[str, float], one: TissuePoint, other: TissuePoint, limits: Limits) -> float:
    """Minus the contrast, plus a penalty for violated limits."""
    try:
        found = Contrast.of(Protocol(sequence, values), one, other)
    except ProtocolError:
        return _REJECTED
    return _PENALTY * _excess(found, limits, _MARGIN) - (found.per_time if limits.per_time else found.contrast)


def _meets(protocol: Protocol, one: TissuePoint, other: TissuePoint, limits: Limits) -> bool:
    return _excess(Contrast.of(protocol, one, other), limits, 0.0) == 0.0


def _excess(found: Contrast, limits: Limits, margin: float) -> float:
    """By how much (%) a contrast violates the limits, tightened by a ``margin`` (%) of signal."""
    brighter = max(abs(signal) for signal in found.signals)
    excess = max(0.0, limits.least_signal + margin - brighter) if limits.least_signal else 0.0
    for tissue, share in limits.dark:
        allowed = share / PER_CENT * brighter
        signal = PER_CENT * abs(float(signals(found.protocol, [tissue])[0]))
        excess += max(0.0, signal - allowed + min(margin, allowed / 2.0))
    return excess


def _scaled(value: float) -> float:
    """Times and angles are optimised as logarithms."""
    return math.log(max(value, 0.1))


def _unscaled(point: np.ndarray) -> list[float]:
    return np.exp(point).tolist()


def _rounded(values: Mapping[str, float], bounds: Mapping[str, tuple[float, float]], digits: int) -> dict[str, float]:
    """Round as a scanner does: whole milliseconds or degrees from 10 on, one digit more below; echo and inversion times down, since
    they must end before TR."""
    found = {}
    for name, value in values.items():
        unit = 10.0 ** -(digits if value >= 10.0 else digits + 1)
        steps = math.floor(value / unit + 1e-6) if name.startswith(("TE", "TI")) else round(value / unit)
        found[name] = min(max(round(steps * unit, digits + 2), bounds[name][0]), bounds[name][1])
    return found
