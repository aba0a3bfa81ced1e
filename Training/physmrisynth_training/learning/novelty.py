"""Novelty: whether synthetic heads are new or memorised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .latent_batches import Codes


class Novelty:
    """Distance of sampled codes to the nearest training head, divided by the same distance of other people (``held_out``).

    About 1: as new as other people. 0: copies. Above 1: unlike any head, like noise or samples early in a training; novelty
    does not measure plausibility. The distance is 1 minus the correlation of two heads' deviations from the training
    heads' mean, so that a smooth head does not count as near.
    """

    def __init__(self, learned: Codes, held_out: Codes) -> None:
        known = _rows(learned)
        self._mean = known.mean(dim=0)
        self._known = self._directions(known)
        self.strangers = self._nearest(_rows(held_out))

    def of(self, drawn: Tensor) -> float:
        """The novelty of sampled codes (B, codes, *S)."""
        return self._nearest(drawn.float().cpu().flatten(1)) / max(self.strangers, 1e-6)

    def _directions(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows - self._mean, dim=1)

    def _nearest(self, rows: Tensor) -> float:
        return float((1.0 - self._directions(rows) @ self._known.T).min(dim=1).values.mean())


def _rows(codes: Codes) -> Tensor:
    return torch.from_numpy(np.concatenate([codes[index].latent for index in range(len(codes))])).float().flatten(1)
