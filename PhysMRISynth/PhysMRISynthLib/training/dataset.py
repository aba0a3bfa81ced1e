"""Simulated samples as tensors, numbered so that a run can go on exactly where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..network.condition import protocol_condition
from ..physics.tissues import tissue_table
from .sample import Sample
from .scanner import ROLES
from .simulator import Simulator

SUBSET_SHARES = (0.25, 0.3, 0.45)
"""How often one, two and all three inputs are shown."""


@dataclass
class Batch:
    """Tensors of B samples with M inputs: ``images`` (B, M, *S), ``conditions`` (B, M, K), ``present`` (B, M), ``tissue`` (B, *S) and
    ``offset`` (B, 3, *S), the deviation of θ from the classes' literature values."""

    images: Tensor
    conditions: Tensor
    present: Tensor
    tissue: Tensor
    offset: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(t.to(device, non_blocking=True) for t in (self.images, self.conditions, self.present, self.tissue, self.offset)))


def class_values(field_strength: float) -> np.ndarray:
    """Literature θ of the decoder's classes (classes, 3): the tissue table, and lesions as longer-lived white matter."""
    theta = np.stack([t.theta for t in tissue_table(field_strength)])
    return np.concatenate([theta, theta[:1] + np.array([[0.12, 0.33, 0.53]])]).astype(np.float32)


def random_subset(count: int, rng: np.random.Generator, shares: Sequence[float] = SUBSET_SHARES) -> np.ndarray:
    """Which of ``count`` inputs are shown, bool (count,): modality dropout."""
    kept = 1 + int(rng.choice(len(shares), p=shares))
    present = np.zeros(count, dtype=bool)
    present[rng.permutation(count)[: min(kept, count)]] = True
    return present


def as_tensors(sample: Sample, present: np.ndarray) -> Batch:
    """A sample as a batch of one, showing only the ``present`` inputs."""
    assert sample.theta is not None
    conditions = np.stack([protocol_condition(sample.protocols[role], sample.field_strength) for role in ROLES])
    offset = sample.theta - class_values(sample.field_strength)[sample.tissue].transpose(3, 0, 1, 2)
    images = np.stack([sample.images[role] for role in ROLES])
    return Batch(
        torch.from_numpy(images)[None],
        torch.from_numpy(conditions)[None],
        torch.from_numpy(present)[None],
        torch.from_numpy(sample.tissue)[None],
        torch.from_numpy(offset.astype(np.float32))[None],
    )


def collate(batches: Sequence[Batch]) -> Batch:
    """Batches of one shape joined."""
    columns = zip(*((b.images, b.conditions, b.present, b.tissue, b.offset) for b in batches), strict=True)
    return Batch(*(torch.cat(column) for column in columns))


class SimulatedHeads(Dataset[Batch]):
    """Samples by number. Those of one training step share a shape, drawn from ``shapes``."""

    def __init__(self, simulator: Simulator, shapes: Sequence[tuple[int, int, int]], samples_per_step: int, dropout: bool = True) -> None:
        self.simulator, self.shapes, self.samples_per_step, self.dropout = simulator, tuple(shapes), samples_per_step, dropout

    def __getitem__(self, index: int) -> Batch:
        step_rng = np.random.default_rng([self.simulator.seed, index // self.samples_per_step, 1])
        shape = self.shapes[int(step_rng.integers(len(self.shapes)))]
        rng = np.random.default_rng([self.simulator.seed, index, 2])
        present = random_subset(len(ROLES), rng) if self.dropout else np.ones(len(ROLES), dtype=bool)
        return as_tensors(self.simulator.sample(index, shape), present)


class StepSampler(Sampler[list[int]]):
    """The numbers of the samples of each step for one of ``world`` processes, from step ``start`` on, without end."""

    def __init__(self, start: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.start, self.batch, self.rank, self.world = start, batch, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        while True:
            first = (step * self.world + self.rank) * self.batch
            yield list(range(first, first + self.batch))
            step += 1
