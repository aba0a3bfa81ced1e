"""A volume's grid as DICOM planes: position and orientation of every slice, also for oblique, anisotropic and left-handed grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError
from ..intake.volumes import LARGEST_SKEW


@dataclass(frozen=True)
class Planes:
    """Slices in the order of increasing distance along the normal (rows × columns), LPS, mm.

    ``positions`` has shape (slices, 3), ``orientation`` holds the six cosines of a row and a column, ``spacing`` is that between rows,
    between columns and between slices. ``reversed``: slice 0 is the last of the volume, whose axes are left-handed.
    """

    positions: np.ndarray
    orientation: np.ndarray
    spacing: tuple[float, float, float]
    reversed: bool

    def frames(self, voxels: np.ndarray) -> np.ndarray:
        """``voxels`` (z, y, x) of the volume as frames in the order of the planes."""
        return voxels[::-1] if self.reversed else voxels


def planes_of(grid: sitk.Image) -> Planes:
    """The planes of a volume. Raises ImageError when its axes are not at right angles, which DICOM slices must be."""
    axes = np.reshape(grid.GetDirection(), (3, 3))
    gram = axes.T @ axes
    if np.abs(gram - np.eye(3)).max() > LARGEST_SKEW:
        raise ImageError("The grid's axes are not at right angles, as DICOM planes are. Resample the maps onto a right-angled grid.")
    slices = grid.GetSize()[2]
    x, y, z = grid.GetSpacing()
    backwards = bool(np.linalg.det(axes) < 0)
    order = range(slices - 1, -1, -1) if backwards else range(slices)
    positions = np.array(grid.GetOrigin()) + np.outer(np.array(order) * z, axes[:, 2])
    return Planes(positions, np.concatenate([axes[:, 0], axes[:, 1]]), (y, x, z), backwards)
