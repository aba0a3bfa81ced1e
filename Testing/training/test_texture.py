"""What is blurred is told from what has detail, whatever that detail's shape."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from physmrisynth_training.learning.texture_loss import texture_error

EVERYWHERE = torch.ones(1, 12, 14, 10)


def detail(seed: int) -> Tensor:
    """Channels of very different strength, and stronger in the upper half."""
    drawn = torch.randn((2, 4, *EVERYWHERE.shape[1:]), generator=torch.Generator().manual_seed(seed))
    drawn[:, :, 6:] *= 3.0
    return drawn * torch.tensor([10.0, 1.0, 1.0, 0.1]).view(1, 4, 1, 1, 1)


def error(seen: Tensor, back: Tensor, emphasis: Tensor = EVERYWHERE) -> float:
    torch.manual_seed(0)
    return float(texture_error(seen, back, emphasis))


def blurred(x: Tensor) -> Tensor:
    return functional.avg_pool3d(x, 3, 1, 1)


def test_detail_of_another_shape_costs_less_than_its_blur() -> None:
    seen, other = detail(0), detail(1)
    assert error(seen, seen) == 0.0 and error(seen, -seen) < 1e-9
    assert error(seen, other) < 0.25 * error(seen, blurred(seen))
    # an error's square would have it the other way round
    assert (other - seen).square().mean() > (blurred(seen) - seen).square().mean()


def test_only_the_right_strength_at_the_right_place_costs_nothing() -> None:
    seen, other = detail(0), detail(1)
    costs = [error(seen, factor * other) for factor in (0.6, 1.0, 1.5)]
    assert costs[1] < costs[0] and costs[1] < costs[2]
    assert error(seen, other.flip(2)) > 4 * error(seen, other)
    lower = EVERYWHERE.clone()
    lower[:, 4:] = 0.0
    assert error(seen, torch.cat([other[:, :, :6], 0 * other[:, :, 6:]], dim=2), lower) == pytest.approx(error(seen, other, lower))


def test_every_channel_counts_alike() -> None:
    seen = detail(0)
    for channel in range(4):
        back = seen.clone()
        back[:, channel] = 0.0
        assert error(seen, back) > 0.004


def test_a_blur_is_led_back_to_detail() -> None:
    """Where nothing varies at all there is still a gradient to follow, without numbers that are none."""
    seen = detail(0)
    back = torch.zeros_like(seen).requires_grad_(True)
    texture_error(seen, back + 1e-3 * detail(1), EVERYWHERE).backward()
    assert back.grad is not None and torch.isfinite(back.grad).all() and back.grad.abs().max() > 0
