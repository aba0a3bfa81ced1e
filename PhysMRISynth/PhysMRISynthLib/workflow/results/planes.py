"""Planes through a head for pictures: axial, coronal and sagittal at 1 mm, the patient's sides in them, and a window for brain tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

if TYPE_CHECKING:
    from ..estimation.estimate import Estimate

Point = tuple[float, float, float]
PLANES = ("axial", "coronal", "sagittal")
_SIZE = 220
_AXES = {
    "axial": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "coronal": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1), (1, 0, 0)),
}
"""Directions (LPS) to the right, downwards and into a picture: the patient's left is on the right, his front on the left of a sagittal."""
SIDES = {"axial": ("R", "L"), "coronal": ("R", "L"), "sagittal": ("A", "P")}
_DARKER = 0.25
"""Room below the tissue in a window, as a part of the tissue's range."""


def plane(voxels: np.ndarray, grid: sitk.Image, centre: Point, kind: str = "axial") -> np.ndarray:
    """The plane of a ``kind`` through a point (LPS, mm) at 1 mm, 220 mm wide and high, (rows, columns)."""
    from scipy.ndimage import map_coordinates

    rightwards, downwards = np.array(_AXES[kind], dtype=float)[:2]
    from_centre = np.arange(_SIZE) - _SIZE / 2
    points = np.array(centre) + from_centre[:, None, None] * downwards + from_centre[:, None] * rightwards
    to_index = np.linalg.inv(np.reshape(grid.GetDirection(), (3, 3)) * grid.GetSpacing())
    index = (points - grid.GetOrigin()) @ to_index.T
    return map_coordinates(voxels, index.transpose(2, 0, 1)[::-1], np.float32, order=1)


def brain_centre(estimate: Estimate) -> Point:
    """A point (LPS, mm) whose planes show the basal ganglia and the lateral ventricles."""
    where = estimate.brain if estimate.brain.any() else estimate.maps.mask
    middle = [_median(np.count_nonzero(where, axis=others)) for others in ((0, 1), (0, 2), (1, 2))]
    x, y, z = estimate.maps.grid.TransformContinuousIndexToPhysicalPoint(middle)
    return x, y, z + 8.0


def _median(counts: np.ndarray) -> float:
    """The median position on an axis on which there are so many voxels at each."""
    return float(np.searchsorted(np.cumsum(counts), counts.sum() / 2))


def tissue_window(voxels: np.ndarray, estimate: Estimate) -> tuple[float, float]:
    """The range in which brain tissue is seen, whatever the scalp's fat does."""
    inside = voxels[estimate.brain if estimate.brain.any() else estimate.maps.mask]
    low, high = (float(value) for value in np.percentile(inside, (0.5, 99.5))) if inside.size else (0.0, 1.0)
    if low >= 0.0:
        low = max(0.0, low - _DARKER * (high - low))
    return low, high if high > low else low + 1.0
