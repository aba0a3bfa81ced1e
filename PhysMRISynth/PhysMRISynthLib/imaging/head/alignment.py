"""Aligning images to one grid: identity if grids agree, rigid registration otherwise, one resampling at most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...errors import RegistrationError, Remedy
from ..intake.no_data import has_no_data
from ..intake.volumes import image_like, same_grid

_SEED = 20260101
_WORKING_SPACING_MM = 2.0
"""Of registration; images whose every axis is coarser are not interpolated to more voxels than they have."""
_SHARE = 0.03
"""Of the voxels, that the metric samples where they are not averaged."""
_HEAD_RADIUS_MM = 50.0
_GREATEST_ROTATION_DEGREES = 50.0
"""Patients rotate their head by less between two scans of a session."""
SAME_GRID = "same grid"
"""Method of an alignment without resampling."""
_LEAST_DATA = 0.99
"""Share of an interpolated voxel that comes from voxels with data."""


@dataclass(frozen=True)
class Alignment:
    """Alignment of one image to the reference's grid.

    ``to_image`` maps reference points to image points (LPS, mm); ``covered`` is False where the image has no data.
    """

    image: sitk.Image
    covered: np.ndarray
    to_image: sitk.Transform
    method: str
    shift_mm: float = 0.0
    rotation_degrees: float = 0.0


def align(
    image: sitk.Image,
    reference: sitk.Image,
    register: bool | None = None,
    grid: sitk.Image | None = None,
    missing: np.ndarray | None = None,
) -> Alignment:
    """Put ``image`` on the grid of ``reference``, or on another ``grid`` in the reference's space.

    ``missing`` (z, y, x) is True where the image has no data; zeros may also mean missing data (``has_no_data``).
    ``register``: True always registers, False never does (the images' own coordinates are trusted), None registers
    only when the grids differ. Raises RegistrationError when the two do not overlap or no sensible rigid motion is found.
    """
    grid = reference if grid is None else grid
    if register is None:
        register = not same_grid(image, reference)
    data = _data(image, missing)
    if not register:
        identity = sitk.Transform(3, sitk.sitkIdentity)
        if same_grid(image, grid):
            return Alignment(image, data, identity, SAME_GRID)
        return _resampled(image, data, grid, identity, "coordinates of the files")
    found = _resampled(image, data, grid, register_rigid(image, reference), "rigid registration")
    if found.rotation_degrees > _GREATEST_ROTATION_DEGREES:
        raise RegistrationError(
            f"Registration turned an image by {found.rotation_degrees:.0f}° to fit the reference.",
            Remedy.DO(this="check that both are of the same patient and that their orientation is right"),
            Remedy.DO_NOT_REGISTER,
        )
    return found


def _data(image: sitk.Image, missing: np.ndarray | None) -> np.ndarray:
    """Where an image has data, bool (z, y, x)."""
    unseen = [mask for mask in (missing, has_no_data(sitk.GetArrayViewFromImage(image), image.GetSpacing()[::-1])) if mask is not None]
    seen = ~np.logical_or.reduce(unseen) if unseen else np.ones(image.GetSize()[::-1], dtype=bool)
    return seen if seen.any() else np.ones_like(seen)  # an image of zeros only is empty, not missing


def _resampled(image: sitk.Image, data: np.ndarray, reference: sitk.Image, to_image: sitk.Transform, method: str) -> Alignment:
    moved = sitk.Resample(image, reference, to_image, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    if data.all():
        how, least = sitk.sitkNearestNeighbor, 0.5
    else:
        how, least = sitk.sitkLinear, _LEAST_DATA
    shown = sitk.Resample(image_like(data.astype(np.float32), image), reference, to_image, how, 0.0, sitk.sitkFloat32)
    covered = sitk.GetArrayFromImage(shown) > least
    if covered.mean() < 0.05:
        raise RegistrationError("The images do not overlap in space. Check that they are of the same patient and session.")
    shift, angle = motion_of(to_image, reference)
    return Alignment(moved, covered, to_image, method, shift, angle)


def motion_of(transform: sitk.Transform, reference: sitk.Image) -> tuple[float, float]:
    """Displacement (mm) of the reference's centre and rotation (degrees) of a rigid or affine transform."""
    centre = np.array(reference.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in reference.GetSize()]))
    moved = np.array(transform.TransformPoint(centre))
    columns = [np.subtract(transform.TransformPoint(tuple(centre + axis)), moved) for axis in np.eye(3)]
    u, _, vt = np.linalg.svd(np.stack(columns, axis=1))
    cosine = (np.trace(u @ vt) - 1.0) / 2.0
    return float(np.linalg.norm(moved - centre)), math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def grid_of_spacing(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """An empty image with the axes and extent of ``image``, at an isotropic spacing above 0."""
    size = [math.ceil(n * s / spacing_mm - 1e-6) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([spacing_mm] * 3)
    grid.SetDirection(image.GetDirection())
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    axes = np.reshape(image.GetDirection(), (3, 3))
    grid.SetOrigin((centre - axes @ (spacing_mm * (np.array(size) - 1) / 2)).tolist())
    return grid


def isotropic(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """The image averaged and resampled to about an isotropic spacing; coarser axes are only interpolated."""
    factors = [max(1, int(spacing_mm / own)) for own in image.GetSpacing()]
    averaged = sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), factors)
    size = [max(1, round(n * s / spacing_mm)) for n, s in zip(averaged.GetSize(), averaged.GetSpacing(), strict=True)]
    centre = averaged.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in averaged.GetSize()])
    direction = np.reshape(averaged.GetDirection(), (3, 3))
    origin = np.array(centre) - direction @ (spacing_mm * (np.array(size) - 1) / 2)
    return sitk.Resample(averaged, size, sitk.Transform(), sitk.sitkLinear, origin.tolist(), [spacing_mm] * 3, averaged.GetDirection(), 0.0)


def register_rigid(image: sitk.Image, reference: sitk.Image) -> sitk.Transform:
    """Rigid transform from reference points to image points by Mattes mutual information, seeded and coarse to fine.

    Starts from the files' coordinates and from the centres of mass; returns the better result.
    Raises RegistrationError when both starts fail.
    """
    spacing = max(_WORKING_SPACING_MM, min(*reference.GetSpacing(), *image.GetSpacing()))
    fixed, moving = isotropic(reference, spacing), isotropic(image, spacing)
    for name, picture in (("reference", fixed), ("image", moving)):
        if not sitk.GetArrayViewFromImage(picture).any():
            raise RegistrationError(f"The {name} to be registered is empty: every voxel is 0. Check the files.")
    centre = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    own = sitk.Euler3DTransform()
    own.SetCenter(centre)
    moments = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS)
    share = _SHARE * (spacing / _WORKING_SPACING_MM) ** 2
    results = [r for r in (_optimise(fixed, moving, start, share) for start in (own, sitk.Euler3DTransform(moments))) if r is not None]
    if not results:
        raise RegistrationError("The images could not be registered: no overlap. Check that they are of the same patient.")
    return min(results, key=lambda result: result[0])[1]


def _optimise(fixed: sitk.Image, moving: sitk.Image, start: sitk.Transform, share: float) -> tuple[float, sitk.Transform] | None:
    method = mutual_information_method(shrink=(3, 2, 1), smooth_mm=(3, 2, 0), share=share)
    # a radian counts as its displacement at this radius: with scales from the grid's corners, rotations stop degrees too early
    method.SetOptimizerScales([_HEAD_RADIUS_MM**2] * 3 + [1.0] * 3)
    method.SetInitialTransform(start, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # too few samples map inside the moving image
        return None
    return method.GetMetricValue(), start


def mutual_information_method(
    shrink: tuple[int, ...], smooth_mm: tuple[float, ...], steps: int = 60, share: float = _SHARE
) -> sitk.ImageRegistrationMethod:
    """Mattes mutual information, seeded sampling of a ``share`` of the voxels (the same number at every level), at most ``steps`` of
    regular-step descent a level, scaled by physical shift."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel([min(1.0, share * s**3) for s in shrink], _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, steps, 0.6, 1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel(list(smooth_mm))
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def smooth_deformation(fixed: sitk.Image, moving: sitk.Image, stiffness: float, steps: int) -> sitk.Image:
    """Displacements (mm) at the voxels of ``fixed`` to similar places in ``moving``, which is pre-aligned (demons); each step is smoothed
    with a Gaussian of SD ``stiffness`` voxels."""
    demons = sitk.FastSymmetricForcesDemonsRegistrationFilter()
    demons.SetNumberOfIterations(steps)
    demons.SetStandardDeviations(stiffness)
    return demons.Execute(fixed, moving)
