"""Balls moved over masks of voxels, as ITK's binary morphology does it: several times faster, row by row of the ball."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np


def dilated(mask: np.ndarray, radius: Sequence[int]) -> np.ndarray:
    """True (z, y, x) wherever the ball about a voxel of the ``mask`` reaches; ``radius`` in voxels along x, y, z, as in ITK.

    A ball is the ellipsoid of half a voxel more than these radii, as ITK has it.
    """
    z, y, x = (int(r) for r in radius[::-1])
    rows: dict[int, list[tuple[int, int]]] = {}
    for dz, dy in product(range(-z, z + 1), range(-y, y + 1)):
        left = 1.0 - (dz / (z + 0.5)) ** 2 - (dy / (y + 0.5)) ** 2
        if left >= 0.0:
            rows.setdefault(int((x + 0.5) * np.sqrt(left)), []).append((dz, dy))
    found, wide, width = np.zeros_like(mask), mask.copy(), 0
    for half, places in sorted(rows.items()):
        while width < half:
            width += 1
            _join(wide, mask, (0, 0, width))
            _join(wide, mask, (0, 0, -width))
        for dz, dy in places:
            _join(found, wide, (dz, dy, 0))
    return found


def eroded(mask: np.ndarray, radius: Sequence[int]) -> np.ndarray:
    """True (z, y, x) where the whole ball about a voxel lies in the ``mask``; beyond the volume everything counts as in it."""
    return ~dilated(~mask, radius)


def opened(mask: np.ndarray, radius: Sequence[int]) -> np.ndarray:
    """What of a ``mask`` (z, y, x) holds a ball."""
    return dilated(eroded(mask, radius), radius)


def closed(mask: np.ndarray, radius: Sequence[int]) -> np.ndarray:
    """The ``mask`` (z, y, x) with what no ball outside it reaches; beyond the volume there is room for balls."""
    wide = np.pad(mask, [(r, r) for r in radius[::-1]])
    return eroded(dilated(wide, radius), radius)[tuple(slice(r, r + n) for r, n in zip(radius[::-1], mask.shape, strict=True))]


def with_neighbours(mask: np.ndarray) -> np.ndarray:
    """The ``mask`` (z, y, x) and the voxels that share a face with it."""
    found = mask.copy()
    for axis in range(3):
        for by in (-1, 1):
            _join(found, mask, tuple(by if other == axis else 0 for other in range(3)))
    return found


def _join(found: np.ndarray, mask: np.ndarray, shift: tuple[int, ...]) -> None:
    """Add the ``mask``, moved by so many voxels, to what was ``found``."""
    here = tuple(slice(max(0, by), n + min(0, by)) for by, n in zip(shift, mask.shape, strict=True))
    there = tuple(slice(max(0, -by), n + min(0, -by)) for by, n in zip(shift, mask.shape, strict=True))
    found[here] |= mask[there]
