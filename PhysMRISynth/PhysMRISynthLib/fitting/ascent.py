"""The climb of the head level's objective: steps that are checked, so that J never falls, until it gains next to nothing.

A step is one of expectation and maximisation for the tissues' means, their prediction and their spread (Gauss–Newton where the equations
are not linear), with a Newton step of the receive fields. Where J would fall the step is halved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .objective import SHARE_STRENGTH, SPREAD_STRENGTH, Looks, Objective, SharedState, Statistics
from .tissue_level import predicted_means, predicted_slopes

TOLERANCE = 0.005
"""A climb ends when a step gains less than this in J (log probability)."""
_SHORTEST_STRIDE = 0.03
_FIRST_WITH_FIELDS = 4
"""While classes are wide, a field would take the contrast between the brain's surface and its middle."""
_GROWTH, _LONGEST_STRIDE = 1.5, 6.0
"""Steps of expectation and maximisation are short: as long as J rises they become longer."""
_PARTS = (("level", "means"), ("covariances", "log_shares"), ("coefficients",))
"""What of a state moves together where the whole does not."""
_LONGEST = 0.3
"""Log units: no tissue value or gain moves farther in one step."""


@dataclass(frozen=True)
class Climb:
    """Where a climb ended: the ``state``, the last ``statistics``, J of every step (``values``), and the ``curvature`` of J in (means,
    unknowns of the level). ``of_boundary`` is the log-likelihood there of voxels that the climb did not see."""

    state: SharedState
    statistics: Statistics
    values: tuple[float, ...]
    curvature: np.ndarray
    of_boundary: float = 0.0

    @property
    def value(self) -> float:
        """J."""
        return self.values[-1]

    @property
    def evidence(self) -> float:
        """J with the volume of the peak (Laplace) and the boundary's voxels: what speaks for this peak against another."""
        return self.value - 0.5 * float(np.linalg.slogdet(self.curvature)[1]) + self.of_boundary


def warm_up(objective: Objective, state: SharedState, slacks: Sequence[float]) -> SharedState:
    """From a guess towards a peak: plain steps with classes widened by the relative doubts ``slacks``, so that none captures all."""
    for number, slack in enumerate(slacks):
        with_fields = number >= _FIRST_WITH_FIELDS
        statistics, looks = objective.evaluate(state, slack, curvature=with_fields)
        inverse = _inverse_field_curvature(objective, statistics) if with_fields else None
        state, _ = _proposal(objective, state, statistics, looks, inverse)
    return state


def climb(objective: Objective, state: SharedState, steps: int, tolerance: float = TOLERANCE) -> Climb:
    """From ``state`` upwards until a step gains less than ``tolerance``, at most ``steps`` steps."""
    statistics, looks = objective.evaluate(state, curvature=True)
    inverse = _inverse_field_curvature(objective, statistics)
    values, stride, curvature = [statistics.value], 1.0, np.eye(0)
    for _ in range(steps):
        proposal, curvature = _proposal(objective, state, statistics, looks, inverse)
        better, stride = _risen(objective, state, proposal, values[-1], stride)
        if better is None:
            better, stride = _risen_in_parts(objective, state, proposal, values[-1]), 1.0
        if better is None:
            break
        state, statistics, looks = better
        values.append(statistics.value)
        if values[-1] - values[-2] < tolerance:
            break
    return Climb(state, statistics, tuple(values), curvature)


def _risen(
    objective: Objective, state: SharedState, proposal: SharedState, value: float, stride: float
) -> tuple[tuple[SharedState, Statistics, Looks] | None, float]:
    """The state as far along the way to ``proposal`` as J rises, with what was found there (None: nowhere), and the next stride."""
    while stride > _SHORTEST_STRIDE:
        moved = _between(state, proposal, stride)
        found = objective.evaluate_if_valid(moved, value)
        if found is not None:
            return (moved, *found), min(stride * _GROWTH, _LONGEST_STRIDE)
        stride = min(1.0, 0.5 * stride)
    return None, stride


def _risen_in_parts(
    objective: Objective, state: SharedState, proposal: SharedState, value: float
) -> tuple[SharedState, Statistics, Looks] | None:
    """One part of the proposal after the other, for where the whole of it goes astray: a boundary's class follows its tissues, which no
    part alone knows. None is left out: one may gain next to nothing, and the climb would end before another's turn."""
    found = None
    for names in _PARTS:
        part = replace(state, **{name: getattr(proposal, name) for name in names})
        better, _ = _risen(objective, state, part, value, 1.0)
        if better is not None:
            found, state, value = better, better[0], better[1].value
    return found


def _between(state: SharedState, proposal: SharedState, share: float) -> SharedState:
    def mixed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return a + share * (b - a)

    level = state.level.at(mixed(state.level.vector, proposal.level.vector))
    return SharedState(
        replace(level, equation_errors=proposal.level.equation_errors),
        mixed(state.means, proposal.means),
        mixed(state.covariances, proposal.covariances),
        mixed(state.coefficients, proposal.coefficients),
        mixed(state.log_shares, proposal.log_shares),
    )


def _inverse_field_curvature(objective: Objective, statistics: Statistics) -> np.ndarray:
    assert statistics.field_curvature is not None
    return np.linalg.inv(statistics.field_curvature + np.diag(1.0 / objective.basis.prior_sd**2))


def _proposal(
    objective: Objective, state: SharedState, statistics: Statistics, looks: Looks, inverse: np.ndarray | None
) -> tuple[SharedState, np.ndarray]:
    """The state after one full step, and the curvature of J in (means, level)."""
    step, curvature = _shared_step(objective, state, statistics, looks)
    size = state.means.size
    means = state.means + step[:size].reshape(state.means.shape)
    moved = np.clip(step[size:], -_LONGEST, _LONGEST)
    level = state.level.at(state.level.vector + moved)
    predicted = predicted_means(level, objective.observations)
    level = replace(level, equation_errors=objective.equation_errors(means, predicted).sd)
    coefficients = state.coefficients.copy()
    if inverse is not None:
        slope = statistics.field_slope - coefficients / objective.basis.prior_sd**2
        coefficients += np.einsum("ijk,ik->ij", inverse, slope) * objective.fielded[:, None]
    covariances = _spread(objective, state, statistics, looks, means)
    return SharedState(level, means, covariances, coefficients, _log_shares(state, statistics)), curvature


def _log_shares(state: SharedState, statistics: Statistics) -> np.ndarray:
    """How often each class occurs: as the images have it over what the present shares expect (Ashburner & Friston, NeuroImage 26:839,
    2005), with a few voxels of every class given beforehand."""
    relative = np.exp(state.log_shares - np.logaddexp.reduce(state.log_shares))
    given = SHARE_STRENGTH * len(relative)
    logs = state.log_shares + np.log((statistics.found + SHARE_STRENGTH) / (statistics.expected + given * relative))
    return logs - logs.max()


def _spread(objective: Objective, state: SharedState, statistics: Statistics, looks: Looks, means: np.ndarray) -> np.ndarray:
    """The tissues' covariances that maximise the expected J at their new ``means``."""
    pull, weight = statistics.pull[objective.rows], statistics.weight[objective.rows]
    moved = means - state.means
    widths = looks.covariances[objective.rows]
    leaning = np.einsum("bij,bj->bi", widths, pull)
    weighed = np.einsum("bij,bji->b", weight, widths) / means.shape[1]
    cross = leaning[:, :, None] * moved[:, None, :]
    scatter = statistics.scatter - cross - cross.transpose(0, 2, 1) + weighed[:, None, None] * moved[:, :, None] * moved[:, None, :]
    return (scatter + SPREAD_STRENGTH * objective.expected_spread(state.level)) / (statistics.count + SPREAD_STRENGTH)[:, None, None]


def _shared_step(objective: Objective, state: SharedState, statistics: Statistics, looks: Looks) -> tuple[np.ndarray, np.ndarray]:
    """A Gauss–Newton step of the means and the level together, and the curvature it was taken with."""
    level = state.level
    means, unknowns = state.means.size, level.vector.size
    by_means = looks.by_means.reshape(*looks.means.shape, means)
    gradient, curvature = np.zeros(means + unknowns), np.zeros((means + unknowns, means + unknowns))
    gradient[:means] = np.einsum("kip,ki->p", by_means, statistics.pull)
    curvature[:means, :means] = np.einsum("kip,kij,kjq->pq", by_means, statistics.weight, by_means, optimize=True)
    predicted, slopes = predicted_slopes(level, objective.observations)
    errors = objective.equation_errors(state.means, predicted)
    precision = errors.precision.ravel()
    by_error = np.concatenate([np.eye(means), -slopes.reshape(means, unknowns)], axis=1)
    gradient -= by_error.T @ (precision * (state.means - predicted).ravel())
    curvature += (by_error.T * precision) @ by_error
    gradient[means:] -= objective.prior_precision @ (level.vector - objective.prior.vector)
    curvature[means:, means:] += objective.prior_precision
    return np.linalg.solve(curvature, gradient), curvature
