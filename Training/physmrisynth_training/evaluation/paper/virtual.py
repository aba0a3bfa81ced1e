"""Virtual slices: samples of the 2D latent diffusion, and slices of heads from the 3D sampling model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from PhysMRISynthLib.whole_file import whole_file
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import SampledHead, Sampler

from ..plan import Plan, progress_bar
from .runs import TrainedDiffusion
from .slices import SHAPE

STEPS = 50
"""DDIM steps, as in the authors' repository."""
HEADS_3D = 5
"""Heads of the 3D sampling model; the first keeps its skull, as one in five test heads does."""
_KEPT = 24
"""Slices of each head."""
_LEAST_BRAIN = 2000


def sampled_maps(model: TrainedDiffusion, count: int, cache: Path) -> np.ndarray:
    """PD, T1 and T2 (ms) of sampled slices of seeds 0, 1, …: (3, count, *SHAPE), kept in ``cache``."""
    path = cache / f"slices-{count}-{STEPS}-{model.sha256[:12]}.npz"
    if not path.exists():
        with progress_bar(count, "paper, samples") as bar:
            found = []
            for seed in range(count):
                found.append(model.maps(seed, STEPS))
                bar.update()
        _keep(path, np.stack(found, axis=1))
    with np.load(path) as file:
        return file["maps"]


def sampled_heads_maps(plan: Plan, count: int, cache: Path) -> np.ndarray:
    """PD (fraction), T1 and T2 (ms) of ``count`` slices of heads from the 3D sampling model: (3, count, *SHAPE), kept in ``cache``."""
    sampler = plan.sampler()
    parts = []
    for seed in range(HEADS_3D):
        path = cache / f"head{seed}-{_KEPT}-{sampler.model.sha256[:12]}.npz"
        if not path.exists():
            _keep(path, _head_maps(sampler, seed))
        with np.load(path) as file:
            parts.append(file["maps"])
    found = np.concatenate(parts, axis=1)
    return found[:, np.linspace(0, found.shape[1] - 1, count).round().astype(int)]


def _head_maps(sampler: Sampler, seed: int) -> np.ndarray:
    head = sampler.head(SampleOrder(seed))
    shown = head.maps.mask if seed == 0 else head.brain
    maps = np.stack([head.maps.pd, head.maps.t1, head.maps.t2]) * shown
    return _in_slice(maps[:, _planes(head, seed)], shown)


def _planes(head: SampledHead, seed: int) -> np.ndarray:
    usable = np.flatnonzero(head.brain.sum(axis=(1, 2)) >= _LEAST_BRAIN)
    return np.sort(np.random.default_rng(seed).choice(usable, min(_KEPT, usable.size), replace=False))


def _in_slice(maps: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Maps (3, N, y, x) cropped or continued by air to SHAPE, around the middle of what is ``shown`` (z, y, x)."""
    rows, columns = (np.flatnonzero(shown.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    y, x = (int(where[0] + where[-1] + 1) // 2 for where in (rows, columns))
    (above, beside) = (n // 2 for n in SHAPE)
    padded = np.pad(maps, [(0, 0), (0, 0), (above, above), (beside, beside)])
    return padded[:, :, y : y + SHAPE[0], x : x + SHAPE[1]]


def _keep(path: Path, maps: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, maps=maps.astype(np.float32))
