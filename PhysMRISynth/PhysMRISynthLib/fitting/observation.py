"""What the fit is given: each input's voxels, its protocol and its noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..physics.arrays import Array, Move, namespace
from ..physics.protocol import Protocol

MODEL_ERROR = 0.015
"""Relative error of a signal equation that knows its parameters: sets how closely the fit follows high signal."""


def coverage_patterns(covered: np.ndarray) -> list[tuple[np.ndarray, np.ndarray | slice]]:
    """Of voxels that some of n inputs cover (n, N; bool): which inputs, as indices, and which voxels these and no others cover, as indices
    or, where it is all of them, as a slice."""
    if covered.all():
        return [(np.arange(len(covered)), slice(None))]
    places = 1 << np.arange(len(covered))
    pattern = (covered * places[:, None]).sum(axis=0)
    return [(np.flatnonzero(bits & places), np.flatnonzero(pattern == bits)) for bits in np.unique(pattern) if bits]


@dataclass(frozen=True)
class Observation:
    """One input at N voxels.

    ``signal`` float32 (N,) in the input's own units; ``noise`` its SD in those units; ``covered`` (N,) False where there is no data;
    ``model_error`` the relative error of the input's equation; ``structure`` (N,) what the signal is expected to differ from its mean over
    a slice much thicker than the voxels (None: the slice is as thin as they are), in the input's units.
    """

    name: str
    protocol: Protocol
    signal: Array
    noise: float
    covered: Array
    model_error: float = MODEL_ERROR
    structure: Array | None = None

    @property
    def weight(self) -> Array:
        """Inverse variance (N,) of noise, equation error and unseen structure in the slice together; zero where the input has no data."""
        variance = float(self.noise) ** 2 + (float(self.model_error) * self.signal) ** 2
        if self.structure is not None:
            variance = variance + self.structure**2
        return namespace(variance).where(self.covered, 1.0 / variance, 0.0)

    def at(self, voxels: Array | slice) -> Observation:
        """The same input at a selection of the voxels."""
        structure = None if self.structure is None else self.structure[voxels]
        return replace(self, signal=self.signal[voxels], covered=self.covered[voxels], structure=structure)

    def moved(self, move: Move) -> Observation:
        """The same input with its voxels where they are computed with."""
        structure = None if self.structure is None else move(self.structure)
        return replace(self, signal=move(self.signal), covered=move(self.covered), structure=structure)

    def with_echo_time(self, echo_time: float) -> Observation:
        """The same input under another effective echo time in ms, within the protocol's bounds."""
        values = self.protocol.values
        longest = min(0.98 * (values["TR"] - values.get("TI", 0.0)), self.protocol.sequence.parameter("TE").maximum)
        shortest = 0.0
        if "ETL" in values:
            shortest, longest = values["ESP"], min(longest, values["ETL"] * values["ESP"])
        return replace(self, protocol=self.protocol.changed("fitted", TE=min(max(echo_time, shortest), longest)))
