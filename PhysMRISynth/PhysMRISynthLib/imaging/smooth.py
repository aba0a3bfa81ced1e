"""Smoothing, and smooth random volumes (splines through random knots), fast: one small matrix product along each axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_KNOTS_PER_SCALE = 1.42
"""Knots per scale of a cubic spline whose noise has correlation 1/4 at one scale, as linear interpolation has at one knot."""


def smooth_noise(shape: Sequence[int], scale: float, rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    """Normal noise of variance 1, with correlation 1/4 at ``scale`` voxels and none at twice that: (channels, *shape) float32.

    A cubic spline through random knots has no kinks, which would be visible in edges displaced by it.
    """
    matrices = _splines(shape, scale, rng)
    noise = rng.standard_normal((channels, *(m.shape[1] for m in matrices)), dtype=np.float32)
    fine = np.stack([along_axes(channel, matrices) for channel in noise])
    return fine / max(float(fine.std()), 1e-6)


def mixed_noise(mask: np.ndarray, shares: Mapping[float, float], rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    """Normal noise in a mask (z, y, x), in the order of its voxels: (channels, voxels) float32, expected variance 1.

    A sum of noises as in :func:`smooth_noise`, with ``shares`` of the variance by scale."""
    voxels = np.flatnonzero(mask)
    parts = [(np.float32(np.sqrt(share)), _splines(mask.shape, scale, rng)) for scale, share in shares.items() if share]
    found = np.empty((channels, voxels.size), dtype=np.float32)
    for channel in found:
        channel[:] = np.take(sum(_unit_noise(matrices, weight, rng) for weight, matrices in parts), voxels)
    return found


def _unit_noise(matrices: Sequence[np.ndarray], weight: np.float32, rng: np.random.Generator) -> np.ndarray:
    """(z, y, x), of expected SD ``weight``."""
    knots = rng.standard_normal([m.shape[1] for m in matrices], dtype=np.float32)
    spread = np.prod([np.sqrt(np.square(m).sum(axis=1).mean()) for m in matrices])
    return along_axes(knots * np.float32(weight / spread), matrices)


def _splines(shape: Sequence[int], scale: float, rng: np.random.Generator) -> list[np.ndarray]:
    """A matrix for each axis, from random knots to voxels."""
    spacing = scale / _KNOTS_PER_SCALE
    return [_spline(np.arange(n) / spacing + rng.uniform(1.0, 2.0), int(np.ceil(n / spacing)) + 4) for n in shape]


def _spline(positions: np.ndarray, knots: int) -> np.ndarray:
    """Matrix (n, knots) of the cubic B-spline about each knot at ``positions`` (n,)."""
    far = np.minimum(np.abs(positions[:, None] - np.arange(knots)), 2.0)
    near = np.minimum(far, 1.0)
    return (((2.0 - far) ** 3 - 4.0 * (1.0 - near) ** 3) / 6.0).astype(np.float32)


def near_means(volume: np.ndarray) -> np.ndarray:
    """A volume (z, y, x) smoothed with weights ¼, ½, ¼ along each axis, ends repeated, float32: removes patterns that alternate from
    voxel to voxel."""
    return along_axes(volume, [_binomial(n) for n in volume.shape])


def _binomial(size: int) -> np.ndarray:
    """Matrix (size, size) of the weights ¼, ½, ¼."""
    matrix = 0.5 * np.eye(size) + 0.25 * (np.eye(size, k=1) + np.eye(size, k=-1))
    matrix[0, 0] += 0.25
    matrix[-1, -1] += 0.25
    return matrix.astype(np.float32)


def along_axes(volume: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    """A volume (z, y, x) times a matrix (new, old) along each axis, float32."""
    first, second, third = matrices
    x = np.asarray(volume, dtype=np.float32) @ third.T
    x = second @ x
    return (first @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])
