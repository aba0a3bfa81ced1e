"""Batches of latents for the training of sampling models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from PhysMRISynthLib.network.device import choose_device
from PhysMRISynthLib.network.weights import Weights

from ..simulator.people_set import read_people_set
from .batch_sources import LABELS, SCANS
from .latent_config import LatentTrainingConfig
from .latents import (
    HeadLatents,
    LatentHead,
    Latents,
    LatentShape,
    StoredLatents,
    check_latents,
    check_network,
    compute_latents,
    description,
    simulated_shape,
    whole_heads,
)
from .run_options import Run
from .scan_latents import open_scan_latents
from .train_vae import SELECTION_HEADS, TRAINING_HEADS

_CACHE = "latents"
HELD_OUT_SEED = 987_654
Conditioned = tuple[Tensor, Tensor]
"""Latents (B, channels, *S), and condition values of their heads (B, K), NaN if not given."""


@dataclass(frozen=True)
class Source:
    """Latents for training and of held-out anatomy, and the ``names`` of condition values, each dropped with probability ``untold``."""

    learned: HeadLatents
    held_out: HeadLatents
    config: LatentTrainingConfig
    names: tuple[str, ...] = ()
    untold: float = 0.0

    def steps(self, start: int, rank: int, world: int) -> Iterator[Conditioned]:
        """The batches of each step for one of ``world`` processes from step ``start`` on, endlessly: every latent once an epoch."""
        pieces, size, step = self.learned.pieces(), self.config.batch, start
        while True:
            first = (step * world + rank) * size
            drawn = [self._drawn(pieces, number) for number in range(first, first + size)]
            yield self._batch(self.learned, drawn, self.untold, step)
            step += 1

    def _drawn(self, pieces: list[tuple[int, int]], number: int) -> tuple[int, int]:
        epoch, place = divmod(number, len(pieces))
        return pieces[np.random.default_rng([self.config.seed, epoch, 6]).permutation(len(pieces))[place]]

    def _batch(self, latents: HeadLatents, pieces: list[tuple[int, int]], untold: float, step: int) -> Conditioned:
        rng = np.random.default_rng([self.config.seed, step, 7])
        heads = [latents[index] for index, _ in pieces]
        chosen = np.stack([head.latent[place] for head, (_, place) in zip(heads, pieces, strict=True)])
        conditions = np.stack([head.conditions(self.names) for head in heads])
        conditions[rng.random(conditions.shape) < untold] = np.nan
        return torch.from_numpy(chosen), torch.from_numpy(conditions)

    def validation(self) -> list[Conditioned]:
        """A latent of each held-out head, with all condition values."""
        by_head = dict(self.held_out.pieces()[::-1])
        pieces = [(index, len(self.held_out[index].latent) // 2) for index in sorted(by_head)]
        return [self._batch(self.held_out, [piece], 0.0, 0) for piece in pieces]

    def last_step(self, world: int) -> int | None:
        """The step after ``epochs`` passes; None if unlimited."""
        pieces = len(self.learned.pieces())
        return -(-self.config.epochs * pieces // (self.config.batch * world)) if self.config.epochs else None


class Codes:
    """Latents as codes of the second stage, kept in memory since they are few."""

    def __init__(self, latents: StoredLatents, codes: Callable[[Tensor], Tensor]) -> None:
        self.heads = [self._condensed(latents[index], codes) for index in range(len(latents))]

    @staticmethod
    def _condensed(head: LatentHead, codes: Callable[[Tensor], Tensor]) -> LatentHead:
        with torch.inference_mode():
            return LatentHead(codes(torch.from_numpy(head.latent)).float().cpu().numpy(), head.name, head.numbers)

    def __len__(self) -> int:
        return len(self.heads)

    def __getitem__(self, index: int) -> LatentHead:
        return self.heads[index]

    def pieces(self) -> list[tuple[int, int]]:
        """Number and position of every code."""
        return [(index, 0) for index in range(len(self.heads))]


def open_latents(
    run: Run, shape: LatentShape, config: LatentTrainingConfig, weights: Weights, progress: Callable[[str], None]
) -> tuple[StoredLatents, StoredLatents] | None:
    """The training and held-out latents of a run's label maps, or else of its scans, with missing ones computed; None if time ran out
    first.

    Raises PhysMRISynthError when the data are missing, or the folder holds other latents.
    """
    folder = run.out / _CACHE if run.latents is None else run.latents
    until = None if run.minutes is None else time.monotonic() + 60 * run.minutes
    if not (run.data / LABELS).is_dir():
        device = choose_device(run.accelerator)
        return open_scan_latents(run.data, run.out / SCANS, folder, shape, config, weights, device, until, progress)
    check_network(weights.config, shape)
    people = () if run.people is None else read_people_set(run.people)
    check_latents(folder, description(weights, shape, config.seed, people))
    found = []
    for name, heads, others, count, seed in (
        ("held_out", SELECTION_HEADS, (), config.held_out, HELD_OUT_SEED),
        ("learned", TRAINING_HEADS, people, config.heads, config.seed),
    ):
        simulator = whole_heads(run.data, heads, simulated_shape(shape), seed, others)
        latents = Latents(folder / name, simulator, count, sliced=shape.spatial_dims == 2, mixed=not others)
        if not compute_latents(latents, weights, choose_device(run.accelerator), config.workers, until, progress):
            return None
        found.append(latents)
    return found[1], found[0]
