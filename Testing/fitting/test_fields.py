"""Smooth receive fields, found among lesions and mislabelled voxels."""

from __future__ import annotations

import numpy as np
from PhysMRISynthLib.fitting.fields import PolynomialBasis, fit_log_field, weighted_median
from PhysMRISynthLib.physics.noise import receive_field


def _grid() -> np.ndarray:
    axes = (np.arange(0.0, 160.0, 8.0), np.arange(0.0, 200.0, 8.0), np.arange(0.0, 160.0, 8.0))
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)


def _true_field() -> np.ndarray:
    log = np.log(receive_field((20, 25, 20), (8.0, 8.0, 8.0), 0.25, np.random.default_rng(3))).ravel()
    return log - log.mean()


def _fitted(residual: np.ndarray, positions: np.ndarray) -> np.ndarray:
    basis = PolynomialBasis.around(positions)
    terms = basis.evaluate(positions)
    coefficients = fit_log_field(terms, residual, np.full(len(residual), 1.0 / 0.05**2), basis.prior_sd, 1.0)
    fitted = terms @ coefficients
    return fitted - fitted.mean()


def test_a_smooth_field_is_found_under_a_fifth_of_outliers() -> None:
    rng = np.random.default_rng(0)
    positions, field = _grid(), _true_field()
    residual = field + 0.05 * rng.standard_normal(field.size)
    lesions = rng.random(field.size) < 0.2
    residual[lesions] += rng.uniform(0.3, 1.0, lesions.sum())
    found = _fitted(residual, positions)
    assert np.sqrt(np.mean((found - field) ** 2)) < 0.02
    assert np.abs(found - field).mean() < 0.15 * np.abs(field).mean()


def test_a_gain_is_not_taken_for_a_field() -> None:
    positions = _grid()
    terms = PolynomialBasis.around(positions).evaluate(positions)
    assert terms.dtype == np.float32
    assert not np.isclose(terms.std(axis=0), 0.0).any()  # no basis function is constant
    np.testing.assert_allclose(_fitted(np.full(len(positions), 0.7), positions), 0.0, atol=1e-5)
    field = _true_field()
    np.testing.assert_allclose(_fitted(field + 0.7, positions), _fitted(field, positions), atol=1e-4)


def test_nothing_is_extrapolated_outside_the_box() -> None:
    positions = _grid()
    basis = PolynomialBasis.around(positions)
    outside = np.array([[-500.0, 80.0, 80.0], [1e4, 1e4, 1e4], [80.0, -30.0, 80.0]], dtype=np.float32)
    at_the_face = np.clip(outside, positions.min(axis=0), positions.max(axis=0))
    np.testing.assert_allclose(basis.evaluate(outside), basis.evaluate(at_the_face), atol=1e-6)
    assert np.abs(basis.evaluate(outside)).max() <= 1.0 + 1e-6


def test_a_single_slice_has_a_field_too() -> None:
    positions = _grid()
    positions = positions[positions[:, 0] == 0.0]
    assert np.isfinite(PolynomialBasis.around(positions).evaluate(positions)).all()


def test_the_weighted_median_halves_the_weight() -> None:
    values = np.array([5.0, 1.0, 3.0, 2.0])
    assert weighted_median(values, np.ones(4)) == 2.0
    assert weighted_median(values, np.array([10.0, 1.0, 1.0, 1.0])) == 5.0
