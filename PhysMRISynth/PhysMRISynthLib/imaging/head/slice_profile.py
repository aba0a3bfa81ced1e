"""Slice profiles: an image of thick slices shows the mean over its slice, not a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from .alignment import Alignment

_THICK = 1.5
"""Ratio of voxel widths along an axis from which an image's voxel averages over several map voxels."""


@dataclass(frozen=True)
class SliceProfile:
    """The box profile of an image's voxels, sampled about as finely as the map grid.

    ``offsets`` (n, 3) are the samples' positions relative to the voxel's centre (LPS, mm) in ``image``, which was aligned by ``to_image``.
    """

    image: sitk.Image
    to_image: sitk.Transform
    offsets: np.ndarray

    def averaged(self, picture: sitk.Image) -> sitk.Image:
        """The ``picture`` on the map grid averaged over the image's voxel profile; edge voxels are repeated beyond the edge."""
        back = self.to_image.GetInverse()
        size, direction, spacing = self.image.GetSize(), self.image.GetDirection(), self.image.GetSpacing()
        total = np.zeros(size[::-1], dtype=np.float32)
        for offset in self.offsets:
            origin = np.add(self.image.GetOrigin(), offset).tolist()
            part = sitk.Resample(picture, size, back, sitk.sitkLinear, origin, spacing, direction, 0.0, sitk.sitkFloat32, True)
            total += sitk.GetArrayViewFromImage(part)
        seen = sitk.GetImageFromArray(total / np.float32(len(self.offsets)))
        seen.CopyInformation(self.image)
        return seen

    def observed(self, picture: sitk.Image) -> np.ndarray:
        """The ``picture`` as the image and its alignment would show it: averaged, then interpolated on the map grid, (z, y, x)."""
        seen = self.averaged(picture)
        return sitk.GetArrayFromImage(sitk.Resample(seen, picture, self.to_image, sitk.sitkLinear, 0.0, sitk.sitkFloat32))

    def half_extent(self, grid: sitk.Image) -> np.ndarray:
        """How far (mm) the samples reach from the voxel's centre along the axes (z, y, x) of a ``grid``."""
        axes = np.reshape(grid.GetDirection(), (3, 3))
        return np.abs(self.offsets @ axes).max(axis=0)[::-1]


def slice_profile(image: sitk.Image, alignment: Alignment, slice_thickness_mm: float | None = None) -> SliceProfile | None:
    """The profile of ``image`` if its voxels are much thicker than those of the grid it was aligned to, else None.

    ``slice_thickness_mm`` is the width along the image's thickest axis (None: its spacing, slices without gap).
    """
    width = np.array(image.GetSpacing())
    if slice_thickness_mm is not None:
        width[width.argmax()] = slice_thickness_mm
    axes = np.reshape(image.GetDirection(), (3, 3))
    offsets = np.zeros((1, 3))
    for axis, extent in zip(axes.T, width, strict=True):
        own = _extent(alignment.image, axis)
        if extent > _THICK * own:
            count = int(np.ceil(extent / own))
            steps = extent * ((np.arange(count) + 0.5) / count - 0.5)
            offsets = (offsets[:, None] + steps[:, None] * axis).reshape(-1, 3)
    return SliceProfile(image, alignment.to_image, offsets) if len(offsets) > 1 else None


def _extent(grid: sitk.Image, along: np.ndarray) -> float:
    """Width (mm) of the grid's voxel along a unit vector."""
    axes = np.reshape(grid.GetDirection(), (3, 3)) * np.array(grid.GetSpacing())
    return float(np.linalg.norm(along @ axes))
