"""What the network makes of a whole head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Inference:
    """What the network made of a head of shape (z, y, x), float32.

    ``probabilities`` (classes, z, y, x); ``latents`` (inputs, channels, z/factor, y/factor, x/factor; rounded up): the posterior mean of
    each input alone and, where there are several, of all together at the end.
    """

    probabilities: np.ndarray
    latents: np.ndarray
    factor: int
