"""Measures of what is around the brain: is the skull closed, the scalp whole, the head symmetric?"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from PhysMRISynthLib.imaging.head.masks import largest_piece
from PhysMRISynthLib.imaging.head.morphology import with_neighbours

from ...learning.latents import brain_top
from ...simulator.anatomy import AIR, TISSUES
from ..anatomies import BRAIN

_SKULL = tuple(TISSUES.index(name) for name in ("bone", "marrow"))
_VAULT_MM = 60
"""Height of the vault, below the brain's top: above orbits, sinuses and the skull's base."""
_COARSE = 4
_STEPS = 60


def shell_measures(tissue: np.ndarray) -> dict[str, float]:
    """Of a head (z, y, x; 1 mm): skull_closed and skull_closed_2mm (0 or 1), bare (mm²), asymmetry and face_asymmetry (%).

    The skull of the vault, the upper 60 mm of the brain, is closed if no path over voxels' faces leads from brain or fluid to the air
    outside except through bone or marrow; at 2 mm if so where bone is one voxel thicker: no hole is wider. Bare is the area of bone and
    brain without scalp there. Asymmetry is the difference of the head's hull and its mirror image, moved and turned onto it, over the
    hull; the face is what lies in front of the brain's centre and below the vault.
    """
    top = brain_top(tissue)
    vault = np.pad(tissue[max(top - _VAULT_MM, 0) :], ((0, 1), (0, 0), (0, 0)), constant_values=AIR)
    bone = np.isin(vault, _SKULL)
    inside = np.isin(vault, BRAIN)
    outside = _outside(vault == AIR)
    found = {
        "skull_closed": _closed(bone, inside, outside), "skull_closed_2mm": _closed(with_neighbours(bone), inside, outside),
        "bare": float((with_neighbours(outside) & (bone | inside)).sum()),
    }  # fmt: skip
    return found | _asymmetry(tissue, top)


def _outside(air: np.ndarray) -> np.ndarray:
    """The air that is connected with that above the head."""
    pieces, _count = ndimage.label(air)
    return np.asarray(pieces == pieces[-1, 0, 0])


def _closed(wall: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> float:
    pieces, _count = ndimage.label(~wall)
    reached = np.unique(pieces[outside & ~wall])
    return float(not np.isin(pieces[inside & ~wall], reached).any())


def _asymmetry(tissue: np.ndarray, top: int) -> dict[str, float]:
    grid = sitk.GetImageFromArray(tissue)
    hull = sitk.BinShrink(sitk.GetImageFromArray(largest_piece(tissue != AIR, grid).astype(np.float32)), [_COARSE] * 3)
    mirrored = sitk.GetImageFromArray(np.ascontiguousarray(sitk.GetArrayViewFromImage(hull)[..., ::-1]))
    mirrored.CopyInformation(hull)
    moved = sitk.GetArrayFromImage(sitk.Resample(mirrored, hull, _alignment(hull, mirrored), sitk.sitkLinear, 0.0)) > 0.5
    own = sitk.GetArrayFromImage(hull) > 0.5
    z, y, _x = np.ogrid[tuple(slice(n) for n in own.shape)]
    brain = np.argwhere(np.isin(tissue[max(top - _VAULT_MM, 0) : top], BRAIN))
    front = y < brain[:, 1].mean() / _COARSE
    face = front & (z < (top - _VAULT_MM) / _COARSE)
    inner = (slice(2, -2), slice(None), slice(None))  # what is turned out of the field of view is not missing
    return {
        name: 100.0 * float((own != moved)[inner][where].sum()) / max(int(own[inner][where].sum()), 1)
        for name, where in (("asymmetry", np.ones_like(own)[inner]), ("face_asymmetry", np.broadcast_to(face, own.shape)[inner]))
    }


def _alignment(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """The rigid transform of a mirrored hull onto the hull."""
    soft, other = (sitk.SmoothingRecursiveGaussian(image, 2.0 * _COARSE) for image in (fixed, moving))
    start = sitk.CenteredTransformInitializer(soft, other, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, _STEPS, 0.5)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(soft, other)
