"""No data is not darkness: what is missing is recognised in any of its forms, dark tissue is not taken for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.intake.no_data import has_no_data
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from Testing.imaging.phantoms import grid, head

ON = grid((64, 76, 66), (3.0, 3.0, 3.0), np.eye(3))
SPACING = (3.0, 3.0, 3.0)
SCAN = np.abs(sitk.GetArrayFromImage(head(ON, 1)))
INSIDE = SCAN > 200
SHOWN = sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.Cast(head(ON, 1, noise=0.0) > 1.0, sitk.sitkUInt8))) > 0
INDEX = np.indices(SCAN.shape)


def missing(voxels: np.ndarray) -> np.ndarray:
    found = has_no_data(voxels.astype(np.float32), SPACING)
    return np.zeros(voxels.shape, dtype=bool) if found is None else found


CUTS: dict[str, Callable[[], np.ndarray]] = {
    "the lower third": lambda: INDEX[0] < 22,
    "all but an oblique slab": lambda: np.abs(INDEX[0] - 30 + 0.6 * (INDEX[1] - 38)) > 9,
    "a corner": lambda: INDEX.sum(axis=0) < 80,
    "every fifth slice": lambda: INDEX[0] % 5 == 0,
    "one sagittal slice": lambda: INDEX[2] == 30,
    "a hole in the brain": lambda: ((INDEX - np.reshape((40, 30, 25), (3, 1, 1, 1))) ** 2).sum(axis=0) < 36,
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_zeros_where_nothing_was_measured_are_no_data(cut: Callable[[], np.ndarray]) -> None:
    zeroed = cut() & INSIDE
    found = missing(np.where(cut(), 0.0, SCAN))
    assert (found & zeroed).sum() > 0.97 * zeroed.sum()
    assert not (found & INSIDE & ~cut()).any()


def test_a_whole_scan_has_no_missing_voxel() -> None:
    assert has_no_data(SCAN.astype(np.float32), SPACING) is None


def test_dark_fluid_and_bone_are_not_missing() -> None:
    """The noise floor is subtracted: ventricles and skull become exactly 0, and stay data."""
    dark = np.maximum(sitk.GetArrayFromImage(head(ON, 0)) - 330.0, 0.0)
    shown = sitk.Cast(head(ON, 0, noise=0.0) > 1.0, sitk.sitkUInt8)
    inside = sitk.GetArrayFromImage(sitk.BinaryErode(shown, [2, 2, 2])) > 0
    assert (dark[inside] == 0).mean() > 0.1
    assert missing(dark)[inside].mean() < 0.01


@pytest.mark.parametrize("value", (-1024.0, 1000.0, 63536.0, np.nan))
def test_a_background_of_one_value_is_no_data_and_said(value: float) -> None:
    volume = volume_from_image(image_like(np.where(SHOWN, SCAN, value).astype(np.float32), ON))
    assert volume.missing is not None and np.array_equal(volume.missing, ~SHOWN) and "missing data" in volume.notes[0]
    assert np.array_equal(volume.voxels, np.where(SHOWN, SCAN, 0.0).astype(np.float32))


def test_a_background_below_all_tissue_is_no_data_where_tissue_encloses_it_too() -> None:
    shown = SHOWN.copy()
    shown[30:34, 36:40, 30:34] = False
    volume = volume_from_image(image_like(np.where(shown, SCAN, -1024.0).astype(np.float32), ON))
    assert volume.missing is not None and np.array_equal(volume.missing, ~shown)


def test_noise_around_a_head_is_no_background() -> None:
    assert volume_from_image(image_like(np.rint(SCAN).astype(np.float32), ON)).missing is None


def test_nan_all_over_a_head_is_refused() -> None:
    scattered = np.where(np.random.default_rng(0).random(SCAN.shape) < 0.3, np.nan, SCAN)
    scattered[:2] = scattered[-2:] = scattered[:, :2] = scattered[:, -2:] = scattered[..., :2] = scattered[..., -2:] = 0.0
    with pytest.raises(ImageError, match=r"NaN or infinite\. Export"):
        volume_from_image(image_like(scattered.astype(np.float32), ON))


def test_an_aligned_image_covers_only_what_it_has() -> None:
    coarse = grid((40, 46, 42), (4.6, 4.6, 4.6), np.eye(3))
    cut = sitk.GetArrayFromImage(head(coarse, 1))
    cut[:16] = 0.0
    shown = align(image_like(cut, coarse), ON, register=False).covered
    seen = sitk.GetArrayFromImage(align(image_like(cut, coarse), ON, register=False).image)
    assert shown[INSIDE].mean() < 0.75 and seen[shown & INSIDE & (SCAN > 400)].min() > 100  # no voxel is half a zero
