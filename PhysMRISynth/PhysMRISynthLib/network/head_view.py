"""The network's result for a whole head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Inference:
    """The network's result for a head of shape (z, y, x), float32.

    ``probabilities`` (classes, z, y, x); ``latents`` (inputs, channels, z/factor, y/factor, x/factor; rounded up): the posterior mean of
    each input alone and, if there are several, of all together last.
    """

    probabilities: np.ndarray
    latents: np.ndarray
    factor: int
