"""The voxelwise maximum-a-posteriori fit: Levenberg–Marquardt on θ = (log PD, log T1, log T2), all voxels at once.

Symmetric 3×3 matrices are held as six rows in the order 00, 01, 02, 11, 12, 22, each over N voxels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .observation import Observation

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
LOWEST = np.log(np.array([5e-4, 50.0, 5.0], dtype=np.float32))[:, None]
HIGHEST = np.log(np.array([1.6, 8000.0, 4000.0], dtype=np.float32))[:, None]
"""θ is kept where the equations make sense: PD 0.05 to 160 % of water, T1 50 to 8000 ms, T2 5 to 4000 ms."""


def invert_symmetric(m: np.ndarray) -> np.ndarray:
    """Inverse of N symmetric positive definite 3×3 matrices, shape (6, N)."""
    a, b, c, d, e, f = m
    inverse = np.stack([d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b])
    determinant = a * inverse[0] + b * inverse[1] + c * inverse[2]
    inverse /= np.maximum(determinant, np.finfo(m.dtype).tiny)
    return inverse


def multiply_symmetric(m: np.ndarray, v: np.ndarray) -> np.ndarray:
    """N products of a symmetric matrix (6, N) with a vector (3, N)."""
    a, b, c, d, e, f = m
    x, y, z = v
    return np.stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z])


def fit_voxels(
    observations: Sequence[Observation],
    gains: Sequence[np.ndarray],
    prior_mean: np.ndarray,
    prior_precision: np.ndarray,
    iterations: int = 8,
    offsets: Sequence[np.ndarray] | None = None,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum a posteriori θ (3, N) and its covariance (6, N), both float32.

    ``gains`` holds each input's gain times receive field at the voxels, (N,); ``prior_mean`` (3, N) and ``prior_precision`` (6, N)
    are the Gaussian prior of each voxel; ``offsets`` (N,) are signed signals that each input shows besides; ``start`` (3, N) is where the
    search begins (None: at the prior). Steps that do not lower the cost are undone and damped (Marquardt).
    """
    theta = np.clip(prior_mean if start is None else start, LOWEST, HIGHEST).astype(np.float32)
    weights = [o.weight for o in observations]
    beside: Sequence[np.ndarray | None] = [None] * len(observations) if offsets is None else offsets
    cost, gradient, hessian = _linearise(theta, observations, gains, beside, weights, prior_mean, prior_precision)
    damping = np.full(theta.shape[1], 1e-2, dtype=np.float32)
    for _ in range(iterations):
        damped = hessian.copy()
        damped[[0, 3, 5]] *= 1.0 + damping
        step = np.clip(multiply_symmetric(invert_symmetric(damped), gradient), -1.0, 1.0)
        trial = np.clip(theta - step, LOWEST, HIGHEST)
        new_cost, new_gradient, new_hessian = _linearise(trial, observations, gains, beside, weights, prior_mean, prior_precision)
        better = new_cost <= cost
        damping = np.where(better, damping * 0.2, np.minimum(damping * 8.0, 1e6))
        theta = np.where(better, trial, theta)
        cost = np.where(better, new_cost, cost)
        gradient = np.where(better, new_gradient, gradient)
        hessian = np.where(better, new_hessian, hessian)
    return theta, invert_symmetric(hessian)


def _linearise(
    theta: np.ndarray,
    observations: Sequence[Observation],
    gains: Sequence[np.ndarray],
    offsets: Sequence[np.ndarray | None],
    weights: Sequence[np.ndarray],
    prior_mean: np.ndarray,
    prior_precision: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half the squared misfit plus the prior's, its gradient (3, N), and the Gauss–Newton Hessian (6, N)."""
    away = theta - prior_mean
    gradient = multiply_symmetric(prior_precision, away)
    cost = 0.5 * (away * gradient).sum(axis=0)
    hessian = prior_precision.copy()
    for observation, gain, offset, weight in zip(observations, gains, offsets, weights, strict=True):
        predicted, slopes = predict(observation, theta, gain, offset)
        residual = predicted - observation.signal
        weighted = weight * residual
        cost += 0.5 * weighted * residual
        for i, slope in enumerate(slopes):
            if slope is not None:
                gradient[i] += weighted * slope
        for row, (i, j) in enumerate(_PAIRS):
            first, second = slopes[i], slopes[j]
            if first is not None and second is not None:
                hessian[row] += weight * first * second
    return cost, gradient, hessian


def signed_signal(observation: Observation, theta: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Expected signal (N,) of an input at θ (3, N) with its sign, before a magnitude is taken."""
    return observation.protocol.signal_and_derivatives(theta)[0] * _scale(observation, gain)


def _scale(observation: Observation, gain: np.ndarray) -> np.ndarray | np.float32:
    """What the equation's signal is multiplied by: ratio images have no gain."""
    return gain if observation.protocol.sequence.uses_pd else np.float32(1.0)


def predict(
    observation: Observation, theta: np.ndarray, gain: np.ndarray, offset: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[np.ndarray | None, ...]]:
    """Expected signal of an input at θ (3, N), with the signed ``offset`` that another compartment adds to it, and its derivatives; a
    magnitude image's noise floor included."""
    signal, slopes = observation.protocol.signal_and_derivatives(theta)
    scale = _scale(observation, gain)
    signal = signal * scale
    if offset is not None and observation.protocol.sequence.uses_pd:
        signal = signal + offset
    if observation.protocol.sequence.signed:
        return signal, tuple(None if s is None else s * scale for s in slopes)
    magnitude = np.sqrt(signal * signal + np.float32(observation.noise**2))
    turn = signal / magnitude * scale
    return magnitude, tuple(None if s is None else s * turn for s in slopes)
