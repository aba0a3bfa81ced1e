"""Sampling in k-space: the laws of Gibbs, Parseval and Rice, and slices whose means add up."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.physics.k_space import acquired, random_motion, slice_means

AXES = (1, 2)


def _signal(shape: tuple[int, ...] = (6, 64, 48)) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1.0, 1.0, shape).astype(np.float32)


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (1, 2, 0)])
def test_full_sampling_without_motion_gives_the_signal_back(axes: tuple[int, ...]) -> None:
    still = np.zeros((_signal().shape[axes[0]], len(axes)))
    np.testing.assert_allclose(acquired(_signal(), axes, _rng(), motion=still), _signal(), atol=1e-6)


def test_an_edge_overshoots_by_nine_per_cent_of_its_height() -> None:
    edge = np.zeros((1, 512, 4), np.float32)
    edge[:, 128:384] = 1.0
    image = acquired(edge, (1,), _rng(), share=0.125).real[0, :, 0]
    assert image.max() - 1.0 == pytest.approx(0.0895, abs=0.005)  # (Si(π) / π − 1/2) of the step, far from other edges
    assert image.min() == pytest.approx(-0.0895, abs=0.005)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_noise_has_its_sd_in_both_parts_whatever_is_missing(share: float) -> None:
    image = acquired(np.zeros((20, 64, 64), np.float32), AXES, _rng(), share, sigma=3.0)
    assert image.real.std() == pytest.approx(3.0, rel=0.03) and image.imag.std() == pytest.approx(3.0, rel=0.03)
    assert np.abs(image).mean() == pytest.approx(3.0 * np.sqrt(np.pi / 2.0), rel=0.03)  # Rayleigh: Rice without a signal


@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (0, 2), (2, 0), (1, 2, 0)])
def test_a_head_that_lies_elsewhere_all_the_time_is_displaced_as_a_whole(axes: tuple[int, ...]) -> None:
    signal = _signal()
    steps = np.array([2.0, -1.0, 1.0])[: len(axes)]
    moved = acquired(signal, axes, _rng(), motion=np.tile(steps, (signal.shape[axes[0]], 1)))
    expected = np.roll(signal, steps.astype(int), axes)
    if any(signal.shape[axis] % 2 == 0 for axis in axes):  # whole voxels: the highest frequency has no sign either
        np.testing.assert_allclose(moved.real, expected, atol=1e-5)


def test_motion_moves_energy_and_makes_none_and_the_head_appears_in_its_middle_position() -> None:
    signal = _signal((4, 64, 64))
    motion = random_motion(64, 2, 0.7, _rng())
    assert np.sqrt((motion**2).mean(axis=0)) == pytest.approx(0.7) and (motion[32] == 0.0).all()
    image = acquired(signal, AXES, _rng(), motion=motion)
    assert (np.abs(image) ** 2).sum() == pytest.approx((signal**2).sum(), rel=1e-5)
    assert np.abs(image - signal).max() > 0.1
    np.testing.assert_allclose(image.mean(axis=AXES), signal.mean(axis=AXES), atol=1e-5)  # of the central line


@pytest.mark.parametrize(("axis", "width"), [(0, 3.0), (1, 2.5), (2, 1.0), (0, 4.7)])
def test_a_thick_slice_is_the_mean_of_what_it_holds(axis: int, width: float) -> None:
    signal = _signal((31, 20, 20))
    means, first = slice_means(signal, axis, width)
    fine = np.repeat(signal, 1000, axis)  # sums over thousandths of a voxel
    count = int(signal.shape[axis] / width)
    assert means.shape[axis] == count
    start = (signal.shape[axis] - count * width) / 2.0
    assert first == pytest.approx(start + width / 2.0 - 0.5)
    for number in (0, count - 1):
        piece = slice(*(round(1000 * (start + (number + end) * width)) for end in (0, 1)))
        np.testing.assert_allclose(np.take(means, number, axis), fine.take(np.r_[piece], axis).mean(axis=axis), atol=2e-4)


@pytest.mark.parametrize("width", [0.5, 40.0, np.nan])
def test_slices_that_do_not_fit_are_refused(width: float) -> None:
    with pytest.raises(ProtocolError, match="Choose another slice thickness"):
        slice_means(_signal(), 0, width)
