"""Checks of neighbouring slices: motion between interleaved passes, and slices interpolated between thicker ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BRIGHT, _LEAST_POINTS = 0.15, 2_000
_INTERLEAVED, _ONE_AXIS = 0.9, 1.15
_STRAIGHT, _BENT = 0.1, 0.35
"""Second differences below this share of the usual first one count as straight; share of straight ones that no scan exceeds."""


@dataclass(frozen=True)
class SliceFaults:
    """``interleaved``: odd and even slices do not match. ``interpolated``: most slices were interpolated between thicker ones."""

    interleaved: bool = False
    interpolated: bool = False


def slice_faults(voxels: np.ndarray) -> SliceFaults:
    """Compare the slices of an image (z, y, x) along each axis.

    If neighbours differ as much as every second slice, along one axis only, the patient moved between the passes that acquired odd and
    even slices (ratio 0.6 to 0.8 for anatomy, 1 along every axis for noise). If many triples of slices are on straight lines, along one
    axis only, slices were interpolated linearly (share 0.03 to 0.15 along every axis in scans, 0.67 after interpolation by three).
    """
    if not (voxels > 0.0).any():
        return SliceFaults()
    bright = voxels > _BRIGHT * np.percentile(voxels[voxels > 0.0][::31], 99)
    alternation, straight = [], []
    for axis in range(3):
        lines, seen = (np.moveaxis(array, axis, 0)[:, ::2, ::2] for array in (voxels, bright))
        inside = seen[:-2] & seen[1:-1] & seen[2:]
        if np.count_nonzero(inside) < _LEAST_POINTS:
            return SliceFaults()
        before, here, after = (lines[start : len(lines) - 2 + start][inside] for start in range(3))
        near = float(np.abs(before - here).mean() + np.abs(here - after).mean())
        alternation.append(near / max(2.0 * float(np.abs(before - after).mean()), 1e-9))
        straight.append(float((np.abs(before - 2.0 * here + after) < _STRAIGHT * np.median(np.abs(after - here))).mean()))
    _, middle, worst = sorted(alternation)
    *_, usual, most = sorted(straight)
    return SliceFaults(worst > max(_INTERLEAVED, _ONE_AXIS * middle), most > max(_BENT, 2.0 * usual))
