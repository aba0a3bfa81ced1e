"""The head level: gains, receive fields, echo times in doubt, and this head's own tissue values, fitted together.

:mod:`.objective` states what is maximised and :mod:`.ascent` climbs it. Here several climbs start from different guesses, since a magnitude
image near a null has two explanations; those that end on different sides of it are averaged by their evidence, in which voxels of tissue
and fluid have a say (:mod:`.boundary`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..physics.arrays import Array, Move, like, stay
from ..physics.dual import exp
from .ascent import Climb, climb, warm_up
from .boundary import Boundary
from .fields import PolynomialBasis
from .mixture import ClassSignals, TissueClasses, literature_classes
from .objective import TAIL, Objective, SharedState
from .observation import MODEL_ERROR, Observation
from .tissue_level import LARGEST_EQUATION_ERROR, TissueLevel, brain_rows, fluid_row, literature_level, predicted_means
from .uncertainty import level_uncertainty

FIELD_DEGREE = 6
_SLACKS = (0.3, 0.22, 0.16, 0.12, 0.085, 0.06, 0.045, 0.03, 0.02, 0.01)
"""Relative doubt about gains and fields in the first steps: classes are wide first, so that none captures all."""
_STARTS = ((1.0, -0.06), (1.0, 0.06), (1.0, 0.15), (0.4, 0.06))
"""Factor of the doubts, and shift of the fluid's log T1 from the literature's: fluid near a null may begin on either side of it."""
_SEARCH_VOXELS, _VOXELS = 6_000, 24_000
_SEARCH_STEPS, _STEPS = 25, 300
"""Most climbs take ten; where fluid and the boundary with cortex are hard to tell apart, J rises slowly for a hundred steps."""
_SAME_PLACE = 0.01
"""Log T1 of fluid: climbs that end closer are the same peak."""
_NEGLIGIBLE_EVIDENCE = 5.0
_NEGLIGIBLE_IN_SEARCH = 40.0
"""A search may end early and sees a part of the voxels: what it finds to be so much worse is not climbed again."""
_LARGEST_CORRECTION = 0.2
_LEAST_SPREAD = 0.1
_SPREAD_STEPS = 20


@dataclass(frozen=True)
class HeadModel:
    """Everything that the voxels of one head share: ``coefficients`` (n, terms) of each input's log receive field on ``basis``, the
    ``level`` of gains, nuisances and tissue values, the ``classes`` at those values with their uncertainty, their ``looks`` at unit field,
    and the log ``corrections`` (K, n) of the equations for each class.

    ``equation_error`` is how many times worse than expected the equations explain the tissues, in the worst input (1: as well as
    expected). ``values`` are the objective's along the last climb."""

    basis: PolynomialBasis
    coefficients: np.ndarray
    level: TissueLevel
    classes: TissueClasses
    field_strength: float
    looks: ClassSignals
    corrections: np.ndarray
    equation_error: float
    values: tuple[float, ...]

    @property
    def gains(self) -> np.ndarray:
        """Gain of each input (n,): its signal per unit of the equation."""
        return np.exp(self.level.log_gains)

    @property
    def fluid(self) -> tuple[float, float, float]:
        """PD (fraction of water), T1 and T2 (ms) of this head's cerebrospinal fluid."""
        pd, t1, t2 = np.exp(self.level.theta[fluid_row()]).tolist()
        return pd, t1, t2

    def fields(self, terms: np.ndarray) -> list[np.ndarray]:
        """Receive field of each input (n arrays of N voxels) from the basis evaluated there (N, terms); about 1 over the brain."""
        return [np.exp(terms @ c.astype(np.float32)) for c in self.coefficients]

    def adapted(self, observations: Sequence[Observation]) -> list[Observation]:
        """The inputs with fitted echo times where those were in doubt, and the equations trusted as far as the head bears them out."""
        return _adapted(self.level, observations)

    def corrected(self, assigned: Array) -> Array:
        """What the equations are multiplied by (n, N) in voxels of these class probabilities (K, N), so that a voxel with a tissue's mean
        signals gets that tissue's values."""
        return exp(like(self.corrections.T, assigned) @ assigned)


def fit_head(
    observations: Sequence[Observation],
    positions: np.ndarray,
    atlas: np.ndarray,
    field_strength: float,
    doubtful_echo_times: Mapping[str, float] | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
    move: Move = stay,
    boundary: Boundary | None = None,
) -> HeadModel:
    """Fit the head level on a sample of N voxels of the brain, as far as can be had of one tissue each.

    ``positions`` (N, 3) mm; ``atlas`` (tissues, N) tissue fractions expected there; ``doubtful_echo_times`` maps the names of
    inputs whose effective echo time is a nuisance to its conventional value in ms. ``progress`` is told the fraction done; ``move`` brings
    voxels to where they are computed with; ``boundary`` are voxels of tissue and fluid, which decide between peaks.
    """
    classes = literature_classes(field_strength)
    weights = classes.weights(atlas)
    basis = PolynomialBasis.around(positions, FIELD_DEGREE)
    terms = basis.evaluate(positions)
    centre = terms.mean(axis=0)
    terms -= centre
    prior = literature_level(np.zeros(len(observations)), observations, dict(doubtful_echo_times or {}), field_strength)
    prior = replace(prior, log_gains=_first_log_gains(prior, observations, classes, weights))

    def objective(count: int) -> Objective:
        every = slice(None, None, max(1, len(terms) // count))
        return Objective([o.at(every) for o in observations], basis, terms[every], weights[:, every], classes, prior, len(terms), move)

    few, all_of_them = objective(_SEARCH_VOXELS), objective(_VOXELS)
    found = []
    for number, (doubt, shift) in enumerate(_STARTS):
        start = _start(few, prior, shift)
        found.append(climb(few, warm_up(few, start, [doubt * slack for slack in _SLACKS]), _SEARCH_STEPS))
        progress(0.6 * (number + 1) / len(_STARTS))
    peaks = [climb(all_of_them, peak.state, _STEPS) for peak in _distinct(found, _NEGLIGIBLE_IN_SEARCH)]
    if boundary is not None and len(peaks) > 1:
        peaks = [replace(peak, of_boundary=boundary.evidence(peak.state, classes, basis, centre)) for peak in peaks]
    progress(0.95)
    model = _model(all_of_them, _distinct(peaks, _NEGLIGIBLE_EVIDENCE), centre, field_strength)
    progress(1.0)
    return model


def _start(objective: Objective, prior: TissueLevel, shift: float) -> SharedState:
    """The literature's tissues, with the T1 of fluid shifted (log)."""
    theta = prior.theta.copy()
    theta[fluid_row(), 1] += shift
    level = replace(prior, theta=theta)
    means = predicted_means(level, objective.observations)
    coefficients = np.zeros((len(objective.observations), len(objective.basis.prior_sd)))
    return SharedState(level, means, objective.expected_spread(level), coefficients, np.zeros(len(objective.classes.names)))


def _distinct(climbs: Sequence[Climb], negligible: float) -> list[Climb]:
    """The peaks that differ in the T1 of fluid and whose evidence is not ``negligible``-ly below the best one's, best first."""
    ordered = sorted(climbs, key=lambda one: -one.evidence)
    peaks: list[Climb] = []
    for one in ordered:
        known = [abs(one.state.level.theta[fluid_row(), 1] - peak.state.level.theta[fluid_row(), 1]) < _SAME_PLACE for peak in peaks]
        if not any(known) and one.evidence > ordered[0].evidence - negligible:
            peaks.append(one)
    return peaks


def _first_log_gains(prior: TissueLevel, observations: Sequence[Observation], classes: TissueClasses, weights: np.ndarray) -> np.ndarray:
    """Log gains that give the brain the mean signal of the atlas's tissues at literature values (0 for ratio images)."""
    pd, t1, t2 = np.exp(classes.means.T)
    kept = prior.kept_by_bound_pool(observations, classes.names)
    logs = []
    for observation, left in zip(prior.adapt(observations), kept.T, strict=True):
        where = observation.covered
        expected = float(weights[:, where].mean(axis=1) @ np.abs(left * observation.protocol.signal(pd, t1, t2)))
        measured = float(np.abs(observation.signal[where]).mean())
        logs.append(np.log(max(measured, 1e-9) / max(expected, 1e-9)) if observation.protocol.sequence.uses_pd else 0.0)
    return np.array(logs)


def _model_errors(level: TissueLevel) -> np.ndarray:
    """Relative error of each input's equation for a voxel (n,)."""
    return np.minimum(np.hypot(MODEL_ERROR, level.equation_errors), LARGEST_EQUATION_ERROR)


def _adapted(level: TissueLevel, observations: Sequence[Observation]) -> list[Observation]:
    """The inputs with the level's echo times, and its trust in their equations."""
    return [replace(o, model_error=float(e)) for o, e in zip(level.adapt(observations), _model_errors(level), strict=True)]


def _model(objective: Objective, peaks: Sequence[Climb], centre: np.ndarray, field_strength: float) -> HeadModel:
    """What the voxels need of the best peak, with the tissue level averaged over all peaks."""
    best = peaks[0]
    level = _averaged(peaks)
    mean_field = best.state.coefficients @ centre  # the basis was centred on the sample
    errors = _model_errors(level)
    classes = objective.classes.at_theta(brain_rows(), level.theta)
    looks = objective.looks(replace(best.state, level=level))
    covariances = looks.covariances.copy()
    rows = objective.rows
    wide = (2.0 * errors * best.state.means)[..., None] ** 2 * np.eye(len(errors))
    covariances[rows] = best.state.covariances * TAIL / (TAIL - 2.0) + wide
    corrections = _corrections(classes, level, objective.observations, best.state.means)
    gains = level.log_gains - mean_field * objective.fielded
    classes = classes.with_spread(_spread_scales(objective, best.state, level, classes))
    classes = level_uncertainty(classes, level, _adapted(level, objective.observations))
    level = replace(level, log_gains=gains)
    return HeadModel(
        objective.basis, best.state.coefficients, level, classes, field_strength,
        ClassSignals(looks.means, covariances, np.zeros_like(covariances)), corrections,
        float((level.equation_errors / objective.expected_errors).max()), best.values,
    )  # fmt: skip


def _corrections(classes: TissueClasses, level: TissueLevel, observations: Sequence[Observation], means: np.ndarray) -> np.ndarray:
    """Log factors (K, n) of the equations: what magnetization transfer takes from each tissue, and what else the brain's ``means`` show."""
    predicted = predicted_means(level, observations)
    ratio = np.log(np.maximum(np.abs(means), 1e-9) / np.maximum(np.abs(predicted), 1e-9))
    kept = np.log(level.kept_by_bound_pool(observations, classes.names))
    kept[brain_rows()] += np.clip(ratio, -_LARGEST_CORRECTION, _LARGEST_CORRECTION)
    for row, mixture in enumerate(classes.mixtures, start=classes.pure):
        kept[row] = mixture.of(kept)
    return kept


def _averaged(peaks: Sequence[Climb]) -> TissueLevel:
    """The mean and covariance of the level over all peaks, each counted by its evidence; the T1 of fluid alone is the best peak's."""
    chances = np.exp([peak.evidence - peaks[0].evidence for peak in peaks])
    chances /= chances.sum()
    best = peaks[0].state.level
    size = peaks[0].state.means.size
    vectors = np.stack([peak.state.level.vector for peak in peaks])
    centre = chances @ vectors
    covariance = sum(
        share * (np.linalg.inv(peak.curvature)[size:, size:] + np.outer(v - centre, v - centre))
        for share, peak, v in zip(chances, peaks, vectors, strict=True)
    )
    centre[3 * fluid_row() + 1] = best.theta[fluid_row(), 1]
    return replace(best.at(centre), covariance=np.asarray(covariance))


def _spread_scales(objective: Objective, state: SharedState, level: TissueLevel, classes: TissueClasses) -> np.ndarray:
    """How much of the literature's spread inside each tissue (pure,) the head shows: maximum likelihood of a variance component s in
    Σ = s·A + N, A the tissue's own and N the noise's and the equations' part."""
    scales = np.ones(classes.pure)
    own, rest = objective.spread_parts(level)
    for b, row in enumerate(objective.rows):
        scale = 1.0
        for _ in range(_SPREAD_STEPS):
            inverse = np.linalg.inv(scale * own[b] + rest[b])
            pulled = inverse @ own[b] @ inverse
            scale *= float(np.trace(pulled @ state.covariances[b]) / np.trace(inverse @ own[b]))
            scale = float(np.clip(scale, _LEAST_SPREAD, 1.0))
        scales[row] = scale
    return scales
