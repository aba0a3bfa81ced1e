"""Noise level of an image, from the image itself."""

from __future__ import annotations

import numpy as np

_FLOOR = 0.004


def noise_level(voxels: np.ndarray, mask: np.ndarray) -> float:
    """SD of the noise in the image's units, from differences of neighbours inside the ``mask`` (z, y, x).

    The second difference, along the axis where it is smallest, is insensitive to edges and slopes of the anatomy. Interpolation reduces
    the apparent noise, so the result is at least 0.4 % of the 99th percentile.
    """
    levels = []
    for axis in range(3):
        if voxels.shape[axis] < 3:
            continue
        a, b, c = (np.moveaxis(voxels, axis, 0)[start : start + voxels.shape[axis] - 2] for start in range(3))
        inside = np.moveaxis(mask, axis, 0)[1:-1]
        second = (a - 2.0 * b + c)[inside][::7]
        if second.size:
            levels.append(1.4826 * float(np.median(np.abs(second))) / np.sqrt(6.0))
    floor = _FLOOR * float(np.percentile(voxels[mask][::7], 99))
    return max(min(levels, default=floor), floor)
