"""Noise and receive fields: their distributions and their smoothness, their seeds and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import ImageError, ProtocolError
from PhysMRISynthLib.physics.noise import add_noise, receive_field, sigma_for_snr

MANY = 400_000


def generator(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def noisy(signal: float, sigma: float, seed: int = 7, **options: int) -> np.ndarray:
    return add_noise(np.full(MANY, signal, np.float32), sigma, generator(seed), **options).astype(float)


def rice_mean(snr: float) -> float:
    """Mean of the Rice distribution of unit sigma, by integrating its density."""
    x = np.linspace(0.0, snr + 10.0, 40_001)
    density = x * np.exp(-(x**2 + snr**2) / 2) * np.i0(x * snr)
    return float(np.trapezoid(x * density, x) / np.trapezoid(density, x))


# --- the distribution -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snr, bias", [(2.0, 0.14), (5.0, 0.02)])
def test_the_mean_of_a_magnitude_image_is_biased_as_rice_says(snr: float, bias: float) -> None:
    expected = rice_mean(snr)
    assert expected / snr - 1 == pytest.approx(bias, abs=0.005)
    image = noisy(snr * 3.0, 3.0)
    assert image.mean() == pytest.approx(3.0 * expected, abs=5 * 3.0 / math.sqrt(MANY))


@pytest.mark.parametrize("coils", [1, 4, 32])
@pytest.mark.parametrize("signal", [0.0, 1.0, 10.0])
def test_the_power_of_a_magnitude_image_is_signal_power_plus_noise_power(coils: int, signal: float) -> None:
    power = noisy(signal, 2.0, coils=coils) ** 2
    expected = signal**2 + 2 * coils * 2.0**2
    spread = math.sqrt(4 * coils * 2.0**4 + 4 * signal**2 * 2.0**2)  # SD of a scaled non-central chi-square
    assert power.mean() == pytest.approx(expected, abs=5 * spread / math.sqrt(MANY))
    assert power.std() == pytest.approx(spread, rel=0.02)


@pytest.mark.parametrize("coils", [1, 2, 8])
def test_background_follows_the_central_chi_distribution(coils: int) -> None:
    expected = math.sqrt(2) * math.exp(math.lgamma(coils + 0.5) - math.lgamma(coils))
    assert noisy(0.0, 1.0, coils=coils).mean() == pytest.approx(expected, abs=5 / math.sqrt(MANY))


@pytest.mark.parametrize("coils", [1, 3])
def test_magnitude_noise_is_that_of_complex_channels_one_by_one(coils: int) -> None:
    """Quantiles against real channels with their own sensitivities, combined by the root sum of squares."""
    rng, signal = generator(1), 2.5
    sensitivity = rng.standard_normal(coils) + 1j * rng.standard_normal(coils)
    sensitivity /= np.linalg.norm(sensitivity)
    noise = rng.standard_normal((coils, MANY)) + 1j * rng.standard_normal((coils, MANY))
    combined = np.sqrt((np.abs(signal * sensitivity[:, None] + noise) ** 2).sum(axis=0))
    quantiles = np.linspace(0.01, 0.99, 25)
    np.testing.assert_allclose(np.quantile(noisy(signal, 1.0, coils=coils), quantiles), np.quantile(combined, quantiles), atol=0.02)


@pytest.mark.parametrize("signal", [-3.0, 0.0, 2.0])
@pytest.mark.parametrize("coils", [1, 8])
def test_signed_images_have_gaussian_noise_without_bias(signal: float, coils: int) -> None:
    image = add_noise(np.full(MANY, signal, np.float32), 1.5, generator(), coils=coils, signed=True).astype(float)
    deviation = (image - signal) / 1.5
    assert deviation.mean() == pytest.approx(0, abs=5 / math.sqrt(MANY))
    assert deviation.std() == pytest.approx(1, abs=5 / math.sqrt(2 * MANY))
    assert (deviation**3).mean() == pytest.approx(0, abs=5 * math.sqrt(15 / MANY))
    assert (deviation**4).mean() == pytest.approx(3, abs=5 * math.sqrt(96 / MANY))


def test_neighbouring_voxels_have_independent_noise() -> None:
    image = add_noise(np.full((60, 80, 90), 50.0), 1.0, generator()).astype(float)
    deviation = image - image.mean()
    for axis in range(3):
        shifted = np.roll(deviation, 1, axis)
        assert abs((deviation * shifted).mean() / deviation.var()) < 5 / math.sqrt(deviation.size)


def test_no_noise_leaves_the_magnitude() -> None:
    image = np.array([[-2.0, 0.0], [1.0, 4.0]], np.float32)
    np.testing.assert_array_equal(add_noise(image, 0.0, generator(), coils=4), np.abs(image))
    np.testing.assert_array_equal(add_noise(image, 0.0, generator(), signed=True), image)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("signed", [False, True])
def test_the_result_is_single_precision_of_the_same_shape_and_the_input_stays(dtype: type, signed: bool) -> None:
    image = np.full((3, 4, 5), 7, dtype)
    result = add_noise(image, 0.5, generator(), coils=3, signed=signed)
    assert result.dtype == np.float32 and result.shape == image.shape
    assert (image == 7).all()


@pytest.mark.parametrize("options", [{}, {"coils": 5}, {"signed": True}])
def test_a_seed_reproduces_the_noise(options: dict) -> None:
    image = np.linspace(0, 9, 1000, dtype=np.float32)
    first = add_noise(image, 1.0, generator(3), **options)
    np.testing.assert_array_equal(first, add_noise(image, 1.0, generator(3), **options))
    assert not np.array_equal(first, add_noise(image, 1.0, generator(4), **options))


@pytest.mark.parametrize("sigma", [-1.0, math.nan, math.inf])
def test_an_impossible_noise_level_is_refused(sigma: float) -> None:
    with pytest.raises(ProtocolError, match="noise level"):
        add_noise(np.ones(3), sigma, generator())


def test_an_impossible_number_of_coils_is_refused() -> None:
    with pytest.raises(ProtocolError, match="coils"):
        add_noise(np.ones(3), 1.0, generator(), coils=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_image_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ImageError):
        add_noise(np.array([1.0, bad]), 1.0, generator())


# --- signal-to-noise ratio ------------------------------------------------------------------------------------------------------


def test_the_noise_of_an_snr_is_that_fraction_of_the_reference() -> None:
    assert sigma_for_snr(500.0, 20.0) == pytest.approx(25.0)
    assert sigma_for_snr(np.array([400.0, 600.0]), 20.0) == pytest.approx(25.0)
    assert sigma_for_snr(np.array([-400, -600], np.float32), 20.0) == pytest.approx(25.0)
    region = np.full(MANY, 80.0, np.float32)
    image = add_noise(region, sigma_for_snr(region, 40.0), generator()).astype(float)
    assert image.mean() / image.std() == pytest.approx(40.0, rel=0.01)


@pytest.mark.parametrize("snr", [0.0, -3.0, math.nan, math.inf])
def test_an_impossible_snr_is_refused(snr: float) -> None:
    with pytest.raises(ProtocolError, match="positive"):
        sigma_for_snr(1.0, snr)


@pytest.mark.parametrize("reference", [0.0, [], math.nan, [0.0, 0.0]])
def test_a_reference_without_signal_is_refused(reference: object) -> None:
    with pytest.raises(ProtocolError, match="no signal"):
        sigma_for_snr(reference, 10.0)  # type: ignore[arg-type]


# --- receive field --------------------------------------------------------------------------------------------------------------


@given(
    shape=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    spacing=st.floats(0.3, 8.0),
    amplitude=st.floats(0.01, 0.6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=80, deadline=None)
def test_any_field_has_mean_log_zero_and_its_amplitude(shape: list[int], spacing: float, amplitude: float, seed: int) -> None:
    field = receive_field(shape, [spacing * (1 + axis) for axis in range(len(shape))], amplitude, generator(seed))
    assert field.dtype == np.float32 and field.shape == tuple(shape)
    log = np.log(field.astype(float))
    assert log.mean() == pytest.approx(0, abs=1e-5)
    expected = 0 if math.prod(shape) == 1 else amplitude
    assert np.abs(log).max() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("seed", range(6))
def test_over_a_head_the_log_spans_about_the_amplitude_to_both_sides(seed: int) -> None:
    log = np.log(receive_field((60, 70, 60), (3.0, 3.0, 3.0), 0.3, generator(seed)))
    assert log.max() > 0.12 and log.min() < -0.12
    assert log.std() > 0.06


@pytest.mark.parametrize("spacing", [(3.0, 3.0, 3.0), (0.9, 6.0, 1.0)])
@pytest.mark.parametrize("shortest", [100.0, 200.0])
def test_fields_are_smooth_in_millimetres(spacing: tuple[float, float, float], shortest: float) -> None:
    """No slope exceeds that of the shortest wave by much, and no second difference the square of it, however voxels are shaped."""
    shape = [round(210 / s) for s in spacing]
    for seed in range(4):
        log = np.log(receive_field(shape, spacing, 0.3, generator(seed), shortest_mm=shortest).astype(float))
        for axis, step in enumerate(spacing):
            slope = np.abs(np.diff(log, axis=axis)).max() / step
            curvature = np.abs(np.diff(log, 2, axis=axis)).max() / step**2
            assert slope < 2.0 * 0.3 * 2 * math.pi / shortest
            assert curvature < 2.0 * 0.3 * (2 * math.pi / shortest) ** 2 + 1e-6 / step**2


def test_longer_waves_make_flatter_fields() -> None:
    slopes = []
    for shortest in (60.0, 120.0, 240.0):
        fields = [receive_field((50, 50, 50), (4.0, 4.0, 4.0), 0.3, generator(seed), shortest_mm=shortest) for seed in range(5)]
        slopes.append(np.mean([np.abs(np.diff(np.log(field), axis=0)).mean() for field in fields]))
    assert slopes[0] > 1.4 * slopes[1] and slopes[1] > 1.2 * slopes[2]


def test_a_field_does_not_depend_on_how_finely_it_is_sampled() -> None:
    coarse = np.log(receive_field((29, 29, 15), (8.0, 8.0, 16.0), 0.3, generator(5)))
    fine = np.log(receive_field((57, 57, 57), (4.0, 4.0, 4.0), 0.3, generator(5)))
    np.testing.assert_allclose(fine[::2, ::2, ::4], coarse, atol=0.03)


def test_fields_are_not_mirrored_along_any_axis() -> None:
    field = receive_field((20, 20, 20), (10.0, 10.0, 10.0), 0.3, generator(2))
    for axis in range(3):
        assert np.abs(np.log(field / np.flip(field, axis))).max() > 0.1


def test_a_seed_reproduces_the_field() -> None:
    first = receive_field((9, 10, 11), (5.0, 5.0, 5.0), 0.3, generator(3))
    np.testing.assert_array_equal(first, receive_field((9, 10, 11), (5.0, 5.0, 5.0), 0.3, generator(3)))
    assert not np.allclose(first, receive_field((9, 10, 11), (5.0, 5.0, 5.0), 0.3, generator(4)), atol=0.02)


def test_no_amplitude_is_no_field() -> None:
    np.testing.assert_array_equal(receive_field((4, 5, 6), (1.0, 1.0, 1.0), 0.0, generator()), np.ones((4, 5, 6), np.float32))


@pytest.mark.parametrize(
    "shape, spacing", [((4, 4), (1.0,)), ((), ()), ((4, 0), (1.0, 1.0)), ((4, 4), (1.0, 0.0)), ((4,), (-1.0,)), ((4,), (math.nan,))]
)  # fmt: skip
def test_an_impossible_grid_is_refused(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    with pytest.raises(ImageError):
        receive_field(shape, spacing, 0.3, generator())


@pytest.mark.parametrize("amplitude, shortest", [(-0.1, 150.0), (math.nan, 150.0), (math.inf, 150.0), (0.3, 0.0), (0.3, math.nan)])
def test_an_impossible_field_is_refused(amplitude: float, shortest: float) -> None:
    with pytest.raises(ProtocolError, match="receive field"):
        receive_field((4, 4, 4), (1.0, 1.0, 1.0), amplitude, generator(), shortest_mm=shortest)
