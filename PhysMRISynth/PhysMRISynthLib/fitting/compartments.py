"""Voxels of two tissues, whose signals add up, made ready for the fit of one tissue a voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .mixture import ClassSignals
from .observation import Observation

_DOUBT = 0.5
"""SD of what was taken off, relative to it: shares inside a class differ."""


def as_one_compartment(
    observations: Sequence[Observation], fields: Sequence[np.ndarray], signals: ClassSignals, assigned: np.ndarray
) -> tuple[list[Observation], np.ndarray]:
    """The inputs without what mixtures show beyond one tissue of the same θ, and that part of the signals (n, N).

    ``assigned`` (K, N) are the classes' probabilities, ``fields`` the receive fields (n arrays of N). A voxel half of fluid and half of
    cortex can be dark in an inversion recovery, because fluid's signal is negative there, and bright in a T2w: no T1 and T2 give both.
    What probabilities leave open about that part, and a share of itself, widens the input's error.
    """
    shift = signals.beyond.T.astype(np.float32) @ assigned
    variance = (signals.beyond**2).T.astype(np.float32) @ assigned - (1.0 - _DOUBT**2) * shift**2
    beyond = shift * np.stack(fields)
    widened = np.sqrt(np.maximum(variance, 0.0)) * np.stack(fields)
    made = [
        replace(o, signal=o.signal - part, structure=wide if o.structure is None else np.hypot(wide, o.structure))
        for o, part, wide in zip(observations, beyond, widened, strict=True)
    ]
    return made, beyond
