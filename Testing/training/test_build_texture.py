"""The texture of people's T1w images is found under receive field and noise, and told from what they share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from physmrisynth_training.shipping.build_texture import Person, common_part, measured
from physmrisynth_training.shipping.build_ventricles import ventricle_grid
from physmrisynth_training.shipping.person_texture import Residual, residuals
from physmrisynth_training.shipping.variogram import LAGS_MM, fitted, rise, squared_differences, variogram
from PhysMRISynthLib.imaging.smooth import mixed_noise

SIDE = {"white_matter": (2, 60), "thalamus": (10, 30), "deep_grey": (12, 26)}
SPREAD = {"white_matter": 0.012, "thalamus": 0.05, "deep_grey": 0.03}
NOISE = {"white_matter": 0.022, "thalamus": 0.035, "deep_grey": 0.03}
GRID = ventricle_grid()


def smooth(shape: tuple[int, ...], width: float, rng: np.random.Generator) -> np.ndarray:
    return mixed_noise(np.ones(shape, dtype=bool), {width: 1.0}, rng)[0]


def noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """As of an interpolated scan: not white."""
    rough = gaussian_filter(rng.standard_normal(shape), 0.8)
    return (rough / rough.std()).ravel()


def person(rng: np.random.Generator) -> Person:
    found, places = {}, {}
    for name, (number, side) in SIDE.items():
        voxels = np.argwhere(np.ones((side,) * 3, dtype=bool)).astype(np.int16)
        values = SPREAD[name] * smooth((side,) * 3, 6.0, rng) + NOISE[name] * noise((side,) * 3, rng)
        values += 0.04 * np.sign(voxels[:, 0] - (side - 1) / 2.0)  # above, everyone is brighter
        found[number], places[number] = Residual(voxels, values.astype(np.float32)), voxels // 4 + 40
    return Person(found, places)


def test_spread_and_width_are_found_apart_from_noise_and_place() -> None:
    people = [person(np.random.default_rng(seed)) for seed in range(5)]
    common = {name: common_part(people, [number], GRID) for name, (number, _side) in SIDE.items()}
    for name, row in measured(people, common).items():
        assert 0.5 * 0.04 < row["place"] < 1.05 * 0.04, name  # smoothed
        assert row["rest"] == pytest.approx(SPREAD[name], rel=0.25) and row["shares"][0] > 0.7, name
        assert row["noise"] == pytest.approx(NOISE[name], rel=0.1), name


def test_the_variogram_of_smooth_noise_is_the_stated_one() -> None:
    values = smooth((72, 72, 72), 6.0, np.random.default_rng(0))
    voxels = np.argwhere(np.ones((72, 72, 72), dtype=bool))
    found = variogram(squared_differences(voxels, values))
    np.testing.assert_allclose(found / values.var(), rise(6.0), atol=0.08)


def test_a_width_beyond_what_was_measured_has_no_variance() -> None:
    near = np.where(np.array(LAGS_MM) <= 8, rise(6.0), np.nan)
    variances, rough = fitted(near, (6.0, 12.0), np.ones(len(LAGS_MM)))
    np.testing.assert_allclose([*variances, rough], [1.0, 0.0, 0.0], atol=1e-6)


def test_receive_field_and_borders_do_not_count() -> None:
    numbers = np.zeros((60, 60, 60), dtype=np.int32)
    numbers[5:55, 5:55, 5:55] = 2
    numbers[20:40, 20:40, 10:22], numbers[20:40, 20:40, 38:50] = 10, 49
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, 60),) * 3, indexing="ij")
    field = 0.3 * z - 0.2 * x * y + 0.2 * y**3
    levels = np.where(numbers == 2, 200.0, np.where(numbers > 0, 170.0, 3.0))
    scan = gaussian_filter(levels, 0.5) * np.exp(field + 0.02 * rng.standard_normal(levels.shape))
    found = residuals(numbers, scan)
    assert set(found) == {2, 10}  # both sides are one structure
    for residual in found.values():
        assert residual.values.std() == pytest.approx(0.02, rel=0.1) and abs(np.median(residual.values)) < 0.002
        assert (np.isin(numbers[tuple(residual.voxels.T)], (2, 10, 49))).all()
    assert residuals(np.where(numbers == 2, 41, numbers), scan)[2].values.size == found[2].values.size
