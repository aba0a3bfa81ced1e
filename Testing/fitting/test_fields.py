"""The basis of smooth receive fields."""

from __future__ import annotations

import numpy as np

from PhysMRISynthLib.fitting.fields import PolynomialBasis


def _grid() -> np.ndarray:
    axes = (np.arange(0.0, 160.0, 8.0), np.arange(0.0, 200.0, 8.0), np.arange(0.0, 160.0, 8.0))
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.float32)


def test_no_basis_function_is_a_gain() -> None:
    positions = _grid()
    terms = PolynomialBasis.around(positions).evaluate(positions)
    assert terms.dtype == np.float32
    assert not np.isclose(terms.std(axis=0), 0.0).any()


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


def test_the_field_of_a_grid_is_that_of_its_positions() -> None:
    rng = np.random.default_rng(5)
    basis = PolynomialBasis(np.array([-10.0, 0.0, 5.0]), np.array([70.0, 90.0, 80.0]), degree=6)
    coefficients = rng.normal(0.0, 0.1, (2, len(basis.orders)))
    axes = [np.linspace(-30.0, 100.0, count) for count in (7, 9, 8)]  # beyond the box, too
    lines, across = basis.factors(coefficients, axes)
    positions = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    expected = basis.evaluate(positions.astype(np.float32)) @ coefficients.T
    np.testing.assert_allclose((lines @ across).reshape(2, -1), expected.T, atol=1e-5)
