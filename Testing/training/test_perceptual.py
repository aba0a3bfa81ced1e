"""The losses of looks: what a network that knows photographs sees, and what a discriminator learns to see."""

from __future__ import annotations

import copy
import socket
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from physmrisynth_training.learning.adversary import Adversary, Discriminator
from physmrisynth_training.learning.perceptual import PerceptualLoss
from physmrisynth_training.learning.vae_config import VaeTrainingConfig


def pictures(*shape: int, seed: int = 0) -> Tensor:
    """Smooth random images (N, 1, *S) from 0 to 1."""
    coarse = torch.rand((shape[0], 1, *(n // 8 for n in shape[1:])), generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(coarse, shape[1:], mode="nearest")


def blurred(images: Tensor, times: int) -> Tensor:
    pool = functional.avg_pool2d if images.dim() == 4 else functional.avg_pool3d
    for _ in range(times):
        images = pool(images, 3, 1, 1, count_include_pad=False)
    return images


# --- perceptual -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def perceptual() -> PerceptualLoss:
    return PerceptualLoss()


@pytest.mark.parametrize("shape", [(2, 64, 48), (1, 32, 48, 40)])
def test_equal_images_cost_nothing_and_blur_costs_more_and_more(perceptual: PerceptualLoss, shape: tuple[int, ...]) -> None:
    images, losses = pictures(*shape), []
    for times in (0, 1, 3, 9):
        torch.manual_seed(0)  # the same planes of a volume
        losses.append(float(perceptual(blurred(images, times), images)))
    assert losses[0] == 0.0 and losses == sorted(losses) and losses[1] > 0.01 and losses[3] > 1.5 * losses[1]


def test_it_teaches_the_image_and_never_learns_itself(perceptual: PerceptualLoss) -> None:
    images = pictures(2, 32, 32)
    found = blurred(images, 2).requires_grad_()
    before = {name: value.clone() for name, value in perceptual.state_dict().items()}
    perceptual.train()(found, images).backward()
    assert found.grad is not None and found.grad.abs().max() > 0
    assert not any(p.requires_grad for p in perceptual.parameters())
    assert all(torch.equal(value, before[name]) for name, value in perceptual.state_dict().items())


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    PerceptualLoss()


# --- adversarial ----------------------------------------------------------------------------------------------------------------


def config(**values: Any) -> VaeTrainingConfig:
    return VaeTrainingConfig(crops=((32, 32),), discriminator_channels=8, discriminator_layers=2, **values)


def adversary(state: dict[str, Any] | None = None, seed: int = 0) -> Adversary:
    torch.manual_seed(seed)
    return Adversary(Fabric(accelerator="cpu", devices=1), 2, config(discriminator_rate=2e-3), state or {})


def test_a_discriminator_learns_to_tell_and_blur_is_found_out() -> None:
    judge = adversary()
    losses = []
    for step in range(25):
        sharp = pictures(4, 32, 32, seed=step)
        losses.append(judge.learn(sharp, blurred(sharp, 2)))
    assert sum(losses[-5:]) < 0.55 * sum(losses[:5])
    unseen = pictures(4, 32, 32, seed=99)
    with torch.no_grad():
        assert float(judge.loss(unseen)) < float(judge.loss(blurred(unseen, 2))) - 0.3


def test_the_makers_loss_teaches_the_image_and_not_the_discriminator() -> None:
    judge, rendered = adversary(), pictures(2, 32, 32).requires_grad_()
    judge.loss(rendered).backward()
    assert rendered.grad is not None and rendered.grad.abs().max() > 0
    assert all(p.grad is None and p.requires_grad for p in judge.discriminator.patches.parameters())


def test_a_discriminator_goes_on_from_its_state() -> None:
    """The optimiser's moments too."""
    one, images = adversary(), pictures(4, 32, 32)
    one.learn(images, blurred(images, 2))
    other = adversary(copy.deepcopy(one.state()), seed=5)
    losses = [judge.learn(images, blurred(images, 3)) for judge in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for a, b in zip(one.discriminator.parameters(), other.discriminator.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0.0, atol=1e-7)


@pytest.mark.parametrize("dims", [2, 3])
def test_volumes_have_discriminators_too(dims: int) -> None:
    images = pictures(2, *[16] * dims)
    assert float(Discriminator(dims, 4, 1)(images, blurred(images, 2)).detach()) > 0
