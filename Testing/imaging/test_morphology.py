"""Balls over masks: voxel by voxel what ITK finds, at edges too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.masks import filled_in_slices
from PhysMRISynthLib.imaging.head.morphology import closed, dilated, eroded, opened, with_neighbours


def by_itk(work: Callable[..., sitk.Image], mask: np.ndarray, *arguments: object) -> np.ndarray:
    return sitk.GetArrayFromImage(work(sitk.GetImageFromArray(mask.astype(np.uint8)), *arguments)) > 0


def random_mask(share: float, shape: tuple[int, ...] = (14, 17, 20)) -> np.ndarray:
    return np.random.default_rng(3).random(shape) < share


@pytest.mark.parametrize("share", [0.003, 0.5, 0.97])
@pytest.mark.parametrize("radius", [(0, 0, 0), (1, 1, 1), (2, 2, 2), (6, 6, 6), (1, 2, 0), (5, 3, 2)], ids=str)
def test_balls_are_those_of_itk(radius: Sequence[int], share: float) -> None:
    mask = random_mask(share)
    itk = (sitk.BinaryDilate, sitk.BinaryErode, sitk.BinaryMorphologicalOpening, sitk.BinaryMorphologicalClosing)
    for ours, theirs in zip((dilated, eroded, opened, closed), itk, strict=True):
        np.testing.assert_array_equal(ours(mask, radius), by_itk(theirs, mask, list(radius)), err_msg=ours.__name__)


@pytest.mark.parametrize("share", [0.003, 0.5])
def test_neighbours_share_a_face(share: float) -> None:
    mask = random_mask(share)
    np.testing.assert_array_equal(with_neighbours(mask), by_itk(sitk.BinaryDilate, mask, [1, 1, 1], sitk.sitkCross))


@pytest.mark.parametrize("share", [0.02, 0.55, 0.8])
def test_holes_are_filled_in_the_slices_of_each_axis_in_turn(share: float) -> None:
    mask = random_mask(share, (9, 12, 15))
    expected = mask.copy()
    for axis in range(3):
        for plane in np.moveaxis(expected, axis, 0):
            plane |= by_itk(sitk.BinaryFillhole, plane)
    assert expected.sum() > mask.sum() or share < 0.5
    np.testing.assert_array_equal(filled_in_slices(mask), expected)
