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

    The equations are corrected so that a voxel with the mean signals of a tissue of the brain gets that tissue's θ: it errs as the
    level's θ does, and by what the fields leave. Elsewhere nothing ties gains to values: a voxel of posterior gain matrix K errs by
    (I − K·J)·δθ − K·m·δlog g, J and m its signals' slopes and values.
    """
    rows, inputs = brain_rows(), len(observations)
    gains = slice(level.theta.size, level.theta.size + inputs)
    fields = FIELD_ERROR**2 * np.eye(inputs)
    extra = np.empty((classes.pure, 3, 3))
    for k in range(classes.pure):
        by_theta, by_gains = _reach(classes.means[k], classes.covariances[k], level, observations)
        if k in rows:
            own = slice(3 * rows.index(k), 3 * rows.index(k) + 3)
            extra[k] = level.covariance[own, own] + by_gains @ fields @ by_gains.T
        else:
            strangers = by_theta @ np.diag(tissue_table()[k].between_heads ** 2) @ by_theta.T
            extra[k] = strangers + by_gains @ (level.covariance[gains, gains] + fields) @ by_gains.T
    _, by_gains = _reach(classes.means[-1], classes.covariances[-1], level, observations)  # lesions share the gains alone
    return classes.with_means(classes.means[: classes.pure], extra, by_gains @ (level.covariance[gains, gains] + fields) @ by_gains.T)


def _reach(theta: np.ndarray, within: np.ndarray, level: TissueLevel, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
    """I − K·J (3, 3) and −K·m (3, n): what an error of a class's θ and of each log gain does to a voxel's θ."""
    signal, slopes, weight = np.zeros(len(observations)), np.zeros((len(observations), 3)), np.zeros(len(observations))
    for i, observation in enumerate(observations):
        value, derivatives = predict(observation, theta[:, None], np.exp(level.log_gains[i : i + 1]))
        signal[i] = value[0]
        slopes[i] = [0.0 if d is None else d[0] for d in derivatives]
        weight[i] = 1.0 / (observation.noise**2 + (observation.model_error * value[0]) ** 2)
    posterior = np.linalg.inv(np.linalg.inv(within) + (slopes.T * weight) @ slopes)
    gain_matrix = posterior @ (slopes.T * weight)
    return np.eye(3) - gain_matrix @ slopes, -gain_matrix * signal
