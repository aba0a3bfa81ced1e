"""The signal of tissues under a protocol, each with one PD, T1 and T2."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass

import numpy as np

from .protocol import Protocol
from .sequences import Sequence


@dataclass(frozen=True)
class TissuePoint:
    """A tissue's typical values: ``pd`` as a fraction of water, ``t1`` and ``t2`` in ms.

    ``own`` is True for values of this head, False for published ones.
    """

    name: str
    title: str
    pd: float
    t1: float
    t2: float
    own: bool = False


def signed_signals(sequence: Sequence, values: Mapping[str, float], points: Many[TissuePoint]) -> np.ndarray:
    """The signal of each tissue with its sign, (tissues,), as a fraction of the signal of fully relaxed water; values are not checked."""
    r1, r2 = (np.array([1.0 / getattr(point, name) for point in points]) for name in ("t1", "t2"))
    signal = sequence.signal(r1, r2, values)
    density = np.array([point.pd for point in points]) if sequence.uses_pd else 1.0
    return np.broadcast_to(np.asarray(density * signal, dtype=float), r1.shape)


def signals(protocol: Protocol, points: Many[TissuePoint]) -> np.ndarray:
    """The image's signals, (tissues,): magnitudes, unless the sequence keeps the sign."""
    signed = signed_signals(protocol.sequence, protocol.values, points)
    return signed if protocol.sequence.signed else np.abs(signed)
