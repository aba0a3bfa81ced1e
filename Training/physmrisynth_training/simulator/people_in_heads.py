"""Whole heads of people whose label maps show a brain alone: the skull and face of another head, deformed to fit.

A person's brain keeps every voxel of its own. The other head is brought to it by an affine map and a smooth deformation (demons) that match
the hulls of the two brains, as distances from them; what is not brain then comes from that head, and fluid fills what neither has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.head.masks import largest_piece
from PhysMRISynthLib.imaging.head.morphology import with_neighbours

from .hemisphere_mixing import deformation, head_image
from .labels import LESIONS, VENTRICLES

FLUID, STEM, CORD = 24, 16, 512
VESSELS = (30, 62, 502, 514)
HULL = (2, 41, 3, 42, 7, 46, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58, 28, 60, *LESIONS, *VENTRICLES)
"""FreeSurfer's labels of the brain without its stem, which label maps cut at different heights."""
_PAD = ((60, 36), (50, 32), (44, 44))
"""Voxels around a person's brain (z, y, x; 1 mm): below and above it, in front and behind, on both sides."""
_CLOSED_MM, _FAR_MM = 10.0, 20.0
"""Gaps in the brain's surface that its hull covers, and the distance from the hull up to which points are matched."""
_RIM_MM = 3.0
"""Distance from the hull up to which what a person's label map calls fluid is fluid: masks of scans reach into the skull's base."""
_LEAST_STEM_MM2 = 60
"""Cross-section above which a stem has not ended: single voxels may lie lower."""
_FINE, _COARSE = 2, 4
"""Spacings (mm) of the hull and of the deformation."""
_STEPS = 50


@dataclass(frozen=True)
class Anatomy:
    """A label map with FreeSurfer's ``numbers`` (z, y, x; int16; 1 mm, LPS)."""

    name: str
    numbers: np.ndarray

    @cached_property
    def depth(self) -> sitk.Image:
        """Distance (mm; negative inside) from the brain's hull, at most ``_FAR_MM``, in voxels of 4 mm; origin: the map's first voxel.

        Raises ImageError for a map without a brain."""
        margin = round((_CLOSED_MM + _FAR_MM) / _FINE)
        mask = np.isin(self.numbers, HULL).astype(np.float32)
        if not mask.any():
            raise ImageError(f"The label map {self.name} shows no brain. FreeSurfer's label numbers are expected.")
        fine = sitk.BinShrink(head_image(mask), [_FINE] * 3) > 0.5
        closed = sitk.BinaryMorphologicalClosing(sitk.ConstantPad(fine, [margin] * 3, [margin] * 3), [round(_CLOSED_MM / _FINE)] * 3)
        distance = sitk.SignedMaurerDistanceMap(sitk.BinaryFillhole(closed), squaredDistance=False, useImageSpacing=True)
        return sitk.BinShrink(sitk.Clamp(distance, lowerBound=-_FAR_MM, upperBound=_FAR_MM), [_COARSE // _FINE] * 3)


def read_anatomy(path: Path) -> Anatomy:
    """A label map of 1 mm, upright as its array is. Raises ImageError when it cannot be read."""
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    except RuntimeError as error:
        raise ImageError(f"The label map {path} cannot be read: {error}") from None
    return Anatomy(path.name.split(".")[0].removesuffix("_labels"), np.round(sitk.GetArrayFromImage(image)).astype(np.int16))


@dataclass(frozen=True)
class Fit:
    """A person's brain in another head: ``numbers`` (z, y, x; 1 mm); the least Jacobian determinant of the deformation (0 and below: it
    folds); the Dice of the two hulls; and the bone (ml) that gave way to brain."""

    numbers: np.ndarray
    least_jacobian: float
    hull_dice: float
    bone_lost_ml: float


def put_in(person: Anatomy, head: Anatomy) -> Fit:
    """A person's brain in the skull of a ``head``. Raises ImageError when one of them shows no brain."""
    own = np.pad(person.numbers, _PAD)
    depth = _over(own.shape, person.depth)
    affine = _affine(person.depth, head.depth)
    moved = deformation(depth, head.depth, affine, _STEPS, beyond=_FAR_MM)
    there = sitk.CompositeTransform([affine, moved])
    grid = head_image(own)
    grid.SetOrigin(_corner())
    shell = sitk.GetArrayFromImage(sitk.Resample(head_image(head.numbers), grid, there, sitk.sitkNearestNeighbor, 0))
    near = sitk.GetArrayFromImage(sitk.Resample(depth, grid, sitk.Transform(), sitk.sitkLinear, _FAR_MM)) < _RIM_MM
    numbers, lost = _joined(np.where(near | (own != FLUID), own, 0), shell)
    jacobian = sitk.DisplacementFieldJacobianDeterminant(moved.GetDisplacementField())
    theirs = sitk.Resample(head.depth, depth, there, sitk.sitkLinear, _FAR_MM)
    return Fit(numbers, float(sitk.GetArrayViewFromImage(jacobian).min()), _dice(depth < 0.0, theirs < 0.0), lost)


def _joined(own: np.ndarray, shell: np.ndarray) -> tuple[np.ndarray, float]:
    """A brain in a shell (both FreeSurfer's numbers), and the bone (ml) that it displaces."""
    brain, stem = np.isin(own, (*HULL, STEM)), (own == STEM).sum(axis=(1, 2)) >= _LEAST_STEM_MM2
    ends = int(stem.argmax()) if stem.any() else 0
    found = shell.copy()
    theirs = np.isin(shell, (*HULL, STEM, CORD))
    theirs[:ends] &= ~np.isin(shell[:ends], (STEM, CORD))  # below its end the stem goes on as the other head's
    found[theirs | ((own == FLUID) & ~np.isin(shell, VESSELS))] = FLUID
    beside = with_neighbours(brain) & ~brain & ~np.isin(shell, VESSELS)
    beside[: ends + 1] = False
    found[beside] = FLUID
    lost = float(np.isin(shell[brain], (515, 516)).sum()) / 1000.0
    found[brain] = own[brain]
    return np.where(largest_piece(found != 0, head_image(found)), found, 0), lost


def _affine(fixed: sitk.Image, moving: sitk.Image) -> sitk.AffineTransform:
    """The affine map from one hull's points to another's, by mean squares of their distances."""
    start = sitk.CenteredTransformInitializer(
        *(sitk.Cast(depth < 0.0, sitk.sitkFloat32) for depth in (fixed, moving)),
        sitk.AffineTransform(3),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(0.2, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-2, 80, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(sitk.AffineTransform(start), inPlace=False)
    return sitk.AffineTransform(sitk.CompositeTransform(method.Execute(fixed, moving)).GetBackTransform())


def _corner() -> tuple[float, ...]:
    """Origin (x, y, z) of the padded map in the coordinates of the person's own."""
    return tuple(-float(before) for before, _after in reversed(_PAD))


def _over(shape: tuple[int, ...], depth: sitk.Image) -> sitk.Image:
    """Distances from a hull on the 4 mm grid of a padded map of ``shape`` (z, y, x; 1 mm)."""
    grid = sitk.Image([-(-n // _COARSE) + 1 for n in reversed(shape)], sitk.sitkFloat32)
    grid.SetSpacing([float(_COARSE)] * 3)
    grid.SetOrigin(_corner())
    return sitk.Resample(depth, grid, sitk.Transform(), sitk.sitkLinear, _FAR_MM)


def _dice(one: sitk.Image, other: sitk.Image) -> float:
    a, b = (sitk.GetArrayFromImage(mask) > 0 for mask in (one, other))
    return float(2.0 * (a & b).sum() / max(int(a.sum() + b.sum()), 1))
