"""How the uncertainty of the head level reaches the values of a voxel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..physics.tissues import tissue_table
from .mixture import TissueClasses
from .observation import Observation
from .tissue_level import TissueLevel, brain_rows
from .voxelwise import predict

FIELD_ERROR = 0.004
"""SD of the log receive field that remains after its fit."""


def level_uncertainty(classes: TissueClasses, level: TissueLevel, observations: Sequence[Observation]) -> TissueClasses:
    """The classes with what the uncertainty of the ``level`` adds to a voxel's θ (``extra``).

    A voxel of class c with posterior gain matrix K errs by (I − K·J)·δθ_c − K·m·δlog g, J and m its signals' slopes and values.
    """
    rows, inputs = brain_rows(), len(observations)
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
        extra[k] = _reach(classes.means[k], classes.covariances[k], level, observations, joint)
    joint[:3] = joint[:, :3] = 0.0  # lesions have no level of their own, but share the gains
    lesions = _reach(classes.means[-1], classes.covariances[-1], level, observations, joint)
    return classes.with_means(classes.means[: classes.pure], extra, lesions)


def _reach(theta: np.ndarray, within: np.ndarray, level: TissueLevel, observations: Sequence[Observation], joint: np.ndarray) -> np.ndarray:
    signal, slopes, weight = np.zeros(len(observations)), np.zeros((len(observations), 3)), np.zeros(len(observations))
    for i, observation in enumerate(observations):
        value, derivatives = predict(observation, theta[:, None], np.exp(level.log_gains[i : i + 1]))
        signal[i] = value[0]
        slopes[i] = [0.0 if d is None else d[0] for d in derivatives]
        weight[i] = 1.0 / (observation.noise**2 + (observation.model_error * value[0]) ** 2)
    posterior = np.linalg.inv(np.linalg.inv(within) + (slopes.T * weight) @ slopes)
    gain_matrix = posterior @ (slopes.T * weight)
    lever = np.concatenate([np.eye(3) - gain_matrix @ slopes, -gain_matrix * signal], axis=1)
    return lever @ joint @ lever.T
