"""Smooth noise has the scale and the variance asked for; blurring and resampling do to simple images what they must."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physmrisynth_training.simulator.fast_resampling import blurred, moved, resized, rotation
from PhysMRISynthLib.imaging.smooth import near_means, smooth_noise

ANGLES = st.tuples(*[st.floats(-math.pi, math.pi)] * 3)
INSIDE = (slice(5, -5),) * 3


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def some_volume(shape: tuple[int, ...] = (14, 15, 16)) -> np.ndarray:
    return generator(3).random(shape, dtype=np.float32)


def linear(shape: tuple[int, ...], slopes: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
    """3 + slopes · position, positions counted from the volume's centre."""
    if positions is None:
        positions = np.indices(shape) - (np.reshape(shape, (3, 1, 1, 1)) - 1) / 2.0
    return (3.0 + np.einsum("i,i...->...", slopes, positions)).astype(np.float32)


def correlation(fields: np.ndarray, lag: int, axis: int) -> float:
    """Mean product of voxels ``lag`` apart; fields of mean 0 and variance 1."""
    n = fields.shape[axis]
    return float((np.take(fields, range(n - lag), axis) * np.take(fields, range(lag, n), axis)).mean())


# --- noise ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 3.0, 5.5])
def test_smooth_noise_has_mean_0_and_variance_1(scale: float) -> None:
    noise = smooth_noise((40, 44, 36), scale, generator(), channels=2)
    assert noise.shape == (2, 40, 44, 36) and noise.dtype == np.float32
    assert noise.std() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(noise.mean(axis=(1, 2, 3))).max() < 0.2
    assert np.abs(noise.std(axis=(1, 2, 3)) - 1.0).max() < 0.15
    assert abs(np.mean(noise[0] * noise[1])) < 0.1  # channels are independent


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_noise_is_smooth_at_its_scale_and_not_beyond(axis: int) -> None:
    """Linear interpolation of white noise has the cubic B-spline as its autocorrelation: 0.92, 1/4 and 0 at ¼, 1 and 2 scales."""
    noise = smooth_noise((48, 48, 48), 4.0, generator(1), channels=3)
    for lag, expected in ((1, 0.918), (4, 0.25), (8, 0.0), (16, 0.0)):
        assert correlation(noise, lag, axis) == pytest.approx(expected, abs=0.07)


def test_noise_is_seeded() -> None:
    first = smooth_noise((8, 9, 10), 3.0, generator(5))
    np.testing.assert_array_equal(first, smooth_noise((8, 9, 10), 3.0, generator(5)))
    assert np.abs(first - smooth_noise((8, 9, 10), 3.0, generator(6))).max() > 0.5


# --- blur -----------------------------------------------------------------------------------------------------------------------


def test_blurring_keeps_a_constant_up_to_the_edges() -> None:
    np.testing.assert_allclose(blurred(np.full((9, 10, 11), 7.0), (0.5, 1.0, 4.0)), 7.0, rtol=1e-5)


def test_blurring_keeps_the_sum_of_an_interior_blob_and_gives_it_the_sd_asked_for() -> None:
    sigma, shape = np.array([1.0, 1.5, 2.2]), (33, 35, 41)
    point = np.zeros(shape, dtype=np.float32)
    point[16, 17, 20] = 5.0
    blob = blurred(point, sigma)
    assert blob.sum() == pytest.approx(5.0, rel=1e-4)
    assert np.unravel_index(blob.argmax(), shape) == (16, 17, 20)
    offsets = np.indices(shape) - np.reshape([16, 17, 20], (3, 1, 1, 1))
    spread = np.sqrt((offsets**2 * blob).sum(axis=(1, 2, 3)) / blob.sum())
    np.testing.assert_allclose(spread, sigma, rtol=0.05)  # cut off at 3 SD


def test_no_blur_is_the_same_volume() -> None:
    np.testing.assert_allclose(blurred(some_volume(), (0.0, 0.0, 0.0)), some_volume(), rtol=1e-6)


# --- another number of voxels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(14, 15, 16), (28, 15, 8), (9, 22, 17)])
def test_resizing_keeps_a_ramp_over_the_same_extent(shape: tuple[int, int, int]) -> None:
    """Positions of voxel centres, in voxels of the original; beyond its outermost centres the ends are repeated."""
    size = (14, 15, 16)
    axes = [np.clip((np.arange(n) + 0.5) * s / n - 0.5, 0, s - 1) - (s - 1) / 2 for n, s in zip(shape, size, strict=True)]
    slopes = np.array([1.0, -0.5, 0.25])
    expected = linear(shape, slopes, np.stack(np.meshgrid(*axes, indexing="ij")))
    np.testing.assert_allclose(resized(linear(size, slopes), shape), expected, atol=1e-4)


def test_resizing_to_the_same_shape_changes_nothing() -> None:
    np.testing.assert_allclose(resized(some_volume(), (14, 15, 16)), some_volume(), atol=1e-6)


# --- motion ---------------------------------------------------------------------------------------------------------------------


def test_a_shift_by_whole_voxels_is_a_rolled_array_inside() -> None:
    rolled = np.roll(some_volume(), (-1, 2, -3), axis=(0, 1, 2))
    np.testing.assert_allclose(moved(some_volume(), np.eye(3), (1, -2, 3))[INSIDE], rolled[INSIDE], atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_quarter_turn_is_rot90(axis: int) -> None:
    shape = [9, 9, 9]
    shape[axis] = 7
    volume = some_volume(tuple(shape))
    plane = tuple(k for k in range(3) if k != axis)
    angles = np.zeros(3)
    angles[axis] = math.pi / 2
    np.testing.assert_allclose(moved(volume, rotation(angles), np.zeros(3)), np.rot90(volume, -1, plane), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.floats(-0.15, 0.15)] * 3), st.tuples(*[st.floats(-2, 2)] * 3))
def test_a_linear_image_is_seen_through_the_map(angles: tuple[float, ...], shift: tuple[float, ...]) -> None:
    """Linear interpolation of a linear image is exact: position → matrix · position + shift, on a grid whose axes differ."""
    shape, slopes = (20, 24, 30), np.array([1.0, -2.0, 0.5])
    matrix = rotation(angles) @ np.diag([1.05, 0.9, 1.0])
    expected = linear(shape, slopes @ matrix) + np.float32(slopes @ np.array(shift))
    np.testing.assert_allclose(moved(linear(shape, slopes), matrix, shift)[7:-7, 7:-7, 7:-7], expected[7:-7, 7:-7, 7:-7], atol=2e-3)


def test_edges_are_repeated() -> None:
    np.testing.assert_allclose(moved(some_volume(), np.eye(3), (0, 0, 100.0)), some_volume()[..., -1:].repeat(16, axis=2), atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(ANGLES)
def test_rotations_are_orthonormal_and_do_not_mirror(angles: tuple[float, float, float]) -> None:
    matrix = rotation(angles)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(ANGLES)
def test_a_rotation_turns_about_one_axis_after_the_other(angles: tuple[float, float, float]) -> None:
    first, second, third = np.diag(angles)
    np.testing.assert_allclose(rotation(angles), rotation(third) @ rotation(second) @ rotation(first), atol=1e-12)


def test_means_of_neighbours_take_alternation_away_along_every_axis_and_nothing_else() -> None:
    shape = (6, 7, 8)
    for axis in range(3):
        stripes = (np.indices(shape)[axis] % 2).astype(np.float32)
        within = [slice(1, -1) if other == axis else slice(None) for other in range(3)]
        np.testing.assert_allclose(near_means(stripes)[tuple(within)], 0.5, atol=1e-6)
    np.testing.assert_allclose(near_means(np.full(shape, 3.0, np.float32)), 3.0, rtol=1e-6)  # also at the ends
    ramp = linear(shape, np.array([1.0, -2.0, 0.5]))
    np.testing.assert_allclose(near_means(ramp)[1:-1, 1:-1, 1:-1], ramp[1:-1, 1:-1, 1:-1], rtol=1e-5)
