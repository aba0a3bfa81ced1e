"""Two visits of one head on a halfway grid, so that both are interpolated equally."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...errors import RegistrationError
from .alignment import grid_of_spacing, motion_of, register_rigid

_MARGIN_MM = 2.0
_GREATEST_ROTATION_DEGREES = 50.0
_DISAGREEMENT_MM = 3.0
"""Largest accepted difference between forward and backward registration."""


@dataclass(frozen=True)
class Halfway:
    """``grid``, and the rigid transforms ``to_first`` and ``to_second`` from its points to those of the visits (LPS, mm); the motion
    between the visits, and the disagreement of the registrations in both directions at the head's edge (mm)."""

    grid: sitk.Image
    to_first: sitk.Transform
    to_second: sitk.Transform
    shift_mm: float
    rotation_degrees: float
    disagreement_mm: float


def halfway(first: sitk.Image, second: sitk.Image, spacing_mm: float | None = None) -> Halfway:
    """Register two visits' images of one kind in both directions, and take the grid halfway along the mean motion.

    The grid is isotropic, as fine as the coarser visit's finest axis, or of ``spacing_mm``. Exchanging the visits exchanges the
    transforms. Raises RegistrationError when the images do not overlap or the two directions contradict each other.
    """
    there, back = (_matrix(register_rigid(moving, fixed)) for moving, fixed in ((second, first), (first, second)))
    forward = _mean(there, np.linalg.inv(back))
    apart = _greatest_move(np.linalg.inv(back) @ np.linalg.inv(there), first)
    shift, angle = motion_of(_transform(forward), first)
    if angle > _GREATEST_ROTATION_DEGREES or apart > _DISAGREEMENT_MM:
        raise RegistrationError(
            f"The visits could not be registered: the two directions differ by {apart:.1f} mm, with a rotation of {angle:.0f}°. Check that "
            "both are of the same patient and show the whole head."
        )
    half = _root(forward)  # from the first visit to the middle
    spacing = spacing_mm or max(min(first.GetSpacing()), min(second.GetSpacing()))
    grid = _moved(grid_of_spacing(first, min(max(spacing, 0.5), 5.0)), half)
    return Halfway(grid, _transform(np.linalg.inv(half)), _transform(half), shift, angle, apart)


def _matrix(transform: sitk.Transform) -> np.ndarray:
    """The 4×4 matrix of a rigid or affine transform."""
    matrix = np.eye(4)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    for column, axis in enumerate(np.eye(3)):
        matrix[:3, column] = np.subtract(transform.TransformPoint(axis.tolist()), matrix[:3, 3])
    return matrix


def _transform(matrix: np.ndarray) -> sitk.AffineTransform:
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(matrix[:3, :3].ravel().tolist())
    affine.SetTranslation(matrix[:3, 3].tolist())
    return affine


def _mean(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The mean of two similar rigid motions: ``one`` followed by half of the motion from it to ``other``."""
    return _root(other @ np.linalg.inv(one)) @ one


def _root(rigid: np.ndarray) -> np.ndarray:
    """The rigid motion that, applied twice, is ``rigid``: half the angle about its axis; with R·R, translation t = (I + R_half)·t_half."""
    rotation = rigid[:3, :3]
    cosine = min(1.0, max(-1.0, (np.trace(rotation) - 1.0) / 2.0))
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    length = float(np.linalg.norm(axis))
    half = np.eye(4)
    if length > 1e-12:
        half[:3, :3] = _rotation(axis / length, math.acos(cosine) / 2.0)
    half[:3, 3] = np.linalg.solve(np.eye(3) + half[:3, :3], rigid[:3, 3])
    return half


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * cross @ cross


def _moved(grid: sitk.Image, motion: np.ndarray) -> sitk.Image:
    """A grid moved rigidly, with a margin."""
    margin = [math.ceil(_MARGIN_MM / s) for s in grid.GetSpacing()]
    padded = sitk.ConstantPad(grid, margin, margin, 0.0)
    moved = sitk.Image(padded.GetSize(), sitk.sitkFloat32)
    moved.SetSpacing(padded.GetSpacing())
    moved.SetDirection((motion[:3, :3] @ np.reshape(padded.GetDirection(), (3, 3))).ravel().tolist())
    moved.SetOrigin((motion[:3, :3] @ np.array(padded.GetOrigin()) + motion[:3, 3]).tolist())
    return moved


def _greatest_move(motion: np.ndarray, image: sitk.Image) -> float:
    """Largest displacement (mm) by a motion on a sphere of a head's size around an image's centre."""
    centre = np.array(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    points = np.concatenate([[centre], centre + 80.0 * np.concatenate([np.eye(3), -np.eye(3)])])
    return float(np.linalg.norm(points @ motion[:3, :3].T + motion[:3, 3] - points, axis=1).max())
