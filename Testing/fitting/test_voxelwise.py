"""The voxelwise fit: it finds what it should, says how sure it is, and never does worse than its prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from PhysMRISynthLib.fitting.observation import MODEL_ERROR, Observation
from PhysMRISynthLib.fitting.voxelwise import HIGHEST, LOWEST, fit_voxels, invert_symmetric, multiply_symmetric, predict
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.fitting.voxels import DIAGONAL, FIVE, brain_theta, full, observe, six

CORTEX = next(t.theta for t in tissue_table() if t.name == "cortex")


def _prior(count: int, sd: Sequence[float], mean: np.ndarray = CORTEX) -> tuple[np.ndarray, np.ndarray]:
    precision = np.zeros((6, count), dtype=np.float32)
    precision[DIAGONAL] = 1.0 / np.square(np.array(sd, dtype=np.float32))[:, None]
    return np.repeat(mean[:, None], count, axis=1).astype(np.float32), precision


def _unit(observations: Sequence[Observation]) -> list[np.ndarray]:
    return [np.ones(o.signal.size, dtype=np.float32) for o in observations]


def _cost(
    theta: np.ndarray, observations: Sequence[Observation], gains: Sequence[np.ndarray], mean: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """Half the squared misfit and distance from the prior (N,), in double precision."""
    away = (theta - mean).astype(float)
    cost = 0.5 * np.einsum("in,nij,jn->n", away, full(precision).astype(float), away)
    for o, gain in zip(observations, gains, strict=True):
        variance = o.noise**2 + (MODEL_ERROR * o.signal) ** 2
        cost += 0.5 * o.covered * (predict(o, theta, gain)[0] - o.signal) ** 2 / variance
    return cost


def test_symmetric_helpers_agree_with_linear_algebra() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((50, 3, 3))
    matrices = a @ a.transpose(0, 2, 1) + 0.3 * np.eye(3)
    vectors = rng.standard_normal((50, 3))
    np.testing.assert_allclose(full(invert_symmetric(six(matrices))), np.linalg.inv(matrices), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(multiply_symmetric(six(matrices), vectors.T).T, (matrices @ vectors[:, :, None])[:, :, 0], rtol=1e-12)
    single = invert_symmetric(six(matrices).astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(full(single), np.linalg.inv(matrices), rtol=2e-2, atol=2e-3)


def test_noise_free_voxels_are_recovered_under_their_gains() -> None:
    rng = np.random.default_rng(1)
    theta = brain_theta(2000, rng)
    gain = np.exp(0.2 * rng.standard_normal(2000)).astype(np.float32) * np.float32(300.0)
    observations = observe(theta, FIVE, gain)
    found, covariance = fit_voxels(observations, [gain] * len(FIVE), *_prior(2000, (0.3, 0.6, 0.6)), iterations=12)
    assert found.dtype == covariance.dtype == np.float32
    assert found.shape == (3, 2000) and covariance.shape == (6, 2000)
    assert np.median(np.abs(found - theta), axis=1).max() < 0.005
    assert np.quantile(np.abs(found - theta), 0.99) < 0.02


def test_five_inputs_need_no_prior() -> None:
    theta = brain_theta(500, np.random.default_rng(2))
    observations = observe(theta, FIVE)
    found, _ = fit_voxels(observations, _unit(observations), *_prior(500, (30.0, 30.0, 30.0)), iterations=25)
    assert np.quantile(np.abs(found - theta), 0.95) < 0.005


def test_the_prior_start_is_never_left_for_something_worse() -> None:
    rng = np.random.default_rng(3)
    theta = brain_theta(3000, rng, spread=0.8)
    observations = observe(theta, FIVE, relative_noise=0.05)
    mean, precision = _prior(3000, (0.2, 0.4, 0.5))
    found, _ = fit_voxels(observations, _unit(observations), mean, precision)
    before = _cost(mean, observations, _unit(observations), mean, precision)
    after = _cost(found, observations, _unit(observations), mean, precision)
    assert (after <= before * (1.0 + 1e-4) + 1e-3).all()


def test_the_covariance_is_the_spread_of_repeated_measurements() -> None:
    count = 20_000
    rng = np.random.default_rng(4)
    sd = (0.1, 0.15, 0.15)
    theta = (CORTEX[:, None] + np.array(sd)[:, None] * rng.standard_normal((3, count))).astype(np.float32)
    observations = observe(theta, {name: FIVE[name] for name in ("t1w", "t2w", "flair")}, relative_noise=0.02)
    erring = [  # the equation's own error is part of what the covariance promises
        Observation(o.name, o.protocol, o.signal * (1 + MODEL_ERROR * rng.standard_normal(count)).astype(np.float32), o.noise, o.covered)
        for o in observations
    ]
    found, covariance = fit_voxels(erring, _unit(erring), *_prior(count, sd))
    z = (found - theta) / np.sqrt(covariance[DIAGONAL])
    np.testing.assert_allclose(z.std(axis=1), 1.0, atol=0.08)
    np.testing.assert_allclose(z.mean(axis=1), 0.0, atol=0.15)
    correlation = np.corrcoef((found - theta)[1], (found - theta)[0])[0, 1]
    promised = np.median(covariance[1] / np.sqrt(covariance[0] * covariance[3]))
    assert correlation == pytest.approx(promised, abs=0.08)


@pytest.mark.parametrize("names", [("t1w",), ("t2w", "flair"), ("t1w", "t2w", "flair"), tuple(FIVE)])
def test_any_number_of_inputs_lowers_the_uncertainty(names: tuple[str, ...]) -> None:
    theta = brain_theta(400, np.random.default_rng(5), spread=0.05)
    observations = observe(theta, {name: FIVE[name] for name in names}, relative_noise=0.01)
    prior_sd = np.array([0.1, 0.3, 0.3])
    found, covariance = fit_voxels(observations, _unit(observations), *_prior(400, tuple(prior_sd)))
    assert np.isfinite(found).all()
    assert (covariance[DIAGONAL] <= (prior_sd[:, None] * 1.001) ** 2).all()
    volume = np.linalg.det(full(covariance).astype(float))
    assert (volume < 0.5 * np.prod(prior_sd) ** 2).all()


def test_a_voxel_that_no_input_covers_keeps_its_prior() -> None:
    theta = brain_theta(10, np.random.default_rng(6))
    observations = [Observation(o.name, o.protocol, o.signal, o.noise, np.arange(10) > 4) for o in observe(theta, FIVE)]
    mean, precision = _prior(10, (0.1, 0.2, 0.3))
    precision[1] = 20.0
    found, covariance = fit_voxels(observations, _unit(observations), mean, precision)
    np.testing.assert_array_equal(found[:, :5], mean[:, :5])
    np.testing.assert_allclose(covariance[:, :5], invert_symmetric(precision)[:, :5], rtol=1e-5)
    assert (np.abs(found[:, 5:] - mean[:, 5:]) > 1e-3).any(axis=0).all()


def test_on_a_magnitude_image_the_prior_decides_the_side_of_the_null() -> None:
    flair = Protocol.of("flair", TR=9000, TE=90, TI=2500, L=150)
    t1 = np.geomspace(2000.0, 9000.0, 20_000)
    signal = flair.signal(np.ones_like(t1), t1, np.full_like(t1, 2000.0))
    null, level = int(signal.argmin()), 0.08
    below, above = (float(t1[i]) for i in (np.abs(signal[:null] - level).argmin(), null + np.abs(signal[null:] - level).argmin()))
    assert below < t1[null] < above
    observation = Observation("flair", flair, np.full(2, level, dtype=np.float32), 0.002, np.ones(2, dtype=bool))
    mean, precision = _prior(2, (0.01, 0.2, 0.01), np.log([1.0, 1000.0, 2000.0]))
    mean[1] = np.log([0.95 * below, 1.05 * above])
    found, _ = fit_voxels([observation], [np.ones(2, dtype=np.float32)], mean, precision, iterations=15)
    np.testing.assert_allclose(np.exp(found[1]), [below, above], rtol=0.02)


def test_results_stay_where_the_equations_make_sense() -> None:
    count = 200
    rng = np.random.default_rng(7)
    mean, precision = _prior(count, (50.0, 50.0, 50.0))
    for scale in (0.0, 1e4):
        observations = [
            Observation(o.name, o.protocol, (scale * rng.random(count)).astype(np.float32), 0.01, o.covered)
            for o in observe(np.repeat(mean[:, :1], count, axis=1), FIVE)
        ]
        found, covariance = fit_voxels(observations, _unit(observations), mean, precision)
        assert ((found >= LOWEST) & (found <= HIGHEST)).all()
        assert np.isfinite(covariance).all()
        assert (covariance[DIAGONAL] > 0).all()


def test_halves_fitted_apart_equal_the_whole() -> None:
    theta = brain_theta(1001, np.random.default_rng(8))
    observations = observe(theta, FIVE, relative_noise=0.02)
    mean, precision = _prior(1001, (0.1, 0.2, 0.3))
    gains = _unit(observations)
    whole = fit_voxels(observations, gains, mean, precision)
    for half in (slice(0, 500), slice(500, 1001)):
        part = fit_voxels([o.at(half) for o in observations], [g[half] for g in gains], mean[:, half], precision[:, half])
        np.testing.assert_allclose(part[0], whole[0][:, half], atol=1e-5)
        np.testing.assert_allclose(part[1], whole[1][:, half], rtol=1e-3, atol=1e-7)


def test_the_inputs_are_left_as_they_were() -> None:
    theta = brain_theta(50, np.random.default_rng(9))
    observations = observe(theta, FIVE)
    mean, precision = _prior(50, (0.1, 0.2, 0.3))
    before = [array.copy() for array in (mean, precision, *(o.signal for o in observations))]
    fit_voxels(observations, _unit(observations), mean, precision)
    for array, kept in zip((mean, precision, *(o.signal for o in observations)), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_a_voxel_ends_where_it_would_alone() -> None:
    """Once most voxels have arrived the others go on without them: that must change nothing."""
    rng = np.random.default_rng(11)
    theta = brain_theta(3000, rng, spread=0.4)
    observations = observe(theta, FIVE, relative_noise=0.02)
    mean, precision = _prior(3000, (0.2, 0.4, 0.5))
    together = fit_voxels(observations, _unit(observations), mean, precision)
    for voxel in range(0, 3000, 60):
        own = slice(voxel, voxel + 1)
        seen = [o.at(own) for o in observations]
        for found, expected in zip(fit_voxels(seen, _unit(seen), mean[:, own], precision[:, own]), together, strict=True):
            np.testing.assert_allclose(found, expected[:, own], rtol=1e-5, err_msg=f"voxel {voxel}")
