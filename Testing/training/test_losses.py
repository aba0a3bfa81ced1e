"""Losses are lowest where the network is right and says how sure it is; a hand-made computation agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from physmrisynth_training.learning.losses import (
    block_mean_offset,
    class_loss,
    class_weights,
    dice,
    squared_error,
    tissue_prior,
    values_loss,
)
from PhysMRISynthLib.network.vae import CLASSES, TissuePrediction
from PhysMRISynthLib.physics.tissues import tissue_table

FACTOR = 4
BRAIN = [tissue.region == "brain" for tissue in tissue_table()] + [True]
WHITE, CORTEX, AIR, LESION = (CLASSES.index(name) for name in ("white_matter", "cortex", "air", "lesion"))
TRIANGLE = ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_tissue(*shape: int, seed: int = 0) -> Tensor:
    """Classes at random, most of them brain."""
    tissue = torch.randint(len(CLASSES), shape, generator=generator(seed), dtype=torch.uint8)
    return torch.where(torch.rand(shape, generator=generator(seed + 1)) < 0.4, torch.tensor(WHITE, dtype=torch.uint8), tissue)


def sure_of(tissue: Tensor, confidence: float = 20.0) -> TissuePrediction:
    logits = confidence * torch.nn.functional.one_hot(tissue.long(), len(CLASSES)).movedim(-1, 1).float()
    return TissuePrediction(logits, torch.zeros(0), torch.zeros(0))


def triangles(scale: Tensor) -> np.ndarray:
    """The lower triangles (B, 6, *S) as matrices (B·S, 3, 3)."""
    rows = scale.movedim(1, -1).reshape(-1, 6).double().numpy()
    matrices = np.zeros((len(rows), 3, 3))
    for k, (i, j) in enumerate(TRIANGLE):
        matrices[:, i, j] = rows[:, k]
    return matrices


def some_scale(*shape: int, sd: float = 0.1, seed: int = 2) -> Tensor:
    """Roots of covariances (B, 6, *S) of which no two are alike."""
    scale = sd * 0.5 * torch.randn((shape[0], 6, *shape[1:]), generator=generator(seed))
    scale[:, [0, 2, 5]] = sd * (0.5 + torch.rand((shape[0], 3, *shape[1:]), generator=generator(seed + 1)))
    return scale


# --- classes --------------------------------------------------------------------------------------------------------------------


def test_the_right_tissue_costs_least_and_nothing_when_sure() -> None:
    tissue = some_tissue(2, 8, 8)
    wrong = (tissue + 1) % len(CLASSES)
    right_loss, unsure, wrong_loss = (float(class_loss(p, tissue)) for p in (sure_of(tissue), sure_of(tissue, 0.0), sure_of(wrong)))
    assert 0 <= right_loss < 1e-6 < unsure < wrong_loss


def test_class_loss_is_the_weighted_cross_entropy_of_a_loop() -> None:
    tissue = some_tissue(1, 4, 4, 4)
    logits = torch.randn((1, len(CLASSES), 4, 4, 4), generator=generator(5))
    weights = class_weights()
    expected = 0.0
    for z, y, x in np.ndindex(4, 4, 4):
        scores, right = logits[0, :, z, y, x], int(tissue[0, z, y, x])
        expected += float(weights[right]) * (math.log(float(scores.exp().sum())) - float(scores[right])) / 64
    prediction = TissuePrediction(logits, torch.zeros(0), torch.zeros(0))
    assert float(class_loss(prediction, tissue)) == pytest.approx(expected, rel=1e-5)


def test_brain_counts_more_than_the_rest_and_small_nuclei_most() -> None:
    weights = dict(zip(CLASSES, class_weights().tolist(), strict=True))
    assert weights["fat"] == weights["air"] < weights["white_matter"] == weights["csf"] < weights["thalamus"]


# --- mean deviation of a block --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_block_means_are_those_of_a_loop(dims: int) -> None:
    shape = (8, 12, 16)[-dims:]
    tissue = some_tissue(2, *shape)
    tissue[0, :4, :4] = AIR
    tissue[(0, 0, 0, 0)[: dims + 1]] = LESION  # one voxel of brain: too little
    offset = torch.randn((2, 3, *shape), generator=generator(7))
    mean, known = block_mean_offset(offset, tissue, FACTOR)
    places = tuple(n // FACTOR for n in shape)
    assert mean.shape == (2, 3, *places) and known.shape == (2, 1, *places)
    for b, *place in np.ndindex(2, *places):
        block = tuple(slice(FACTOR * i, FACTOR * (i + 1)) for i in place)
        brain = torch.tensor(BRAIN)[tissue[(b, *block)].long()]
        assert bool(known[(b, 0, *place)]) == (float(brain.float().mean()) > 0.25)
        if brain.any():
            for row in range(3):
                assert float(mean[(b, row, *place)]) == pytest.approx(float(offset[(b, row, *block)][brain].mean()), abs=1e-5)
    assert 0 < known.sum() < known.numel()


# --- values ---------------------------------------------------------------------------------------------------------------------


def predicted(offset: Tensor, scale: Tensor) -> TissuePrediction:
    return TissuePrediction(torch.zeros(0), offset, scale)


def truth(seed: int = 3, places: tuple[int, ...] = (6, 8)) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets and tissue of an image of brain, and the means that a network should find."""
    shape = tuple(FACTOR * n for n in places)
    tissue = torch.full((2, *shape), WHITE, dtype=torch.uint8)
    mean = 0.1 * torch.randn((2, 3, *places), generator=generator(seed))
    offset = mean
    for axis in range(2, 2 + len(places)):
        offset = offset.repeat_interleave(FACTOR, axis)
    return offset, tissue, mean


def test_values_loss_is_lowest_at_the_truth_and_rises_with_the_error() -> None:
    offset, tissue, mean = truth()
    scale = some_scale(2, 6, 8)
    losses = [float(values_loss(predicted(mean + error, scale), offset, tissue)) for error in (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)]
    assert losses == sorted(losses) and len(set(losses)) == len(losses)
    for row in range(3):
        for sign in (-1.0, 1.0):
            step = torch.zeros(1, 3, 1, 1)
            step[0, row] = sign * 0.03
            assert float(values_loss(predicted(mean + step, scale), offset, tissue)) > losses[0]


@pytest.mark.parametrize("places", [(6, 8), (2, 3, 4)])
def test_values_loss_is_the_likelihood_under_the_full_covariance(places: tuple[int, ...]) -> None:
    """Against a dense inverse and determinant of L·Lᵀ, and a Huber loss written out."""
    offset, tissue, mean = truth(places=places)
    tissue[0] = torch.where(torch.rand(tissue[0].shape, generator=generator(9)) < 0.8, torch.tensor(AIR, dtype=torch.uint8), tissue[0])
    scale, found = some_scale(2, *places), mean + 0.15 * torch.randn(mean.shape, generator=generator(8))
    target, known = block_mean_offset(offset, tissue, FACTOR)
    residual = (target - found).movedim(1, -1).reshape(-1, 3).double().numpy()
    covariance = triangles(scale) @ triangles(scale).transpose(0, 2, 1)
    likelihood = 0.5 * np.einsum("ni,nij,nj->n", residual, np.linalg.inv(covariance), residual)
    likelihood += 0.5 * np.log(np.linalg.det(covariance)) + 1.5 * np.log(2 * np.pi)
    huber = np.where(np.abs(residual) < 0.1, 0.5 * residual**2, 0.1 * (np.abs(residual) - 0.05)).sum(axis=1)
    each = (likelihood + huber / 0.1**2)[known.reshape(-1).numpy()]
    assert 0 < each.size < known.numel()
    assert float(values_loss(predicted(found, scale), offset, tissue)) == pytest.approx(each.mean() / 3.0, rel=1e-4)


def test_a_calibrated_covariance_costs_less_than_one_too_small_or_too_large() -> None:
    offset, tissue, mean = truth(places=(20, 20))
    scale = some_scale(2, 20, 20)
    draws = torch.randn((mean.permute(0, 2, 3, 1).numel() // 3, 3, 1), generator=generator(4))
    error = (torch.from_numpy(triangles(scale)).float() @ draws)[..., 0].reshape(2, 20, 20, 3).movedim(-1, 1)
    factors = (1 / 3, 0.8, 1.0, 1.25, 3.0)
    losses = {factor: float(values_loss(predicted(mean + error, factor * scale), offset, tissue)) for factor in factors}
    assert min(losses, key=losses.__getitem__) == 1.0
    assert losses[1 / 3] > losses[1.0] + 0.5 and losses[3.0] > losses[1.0] + 0.5


def test_what_is_uncertain_does_not_bend_what_is_known() -> None:
    """The mean's gradient neither depends on the covariance nor grows with the error; the covariance has one of its own."""
    offset, tissue, mean = truth()
    gradients = []
    for sd in (0.01, 1.0):
        found, scale = (mean + 2.0).requires_grad_(), some_scale(2, 6, 8, sd=sd).requires_grad_()
        values_loss(predicted(found, scale), offset, tissue).backward()
        assert found.grad is not None and scale.grad is not None and scale.grad.abs().max() > 0
        gradients.append(found.grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    assert gradients[0].abs().max() <= 0.1 / 0.1**2 / mean.numel() * (1 + 1e-5)


def test_without_brain_there_is_no_loss_of_values() -> None:
    offset, tissue, mean = truth()
    assert float(values_loss(predicted(mean + 1.0, some_scale(2, 6, 8)), offset, torch.full_like(tissue, AIR))) == 0.0


# --- images ---------------------------------------------------------------------------------------------------------------------


def test_only_known_places_count() -> None:
    found, target, known = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4, dtype=torch.bool)
    known[:, 1], target[:, 1], target[0, 0, 0, 0] = False, 100.0, 8.0
    assert float(squared_error(found, target, known)) == pytest.approx(64.0 / (2 * 2 * 16))
    assert float(squared_error(found, target, torch.zeros_like(known))) == 0.0


@pytest.mark.parametrize("dims", [2, 3])
def test_the_prior_pulls_t1_to_1000_and_t2_to_100_ms(dims: int) -> None:
    theta = (torch.tensor([0.5, 3.0, 8.0]).view(1, 3, *[1] * dims) + torch.rand(2, 3, *[4] * dims)).requires_grad_()
    before = theta.detach().clone()
    optimizer = torch.optim.Adam([theta], 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        tissue_prior(theta).backward()
        optimizer.step()
    found = theta.detach()
    torch.testing.assert_close(found[:, 1].exp(), torch.full_like(found[:, 1], 1000.0), rtol=0.01, atol=0.0)
    torch.testing.assert_close(found[:, 2].exp(), torch.full_like(found[:, 2], 100.0), rtol=0.01, atol=0.0)
    assert torch.equal(found[:, 0], before[:, 0])  # PD has none
    twice = torch.tensor([0.0, math.log(2000.0), math.log(100.0)]).view(1, 3, 1, 1)
    assert float(tissue_prior(twice)) == pytest.approx(math.log(2) ** 2 / 2)


# --- dice -----------------------------------------------------------------------------------------------------------------------


def test_dice_is_1_when_perfect_and_0_when_disjoint() -> None:
    tissue = some_tissue(1, 8, 8)
    assert dice(sure_of(tissue), tissue, CLASSES) == {CLASSES[c]: 1.0 for c in np.unique(tissue)}
    left = torch.full((1, 8, 8), AIR, dtype=torch.uint8)
    left[..., :3] = CORTEX
    assert dice(sure_of(left.flip(-1)), left, ("cortex",)) == {"cortex": 0.0}


def test_dice_of_a_half_overlap_leaves_out_what_is_absent() -> None:
    tissue, found = (torch.full((1, 8, 8), AIR, dtype=torch.uint8) for _ in range(2))
    tissue[0, :4] = CORTEX
    found[0, 2:4] = CORTEX
    found[0, 6:] = LESION  # found where there is none
    scores = dice(sure_of(found), tissue, ("cortex", "lesion", "white_matter"))
    assert scores == {"cortex": pytest.approx(2 * 16 / (32 + 16))}
