"""Batches by number, simulated or read, so that a run can resume exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.network.condition import protocol_condition
from PhysMRISynthLib.physics.tissues import tissue_table

from ..simulator.paper_equations import published_gain
from ..simulator.scanner import ScaleIntensity
from ..simulator.simulated_head import Chain, Sample
from ..simulator.simulated_scans import Simulator
from .batch import Batch, LabelBatch, SignalBatch, random_subset, signal_batch
from .real_scans import CachedScans

_SLAB = 12
"""Planes simulated for one axial slice: enough for thick slices, misregistration and deformation."""


def class_values(field_strength: float) -> np.ndarray:
    """Literature θ of the decoder's classes (classes, 3): the tissue table, and lesions as longer-lived white matter."""
    theta = np.stack([t.theta for t in tissue_table(field_strength)])
    return np.concatenate([theta, theta[:1] + np.array([[0.12, 0.33, 0.53]])]).astype(np.float32)


def label_batch(sample: Sample, present: np.ndarray) -> LabelBatch:
    """A sample of 2 or 3 dimensions as a batch of one, with only the ``present`` inputs."""
    assert sample.theta is not None
    conditions = np.stack([protocol_condition(sample.protocols[role], sample.field_strength) for role in ROLES])
    offset = sample.theta - np.moveaxis(class_values(sample.field_strength)[sample.tissue], -1, 0)
    images = np.stack([sample.images[role] for role in ROLES])
    tensors = (torch.from_numpy(a)[None] for a in (images, conditions, present, sample.tissue, offset.astype(np.float32)))
    return LabelBatch(*tensors)


def middle_plane(sample: Sample) -> Sample:
    """The axial plane in the middle of a sample."""
    plane = sample.shape[0] // 2
    theta = None if sample.theta is None else sample.theta[:, plane]
    images = {role: image[plane] for role, image in sample.images.items()}
    return replace(sample, tissue=sample.tissue[plane], theta=theta, images=images)


class SimulatedHeads(Dataset[Batch]):
    """Samples by number. Those of one training step share a random shape of ``shapes``: (z, y, x), or (y, x) for axial slices.

    Targets are their labels, or, ``as_signals``, the images in units of the signal equation at gain 1 (with receive field and noise):
    every session's PD is then a fraction of water. ``published``: images with the brightness of the paper's equations.
    """

    def __init__(
        self, simulator: Simulator, shapes: Sequence[tuple[int, ...]], samples_per_step: int, dropout: bool = True,
        as_signals: bool = False, published: bool = False,
    ) -> None:  # fmt: skip
        self.simulator, self.shapes, self.samples_per_step = simulator, tuple(shapes), samples_per_step
        self.dropout, self.as_signals, self.published = dropout, as_signals, published
        self.scale = ScaleIntensity()
        if as_signals:
            steps = [step for step in simulator.scanner.steps if not isinstance(step, ScaleIntensity)]
            self.simulator = replace(simulator, scanner=Chain(steps))

    def __getitem__(self, index: int) -> Batch:
        shape = shape_of_step(self.shapes, self.simulator.seed, index // self.samples_per_step)
        rng = np.random.default_rng([self.simulator.seed, index, 2])
        everything = np.ones(len(ROLES), dtype=bool)
        present = random_subset(everything, rng) if self.dropout else everything
        volume = self.simulator.sample(index, volume_shape(shape))
        sample = volume if len(shape) == 3 else middle_plane(volume)
        if not self.as_signals:
            return label_batch(sample, present)
        return self._signal_batch(sample, present, rng)

    def _signal_batch(self, sample: Sample, present: np.ndarray, rng: np.random.Generator) -> SignalBatch:
        protocols = [sample.protocols[role] for role in ROLES]
        raw = np.array([sample.images[role].max() for role in ROLES])
        images = np.stack([self.scale(sample, rng).images[role] for role in ROLES])
        top = images.max(axis=tuple(range(1, images.ndim)))
        levels = np.divide(raw, top, out=np.ones_like(raw), where=top > 0)
        if self.published:
            levels *= [published_gain(protocol, sample.field_strength) for protocol in protocols]
        return signal_batch(images, levels, present, protocols, sample.field_strength, self.published)


class RealScans(Dataset[Batch]):
    """Pieces of real scans by number: in every epoch each axial slice once (2D), or a random crop of each session (3D), shuffled.

    Inputs are scaled as everywhere (``normalised``: the 99.5th percentile becomes 1, and 0 stays 0); a ``centred`` network takes them to
    [−1, 1] as in the paper. Targets are unscaled, except for one factor per session (see :class:`~.real_scans.CachedScans`).
    Those of one training step share a random shape of ``shapes``. ``published``: they are rendered by the paper's equations.
    """

    def __init__(
        self, sessions: Sequence[CachedScans], shapes: Sequence[tuple[int, ...]], samples_per_step: int, seed: int, dropout: bool = True,
        published: bool = False,
    ) -> None:  # fmt: skip
        self.sessions, self.shapes, self.samples_per_step = tuple(sessions), tuple(shapes), samples_per_step
        self.seed, self.dropout, self.published = seed, dropout, published
        planes = [range(*session.planes) if len(self.shapes[0]) == 2 else [-1] for session in self.sessions]
        self.pieces = [(number, plane) for number, those in enumerate(planes) for plane in those]

    def __getitem__(self, index: int) -> Batch:
        shape = shape_of_step(self.shapes, self.seed, index // self.samples_per_step)
        rng = np.random.default_rng([self.seed, index, 3])
        epoch, place = divmod(index, len(self.pieces))
        number, plane = self.pieces[np.random.default_rng([self.seed, epoch, 4]).permutation(len(self.pieces))[place]]
        session = self.sessions[number]
        if len(shape) == 2:
            images = session.read((plane, *session.centre[1:]), (1, *shape))[:, 0]
        else:
            images = session.read(tuple(int(rng.integers(n)) for n in session.shape), shape)
        given = np.isfinite(images).any(axis=tuple(range(1, images.ndim)))
        return scan_batch(session, images, random_subset(given, rng) if self.dropout else given, self.published)


def scan_batch(session: CachedScans, images: np.ndarray, present: np.ndarray, published: bool) -> SignalBatch:
    """Pieces of a session's ``images`` (M, *S) as a batch of one, of which the ``present`` (M) are inputs."""
    levels = session.levels
    if published:  # again one number for all images
        first = next(protocol for protocol in session.protocols if protocol is not None)
        levels = levels * published_gain(first, session.field_strength)
    return signal_batch(images, levels, present, session.protocols, session.field_strength, published)


class Mixture(Dataset[Batch]):
    """Steps with label maps and steps with real scans: a ``share`` of them, chosen by the step's number, is real."""

    def __init__(self, heads: SimulatedHeads, scans: RealScans, share: float) -> None:
        self.heads, self.scans, self.share = heads, scans, share

    def __getitem__(self, index: int) -> Batch:
        step = index // self.heads.samples_per_step
        real = np.random.default_rng([self.scans.seed, step, 5]).random() < self.share
        return self.scans[index] if real else self.heads[index]


def volume_shape(crop: tuple[int, ...]) -> tuple[int, int, int]:
    """The simulated shape for a crop (z, y, x) or an axial slice (y, x)."""
    depth, height, width = crop if len(crop) == 3 else (_SLAB, *crop)
    return depth, height, width


def shape_of_step(shapes: Sequence[tuple[int, ...]], seed: int, step: int) -> tuple[int, ...]:
    """The shape of all samples of a step."""
    return shapes[int(np.random.default_rng([seed, step, 1]).integers(len(shapes)))]


class StepSampler(Sampler[list[int]]):
    """The numbers of the samples of each step for one of ``world`` processes, from step ``start`` on, endlessly."""

    def __init__(self, start: int, batch: int, rank: int = 0, world: int = 1) -> None:
        self.start, self.batch, self.rank, self.world = start, batch, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        while True:
            first = (step * self.world + self.rank) * self.batch
            yield list(range(first, first + self.batch))
            step += 1
