"""What neighbouring slices tell of an image: motion between interleaved passes, and slices that were interpolated between thicker ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BRIGHT, _LEAST_POINTS = 0.15, 2_000
_INTERLEAVED, _ONE_AXIS = 0.9, 1.15
_INTERPOLATED = 0.58


@dataclass(frozen=True)
class SliceFaults:
    """``interleaved``: odd and even slices do not fit each other. ``interpolated``: most slices lie between thicker ones."""

    interleaved: bool = False
    interpolated: bool = False


def slice_faults(voxels: np.ndarray) -> SliceFaults:
    """Compare the slices of an image (z, y, x) along each axis.

    Neighbours that differ as much as every second slice along one axis only: the patient moved between the passes in which odd and even
    slices were acquired (anatomy gives 0.6 to 0.8, noise 1 along every axis). Second differences that are small beside first ones along
    one axis only: interpolation (scans give 1.0 to 1.7 along every axis; linear interpolation by three 0.5).
    """
    if not (voxels > 0.0).any():
        return SliceFaults()
    bright = voxels > _BRIGHT * np.percentile(voxels[voxels > 0.0][::31], 99)
    alternation, bend = [], []
    for axis in range(3):
        lines, seen = (np.moveaxis(array, axis, 0)[:, ::2, ::2] for array in (voxels, bright))
        inside = seen[:-2] & seen[1:-1] & seen[2:]
        if np.count_nonzero(inside) < _LEAST_POINTS:
            return SliceFaults()
        before, here, after = (lines[start : len(lines) - 2 + start][inside] for start in range(3))
        near = float(np.abs(before - here).mean() + np.abs(here - after).mean())
        alternation.append(near / max(2.0 * float(np.abs(before - after).mean()), 1e-9))
        bend.append(2.0 * float(np.abs(before - 2.0 * here + after).mean()) / max(near, 1e-9))
    _, middle, worst = sorted(alternation)
    return SliceFaults(worst > max(_INTERLEAVED, _ONE_AXIS * middle), min(bend) < _INTERPOLATED * max(bend))
