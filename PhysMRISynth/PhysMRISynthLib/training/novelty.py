"""Are drawn heads new, or learned by heart?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .latent_source import Codes


class Novelty:
    """How far drawn codes lie from the nearest of those that were ``learned``, over how far those of other people do (``held_out``).

    Near 1 what is drawn is as new as these people are; at 0 it is copies; above 1 it is like nobody, as noise is and what a training draws
    at its beginning: that it is a head at all other numbers must tell. The distance is 1 minus the correlation of what two heads have
    beyond the mean of those that were learned, so that a smooth head is no nearer for that.
    """

    def __init__(self, learned: Codes, held_out: Codes) -> None:
        known = _rows(learned)
        self._mean = known.mean(dim=0)
        self._known = self._directions(known)
        self.strangers = self._nearest(_rows(held_out))

    def of(self, drawn: Tensor) -> float:
        """The novelty of drawn codes (B, codes, *S)."""
        return self._nearest(drawn.float().cpu().flatten(1)) / max(self.strangers, 1e-6)

    def _directions(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows - self._mean, dim=1)

    def _nearest(self, rows: Tensor) -> float:
        return float((1.0 - self._directions(rows) @ self._known.T).min(dim=1).values.mean())


def _rows(codes: Codes) -> Tensor:
    return torch.from_numpy(np.concatenate([codes[index].latent for index in range(len(codes))])).float().flatten(1)
