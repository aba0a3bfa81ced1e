"""One simulated head in the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

import numpy as np

from PhysMRISynthLib.physics.protocol import Protocol


@dataclass
class Sample:
    """A piece of a head (z, y, x; 1 mm, axes towards superior, posterior, left) with the results of the transforms.

    ``tissue`` (uint8) is the row of the tissue table, or the table's length for lesions; ``theta`` (3, z, y, x) is log PD (fraction),
    log T1 and log T2 (ms); ``b1`` the transmit field. ``record`` holds every transform's parameters under its class's name.
    """

    tissue: np.ndarray
    theta: np.ndarray | None = None
    b1: np.ndarray | None = None
    field_strength: float = 3.0
    protocols: dict[str, Protocol] = field(default_factory=dict)
    images: dict[str, np.ndarray] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the piece (z, y, x)."""
        return self.tissue.shape


class Transform(Interface):
    """One step of the simulator: changes the sample with its own random parameters, and records them."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample: ...


@dataclass(frozen=True)
class Chain:
    """Transforms one after the other. The same seed gives the same sample."""

    steps: Sequence[Transform]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for step in self.steps:
            sample = step(sample, rng)
        return sample


def note(sample: Sample, transform: object, **parameters: Any) -> None:
    """Record a transform's parameters."""
    sample.record.setdefault(type(transform).__name__, {}).update(parameters)
