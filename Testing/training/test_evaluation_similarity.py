"""Similarity of images: laws of the metrics, of the gain and of the regression that estimates are compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.evaluation.similarity import data_range, least_squares_gain, regressed, similarity
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.intake.volumes import image_like

SHAPE = (6, 40, 32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.fixture
def target(rng: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return (100 + 50 * np.sin(x / 3.0) * np.cos(y / 4.0) + rng.standard_normal(SHAPE)).astype(np.float32)


@pytest.fixture
def brain() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    return ((z - 2.5) / 3.0) ** 2 + ((y - 20) / 16.0) ** 2 + ((x - 16) / 13.0) ** 2 < 1.0


def grid(spacing: float = 4.0) -> sitk.Image:
    image = sitk.Image(SHAPE[::-1], sitk.sitkFloat32)
    image.SetSpacing((spacing,) * 3)
    return image


def test_equal_images_are_as_alike_as_can_be(target: np.ndarray, brain: np.ndarray) -> None:
    found = similarity(target, target, brain, data_range(target, brain), grid())
    assert found.psnr == math.inf and found.mae == 0.0 and found.mse == 0.0
    assert found.ms_ssim == pytest.approx(1.0, abs=1e-6)


def test_a_constant_error_is_measured_in_units_of_the_range(target: np.ndarray, brain: np.ndarray) -> None:
    level = data_range(target, brain)
    found = similarity(target + np.float32(0.1 * level), target, brain, level, grid())
    assert found.mae == pytest.approx(0.1, rel=1e-4) and found.mse == pytest.approx(0.01, rel=1e-4)
    assert found.psnr == pytest.approx(20.0, abs=1e-3)


def test_the_range_is_the_brains_99_5th_percentile(target: np.ndarray, brain: np.ndarray) -> None:
    bright = np.where(brain, target, 1e6)
    assert data_range(bright, brain) == pytest.approx(np.percentile(target[brain], 99.5))


def test_what_lies_outside_the_region_does_not_count(target: np.ndarray, brain: np.ndarray, rng: np.random.Generator) -> None:
    image = target + 5 * rng.standard_normal(SHAPE).astype(np.float32)
    elsewhere = np.where(brain, image, -1e4)
    assert similarity(image, target, brain, 150.0, grid()) == similarity(elsewhere, target, brain, 150.0, grid())


def test_more_noise_is_less_alike(target: np.ndarray, brain: np.ndarray, rng: np.random.Generator) -> None:
    noise = rng.standard_normal(SHAPE).astype(np.float32)
    scores = [similarity(target + level * noise, target, brain, 150.0, grid()) for level in (2.0, 8.0, 32.0)]
    for name in ("psnr", "ms_ssim"):
        values = [getattr(score, name) for score in scores]
        assert values == sorted(values, reverse=True) and len(set(values)) == 3


def test_equal_darkness_around_the_brain_does_not_pass_for_likeness(brain: np.ndarray, rng: np.random.Generator) -> None:
    image, target = (np.pad(brain * rng.random(SHAPE, dtype=np.float32), 40) for _ in range(2))
    alone, apart = np.pad(brain, 40), np.pad(brain, 40)
    apart[42, 2, 2] = apart[42, -3, -3] = True  # the box around the mask is mostly dark now
    large = sitk.Image(image.shape[::-1], sitk.sitkFloat32)
    scores = [similarity(image, target, region, 1.0, large).ms_ssim for region in (alone, apart)]
    assert scores[0] < 0.8 and scores[1] == pytest.approx(scores[0], abs=0.02)


def test_planes_are_axial_whatever_the_grids_axes(target: np.ndarray, brain: np.ndarray, rng: np.random.Generator) -> None:
    image = target + 10 * rng.standard_normal(SHAPE).astype(np.float32)
    straight = similarity(image, target, brain, 150.0, grid())
    turned = [sitk.DICOMOrient(image_like(v.astype(np.float32), grid()), "ASR") for v in (image, target, brain)]
    a, b, c = (sitk.GetArrayFromImage(t) for t in turned)
    assert a.shape != SHAPE
    assert similarity(a, b, c > 0, 150.0, turned[0]).ms_ssim == pytest.approx(straight.ms_ssim, abs=1e-6)


def test_axial_planes_count_one_by_one(target: np.ndarray, rng: np.random.Generator) -> None:
    everywhere = np.ones(SHAPE, dtype=bool)
    image = target + 10 * rng.standard_normal(SHAPE).astype(np.float32)
    scores = []
    for order in (np.arange(SHAPE[0]), rng.permutation(SHAPE[0])):
        scores.append(similarity(image[order], target[order], everywhere, 150.0, grid()).ms_ssim)
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


@pytest.mark.parametrize("image", (np.zeros(SHAPE, np.float32), np.full(SHAPE, -1.0, np.float32)))
def test_an_image_without_signal_is_refused(image: np.ndarray, brain: np.ndarray) -> None:
    with pytest.raises(PhysMRISynthError, match="no signal in the brain"):
        data_range(image, brain)
    with pytest.raises(PhysMRISynthError, match="no signal in the brain"):
        data_range(np.ones(SHAPE, np.float32), np.zeros(SHAPE, dtype=bool))


def test_regression_is_exact_for_a_linear_combination(target: np.ndarray, brain: np.ndarray, rng: np.random.Generator) -> None:
    others = [target, rng.standard_normal(SHAPE).astype(np.float32)]
    combined = (7.0 - 2.0 * others[0] + 0.5 * others[1]).astype(np.float32)
    found = regressed(others, combined, brain)
    np.testing.assert_allclose(found[brain], combined[brain], rtol=1e-4)
    assert not found[~brain].any()


def test_no_other_linear_combination_beats_the_regression(target: np.ndarray, brain: np.ndarray, rng: np.random.Generator) -> None:
    others = [target, rng.standard_normal(SHAPE).astype(np.float32)]
    wanted = target**2
    error = (regressed(others, wanted, brain) - wanted)[brain].astype(float)
    for direction in (np.ones(error.size), *(other[brain] for other in others)):
        assert abs(error @ direction) < 1e-4 * np.linalg.norm(error) * np.linalg.norm(direction)


def test_the_gain_leaves_an_error_that_no_other_gain_lowers(rng: np.random.Generator) -> None:
    image = rng.random(500)
    assert least_squares_gain(image, 3.5 * image) == pytest.approx(3.5)
    noisy = 3.5 * image + rng.standard_normal(500)
    gain = least_squares_gain(image, noisy)
    assert (noisy - gain * image) @ image == pytest.approx(0.0, abs=1e-9)
    assert least_squares_gain(np.zeros(5), np.ones(5)) == 0.0
