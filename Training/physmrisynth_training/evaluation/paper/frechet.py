"""Fréchet distance of two sets of slices, on features of a network trained on photographs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...learning.perceptual import imagenet_stages

DIMENSIONS = 40
"""Channels at an eighth of the resolution: no more than the slices of a comparison."""
_BLOCKS = 5
"""Up to the last one of that resolution and width."""
_BATCH = 16
_BRIGHT = 99.5


def features(images: np.ndarray) -> np.ndarray:
    """Features (N, DIMENSIONS) of grey images (N, y, x), each scaled to its own 99.5th percentile: means over the positions."""
    network = imagenet_stages(_BLOCKS)
    levels = np.maximum(np.percentile(images, _BRIGHT, axis=(1, 2), keepdims=True), 1e-9)
    scaled = torch.from_numpy((images / levels).clip(0.0, 1.5).astype(np.float32))[:, None]
    with torch.inference_mode():
        return np.concatenate([_means(network(2.0 * piece.expand(-1, 3, -1, -1) - 1.0)) for piece in scaled.split(_BATCH)])


def _means(found: Tensor) -> np.ndarray:
    return found.mean(dim=(2, 3)).numpy().astype(np.float64)


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of two sets of features (N, D): the squared Fréchet distance of their Gaussians (Heusel et al.,
    NeurIPS 2017)."""
    means = one.mean(axis=0) - other.mean(axis=0)
    first, second = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (one, other))
    root = _root(first)
    # the trace of (Σ₁Σ₂)^½ is that of the symmetric (Σ₁^½ Σ₂ Σ₁^½)^½
    shared = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(min=0.0)).sum()
    return float(means @ means + np.trace(first) + np.trace(second) - 2.0 * shared)


def _root(matrix: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
