"""Smooth random volumes and resampling, fast enough to simulate a head while another is learned from.

Blurring and interpolation are separable: one small matrix product along each axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

Numbers = Sequence[float] | np.ndarray


_KNOTS_PER_SCALE = 1.42
"""So close lie the knots of a cubic spline whose noise is correlated by 1/4 at one scale, as linear interpolation's is at one knot."""


def smooth_noise(shape: Sequence[int], scale: float, rng: np.random.Generator, channels: int = 1) -> np.ndarray:
    """Normal noise, correlated by 1/4 at ``scale`` voxels and not at all at two, brought to variance 1: (channels, *shape) float32.

    A cubic spline through random knots: it has no kinks, which an edge displaced by it would show.
    """
    spacing = scale / _KNOTS_PER_SCALE
    matrices = [_spline(np.arange(n) / spacing + rng.uniform(1.0, 2.0), int(np.ceil(n / spacing)) + 4) for n in shape]
    noise = rng.standard_normal((channels, *(m.shape[1] for m in matrices)), dtype=np.float32)
    fine = np.stack([_along_axes(channel, matrices) for channel in noise])
    return fine / max(float(fine.std()), 1e-6)


def blurred(volume: np.ndarray, sigma: Numbers) -> np.ndarray:
    """Gaussian blur of a volume (z, y, x) with an SD in voxels along each axis; edges are repeated."""
    return _along_axes(volume, [_gaussian(n, width) for n, width in zip(volume.shape, sigma, strict=True)])


def resized(volume: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A volume (z, y, x) interpolated linearly to another number of voxels over the same extent."""
    centres = [(np.arange(n) + 0.5) * size / n - 0.5 for n, size in zip(shape, volume.shape, strict=True)]
    return _along_axes(volume, [_interpolation(c, size) for c, size in zip(centres, volume.shape, strict=True)])


def _interpolation(positions: np.ndarray, size: int) -> np.ndarray:
    """Matrix (n, size) that reads a line of ``size`` samples at ``positions`` (n,), linearly; the ends are repeated."""
    clipped = np.clip(positions, 0.0, size - 1.0)
    return np.maximum(1.0 - np.abs(clipped[:, None] - np.arange(size)), 0.0).astype(np.float32)


def _spline(positions: np.ndarray, knots: int) -> np.ndarray:
    """Matrix (n, knots) of the cubic B-spline about each knot at ``positions`` (n,)."""
    far = np.minimum(np.abs(positions[:, None] - np.arange(knots)), 2.0)
    near = np.minimum(far, 1.0)
    return (((2.0 - far) ** 3 - 4.0 * (1.0 - near) ** 3) / 6.0).astype(np.float32)


def _gaussian(size: int, sigma: float) -> np.ndarray:
    """Matrix (size, size) of a Gaussian blur with repeated ends."""
    reach = int(np.ceil(3.0 * sigma))
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (offsets / max(sigma, 1e-3)) ** 2)
    matrix = np.zeros((size, size))
    rows = np.arange(size)
    for offset, weight in zip(offsets, kernel / kernel.sum(), strict=True):
        np.add.at(matrix, (rows, np.clip(rows + offset, 0, size - 1)), weight)
    return matrix.astype(np.float32)


def _along_axes(volume: np.ndarray, matrices: Sequence[np.ndarray]) -> np.ndarray:
    first, second, third = matrices
    x = np.asarray(volume, dtype=np.float32) @ third.T
    x = second @ x
    return (first @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])


def moved(volume: np.ndarray, matrix: np.ndarray, shift: Numbers) -> np.ndarray:
    """A volume (z, y, x) seen through position → ``matrix``·position + ``shift`` (voxels, about the centre); edges are repeated."""
    extent = np.array(volume.shape, dtype=float)
    # grid_sample counts x, y, z in units of half the extent
    scaled = (matrix * extent[None, :] / extent[:, None])[::-1, ::-1]
    offset = (2.0 * np.asarray(shift) / extent)[::-1]
    affine = torch.from_numpy(np.concatenate([scaled, offset[:, None]], axis=1).astype(np.float32))[None]
    grid = functional.affine_grid(affine, [1, 1, *volume.shape], align_corners=False)
    x = torch.from_numpy(np.ascontiguousarray(volume, dtype=np.float32))[None, None]
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False)[0, 0].numpy()


def rotation(angles: Numbers) -> np.ndarray:
    """Rotation matrix (3, 3) by three angles in radians, about one axis after the other."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = [k for k in range(3) if k != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
