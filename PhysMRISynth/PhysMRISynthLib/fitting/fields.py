"""Smooth receive fields: the log-field is a low-order polynomial of position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre


@dataclass(frozen=True)
class PolynomialBasis:
    """Products of Legendre polynomials up to a total ``degree`` over a box (mm), without the constant (that is the gain).

    Positions outside the box take the value at its faces, so that nothing is extrapolated.
    """

    low: np.ndarray
    high: np.ndarray
    degree: int = 4

    @classmethod
    def around(cls, positions: np.ndarray, degree: int = 4) -> PolynomialBasis:
        """The basis over the box of ``positions``, shape (N, 3) in mm."""
        return cls(positions.min(axis=0), positions.max(axis=0), degree)

    @property
    def orders(self) -> np.ndarray:
        """Order along each axis of every basis function, shape (terms, 3)."""
        steps = range(self.degree + 1)
        return np.array([(i, j, k) for i in steps for j in steps for k in steps if 0 < i + j + k <= self.degree])

    def evaluate(self, positions: np.ndarray) -> np.ndarray:
        """Basis functions at ``positions`` (N, 3) in mm: float32 of shape (N, terms)."""
        unit = np.clip(2.0 * (positions - self.low) / np.maximum(self.high - self.low, 1e-6) - 1.0, -1.0, 1.0)
        values = [legendre.legvander(unit[:, axis].astype(np.float32), self.degree) for axis in range(3)]
        orders = self.orders
        return (values[0][:, orders[:, 0]] * values[1][:, orders[:, 1]] * values[2][:, orders[:, 2]]).astype(np.float32)

    def factors(self, coefficients: np.ndarray, axes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The fields Σ ``coefficients`` (n, terms) · basis on a grid, as two matrices: their product, (n, z·y, degree + 1) times
        (degree + 1, x), holds them. ``axes`` are the grid's positions along z, y and x in mm.

        A polynomial's sum over a grid costs its degree, not its terms, for every voxel.
        """
        along = []
        for axis, positions in enumerate(axes):
            width = max(self.high[axis] - self.low[axis], 1e-6)
            along.append(legendre.legvander(np.clip(2.0 * (positions - self.low[axis]) / width - 1.0, -1.0, 1.0), self.degree))
        cube = np.zeros((len(coefficients), *[self.degree + 1] * 3))
        cube[:, *self.orders.T] = coefficients
        lines = np.einsum("nijk,zi,yj->nzyk", cube, along[0], along[1], optimize=True)
        return lines.reshape(len(coefficients), -1, self.degree + 1), along[2].T

    @property
    def prior_sd(self) -> np.ndarray:
        """Prior SD of each coefficient of the log-field: fields are smooth, so higher orders are smaller; shape (terms,)."""
        return 0.3 / self.orders.sum(axis=1) ** 1.5
