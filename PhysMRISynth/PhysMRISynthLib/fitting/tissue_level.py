"""One head's own tissue values, gains and nuisances of its protocols: their prior, and what they predict of each tissue's mean signal.

The equations are not exact. How far each tissue's mean may lie from its prediction has the tails of a pseudo-Huber density around
:data:`EQUATION_ERROR`, so that one wrong protocol is distrusted and the others are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..physics.tissues import PROPERTIES, tissue_table
from .observation import Observation
from .voxelwise import predict

EQUATION_ERROR = 0.007
"""Relative error expected of an equation for a tissue's mean signal where the protocol is known."""
EQUATION_TAIL = 2.0
"""Errors beyond so many of these count by their size, not by their square (pseudo-Huber): a wrong equation is distrusted, and the density
stays log-concave, so that it makes no second solution."""
IMPLAUSIBLE_EQUATION_ERROR = 0.03
"""Beyond this the errors' tails fall off as a Gaussian's: a fit that needs much more has mistaken one tissue for another."""
LARGEST_EQUATION_ERROR = 0.1
ECHO_TIME_SD = 0.15
"""Log-SD of an effective echo time that is known only by convention."""
COMMON_SD, OWN_SD = {"T1": 0.06, "T2": 0.05}, {"T1": 0.06, "T2": 0.06}
"""Log-SDs: what all solid tissues of a head share (age, field strength, method of the table), and what each has of its own."""
FLUID_T1_SD = 0.025
"""Of fluid's log T1: it is nearly water at every field strength and age (Rooney et al., Magn Reson Med 57:308, 2007)."""
_GAIN_SD = 5.0
_NUDGE = 1e-4


def brain_rows() -> list[int]:
    """Rows of the tissue table that belong to the brain; only these speak for the gains."""
    return [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]


def fluid_row() -> int:
    """Where cerebrospinal fluid stands among the brain's rows."""
    return [tissue_table()[row].name for row in brain_rows()].index("csf")


@dataclass(frozen=True)
class TissueLevel:
    """The shared unknowns: the brain tissues' ``theta`` (tissues, 3), ``log_gains`` (n,), ``log_echo_times`` in doubt by input's name.

    ``covariance`` is that of all of them in this order, flattened. ``equation_errors`` (n,) is each input's relative error of its equation.
    """

    theta: np.ndarray
    log_gains: np.ndarray
    log_echo_times: dict[str, float]
    covariance: np.ndarray
    equation_errors: np.ndarray

    @property
    def vector(self) -> np.ndarray:
        """All unknowns in one vector."""
        return np.concatenate([self.theta.ravel(), self.log_gains, list(self.log_echo_times.values())])

    def at(self, vector: np.ndarray) -> TissueLevel:
        """The level at other values of the unknowns."""
        tissues, gains = self.theta.size, self.theta.size + len(self.log_gains)
        echo_times = dict(zip(self.log_echo_times, vector[gains:].tolist(), strict=True))
        return replace(self, theta=vector[:tissues].reshape(-1, 3), log_gains=vector[tissues:gains], log_echo_times=echo_times)

    def adapt(self, observations: Sequence[Observation]) -> list[Observation]:
        """The inputs with the echo times fitted for them, where those were in doubt."""
        return [with_echo_time(o, self.log_echo_times) for o in observations]


def literature_level(log_gains: np.ndarray, nominal_echo_times: Mapping[str, float], field_strength: float) -> TissueLevel:
    """Where the fit starts, which is also its prior: literature values, almost free gains, conventional echo times (ms).

    T1 and T2 of the solid tissues are correlated: age, field strength and the method of the table move all of them together.
    """
    table = [tissue_table(field_strength)[row] for row in brain_rows()]
    solid = np.array([tissue.name != "csf" for tissue in table])
    sd = np.stack([tissue.between_heads for tissue in table])
    sd[~solid, PROPERTIES.index("T1")] = FLUID_T1_SD
    for name, own in OWN_SD.items():
        sd[solid, PROPERTIES.index(name)] = own
    rest = np.array([_GAIN_SD] * len(log_gains) + [ECHO_TIME_SD] * len(nominal_echo_times))
    covariance = np.diag(np.concatenate([sd.ravel(), rest]) ** 2)
    for name, common in COMMON_SD.items():
        shared = np.zeros_like(sd)
        shared[solid, PROPERTIES.index(name)] = common
        covariance[: sd.size, : sd.size] += np.outer(shared, shared)
    echo_times = {name: float(np.log(value)) for name, value in nominal_echo_times.items()}
    errors = np.full(len(log_gains), EQUATION_ERROR)
    return TissueLevel(np.stack([tissue.theta for tissue in table]), log_gains, echo_times, covariance, errors)


def with_echo_time(observation: Observation, log_echo_times: Mapping[str, float]) -> Observation:
    """The input with the echo time fitted for it, where one was in doubt."""
    if observation.name not in log_echo_times:
        return observation
    return observation.with_echo_time(float(np.exp(log_echo_times[observation.name])))


def predicted_means(level: TissueLevel, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
    """Mean signal (tissues, n) of every brain tissue in every input, and its derivatives by the level's vector (tissues, n, unknowns)."""
    tissues, inputs = len(level.theta), len(observations)
    means, slopes = np.zeros((tissues, inputs)), np.zeros((tissues, inputs, level.vector.size))
    names, rows = list(level.log_echo_times), np.arange(tissues)
    for i, observation in enumerate(observations):
        gain = np.exp(level.log_gains[i])
        means[:, i], derivatives = predict(with_echo_time(observation, level.log_echo_times), level.theta.T, gain)
        for j, derivative in enumerate(derivatives):
            if derivative is not None:
                slopes[rows, i, 3 * rows + j] = derivative
        if observation.protocol.sequence.uses_pd:
            slopes[:, i, 3 * tissues + i] = slopes[rows, i, 3 * rows]  # the gain acts as the proton density does
        if observation.name in names:
            column = 3 * tissues + inputs + names.index(observation.name)
            nudged = {**level.log_echo_times, observation.name: level.log_echo_times[observation.name] + _NUDGE}
            later, _ = predict(with_echo_time(observation, nudged), level.theta.T, gain)
            slopes[:, i, column] = (later - means[:, i]) / _NUDGE
    return means, slopes


@dataclass(frozen=True)
class EquationErrors:
    """Relative errors of the equations: ``relative`` (tissues, n) is (mean − prediction)/``scale``; a dark tissue's ``scale``
    (tissues, n) is half the typical tissue's. ``sd`` (n,) is each input's error as the tissues together show it."""

    relative: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, means: np.ndarray, predicted: np.ndarray, shares: np.ndarray) -> EquationErrors:
        """Of tissues with these ``means`` and ``predicted`` means, both (tissues, n), and ``shares`` (tissues,) of the brain."""
        typical = shares @ np.abs(predicted)
        scale = (np.abs(predicted) + typical) / np.sqrt(2.0)
        return cls((means - predicted) / scale, scale)

    @property
    def sd(self) -> np.ndarray:
        """(n,): root mean square over the tissues, with what is expected of it."""
        return np.sqrt(EQUATION_ERROR**2 + (self.relative**2).mean(axis=0))

    @property
    def log_density(self) -> float:
        """Of every tissue in every input, up to a constant."""
        return float(-(EQUATION_TAIL**2 * (self._bent - 1.0)).sum() - 0.5 * (self.relative**2).sum() / IMPLAUSIBLE_EQUATION_ERROR**2)

    @property
    def precision(self) -> np.ndarray:
        """Inverse variance (tissues, n) of the means about their predictions, with which a Gauss–Newton step sees the density."""
        return (1.0 / (self._bent * EQUATION_ERROR**2) + 1.0 / IMPLAUSIBLE_EQUATION_ERROR**2) / self.scale**2

    @property
    def _bent(self) -> np.ndarray:
        return np.sqrt(1.0 + (self.relative / (EQUATION_TAIL * EQUATION_ERROR)) ** 2)
