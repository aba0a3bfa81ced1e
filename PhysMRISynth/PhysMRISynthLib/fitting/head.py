"""The head level: gains, receive fields, echo times in doubt, and this head's own tissue values, fitted together.

Empirical Bayes: voxels are assigned to tissue classes; each tissue's mean signal in each input updates the gains and the
tissue's (PD, T1, T2) under their literature prior; what is left and smooth is the receive field; and again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .fields import PolynomialBasis, fit_log_field
from .mixture import TissueClasses, class_signals, literature_classes, responsibilities
from .observation import MODEL_ERROR, Observation
from .tissue_level import SURE, TissueLevel, adapted_classes, brain_rows, fit_tissue_level, literature_level, tissue_means, with_echo_time

_ITERATIONS = 18
_FIRST_SLACK, _SLACK_DECAY = 0.3, 0.72
"""Relative doubt about gains and fields at the start and its decay per iteration: classes are wide first, so that none captures all."""
_GREATEST_MODEL_ERROR, _WORST_EQUATIONS = 0.1, 12.0
_SPREAD_ITERATIONS = 6
"""Last iterations in which each tissue's spread inside this head is learned too, once its voxels are known."""
_LEAST_SPREAD, _SPREAD_VOXELS = 0.1, 200
_CORRELATED_VOXELS = 20.0
"""Neighbouring residuals err together (structure that the classes do not know), so that many voxels count as fewer."""


@dataclass(frozen=True)
class HeadModel:
    """Everything that the voxels of one head share: ``coefficients`` (n, terms) of each input's log receive field on ``basis``,
    the ``level`` of gains, echo times and tissue values, and the ``classes`` at those values with their uncertainty.

    ``equation_error`` is how many times worse than expected the equations explain the tissues (1: as well as expected)."""

    basis: PolynomialBasis
    coefficients: np.ndarray
    level: TissueLevel
    classes: TissueClasses
    field_strength: float
    equation_error: float = 1.0

    @property
    def gains(self) -> np.ndarray:
        """Gain of each input (n,): its signal per unit of the equation."""
        return np.exp(self.level.log_gains)

    def fields(self, terms: np.ndarray) -> list[np.ndarray]:
        """Receive field of each input (n arrays of N voxels) from the basis evaluated there (N, terms); about 1 over the brain."""
        return [np.exp(terms @ c.astype(np.float32)) for c in self.coefficients]

    def adapted(self, observations: Sequence[Observation]) -> list[Observation]:
        """The inputs with fitted echo times where those were in doubt, and the equations trusted as far as the head bears them out."""
        error = min(MODEL_ERROR * self.equation_error, _GREATEST_MODEL_ERROR)
        return [replace(with_echo_time(o, self.level.log_echo_times), model_error=error) for o in observations]


def fit_head(
    observations: Sequence[Observation],
    positions: np.ndarray,
    atlas: np.ndarray,
    field_strength: float,
    doubtful_echo_times: Mapping[str, float] | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> HeadModel:
    """Fit the head level on a sample of N voxels.

    ``positions`` (N, 3) mm; ``atlas`` (tissues, N) tissue fractions expected there; ``doubtful_echo_times`` maps the names of
    inputs whose effective echo time is a nuisance to its conventional value in ms. ``progress`` is told the fraction done.
    """
    classes = literature_classes(field_strength)
    weights = classes.weights(atlas)
    brain = atlas[brain_rows()].sum(axis=0) > 0.5
    basis = PolynomialBasis.around(positions[brain])
    terms = basis.evaluate(positions)
    log_gains = _first_log_gains(observations, classes, weights, brain)
    prior = literature_level(log_gains, dict(doubtful_echo_times or {}), field_strength)
    model = HeadModel(basis, np.zeros((len(observations), terms.shape[1])), prior, classes, field_strength)
    for iteration in range(_ITERATIONS):
        seen, fields = model.adapted(observations), model.fields(terms)
        signals = class_signals(model.classes, seen, model.gains, _FIRST_SLACK * _SLACK_DECAY**iteration)
        assigned = responsibilities(signals, seen, fields, weights)
        means = tissue_means(seen, fields, assigned, brain)
        level = fit_tissue_level(model.level, prior, seen, replace(means, sd=means.sd * model.equation_error))
        equation_error = float(np.clip(model.equation_error * level.misfit, 1.0, _WORST_EQUATIONS))
        classes = adapted_classes(model.classes, level, seen)
        model = replace(model, level=level, classes=classes, equation_error=equation_error)
        if iteration > 1:
            model = _with_fields(model, observations, terms, assigned, brain)
        if iteration >= _ITERATIONS - _SPREAD_ITERATIONS:
            model = _with_spread(model, observations, terms, assigned, brain)
        progress((iteration + 1) / _ITERATIONS)
    return model


def _first_log_gains(observations: Sequence[Observation], classes: TissueClasses, weights: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """Log gains that give the brain the mean signal of the atlas's tissues at literature values (0 for ratio images)."""
    pd, t1, t2 = np.exp(classes.means.T)
    logs = []
    for observation in observations:
        where = brain & observation.covered
        expected = float(weights[:, where].mean(axis=1) @ np.abs(observation.protocol.signal(pd, t1, t2)))
        measured = float(np.abs(observation.signal[where]).mean())
        logs.append(np.log(max(measured, 1e-9) / max(expected, 1e-9)) if observation.protocol.sequence.uses_pd else 0.0)
    return np.array(logs)


def _with_fields(
    model: HeadModel, observations: Sequence[Observation], terms: np.ndarray, assigned: np.ndarray, brain: np.ndarray
) -> HeadModel:
    """The receive fields that explain what the tissues leave over, from the brain's voxels of clear signal."""
    seen = model.adapted(observations)
    signals = class_signals(model.classes, seen, model.gains)
    coefficients = np.zeros_like(model.coefficients)
    for i, observation in enumerate(seen):
        if not observation.protocol.sequence.uses_pd:
            continue
        predicted = signals.means[:, i].astype(np.float32) @ assigned
        variance = signals.covariances[:, i, i].astype(np.float32) @ assigned + (observation.model_error * predicted) ** 2
        bright = (predicted > 5.0 * np.sqrt(variance)) & (observation.signal > 3.0 * observation.noise)
        clear = brain & observation.covered & bright
        if clear.sum() > 500:
            residual = np.log(observation.signal[clear] / predicted[clear])
            precision = predicted[clear] ** 2 / variance[clear]
            coefficients[i] = fit_log_field(terms[clear], residual, precision, model.basis.prior_sd, _CORRELATED_VOXELS)
    return replace(model, coefficients=coefficients)


def _with_spread(
    model: HeadModel, observations: Sequence[Observation], terms: np.ndarray, assigned: np.ndarray, brain: np.ndarray
) -> HeadModel:
    """The brain tissues' within-head covariances scaled towards what their voxels show (literature values are the upper bound).

    One step of maximum likelihood for a variance component A of V = A + noise: scale by mean(rᵀV⁻¹AV⁻¹r)/tr(V⁻¹A).
    """
    seen = model.adapted(observations)
    signals = class_signals(model.classes, seen, model.gains)
    flat = np.stack([o.signal / f for o, f in zip(seen, model.fields(terms), strict=True)])
    complete = brain & np.logical_and.reduce([o.covered for o in seen])
    original = literature_classes(model.field_strength).covariances
    scales = np.ones(model.classes.pure)
    for row in brain_rows():
        members = complete & (assigned[row] > SURE)
        if members.sum() >= _SPREAD_VOXELS:
            inverse = np.linalg.inv(signals.covariances[row])
            pulled = inverse @ (flat[:, members] - signals.means[row][:, None])
            found = np.einsum("nv,nm,mv->v", pulled, signals.spreads[row], pulled)
            step = float(np.mean(np.minimum(found, 9.0 * np.median(found))) / np.trace(inverse @ signals.spreads[row]))
            already = float(np.trace(model.classes.covariances[row]) / np.trace(original[row]))
            scales[row] = np.clip(already * step, _LEAST_SPREAD, 1.0) / already
    return replace(model, classes=model.classes.with_spread(scales))
