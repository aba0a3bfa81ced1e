"""One head's own tissue values and gains, from the mean signal of each tissue in each input (a small non-linear least-squares problem)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..physics.tissues import tissue_table
from .mixture import TissueClasses
from .observation import Observation
from .voxelwise import predict

TISSUE_MEAN_ERROR = 0.005
"""Relative error of a tissue's mean signal: assignment, what is left of the field, the equation."""
FIELD_ERROR = 0.004
"""SD of the log receive field that remains after its fit."""
ECHO_TIME_SD = 0.15
"""Log-SD of an effective echo time that is known only by convention."""
SURE = 0.7
_FEW_VOXELS = 300.0
_OTHER_SIDE = 0.1
_GAIN_SD = 5.0


def brain_rows() -> list[int]:
    """Rows of the tissue table that belong to the brain; only these speak for the gains."""
    return [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]


@dataclass(frozen=True)
class TissueMeans:
    """Typical signal of each brain tissue in each input, receive field divided out, and the SD of its error: both (tissues, n)."""

    mean: np.ndarray
    sd: np.ndarray


def tissue_means(observations: Sequence[Observation], fields: Sequence[np.ndarray], assigned: np.ndarray, brain: np.ndarray) -> TissueMeans:
    """Medians over the voxels that are surely of one tissue (``assigned`` (K, N) probabilities) inside the ``brain`` (N,)."""
    sure = (assigned[brain_rows()] > SURE) & brain
    mean, sd = np.zeros((len(sure), len(observations))), np.zeros((len(sure), len(observations)))
    for i, (observation, field) in enumerate(zip(observations, fields, strict=True)):
        flat = observation.signal / field
        members = [np.flatnonzero(row & observation.covered) for row in sure]
        count = np.array([len(m) for m in members])
        mean[:, i] = [np.median(flat[m]) if len(m) else 0.0 for m in members]
        typical = np.average(np.abs(mean[:, i]), weights=count + 1e-9)
        relative = TISSUE_MEAN_ERROR * (np.abs(mean[:, i]) + typical) / np.sqrt(2.0)
        sd[:, i] = relative * (1.0 + _FEW_VOXELS / np.maximum(count, 0.1))
    return TissueMeans(mean, sd)


@dataclass(frozen=True)
class TissueLevel:
    """The shared unknowns: brain tissues' ``theta`` (tissues, 3), ``log_gains`` (n,), fitted ``log_echo_times`` by input's name.

    ``covariance`` is that of all of them in this order, flattened. ``misfit`` is the root mean square of what the tissue means and the
    prior leave over, in SDs: about 1 when the equations hold.
    """

    theta: np.ndarray
    log_gains: np.ndarray
    log_echo_times: dict[str, float]
    covariance: np.ndarray
    misfit: float = 1.0

    @property
    def vector(self) -> np.ndarray:
        """All unknowns in one vector."""
        return np.concatenate([self.theta.ravel(), self.log_gains, list(self.log_echo_times.values())])


def literature_level(log_gains: np.ndarray, nominal_echo_times: dict[str, float], field_strength: float) -> TissueLevel:
    """Where the fit starts, which is also its prior: literature values, almost free gains, conventional echo times (ms)."""
    table = [tissue_table(field_strength)[row] for row in brain_rows()]
    sd = np.concatenate(
        [t.between_heads for t in table] + [np.full(len(log_gains), _GAIN_SD), np.full(len(nominal_echo_times), ECHO_TIME_SD)]
    )
    echo_times = {name: float(np.log(value)) for name, value in nominal_echo_times.items()}
    return TissueLevel(np.stack([t.theta for t in table]), log_gains, echo_times, np.diag(sd**2))


def fit_tissue_level(start: TissueLevel, prior: TissueLevel, observations: Sequence[Observation], means: TissueMeans) -> TissueLevel:
    """Maximum a posteriori of ``prior`` × the tissue means, and its covariance.

    A magnitude image has two T1 solutions near a null, where descent also stands still: the search starts from ``start``
    and from either side of it in the T1 of fluid, and the most probable result counts.
    """
    fluid = brain_rows().index([tissue.name for tissue in tissue_table()].index("csf"))
    starts = [start]
    for shift in (-_OTHER_SIDE, _OTHER_SIDE):
        theta = start.theta.copy()
        theta[fluid, 1] += shift
        starts.append(replace(start, theta=theta))
    found = [_descend(level, prior, observations, means) for level in starts]
    costs = [_cost(level, prior, observations, means) for level in found]
    best = int(np.argmin(costs))
    return replace(found[best], misfit=float(np.sqrt(costs[best] / means.mean.size)))


def _cost(level: TissueLevel, prior: TissueLevel, observations: Sequence[Observation], means: TissueMeans) -> float:
    residual, _ = _residuals(level, observations, means)
    away = level.vector - prior.vector
    return float(residual @ residual + away @ (away / np.diag(prior.covariance)))


def _descend(start: TissueLevel, prior: TissueLevel, observations: Sequence[Observation], means: TissueMeans) -> TissueLevel:
    """Gauss–Newton steps; the covariance is the inverse Hessian at the end."""
    free = np.array([o.protocol.sequence.uses_pd for o in observations])
    precision = 1.0 / np.diag(prior.covariance)
    level = start
    for _ in range(6):
        residual, jacobian = _residuals(level, observations, means)
        tissues = level.theta.size
        jacobian[:, tissues : tissues + len(free)] *= free
        normal = jacobian.T @ jacobian + np.diag(precision)
        step = np.linalg.solve(normal, jacobian.T @ residual + precision * (level.vector - prior.vector))
        level = _moved(level, np.clip(step, -0.3, 0.3), np.linalg.inv(normal))
    return level


def _moved(level: TissueLevel, step: np.ndarray, covariance: np.ndarray) -> TissueLevel:
    vector = level.vector - step
    tissues, gains = level.theta.size, level.theta.size + len(level.log_gains)
    echo_times = dict(zip(level.log_echo_times, vector[gains:].tolist(), strict=True))
    return TissueLevel(vector[:tissues].reshape(-1, 3), vector[tissues:gains], echo_times, covariance)


def with_echo_time(observation: Observation, log_echo_times: dict[str, float]) -> Observation:
    """The input with the echo time fitted for it, where one was in doubt."""
    if observation.name not in log_echo_times:
        return observation
    return observation.with_echo_time(float(np.exp(log_echo_times[observation.name])))


def _residuals(level: TissueLevel, observations: Sequence[Observation], means: TissueMeans) -> tuple[np.ndarray, np.ndarray]:
    """(predicted − measured)/SD of every tissue in every input, and its derivatives by the level's vector."""
    tissues, inputs = means.mean.shape
    jacobian = np.zeros((tissues, inputs, level.vector.size))
    predicted = np.zeros((tissues, inputs))
    names = list(level.log_echo_times)
    for i, observation in enumerate(observations):
        gain = np.exp(level.log_gains[i])
        signal, slopes = predict(with_echo_time(observation, level.log_echo_times), level.theta.T, gain)
        predicted[:, i] = signal
        for j, slope in enumerate(slopes):
            if slope is not None:
                jacobian[np.arange(tissues), i, 3 * np.arange(tissues) + j] = slope
        jacobian[:, i, 3 * tissues + i] = signal
        if observation.name in names:
            column = 3 * tissues + inputs + names.index(observation.name)
            nudged = {**level.log_echo_times, observation.name: level.log_echo_times[observation.name] + 1e-4}
            later, _ = predict(with_echo_time(observation, nudged), level.theta.T, gain)
            jacobian[:, i, column] = (later - signal) / 1e-4
    jacobian /= means.sd[:, :, None]
    return ((predicted - means.mean) / means.sd).ravel(), jacobian.reshape(tissues * inputs, -1)


def adapted_classes(classes: TissueClasses, level: TissueLevel, observations: Sequence[Observation]) -> TissueClasses:
    """The classes at this head's tissue values, and how the uncertainty of the head level reaches a voxel's θ.

    A voxel of class c with posterior gain matrix K errs by (I − K·J)·δθ_c − K·m·δlog g, J and m its signals' slopes and values.
    """
    rows, inputs = brain_rows(), len(observations)
    means = classes.means[: classes.pure].copy()
    means[rows] = level.theta
    extra = np.empty((classes.pure, 3, 3))
    for k in range(classes.pure):
        joint = np.zeros((3 + inputs, 3 + inputs))
        gains = slice(level.theta.size, level.theta.size + inputs)
        joint[3:, 3:] = level.covariance[gains, gains] + FIELD_ERROR**2 * np.eye(inputs)
        if k in rows:
            own = slice(3 * rows.index(k), 3 * rows.index(k) + 3)
            joint[:3, :3] = level.covariance[own, own]
            joint[:3, 3:] = level.covariance[own, gains]
            joint[3:, :3] = joint[:3, 3:].T
        else:
            joint[:3, :3] = np.diag(tissue_table()[k].between_heads ** 2)
        extra[k] = _reach(means[k], classes.covariances[k], level, observations, joint)
    joint[:3] = joint[:, :3] = 0.0  # lesions have no level of their own, but share the gains
    return classes.with_means(means, extra, _reach(classes.means[-1], classes.covariances[-1], level, observations, joint))


def _reach(theta: np.ndarray, within: np.ndarray, level: TissueLevel, observations: Sequence[Observation], joint: np.ndarray) -> np.ndarray:
    signal, slopes, weight = np.zeros(len(observations)), np.zeros((len(observations), 3)), np.zeros(len(observations))
    for i, observation in enumerate(observations):
        value, derivatives = predict(with_echo_time(observation, level.log_echo_times), theta[:, None], np.exp(level.log_gains[i : i + 1]))
        signal[i] = value[0]
        slopes[i] = [0.0 if d is None else d[0] for d in derivatives]
        weight[i] = 1.0 / (observation.noise**2 + (observation.model_error * value[0]) ** 2)
    posterior = np.linalg.inv(np.linalg.inv(within) + (slopes.T * weight) @ slopes)
    gain_matrix = posterior @ (slopes.T * weight)
    lever = np.concatenate([np.eye(3) - gain_matrix @ slopes, -gain_matrix * signal], axis=1)
    return lever @ joint @ lever.T
