"""What was learned by heart is told from what is new."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from physmrisynth_training.learning.latent_batches import Codes
from physmrisynth_training.learning.latents import LatentHead
from physmrisynth_training.learning.novelty import Novelty

MEAN = 3.0 * torch.randn(16, 3, 4, 3, generator=torch.Generator().manual_seed(0))


def people(seed: int, count: int) -> Tensor:
    return MEAN + torch.randn(count, *MEAN.shape, generator=torch.Generator().manual_seed(seed))


def codes(rows: Tensor) -> Codes:
    return Codes([LatentHead(row[None].numpy(), "head") for row in rows], lambda latent: latent)


def test_copies_are_not_new_and_strangers_are() -> None:
    learned, held_out = people(1, 40), people(2, 10)
    novelty = Novelty(codes(learned), codes(held_out))
    assert 0.6 < novelty.strangers < 1.0
    assert novelty.of(learned[:8]) == pytest.approx(0.0, abs=1e-5)
    assert novelty.of(people(3, 8)) == pytest.approx(1.0, abs=0.05)
    half = novelty.of(MEAN + 0.5 * (learned[:8] - MEAN) + 0.5 * (people(3, 8) - MEAN))
    assert 0.2 < half < 0.7
    assert novelty.of(torch.randn(8, *MEAN.shape, generator=torch.Generator().manual_seed(4))) > 0.95  # noise is like nobody


def test_smooth_heads_and_the_mean_head_are_no_copies() -> None:
    """Both lie near to everybody, and that says nothing about any one of them."""
    learned, held_out = people(1, 40), people(2, 10)
    novelty = Novelty(codes(learned), codes(held_out))
    assert novelty.of(MEAN + 0.3 * (people(3, 8) - MEAN)) == pytest.approx(1.0, abs=0.1)
    assert novelty.of(MEAN[None] + 0.1 * (held_out[:1] - MEAN)) > 0.85
    assert novelty.of(MEAN + 0.3 * (learned[:8] - MEAN)) < 0.1  # but a smooth copy is one
