"""The ventricles among the fluid of a head: the tissue table has one fluid; the atlas gives the probable position of the ventricles."""

from __future__ import annotations

from functools import cache

import numpy as np
import SimpleITK as sitk

from ...physics.tissues import tissue_table
from ...resource_files import RESOURCES
from ..intake.volumes import image_like
from .atlas import AtlasPlacement, place_tissues

_FILE = RESOURCES / "ventricles.nii.gz"
"""Share (0 to 255) of the fluid at each place of the atlas that is ventricular; see ``shipping/build_ventricles.py``."""
_SPACING_MM = 2.0
_SURELY, _HARDLY = 0.97, 0.03
"""Thresholds of this share for the seeds: ventricles above the first, other fluid below the second."""
_FLUID = 0.5
"""Fluid fraction of the voxels that are grown through first."""
_WALL = 1000
_NAMES = [tissue.name for tissue in tissue_table()]
_BRAIN = tuple(row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain")
_WHITE, _FLUID_ROW, _AIR = (_NAMES.index(name) for name in ("white_matter", "csf", "air"))


def ventricle_mask(
    tissue: np.ndarray, brain: np.ndarray, fluid: np.ndarray, grid: sitk.Image, placed: AtlasPlacement | None = None
) -> np.ndarray:
    """The lateral, third and fourth ventricles with their walls, bool (z, y, x): a voxel of a wall counts with its share of ``fluid``.

    ``tissue`` holds rows of the tissue table, ``brain`` is its mask with fluid, ``fluid`` the fluid fraction, all (z, y, x) on
    ``grid``. From seeds where most fluid is ventricular, it competes with the fluid of sulci and cisterns (watershed), so that ventricles
    may be larger than any in the atlas. ``placed`` is the atlas's place where that is known. Raises RegistrationError when the brain is
    not found in the atlas.
    """
    rows = np.where(brain, np.where(np.isin(tissue, _BRAIN), tissue, np.uint8(_WHITE)), np.uint8(_AIR))
    even = _even_grid(grid)
    if placed is None:
        placed = place_tissues(sitk.Resample(image_like(rows, grid), even, sitk.Transform(), sitk.sitkNearestNeighbor, _AIR))
    share = sitk.Resample(_reference(), even, placed.to_atlas, sitk.sitkLinear, 0.0)
    wet = sitk.Resample(image_like(fluid.astype(np.float32), grid), even, sitk.Transform(), sitk.sitkLinear, 0.0)
    grown = image_like(_grown(sitk.GetArrayFromImage(share), sitk.GetArrayFromImage(wet)), even)
    back = sitk.Resample(grown, image_like(rows, grid), sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return (sitk.GetArrayFromImage(back) > 0) & brain


def _grown(share: np.ndarray, fluid: np.ndarray) -> np.ndarray:
    """1 in the region grown from the ventricles' seeds, uint8: through fluid in the order of certainty, walls after all fluid."""
    wet = fluid > _FLUID
    seeds = np.where(wet & (share > _SURELY), 1, np.where(wet & (share < _HARDLY), 2, 0)).astype(np.uint8)
    if not (seeds == 1).any():
        return np.zeros_like(seeds)
    level = np.where(wet, 100.0 * (1.0 - np.abs(2.0 * share - 1.0)), _WALL).astype(np.uint16)
    grown = sitk.MorphologicalWatershedFromMarkers(sitk.GetImageFromArray(level), sitk.GetImageFromArray(seeds), markWatershedLine=False)
    return (sitk.GetArrayFromImage(grown) == 1).astype(np.uint8)


def _even_grid(grid: sitk.Image) -> sitk.Image:
    """An isotropic grid over the same extent."""
    size = [max(4, round(n * s / _SPACING_MM)) for n, s in zip(grid.GetSize(), grid.GetSpacing(), strict=True)]
    spacing = [n * s / m for n, s, m in zip(grid.GetSize(), grid.GetSpacing(), size, strict=True)]
    even = sitk.Image(size, sitk.sitkUInt8)
    even.SetSpacing(spacing)
    even.SetDirection(grid.GetDirection())
    first = [(s / own - 1.0) / 2.0 for s, own in zip(spacing, grid.GetSpacing(), strict=True)]
    even.SetOrigin(grid.TransformContinuousIndexToPhysicalPoint(first))
    return even


@cache
def _reference() -> sitk.Image:
    return sitk.Cast(sitk.ReadImage(str(_FILE)), sitk.sitkFloat32) / 255.0
