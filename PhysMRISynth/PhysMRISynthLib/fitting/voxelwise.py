"""The voxelwise maximum-a-posteriori fit: Levenberg–Marquardt on θ = (log PD, log T1, log T2), all voxels at once.

Symmetric 3×3 matrices are held as six rows in the order 00, 01, 02, 11, 12, 22, each over N voxels. Arrays may be NumPy's or torch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from ..physics.arrays import Array, columns, like, namespace, put_columns
from ..physics.dual import sqrt
from ..physics.protocol import Rates
from .observation import Observation

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_DIAGONAL = (0, 3, 5)
LOWEST = np.log(np.array([5e-4, 50.0, 5.0], dtype=np.float32))[:, None]
HIGHEST = np.log(np.array([1.6, 8000.0, 4000.0], dtype=np.float32))[:, None]
"""θ is kept where the equations make sense: PD 0.05 to 160 % of water, T1 50 to 8000 ms, T2 5 to 4000 ms."""
_SETTLED = 1e-4
"""Log units: a voxel whose step is shorter has arrived, to a hundredth of its SD."""
_FREE = 1.0
"""With more damping than this a step is short because it is damped."""
_CROWDED = 0.7
"""When fewer of the voxels than this are still on their way, they go on alone."""


def invert_symmetric(m: Array) -> Array:
    """Inverse of N symmetric positive definite 3×3 matrices, shape (6, N)."""
    a, b, c, d, e, f = m
    first, second, third = d * f - e * e, c * e - b * f, b * e - c * d
    tiny = float(np.finfo(np.float32 if m.itemsize == 4 else float).tiny)
    scale = 1.0 / (a * first + b * second + c * third).clip(min=tiny)
    return namespace(m).stack([first, second, third, a * f - c * c, b * c - a * e, a * d - b * b]) * scale


def multiply_symmetric(m: Array, v: Array) -> Array:
    """N products of a symmetric matrix (6, N) with a vector (3, N)."""
    a, b, c, d, e, f = m
    x, y, z = v
    return namespace(m).stack([a * x + b * y + c * z, b * x + d * y + e * z, c * x + e * y + f * z])


def fit_voxels(
    observations: Sequence[Observation],
    gains: Sequence[Array],
    prior_mean: Array,
    prior_precision: Array,
    iterations: int = 8,
    offsets: Sequence[Array] | None = None,
    start: Array | None = None,
) -> tuple[Array, Array]:
    """Maximum a posteriori θ (3, N) and its covariance (6, N), both float32.

    ``gains`` holds each input's gain times receive field at the voxels, (N,); ``prior_mean`` (3, N) and ``prior_precision`` (6, N)
    are the Gaussian prior of each voxel; ``offsets`` (N,) are signed signals that each input shows besides; ``start`` (3, N) is where the
    search begins (None: at the prior). Steps that do not lower the cost are undone and damped (Marquardt).
    """
    problem = _Problem(observations, gains, offsets or [None] * len(observations), prior_mean, prior_precision)
    theta = problem.bounded(prior_mean if start is None else start)
    cost, gradient, hessian = problem.linearised(theta)
    damping = namespace(cost).full_like(cost, 1e-2)
    found = _descended(problem, _Search(theta, cost, gradient, hessian, damping, damping > 0.0), iterations)
    return found.theta, invert_symmetric(found.hessian)


@dataclass(frozen=True)
class _Search:
    """Where the voxels are: θ (3, N), what the problem is there, their ``damping``, and which are still ``going`` (N,)."""

    theta: Array
    cost: Array
    gradient: Array
    hessian: Array
    damping: Array
    going: Array

    def at(self, voxels: Array) -> _Search:
        """Some of the voxels."""
        return _Search(*(columns(getattr(self, field.name), voxels) for field in fields(self)))

    def stepped(self, problem: _Problem) -> _Search:
        """After one step; one that does not lower a voxel's cost is undone, and its next one is damped."""
        xp = namespace(self.theta)
        damped = self.hessian * 1.0
        for row in _DIAGONAL:
            damped[row] *= 1.0 + self.damping
        step = xp.clip(multiply_symmetric(invert_symmetric(damped), self.gradient), -1.0, 1.0)
        theta = problem.bounded(self.theta - step)
        cost, gradient, hessian = problem.linearised(theta)
        better = (cost <= self.cost) & self.going
        return _Search(
            xp.where(better, theta, self.theta),
            xp.where(better, cost, self.cost),
            xp.where(better, gradient, self.gradient),
            xp.where(better, hessian, self.hessian),
            xp.where(better, self.damping * 0.2, (self.damping * 8.0).clip(max=1e6)),
            self.going & ((xp.amax(abs(theta - self.theta), 0) > _SETTLED) | (self.damping > _FREE)),
        )


def _descended(problem: _Problem, search: _Search, steps: int) -> _Search:
    """After at most so many steps. When few voxels are still going, these go on alone."""
    for left in reversed(range(steps)):
        search = search.stepped(problem)
        if int(search.going.sum()) < _CROWDED * len(search.going):
            kept = namespace(search.going).argwhere(search.going)[:, 0]
            farther = _descended(problem.at(kept), search.at(kept), left)
            put_columns(search.theta, kept, farther.theta)
            put_columns(search.hessian, kept, farther.hessian)
            break
    return search


class _Problem:
    """What is minimised: half the squared misfit of the inputs plus the prior's."""

    def __init__(
        self, observations: Sequence[Observation], gains: Sequence[Array], offsets: Sequence[Array | None], prior_mean: Array,
        prior_precision: Array,
    ) -> None:  # fmt: skip
        self._inputs = list(zip(observations, gains, offsets, [o.weight for o in observations], strict=True))
        self._mean, self._precision = prior_mean, prior_precision

    def at(self, voxels: Array) -> _Problem:
        """The problem of some of the voxels."""
        observations, gains, offsets, _ = zip(*self._inputs, strict=True)
        return _Problem(
            [o.at(voxels) for o in observations], [g[voxels] for g in gains], [None if o is None else o[voxels] for o in offsets],
            columns(self._mean, voxels), columns(self._precision, voxels),
        )  # fmt: skip

    def bounded(self, theta: Array) -> Array:
        """θ (3, N) within what the equations are for."""
        return namespace(theta).clip(theta, like(LOWEST, theta), like(HIGHEST, theta))

    def linearised(self, theta: Array) -> tuple[Array, Array, Array]:
        """The cost (N,) at θ (3, N), its gradient (3, N), and the Gauss–Newton Hessian (6, N)."""
        away = theta - self._mean
        gradient = multiply_symmetric(self._precision, away)
        cost = 0.5 * (away * gradient).sum(axis=0)
        hessian = self._precision * 1.0
        rates = Rates.of(theta)
        for observation, gain, offset, weight in self._inputs:
            predicted, slopes = predict(observation, rates, gain, offset)
            residual = predicted - observation.signal
            weighted = weight * residual
            cost += 0.5 * weighted * residual
            heavy = [None if slope is None else weight * slope for slope in slopes]
            for i, slope in enumerate(slopes):
                if slope is not None:
                    gradient[i] += weighted * slope
            for row, (i, j) in enumerate(_PAIRS):
                first, second = heavy[i], slopes[j]
                if first is not None and second is not None:
                    hessian[row] += first * second
        return cost, gradient, hessian


def signed_signal(observation: Observation, theta: Array, gain: Array) -> Array:
    """Expected signal (N,) of an input at θ (3, N) with its sign, before a magnitude is taken."""
    return observation.protocol.signal_and_derivatives(theta)[0] * _scale(observation, gain)


def _scale(observation: Observation, gain: Array) -> Array:
    """What the equation's signal is multiplied by: ratio images have no gain."""
    return gain if observation.protocol.sequence.uses_pd else 1.0


def predict(
    observation: Observation, theta: Array | Rates, gain: Array, offset: Array | None = None
) -> tuple[Array, tuple[Array | None, ...]]:
    """Expected signal of an input at θ (3, N), or at the rates of it where several inputs share these, with the signed ``offset`` that
    another compartment adds to it, and its derivatives; a magnitude image's noise floor included."""
    signal, slopes = observation.protocol.signal_and_derivatives(theta)
    scale = _scale(observation, gain)
    signal = signal * scale
    if offset is not None and observation.protocol.sequence.uses_pd:
        signal = signal + offset
    if observation.protocol.sequence.signed:
        return signal, tuple(None if s is None else s * scale for s in slopes)
    magnitude = sqrt(signal * signal + float(observation.noise) ** 2)
    turn = signal / magnitude * scale
    return magnitude, tuple(None if s is None else s * turn for s in slopes)
