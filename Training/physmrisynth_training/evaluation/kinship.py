"""Whether two heads are of one person: distance of their brains after alignment and smooth deformation onto each other."""

from __future__ import annotations

from functools import cache

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.alignment import smooth_deformation
from PhysMRISynthLib.imaging.head.atlas import atlas_brain, in_atlas

PARTS = ("brain", "left half", "right half")
_SMOOTH_MM = 4.0
"""SD of the Gaussian that smooths heads before the comparison: samples do not show finer detail well."""
_COARSE = 2
"""Downsampling of the atlas's grid for the comparison, to 8 mm."""
_STIFFNESS, _STEPS = 1.2, 40
"""SD, in positions of that grid, of the Gaussian that smooths each step's displacement; and steps. They separate 28 deformed copies of
training heads (nearest over second nearest training head 0.19 to 0.63) from other people (0.77 to 1.00)."""
_CERTAIN = 0.5


def aligned_brain(brain: sitk.Image, to_atlas: sitk.Transform) -> np.ndarray:
    """The smoothed ``brain`` of a head resampled to the atlas (z, y, x; 8 mm); ``to_atlas`` maps its points."""
    return _coarse(in_atlas(sitk.SmoothingRecursiveGaussian(brain, _SMOOTH_MM), to_atlas))


def distances(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """For each of PARTS, one minus the correlation, in the atlas's region, of two aligned brains (z, y, x) after the ``other``, mirrored
    if that is nearer, is deformed smoothly onto the first (demons)."""
    deformed = [_deformed(brain, one) for brain in (other, np.ascontiguousarray(other[..., ::-1]))]
    return {part: min(_difference(one, brain, where) for brain in deformed) for part, where in _compared().items()}


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """As :func:`distances`, for the whole brain."""
    return distances(one, other)[PARTS[0]]


def _deformed(brain: np.ndarray, onto: np.ndarray) -> np.ndarray:
    moving = sitk.GetImageFromArray(brain)
    displacement = smooth_deformation(sitk.GetImageFromArray(onto), moving, _STIFFNESS, _STEPS)
    return np.asarray(sitk.GetArrayFromImage(sitk.Warp(moving, displacement)))


def _difference(one: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    first, second = (brain[where] - brain[where].mean(dtype=np.float64) for brain in (one, other))
    product = float((first * second).sum())  # 0 if one of them is constant
    return 1.0 - product / max(float(np.sqrt((first**2).sum() * (second**2).sum())), 1e-12)


@cache
def _compared() -> dict[str, np.ndarray]:
    """Masks of each part of the brain in the symmetric atlas (z, y, x of 8 mm; x to the left)."""
    brain = _coarse(atlas_brain().astype(np.float32)) > _CERTAIN
    left = np.arange(brain.shape[-1]) >= brain.shape[-1] // 2
    return dict(zip(PARTS, (brain, brain & left, brain & ~left), strict=True))


def _coarse(values: np.ndarray) -> np.ndarray:
    return np.asarray(sitk.GetArrayFromImage(sitk.BinShrink(sitk.GetImageFromArray(values), [_COARSE] * values.ndim)))
