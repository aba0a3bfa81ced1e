"""Fréchet distance, precision and recall of two sets of slices, on features of a network trained on photographs."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from scipy.spatial.distance import cdist
from torch import Tensor, nn

from ..learning.perceptual import imagenet_stages

DIMENSIONS = 40
"""Channels at an eighth of the resolution: no more than the slices of a comparison."""
DEEP_DIMENSIONS = 320
"""Channels of the last block, at a thirty-second of the resolution."""
_BLOCKS, _ALL_BLOCKS = 5, 16
"""Up to the last one of that resolution and width, and all."""
_NEIGHBOURS = 3
_BATCH = 16
_BRIGHT = 99.5


def features(images: np.ndarray) -> np.ndarray:
    """Features (N, DIMENSIONS) of grey images (N, y, x), each scaled to its own 99.5th percentile: means over the positions."""
    return _features(images, _BLOCKS)


def deep_features(images: np.ndarray) -> np.ndarray:
    """As :func:`features`, with those of the last block after them: (N, DIMENSIONS + DEEP_DIMENSIONS)."""
    return _features(images, _BLOCKS, _ALL_BLOCKS)


def _features(images: np.ndarray, *depths: int) -> np.ndarray:
    levels = np.maximum(np.percentile(images, _BRIGHT, axis=(1, 2), keepdims=True), 1e-9)
    scaled = torch.from_numpy((images / levels).clip(0.0, 1.5).astype(np.float32))[:, None]
    with torch.inference_mode():
        return np.concatenate([_means(2.0 * piece.expand(-1, 3, -1, -1) - 1.0, depths) for piece in scaled.split(_BATCH)])


def _means(found: Tensor, depths: tuple[int, ...]) -> np.ndarray:
    """Means over the positions, after the stem and each of these numbers of blocks."""
    means = []
    for depth, stage in enumerate(_stages(max(depths))):
        found = stage(found)
        if depth in depths:
            means.append(found.mean(dim=(2, 3)).numpy().astype(np.float64))
    return np.concatenate(means, axis=1)


@cache
def _stages(blocks: int) -> nn.Sequential:
    return imagenet_stages(blocks)


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of two sets of features (N, D): the squared Fréchet distance of their Gaussians (Heusel et al.,
    NeurIPS 2017)."""
    means = one.mean(axis=0) - other.mean(axis=0)
    # with Σ₁ = AᵀA and Σ₂ = BᵀB the eigenvalues of (Σ₁Σ₂)^½ are the singular values of ABᵀ
    first, second = ((each - each.mean(axis=0)) / np.sqrt(max(len(each) - 1, 1)) for each in (one, other))
    shared = np.linalg.svd(first @ second.T, compute_uv=False).sum()
    return float(means @ means + np.square(first).sum() + np.square(second).sum() - 2.0 * shared)


def precision_recall(people: np.ndarray, owners: np.ndarray, found: np.ndarray, heads: np.ndarray) -> tuple[float, float]:
    """Share of the ``found`` features (M, D) that lie in the manifold of ``people``'s (N, D), and the reverse (Kynkäänniemi et al., NeurIPS
    2019): within the distance of some member from its third neighbour.

    Slices of one head resemble each other: a neighbour is of another head (``owners`` (N,) and ``heads`` (M,))."""
    apart = cdist(people, found)
    inside = apart <= _radii(people, owners)[:, None]
    covered = apart <= _radii(found, heads)[None]
    return float(inside.any(axis=0).mean()), float(covered.any(axis=1).mean())


def _radii(found: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Distance (N,) of each member from its third nearest among other heads (0: there are fewer)."""
    apart = np.where(heads[:, None] == heads[None], np.inf, cdist(found, found))
    if len(apart) < _NEIGHBOURS:
        return np.zeros(len(apart))
    nearest = np.partition(apart, _NEIGHBOURS - 1, axis=1)[:, _NEIGHBOURS - 1]
    return np.where(np.isfinite(nearest), nearest, 0.0)
