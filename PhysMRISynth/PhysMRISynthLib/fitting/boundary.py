"""Voxels of tissue and fluid tell on which side of a null fluid is.

In a magnitude image fluid of the signal −a looks like fluid of +a, and T1 of fluid has two explanations. Voxels that it shares with tissue
look different: along the line between the two, the signal of one side never vanishes, that of the other does before it rises again. Such
voxels serve no tissue's mean; they are asked about the peaks of the climb afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import lgamma, log, pi

import numpy as np

from .fields import PolynomialBasis
from .mixture import TissueClasses
from .objective import CORRELATED_VOXELS, TAIL, SharedState
from .observation import Observation
from .tissue_level import brain_rows
from .voxelwise import signed_signal

_SHARES = (np.arange(16) + 0.5) / 16
"""Volume shares along a line; its ends are the tissues themselves."""
_ANYTHING = 0.02
"""Probability at least of what is no tissue of the brain: one distribution as wide as twice all of the voxels."""
_RARE = 1e-12


@dataclass(frozen=True)
class Boundary:
    """N voxels where tissue and fluid may be together: the inputs, ``positions`` (N, 3) in mm, and ``atlas`` (tissues, N) fractions."""

    observations: Sequence[Observation]
    positions: np.ndarray
    atlas: np.ndarray

    def evidence(self, state: SharedState, classes: TissueClasses, basis: PolynomialBasis, centre: np.ndarray) -> float:
        """Log-likelihood of the voxels in a ``state`` of the head level, whose field basis was centred on ``centre`` (terms,)."""
        if not len(self.positions):
            return 0.0
        logs = (basis.evaluate(self.positions) - centre) @ state.coefficients.T
        flat = np.stack([o.signal for o in self.observations]).astype(float) * np.exp(-logs.T)
        weights = np.maximum(classes.weights(self.atlas), _RARE)
        found = np.full(flat.shape[1], -np.inf)
        for term in self._terms(state, classes, flat, weights):
            found = np.logaddexp(found, term)
        return float(found.sum()) / CORRELATED_VOXELS

    def _terms(self, state: SharedState, classes: TissueClasses, flat: np.ndarray, weights: np.ndarray) -> Iterator[np.ndarray]:
        """Log of probability times density (N,) of every tissue, of every share of two tissues, and of anything else."""
        rows = brain_rows()
        noise = np.array([0.0 if o.protocol.sequence.signed else o.noise for o in self.observations])
        signed = self._signed_means(state, noise)
        left = 1.0 - weights[rows].sum(axis=0)
        for b, row in enumerate(rows):
            yield np.log(weights[row]) + _log_student(flat, state.means[b], state.covariances[b])
        for first, second, kinds in _lines(classes, rows):
            weight = weights[kinds].sum(axis=0)
            left -= weight
            for share in _SHARES:
                mean = share * signed[first] + (1.0 - share) * signed[second]
                spread = share * state.covariances[first] + (1.0 - share) * state.covariances[second]
                seen = np.where(noise > 0, np.hypot(mean, noise), mean)
                yield np.log(weight / len(_SHARES)) + _log_student(flat, seen, spread)
        wide = np.diag((2.0 * flat.std(axis=1)) ** 2 + noise**2)
        yield np.log(np.maximum(left, 0.0) + _ANYTHING) + _log_student(flat, flat.mean(axis=1), wide)

    def _signed_means(self, state: SharedState, noise: np.ndarray) -> np.ndarray:
        """The tissues' mean signals (B, n) with their signs, without the noise that lifts magnitudes."""
        seen = state.level.adapt(self.observations)
        signs = np.stack([signed_signal(o, state.level.theta.T, np.asarray(1.0)) for o in seen], axis=1)
        magnitudes = np.sign(signs) * np.sqrt(np.maximum(state.means**2 - noise**2, 0.0))
        return np.where(noise > 0, magnitudes, state.means)


def _lines(classes: TissueClasses, rows: list[int]) -> list[tuple[int, int, list[int]]]:
    """Pairs of the brain's tissues that share voxels (places among ``rows``), and the classes that say so."""
    found: dict[tuple[int, int], list[int]] = {}
    for k, mixture in enumerate(classes.mixtures, start=classes.pure):
        if mixture.first in rows and mixture.second in rows:
            found.setdefault((rows.index(mixture.first), rows.index(mixture.second)), []).append(k)
    return [(first, second, kinds) for (first, second), kinds in found.items()]


def _log_student(values: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Log density (N,) of a Student t distribution (n inputs) at ``values`` (n, N)."""
    inputs = len(mean)
    away = values - mean[:, None]
    distance = np.einsum("in,ij,jn->n", away, np.linalg.inv(scale), away, optimize=True)
    constant = lgamma(0.5 * (TAIL + inputs)) - lgamma(0.5 * TAIL) - 0.5 * inputs * log(TAIL * pi)
    return constant - 0.5 * float(np.linalg.slogdet(scale)[1]) - 0.5 * (TAIL + inputs) * np.log1p(distance / TAIL)
