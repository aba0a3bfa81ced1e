"""Training batches: inputs of one step, and their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from PhysMRISynthLib.network.condition import CONDITION_SIZE, protocol_condition
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol

from ..simulator.paper_equations import as_published

SUBSET_SHARES = (0.25, 0.3, 0.45)
"""Probabilities of one, two and all three inputs."""
B = TypeVar("B", bound="Batch")


@dataclass
class Batch:
    """B samples with M inputs: ``images`` (B, M, *S), ``conditions`` (B, M, K), and a mask of the inputs in use, ``present`` (B, M)."""

    images: Tensor
    conditions: Tensor
    present: Tensor

    def to(self: B, device: torch.device) -> B:
        """The batch with its tensors on a device."""
        tensors = {f.name: value for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})

    def first_alone(self: B) -> B:
        """The batch with only the first present input of each sample."""
        return replace(self, present=self.present & (self.present.cumsum(dim=1) == 1))


@dataclass
class LabelBatch(Batch):
    """With labels: ``tissue`` (B, *S), rows of the classes, and ``offset`` (B, 3, *S), θ's deviation from their literature values."""

    tissue: Tensor
    offset: Tensor


@dataclass
class SignalBatch(Batch):
    """With images as targets, in one unit per session: all of them, also those that are not present as inputs.

    ``known`` (B, M, *S), bool, marks voxels with data; ``levels`` (B, M) are the factors from inputs to images.
    ``protocols`` (B times M) of the images are texts for :func:`parse_protocol`, empty where a session lacks
    the input. ``field_strengths`` (B) are in tesla.
    """

    known: Tensor
    levels: Tensor
    protocols: list[tuple[str, ...]]
    field_strengths: list[float]

    @property
    def scale(self) -> Tensor:
        """The levels, broadcastable to images (B, M, 1, …)."""
        return self.levels.view(*self.levels.shape, *[1] * (self.images.dim() - 2))

    @property
    def targets(self) -> Tensor:
        """The unscaled images (B, M, *S), 0 without data."""
        return self.images * self.scale

    @property
    def given(self) -> Tensor:
        """Inputs with data (B, M)."""
        return self.known.flatten(2).any(dim=2)

    def equations(self) -> list[tuple[Protocol | None, ...]]:
        """The protocol of every input (B times M), None where a session lacks it."""
        return [tuple(parse_protocol(text, "batch") if text else None for text in row) for row in self.protocols]


def collate(batches: Sequence[B]) -> B:
    """Batches of one kind and shape joined."""
    columns = {f.name: [getattr(batch, f.name) for batch in batches] for f in fields(batches[0])}
    joined: dict[str, Any] = {
        name: torch.cat(column) if isinstance(column[0], Tensor) else [entry for part in column for entry in part]
        for name, column in columns.items()
    }
    return type(batches[0])(**joined)


def random_subset(given: np.ndarray, rng: np.random.Generator, shares: Sequence[float] = SUBSET_SHARES) -> np.ndarray:
    """A random subset of the ``given`` inputs (bool, at least one): modality dropout that keeps at least one."""
    kept = 1 + int(rng.choice(len(shares), p=shares))
    present = np.zeros(len(given), dtype=bool)
    order = rng.permutation(int(given.sum()))
    present[np.flatnonzero(given)[order[:kept]]] = True
    return present


def signal_batch(
    images: np.ndarray, levels: np.ndarray, present: np.ndarray, protocols: Sequence[Protocol | None], field_strength: float,
    published: bool = False,
) -> SignalBatch:  # fmt: skip
    """One session as a batch of one: its inputs (M, *S), NaN without data, and the ``levels`` (M) that scale them to targets.

    ``published``: rendered by the paper's equations. The encoder is conditioned on the protocols themselves.
    """
    known = np.isfinite(images)
    inputs = np.where(known, images, np.float32(0.0)).astype(np.float32)
    nothing = np.zeros(CONDITION_SIZE, dtype=np.float32)
    conditions = np.stack([nothing if p is None else protocol_condition(p, field_strength) for p in protocols])
    equations = [None if p is None else as_published(p) if published else p for p in protocols]
    return SignalBatch(
        torch.from_numpy(inputs)[None],
        torch.from_numpy(conditions)[None],
        torch.from_numpy(present)[None],
        known=torch.from_numpy(known)[None],
        levels=torch.from_numpy(levels.astype(np.float32))[None],
        protocols=[tuple("" if p is None else p.spec for p in equations)],
        field_strengths=[field_strength],
    )
