"""The head level's objective: one function of everything that the voxels of a head share.

Inputs i show voxels v of the brain as y_iv. With receive fields log F_i = B·c_i (B: a polynomial basis without its constant) and
z_iv = y_iv/F_iv, tissue k looks like a Student t distribution of mean μ_k and scale Σ_k (n inputs), boundaries between tissues and tissues
that are not the brain's like Gaussians that follow from these and from the equations. The logarithm of the posterior density is

    J = w Σ_v [ log Σ_k π_kv p_k(z_v; μ, Σ, θ, g) − Σ_i log F_iv ]          voxels; w: neighbours err together
      + m Σ_k log γ_k                          π_kv ∝ γ_k atlas_kv: voxels that were chosen are not as frequent as the atlas's
      + Σ_ki log h(δ_ki; e_i)      h: pseudo-Huber; e_i: expected_errors; δ_ki = (μ_ki − g_i f_i(θ_k))/a_ki, the errors of the equations
      − ½ (x − x₀)ᵀ C⁻¹ (x − x₀)               x = (θ, log g, echo times in doubt), the literature's values and spread
      − ν/2 Σ_k [ tr(Ψ_k Σ_k⁻¹) − log|Ψ_k Σ_k⁻¹| ]    Ψ_k: the spread inside a tissue as the literature and the noise have it
      − ½ Σ_ij (c_ij/s_j)²                    receive fields are smooth

:mod:`.ascent` climbs it. Nothing in it switches on or off, and voxels that an input does not cover are judged by the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import lgamma

import numpy as np

from ..physics.arrays import Array, Move, like, namespace, on_host, stay, total
from .fields import PolynomialBasis
from .mixture import ClassSignals, TissueClasses, class_signals, put_mixtures, squared_distances, tissue_signals
from .observation import MODEL_ERROR, Observation, coverage_patterns
from .tissue_level import EquationErrors, TissueLevel, brain_rows, expected_errors, predicted_means
from .voxelwise import signed_signal

TAIL = 4.0
"""Degrees of freedom of a tissue's distribution: lesions and mislabelled voxels lie in its tails."""
CORRELATED_VOXELS = 20.0
"""Neighbours err together (structure that the classes do not know), so that so many voxels count as one."""
LARGEST_SAMPLE = 70_000
"""More voxels of a head than these say nothing new."""
SHARE_STRENGTH = 5.0
"""So many voxels' worth of belief for every class that it is as frequent as the atlas says."""
_DOUBT_OF_OTHERS = 0.15
SPREAD_STRENGTH = 300.0
"""So many voxels' worth of belief in the spread inside a tissue: with less, fluid grows until it holds what is half fluid."""


@dataclass(frozen=True)
class SharedState:
    """What J depends on: the tissue ``level``, the brain tissues' ``means`` (B, n) and ``covariances`` (B, n, n) of their signals at unit
    field, the fields' ``coefficients`` (n, terms), and ``log_shares`` (K,): how much more often than the atlas expects a class occurs."""

    level: TissueLevel
    means: np.ndarray
    covariances: np.ndarray
    coefficients: np.ndarray
    log_shares: np.ndarray


@dataclass(frozen=True)
class Looks:
    """What all K classes look like: ``means`` (K, n), ``covariances`` (K, n, n), and the means' derivatives by the brain tissues' means,
    ``by_means`` (K, n, B, n)."""

    means: np.ndarray
    covariances: np.ndarray
    by_means: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """What a pass over the voxels gives, in effective voxels.

    ``pull`` (K, n) and ``weight`` (K, n, n) are the gradient and the curvature of J in the classes' means; ``count`` (B,) and ``scatter``
    (B, n, n) those of the brain's tissues; ``field_slope`` (n, terms) and ``field_curvature`` (n, terms, terms) those of J in the fields'
    coefficients; ``found`` and ``expected`` (K,) how many voxels are of each class by the images and by the shares alone.
    """

    value: float
    pull: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    scatter: np.ndarray
    field_slope: np.ndarray
    found: np.ndarray
    expected: np.ndarray
    field_curvature: np.ndarray | None = None


class Objective:
    """J on a sample of N voxels: their ``observations``, field ``terms`` (N, terms) and class ``weights`` (K, N).

    ``prior`` is the literature's level, with its covariance; ``move`` brings what has a value for every voxel to where it is computed with.
    """

    def __init__(
        self, observations: Sequence[Observation], basis: PolynomialBasis, terms: np.ndarray, weights: np.ndarray,
        classes: TissueClasses, prior: TissueLevel, available: int | None = None, move: Move = stay,
    ) -> None:  # fmt: skip
        self.observations, self.basis, self.classes, self.prior = observations, basis, classes, prior
        count = terms.shape[0]
        self.voxel_weight = min(available or count, LARGEST_SAMPLE) / count / CORRELATED_VOXELS
        self.weights = move(np.maximum(weights, np.float32(1e-12)))
        self.log_weights = namespace(self.weights).log(self.weights)
        self.terms = move(np.ascontiguousarray(terms.T))
        self.signal = move(np.stack([o.signal for o in observations]).astype(np.float32))
        self.fielded = np.array([o.protocol.sequence.uses_pd for o in observations])
        covered = np.stack([o.covered for o in observations])
        self.patterns = coverage_patterns(covered)
        self.seen = move(np.asarray(covered.any(axis=0), dtype=np.float32))
        self.rows = np.array(brain_rows())
        self.shares = weights[self.rows].mean(axis=1) / weights[self.rows].mean(axis=1).sum()
        self.expected_errors = expected_errors(observations)
        self.prior_precision = np.linalg.inv(prior.covariance)

    def looks(self, state: SharedState, slack: float = 0.0) -> Looks:
        """All classes in a ``state``; ``slack`` is a relative doubt that widens them at the start of a search.

        Tissues that are not the brain's look as they would at the first guess of the gains, give or take :data:`_DOUBT_OF_OTHERS`: what is
        known of them is too little to say anything about the gains.
        """
        seen = state.level.adapt(self.observations)
        rows, inputs = self.rows, len(seen)
        means, covariances = self._others.means.copy(), self._others.covariances.copy()
        by_means = np.zeros((*means.shape, len(rows), inputs))
        diagonal = np.arange(inputs)
        means[rows] = state.means
        covariances[rows] = state.covariances
        for b, row in enumerate(rows):
            by_means[row, diagonal, b, diagonal] = 1.0
        signed = self._others_signed.copy()
        sign = np.where(np.signbit(self._signed(state.level, seen)), -1.0, 1.0)
        signed[rows] = np.where([o.protocol.sequence.signed for o in seen], state.means, sign * np.abs(state.means))
        brain = {row: b for b, row in enumerate(rows)}
        slopes = put_mixtures(self.classes, means, covariances, signed, seen)
        for k, (mixture, slope) in enumerate(zip(self.classes.mixtures, slopes, strict=True), start=self.classes.pure):
            for row, share in ((mixture.first, mixture.share), (mixture.second, 1.0 - mixture.share)):
                if row in brain:
                    by_means[k, diagonal, brain[row], diagonal] = slope * share * sign[brain[row]]
        covariances += (slack * means)[..., None] ** 2 * np.eye(inputs)
        return Looks(means, covariances, by_means)

    @cached_property
    def _others(self) -> ClassSignals:
        """All classes at the literature's values and the first guess of the gains."""
        return class_signals(self.classes, self.prior.adapt(self.observations), self._gains_of_others, _DOUBT_OF_OTHERS)

    @cached_property
    def _others_signed(self) -> np.ndarray:
        seen = self.prior.adapt(self.observations)
        pairs = zip(seen, self._gains_of_others, strict=True)
        return np.stack([signed_signal(o, self.classes.means.T, gains) for o, gains in pairs], axis=1)

    @property
    def _gains_of_others(self) -> np.ndarray:
        """Gains (n, K) at the first guess, with what magnetization transfer leaves of each class's signal."""
        kept = self.prior.kept_by_bound_pool(self.observations, self.classes.names)
        return np.exp(self.prior.log_gains)[:, None] * kept.T

    @staticmethod
    def _signed(level: TissueLevel, seen: Sequence[Observation]) -> np.ndarray:
        """Signals (B, n) of the brain's tissues with their signs."""
        return np.stack([signed_signal(o, level.theta.T, np.asarray(1.0)) for o in seen], axis=1)

    def fields(self, coefficients: np.ndarray) -> Array:
        """Logarithm of the receive fields at the voxels, (n, N)."""
        return like(coefficients, self.terms) @ self.terms

    def expected_spread(self, level: TissueLevel) -> np.ndarray:
        """Ψ (B, n, n)."""
        own, rest = self.spread_parts(level)
        return own + rest

    def spread_parts(self, level: TissueLevel) -> tuple[np.ndarray, np.ndarray]:
        """Ψ in two parts (B, n, n): the tissue's own spread, and that of the noise and the equations."""
        seen = [replace(o, model_error=MODEL_ERROR) for o in level.adapt(self.observations)]
        gains = np.exp(level.log_gains)[:, None] * level.kept_by_bound_pool(seen).T
        signals = tissue_signals(level.theta, self.classes.covariances[self.rows], seen, gains)
        return signals.spreads, signals.covariances - signals.spreads

    def equation_errors(self, means: np.ndarray, predicted: np.ndarray) -> EquationErrors:
        """Of the brain's tissues at these ``means`` and ``predicted`` means, both (B, n)."""
        return EquationErrors.of(means, predicted, self.shares, self.expected_errors)

    def penalty(self, state: SharedState) -> float:
        """All of J but the voxels."""
        errors = self.equation_errors(state.means, predicted_means(state.level, self.observations))
        away = state.level.vector - self.prior.vector
        ratio = self.expected_spread(state.level) @ np.linalg.inv(state.covariances)
        spread = np.trace(ratio, axis1=1, axis2=2) - np.linalg.slogdet(ratio)[1]
        smooth = ((state.coefficients / self.basis.prior_sd) ** 2).sum()
        shares = SHARE_STRENGTH * (state.log_shares - np.logaddexp.reduce(state.log_shares)).sum()
        return float(shares + errors.log_density - 0.5 * (away @ self.prior_precision @ away + SPREAD_STRENGTH * spread.sum() + smooth))

    def evaluate_if_valid(self, state: SharedState, value: float) -> tuple[Statistics, Looks] | None:
        """:meth:`evaluate` where J is above ``value``, else None; also where a stride led to what are no covariances."""
        magnitudes = state.means[:, [not o.protocol.sequence.signed for o in self.observations]]
        if (np.linalg.eigvalsh(state.covariances) <= 0.0).any() or (magnitudes <= 0.0).any():
            return None
        found = self.evaluate(state)
        return found if found[0].value > value else None

    def evaluate(self, state: SharedState, slack: float = 0.0, curvature: bool = False) -> tuple[Statistics, Looks]:
        """J and what its climb needs; with ``curvature`` that of the fields too, (n, terms, terms)."""
        looks = self.looks(state, slack)
        logs = self.fields(state.coefficients)
        xp = namespace(logs)
        flat = self.signal * xp.exp(-logs)
        kinds, inputs = looks.means.shape
        pull, weight = np.zeros((kinds, inputs)), np.zeros((kinds, inputs, inputs))
        found, scatter = np.zeros(kinds), np.zeros((len(self.rows), inputs, inputs))
        slope, curved = xp.zeros_like(logs), xp.zeros_like(logs)
        likelihood = 0.0
        often = np.exp(state.log_shares)
        norm = like(often, logs) @ self.weights  # what the classes' probabilities are to be divided by
        for seen, where in self.patterns:
            part = _Part.of(looks, flat[seen][:, where], self.log_weights[:, where], state.log_shares, seen, self.rows)
            likelihood += part.likelihood - float(total(logs[seen][:, where]).sum())
            weight[:, seen[:, None], seen] += part.weight
            pull[:, seen] += part.pull
            found += part.found
            scatter += part.scatter_of_all(looks, seen, self.rows)
            for row, own, bent in zip(seen, part.field_slope, part.field_curvature, strict=True):
                slope[row, where], curved[row, where] = own, bent
        likelihood -= float(total(xp.log(norm) * self.seen))
        expected = often * on_host(self.weights @ (self.seen / norm))
        w = self.voxel_weight
        gradient = on_host(slope @ self.terms.T).astype(float) * w
        hessian = None
        if curvature:
            hessian = np.stack([on_host((self.terms * (row * w)) @ self.terms.T).astype(float) for row in curved])
        value = w * likelihood + self.penalty(state)
        count = found[self.rows]
        return Statistics(value, w * pull, w * weight, w * count, w * scatter, gradient, w * found, w * expected, hessian), looks


@dataclass(frozen=True)
class _Part:
    """Sums over the voxels that the same inputs cover."""

    likelihood: float
    pull: np.ndarray
    weight: np.ndarray
    found: np.ndarray
    scatter: np.ndarray
    field_slope: Array
    field_curvature: Array

    @classmethod
    def of(cls, looks: Looks, flat: Array, log_weights: Array, log_shares: np.ndarray, seen: np.ndarray, rows: np.ndarray) -> _Part:
        means = looks.means[:, seen]
        inverse = np.linalg.inv(looks.covariances[:, seen[:, None], seen])
        kinds, inputs = means.shape
        near, found, likelihood = _responsibilities(means, inverse, flat, log_weights, log_shares, rows)
        counts = total(found)
        for row, closeness in zip(rows, near, strict=True):
            found[row] *= closeness
        weighed = total(found)
        pull = np.einsum("kij,kj->ki", inverse, on_host(found @ flat.T).astype(float) - weighed[:, None] * means)
        scatter = np.empty((len(rows), inputs, inputs))
        for b, row in enumerate(rows):
            away = flat - like(means[row][:, None], flat)
            scatter[b] = on_host((away * found[row]) @ away.T)
        precise = np.concatenate([inverse.reshape(kinds, -1), np.einsum("kij,kj->ki", inverse, means)], axis=1)
        summed = like(precise.T, found) @ found
        precision, pulled = summed[: inputs * inputs].reshape(inputs, inputs, -1), summed[inputs * inputs :]
        slope = flat * ((precision * flat).sum(axis=1) - pulled) - 1.0
        curvature = flat**2 * precision[np.arange(inputs), np.arange(inputs)] + 1.0
        return cls(likelihood, pull, weighed[:, None, None] * inverse, counts, scatter, slope, curvature)

    def scatter_of_all(self, looks: Looks, seen: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Scatter about the tissues' means (B, n, n) with what is expected of the inputs that do not cover these voxels."""
        covariances = looks.covariances[rows]
        inputs = covariances.shape[1]
        if len(seen) == inputs:
            return self.scatter
        regression = covariances[:, :, seen] @ np.linalg.inv(covariances[:, seen[:, None], seen])
        known = regression @ self.scatter @ regression.transpose(0, 2, 1)
        left = covariances - regression @ covariances[:, seen, :]
        return known + self.found[rows][:, None, None] * left


def _responsibilities(
    means: np.ndarray, inverse: np.ndarray, flat: Array, log_weights: Array, log_shares: np.ndarray, rows: np.ndarray
) -> tuple[Array, Array, float]:
    """Weights by distance of the brain's tissues (B, N), probabilities (K, N), and the log likelihood."""
    xp, inputs = namespace(flat), means.shape[1]
    found = squared_distances(means, inverse, flat)
    near = (TAIL + inputs) / (TAIL + found[rows])
    found *= -0.5
    constants = 0.5 * np.linalg.slogdet(inverse)[1] + log_shares
    constants[rows] += _tail_constant(inputs)
    for row, closeness in zip(rows, near, strict=True):
        found[row] = (0.5 * (TAIL + inputs)) * xp.log(closeness)
    found += like(constants[:, None], flat)
    found += log_weights
    top = xp.amax(found, 0)
    found = xp.exp(found - top)
    norm = found.sum(axis=0)
    found /= norm
    return near, found, float(total(top) + total(xp.log(norm)))


def _tail_constant(inputs: int) -> float:
    """What makes the t distribution's density comparable with a Gaussian's that leaves (2π)^(−n/2) out."""
    ratio = lgamma(0.5 * (TAIL + inputs)) - lgamma(0.5 * TAIL) - 0.5 * inputs * np.log(0.5 * TAIL)
    return float(ratio - 0.5 * (TAIL + inputs) * np.log((TAIL + inputs) / TAIL))
