"""Heads that are formulas: a skull, a brain and unsymmetrical things in it, evaluated at the voxels of any grid."""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.volumes import image_like

# centre and half-axes (mm), brightness in a T1-like and in a T2-like picture; later ones cover earlier ones
_PARTS = (
    ((0, 0, 0), (74, 92, 82), (1.00, 0.70)),  # scalp
    ((0, 0, 0), (69, 87, 77), (0.05, 0.05)),  # bone
    ((0, 0, 0), (65, 83, 73), (0.25, 1.00)),  # fluid
    ((0, -1, 1), (61, 79, 68), (0.50, 0.55)),  # grey matter
    ((30, -5, 6), (24, 60, 45), (0.80, 0.40)),  # white matter, left and right
    ((-30, -3, 8), (24, 62, 43), (0.80, 0.40)),
    ((9, 5, 12), (6, 28, 10), (0.20, 1.00)),  # ventricles
    ((-10, 2, 14), (7, 25, 11), (0.20, 1.00)),
    ((-28, 30, -15), (8, 10, 6), (0.15, 0.95)),  # a lesion
    ((33, -40, 20), (7, 7, 9), (0.30, 0.85)),
)


def rotation(degrees_x: float, degrees_y: float, degrees_z: float) -> np.ndarray:
    euler = sitk.Euler3DTransform()
    euler.SetRotation(*(math.radians(a) for a in (degrees_x, degrees_y, degrees_z)))
    return np.reshape(euler.GetMatrix(), (3, 3))


def grid(size: tuple[int, int, int], spacing: tuple[float, float, float], turned: np.ndarray, centre=(0.0, 0.0, 0.0)) -> sitk.Image:
    """An empty image whose middle lies at ``centre`` (LPS, mm)."""
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetDirection(turned.ravel().tolist())
    image.SetOrigin((np.array(centre) - turned @ (np.array(spacing) * (np.array(size) - 1) / 2)).tolist())
    return image


def points(image: sitk.Image) -> np.ndarray:
    """Position of every voxel (LPS, mm), shape (3, z, y, x)."""
    index = np.indices(image.GetSize()[::-1], dtype=float)[::-1]
    axes = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
    return np.einsum("ij,j...->i...", axes, index) + np.reshape(image.GetOrigin(), (3, 1, 1, 1))


def head(on: sitk.Image, contrast: int, moved: sitk.Transform | None = None, noise: float = 0.01) -> sitk.Image:
    """The head in the T1-like (0) or T2-like (1) ``contrast``, its point p shown at ``moved``(p), with Gaussian noise."""
    place = points(on)
    if moved is not None:
        back = moved.GetInverse()
        matrix = np.stack([np.subtract(back.TransformPoint(tuple(e)), back.TransformPoint((0.0, 0.0, 0.0))) for e in np.eye(3)], axis=1)
        place = np.einsum("ij,j...->i...", matrix, place) + np.reshape(back.TransformPoint((0.0, 0.0, 0.0)), (3, 1, 1, 1))
    picture = np.zeros(place.shape[1:])
    for centre, axes, brightness in _PARTS:
        offset = (place - np.reshape(centre, (3, 1, 1, 1))) / np.reshape(axes, (3, 1, 1, 1))
        edge = np.clip((1.0 - np.sqrt((offset**2).sum(axis=0))) * min(axes) / 2.0 + 0.5, 0.0, 1.0)  # 2 mm wide
        picture += edge * (brightness[contrast] - picture)
    picture += noise * np.random.default_rng(contrast).standard_normal(picture.shape)
    return image_like((1000.0 * picture).astype(np.float32), on)


def head_points() -> np.ndarray:
    """Points all over the head (LPS, mm), shape (N, 3)."""
    steps = np.linspace(-1, 1, 7)
    corners = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    return corners[np.linalg.norm(corners, axis=1) <= 1.0] * np.array([74.0, 92.0, 82.0])


def moved_by(transform: sitk.Transform, where: np.ndarray) -> np.ndarray:
    """The images of points (N, 3) under a transform."""
    return np.array([transform.TransformPoint(p) for p in where.tolist()])


def turn_between(one: np.ndarray, other: np.ndarray) -> float:
    """Angle (degrees) of the rotation that best takes the point set ``one`` (N, 3) to ``other``."""
    u, _, vt = np.linalg.svd((other - other.mean(axis=0)).T @ (one - one.mean(axis=0)))
    return math.degrees(math.acos(min(1.0, (np.trace(u @ vt) - 1.0) / 2.0)))
