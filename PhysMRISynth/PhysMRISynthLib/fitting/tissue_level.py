"""One head's own tissue values, gains and nuisances of its protocols: their prior, and what they predict of each tissue's mean signal.

The equations are not exact. How far each tissue's mean may lie from its prediction has the tails of a pseudo-Huber density around
:data:`EQUATION_ERROR`, so that one wrong protocol is distrusted and the others are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ..physics.nuisances import MAGNETIZATION_TRANSFER, bound_pool, contrast_doubt, nuisances_of
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
ECHO_TIME = "log_echo_time"
"""The nuisance that is the logarithm of an effective echo time in ms."""
ECHO_TIME_SD = 0.12
"""Log-SD of an effective echo time that is known only by convention."""
COMMON_SD, OWN_SD = {"T1": 0.07, "T2": 0.06}, {"T1": 0.06, "T2": 0.06}
"""Log-SDs: what all solid tissues of a head share (age, field strength, method of the table), and what each has of its own.

Wider ones follow heads of other tables and cost where a head is near this one: measured in docs/validation/index.md."""
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


def expected_errors(observations: Sequence[Observation]) -> np.ndarray:
    """Relative error expected of each input's equation for a tissue's mean signal (n,)."""
    return np.array([max(EQUATION_ERROR, contrast_doubt(o.protocol)) for o in observations])


@dataclass(frozen=True)
class TissueLevel:
    """The shared unknowns: the brain tissues' ``theta`` (tissues, 3), ``log_gains`` (n,), ``nuisances`` by (input, name): what the scanner
    does beside the prescription, and echo times in doubt.

    ``covariance`` is that of all of them in this order, flattened. ``equation_errors`` (n,) is each input's relative error of its equation.
    """

    theta: np.ndarray
    log_gains: np.ndarray
    nuisances: dict[tuple[str, str], float]
    covariance: np.ndarray
    equation_errors: np.ndarray

    @property
    def vector(self) -> np.ndarray:
        """All unknowns in one vector."""
        return np.concatenate([self.theta.ravel(), self.log_gains, list(self.nuisances.values())])

    def at(self, vector: np.ndarray) -> TissueLevel:
        """The level at other values of the unknowns."""
        tissues, gains = self.theta.size, self.theta.size + len(self.log_gains)
        nuisances = dict(zip(self.nuisances, vector[gains:].tolist(), strict=True))
        return replace(self, theta=vector[:tissues].reshape(-1, 3), log_gains=vector[tissues:gains], nuisances=nuisances)

    def adapt(self, observations: Sequence[Observation]) -> list[Observation]:
        """The inputs with what was fitted of their scanner and of echo times in doubt."""
        return [with_nuisances(o, self.nuisances) for o in observations]

    def posterior(self, name: str) -> dict[str, tuple[float, float]]:
        """Mean and SD of the nuisances of the input of that name."""
        first, sds = self.theta.size + len(self.log_gains), np.sqrt(np.diag(self.covariance))
        found = enumerate(self.nuisances.items(), start=first)
        return {kind: (value, float(sds[row])) for row, ((owner, kind), value) in found if owner == name}

    def kept_by_bound_pool(self, observations: Sequence[Observation], tissues: tuple[str, ...] | None = None) -> np.ndarray:
        """What magnetization transfer leaves of the signals of ``tissues`` (names; None: the brain's), (tissues, n)."""
        lost = np.array([self.nuisances.get((o.name, MAGNETIZATION_TRANSFER), 0.0) for o in observations])
        return 1.0 - np.outer(_bound_pools() if tissues is None else bound_pool(tissues), lost)


@cache
def _bound_pools() -> np.ndarray:
    return bound_pool([tissue_table()[row].name for row in brain_rows()])


def literature_level(
    log_gains: np.ndarray, observations: Sequence[Observation], nominal_echo_times: Mapping[str, float], field_strength: float
) -> TissueLevel:
    """Where the fit starts, which is also its prior: literature values, almost free gains, conventional echo times (ms) of the inputs whose
    names ``nominal_echo_times`` has, and what is known of each sequence beside its prescription.

    T1 and T2 of the solid tissues are correlated: age, field strength and the method of the table move all of them together.
    """
    table = [tissue_table(field_strength)[row] for row in brain_rows()]
    solid = np.array([tissue.name != "csf" for tissue in table])
    sd = np.stack([tissue.between_heads for tissue in table])
    sd[~solid, PROPERTIES.index("T1")] = FLUID_T1_SD
    for name, own in OWN_SD.items():
        sd[solid, PROPERTIES.index(name)] = own
    known = {(o.name, n.name): (n.mean, n.sd) for o in observations for n in nuisances_of(o.protocol)}
    known |= {(name, ECHO_TIME): (float(np.log(value)), ECHO_TIME_SD) for name, value in nominal_echo_times.items()}
    rest = np.array([_GAIN_SD] * len(log_gains) + [sd_known for _, sd_known in known.values()])
    covariance = np.diag(np.concatenate([sd.ravel(), rest]) ** 2)
    for name, common in COMMON_SD.items():
        shared = np.zeros_like(sd)
        shared[solid, PROPERTIES.index(name)] = common
        covariance[: sd.size, : sd.size] += np.outer(shared, shared)
    means = {key: mean for key, (mean, _) in known.items()}
    return TissueLevel(np.stack([tissue.theta for tissue in table]), log_gains, means, covariance, expected_errors(observations))


def with_nuisances(observation: Observation, nuisances: Mapping[tuple[str, str], float]) -> Observation:
    """The input with the echo time and the scanner's imperfections fitted for it, as far as they are arguments of its equation."""
    own = {kind: value for (name, kind), value in nuisances.items() if name == observation.name and kind != MAGNETIZATION_TRANSFER}
    echo_time = own.pop(ECHO_TIME, None)
    if echo_time is not None:
        observation = observation.with_echo_time(float(np.exp(echo_time)))
    return replace(observation, protocol=replace(observation.protocol, imperfections=own)) if own else observation


def predicted_means(level: TissueLevel, observations: Sequence[Observation]) -> np.ndarray:
    """Mean signal (tissues, n) of every brain tissue in every input."""
    adapted, gains = level.adapt(observations), _gains(level, observations)
    return np.stack([predict(o, level.theta.T, gain)[0] for o, gain in zip(adapted, gains.T, strict=True)], axis=1)


def predicted_slopes(level: TissueLevel, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
    """:func:`predicted_means`, and their derivatives by the level's vector (tissues, n, unknowns)."""
    tissues, inputs = len(level.theta), len(observations)
    means, slopes = np.zeros((tissues, inputs)), np.zeros((tissues, inputs, level.vector.size))
    rows, gains = np.arange(tissues), _gains(level, observations)
    kept = level.kept_by_bound_pool(observations)
    columns = {key: 3 * tissues + inputs + place for place, key in enumerate(level.nuisances)}
    for i, observation in enumerate(observations):
        means[:, i], derivatives = predict(with_nuisances(observation, level.nuisances), level.theta.T, gains[:, i])
        for j, derivative in enumerate(derivatives):
            if derivative is not None:
                slopes[rows, i, 3 * rows + j] = derivative
        by_log_gain = slopes[rows, i, 3 * rows]  # the gain acts as the proton density does
        if observation.protocol.sequence.uses_pd:
            slopes[:, i, 3 * tissues + i] = by_log_gain
        for (name, kind), column in columns.items():
            if name != observation.name:
                continue
            if kind == MAGNETIZATION_TRANSFER:
                slopes[:, i, column] = -by_log_gain * _bound_pools() / kept[:, i]
                continue
            nudged = {**level.nuisances, (name, kind): level.nuisances[name, kind] + _NUDGE}
            later, _ = predict(with_nuisances(observation, nudged), level.theta.T, gains[:, i])
            slopes[:, i, column] = (later - means[:, i]) / _NUDGE
    return means, slopes


def _gains(level: TissueLevel, observations: Sequence[Observation]) -> np.ndarray:
    """What the equations are multiplied by for every tissue (tissues, n)."""
    return np.exp(level.log_gains) * level.kept_by_bound_pool(observations)


@dataclass(frozen=True)
class EquationErrors:
    """Relative errors of the equations: ``relative`` (tissues, n) is (mean − prediction)/``scale``; a dark tissue's ``scale``
    (tissues, n) is half the typical tissue's; ``expected`` (n,) is their SD. ``sd`` (n,) is each input's error as the tissues together
    show it."""

    relative: np.ndarray
    scale: np.ndarray
    expected: np.ndarray

    @classmethod
    def of(cls, means: np.ndarray, predicted: np.ndarray, shares: np.ndarray, expected: np.ndarray) -> EquationErrors:
        """Of tissues with these ``means`` and ``predicted`` means, both (tissues, n), and ``shares`` (tissues,) of the brain."""
        typical = shares @ np.abs(predicted)
        scale = (np.abs(predicted) + typical) / np.sqrt(2.0)
        return cls((means - predicted) / scale, scale, expected)

    @property
    def sd(self) -> np.ndarray:
        """(n,): root mean square over the tissues, with what is expected of it."""
        return np.sqrt(self.expected**2 + (self.relative**2).mean(axis=0))

    @property
    def log_density(self) -> float:
        """Of every tissue in every input, up to a constant."""
        return float(-(EQUATION_TAIL**2 * (self._bent - 1.0)).sum() - 0.5 * ((self.relative / self._implausible) ** 2).sum())

    @property
    def precision(self) -> np.ndarray:
        """Inverse variance (tissues, n) of the means about their predictions, with which a Gauss–Newton step sees the density."""
        return (1.0 / (self._bent * self.expected**2) + 1.0 / self._implausible**2) / self.scale**2

    @property
    def _implausible(self) -> np.ndarray:
        return IMPLAUSIBLE_EQUATION_ERROR * (self.expected / EQUATION_ERROR)

    @property
    def _bent(self) -> np.ndarray:
        return np.sqrt(1.0 + (self.relative / (EQUATION_TAIL * self.expected)) ** 2)
