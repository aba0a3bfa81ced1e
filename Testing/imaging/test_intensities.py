"""Intensities that the scanner did not make are recognised, each by its own sentence; scans are left alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.intensities import begun_again, cut_off, fills_range, processed, saturation, unwrapped
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.imaging.phantoms import grid, head
from Testing.validation.defects import clean_scans

ON = grid((72, 86, 76), (2.8, 2.8, 2.8), np.eye(3))


def scan(contrast: int, noise: float = 0.015) -> np.ndarray:
    """A magnitude image with Rician noise and a receive field."""
    clean = sitk.GetArrayFromImage(head(ON, contrast, noise=0.0)).astype(np.float32)
    field = np.exp(np.linspace(-0.25, 0.25, clean.shape[0], dtype=np.float32))[:, None, None]
    real, imaginary = np.random.default_rng(contrast).normal(0.0, 1000.0 * noise, (2, *clean.shape))
    return np.hypot(clean * field + real, imaginary).astype(np.float32)


def equalised(voxels: np.ndarray) -> np.ndarray:
    levels = np.percentile(voxels, np.linspace(0, 100, 257))
    return np.interp(voxels, levels, np.arange(257.0)).astype(np.float32)


def wrapped(voxels: np.ndarray) -> np.ndarray:
    return np.rint(voxels * (32_767 / np.percentile(voxels, 97))).astype(np.int64).astype(np.uint16).astype(np.int16).astype(np.float32)


PROCESSED: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "z-scores": (lambda v: (v - v.mean()) / v.std(), "z-scores"),
    "a display gamma": (lambda v: 1000 * (v / v.max()) ** 0.55, "gamma"),
    "a logarithm": (lambda v: 100 * np.log1p(v), "as bright as tissue"),
    "an equalised histogram": (equalised, "equalised"),
    "an added offset": (lambda v: v + 500, "as bright as tissue"),
    "a small added offset": (lambda v: v + 80, "offset"),
}


@pytest.mark.parametrize("contrast", (0, 1))
@pytest.mark.parametrize(("change", "told"), PROCESSED.values(), ids=PROCESSED.keys())
def test_processed_intensities_are_named(change: Callable[[np.ndarray], np.ndarray], told: str, contrast: int) -> None:
    finding = processed(change(scan(contrast)).astype(np.float32))
    assert finding is not None and finding.severe and told in finding.text


@pytest.mark.parametrize("contrast", (0, 1))
@pytest.mark.parametrize("noise", (0.003, 0.015, 0.05))
@pytest.mark.parametrize("gain", (0.01, 1.0, 300.0))
def test_a_scan_is_left_alone(contrast: int, noise: float, gain: float) -> None:
    voxels = gain * scan(contrast, noise)
    assert processed(voxels) is None and saturation(voxels) is None and unwrapped(voxels) is None
    assert processed(np.where(scan(1) > 200, voxels, 0.0)) is None  # without air
    assert processed(np.rint(voxels * (250 / voxels.max()))) is None  # in eight bits


def test_numbers_wrapped_at_sixteen_bits_are_put_right_or_refused() -> None:
    some = scan(0) * (40_000 / scan(0).max())
    read = volume_from_image(image_like(np.rint(some).astype(np.uint16).astype(np.int16).astype(np.float32), ON))
    assert np.array_equal(read.voxels, np.rint(some)) and "65536" in read.notes[0]
    twice = processed(wrapped(scan(0) ** 1.3))
    assert twice is not None and twice.hopeless and "wrapped" in twice.text


@pytest.mark.parametrize("levels", (256.0, 4096.0, 65536.0))
@pytest.mark.parametrize("contrast", ("t1w", "t2w"))
def test_unsigned_numbers_that_begin_again_at_0_are_recognised(contrast: str, levels: float) -> None:
    known = small_head()
    voxels = sitk.GetArrayFromImage(clean_scans(known)[contrast])
    brain = np.isin(known.tissue, [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"])
    whole = np.rint(voxels * ((levels - 1) / voxels[brain].max()))
    within = np.where(brain, np.minimum(whole, levels - 1), 0.0).astype(np.float32)
    assert fills_range(within) == levels and begun_again(within, levels, brain) is None
    beyond = (np.rint(voxels * (levels / np.percentile(voxels[brain], 97))) % levels).astype(np.float32)
    finding = begun_again(beyond, levels, brain)
    assert fills_range(beyond) == levels and finding is not None and finding.severe and "wrapped" in finding.text
    assert fills_range(within + np.float32(0.5)) is None and fills_range(0.9 * within) is None


def test_z_scores_of_a_brain_with_0_around_it_are_named() -> None:
    voxels, brain = scan(0), scan(0) > 200
    found = processed(np.where(brain, (voxels - voxels[brain].mean()) / voxels[brain].std(), 0.0).astype(np.float32))
    assert found is not None and found.hopeless and "z-scores" in found.text


def test_what_was_cut_off_is_measured_in_the_brain() -> None:
    brain = np.random.default_rng(0).gamma(9.0, 60.0, 50_000)
    assert cut_off(brain, float(brain.max())) is None
    top, much, floor = np.percentile(brain, (99, 90, 8))
    clipped, severe = cut_off(np.minimum(brain, top), top), cut_off(np.minimum(brain, much), much)
    assert clipped is not None and not clipped.severe and "1.0 % of the brain" in clipped.text
    assert severe is not None and severe.severe and "10 % of the brain" in severe.text
    dark = cut_off(np.maximum(brain - floor, 0.0), float(brain.max() - floor))
    assert dark is not None and not dark.severe and "exactly 0" in dark.text
    both = cut_off(np.clip((brain - floor) / (top - floor), 0, 1), 1.0)
    extracted = cut_off(np.minimum(brain / top, 1.0), 1.0)
    assert all(found is not None and found.severe and "two percentiles" in found.text for found in (both, extracted))


def test_saturation_is_many_voxels_at_the_highest_value_not_one() -> None:
    voxels = scan(1)
    assert saturation(np.minimum(voxels, 600.0)) == 600.0
    voxels[40, 40, 40] = 5000.0
    assert saturation(voxels) is None
