"""Blurring and resampling, fast enough to simulate heads during training.

Blurring and interpolation are separable: one small matrix product along each axis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from PhysMRISynthLib.imaging.smooth import along_axes

Numbers = Sequence[float] | np.ndarray


def blurred(volume: np.ndarray, sigma: Numbers) -> np.ndarray:
    """Gaussian blur of a volume (z, y, x) with an SD in voxels along each axis; edges are repeated."""
    return along_axes(volume, [_gaussian(n, width) for n, width in zip(volume.shape, sigma, strict=True)])


def resized(volume: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A volume (z, y, x) interpolated linearly to another number of voxels over the same extent."""
    centres = [(np.arange(n) + 0.5) * size / n - 0.5 for n, size in zip(shape, volume.shape, strict=True)]
    return along_axes(volume, [_interpolation(c, size) for c, size in zip(centres, volume.shape, strict=True)])


def _interpolation(positions: np.ndarray, size: int) -> np.ndarray:
    """Matrix (n, size) that reads a line of ``size`` samples at ``positions`` (n,), linearly; the ends are repeated."""
    clipped = np.clip(positions, 0.0, size - 1.0)
    return np.maximum(1.0 - np.abs(clipped[:, None] - np.arange(size)), 0.0).astype(np.float32)


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


def moved(volume: np.ndarray, matrix: np.ndarray, shift: Numbers) -> np.ndarray:
    """A volume (z, y, x) resampled at ``matrix``·position + ``shift`` (voxels, about the centre); edges are repeated."""
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
