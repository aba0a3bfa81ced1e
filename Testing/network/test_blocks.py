"""Folding, norms and the trunk: what they keep, and what a condition may change."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from PhysMRISynthLib.network.blocks import AdaptiveNorm, ResidualBlock, Trunk, convolution, depth_to_space, space_to_depth

KINDS = ("voxel", "group")


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stirred(module: nn.Module, seed: int = 1) -> nn.Module:
    """With weights that are all random, those that start at zero too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return module


def unconditioned(module: nn.Module) -> nn.Module:
    """With what a condition adds at zero."""
    for part in module.modules():
        if isinstance(part, AdaptiveNorm) and part.adapt is not None:
            for parameter in part.adapt.parameters():
                nn.init.zeros_(parameter)
    return module


# --- folding --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("shape", [(8, 12), (4, 8, 12)], ids=["2D", "3D"])
def test_unfolding_is_the_inverse_of_folding(shape: tuple[int, ...], block: int) -> None:
    x = some(2, 3, *shape)
    folded = space_to_depth(x, block)
    assert folded.shape == (2, 3 * block ** len(shape), *[n // block for n in shape])
    assert torch.equal(depth_to_space(folded, block), x)
    many = some(2, 3 * block ** len(shape), *shape)
    assert torch.equal(space_to_depth(depth_to_space(many, block), block), many)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_position_holds_its_own_block_voxel_by_voxel(dims: int) -> None:
    x = some(2, 3, *(4, 8, 12)[-dims:])
    folded = space_to_depth(x, 4)
    place = (0, 1, 2)[-dims:]
    block = x[(1, slice(None), *[slice(4 * i, 4 * i + 4) for i in place])]
    assert torch.equal(folded[(1, slice(None), *place)], block.reshape(-1))


def test_folding_in_2d_is_pixel_unshuffle() -> None:
    x = some(2, 3, 8, 12)
    assert torch.equal(space_to_depth(x, 2), functional.pixel_unshuffle(x, 2))


# --- norms ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 9), (5, 6, 7)], ids=["2D", "3D"])
def test_voxel_norm_is_layer_norm_over_channels(shape: tuple[int, ...]) -> None:
    x = 5.0 + 3.0 * some(2, 6, *shape)
    mean, variance = x.mean(dim=1, keepdim=True), x.var(dim=1, keepdim=True, unbiased=False)
    torch.testing.assert_close(AdaptiveNorm(6, "voxel")(x, None), (x - mean) / torch.sqrt(variance + 1e-5))


def test_voxel_norm_sees_the_same_on_a_crop_as_on_the_whole() -> None:
    x, condition = some(2, 6, 8, 9, 10), some(2, 5, seed=2)
    crop = (..., slice(2, 6), slice(3, 8), slice(0, 4))
    voxel, group = (stirred(AdaptiveNorm(6, kind, 5)) for kind in KINDS)
    torch.testing.assert_close(voxel(x[crop], condition), voxel(x, condition)[crop])
    assert (group(x[crop], condition) - group(x, condition)[crop]).abs().max() > 0.01


@pytest.mark.parametrize("channels", [6, 32, 64])
def test_group_norm_is_torchs(channels: int) -> None:
    x = some(2, channels, 5, 6)
    torch.testing.assert_close(AdaptiveNorm(channels, "group")(x, None), nn.GroupNorm(math.gcd(32, channels), channels)(x))


@pytest.mark.parametrize("kind", KINDS)
def test_scale_and_shift_are_those_learned_and_those_of_the_condition(kind: str) -> None:
    norm, x, condition = AdaptiveNorm(4, kind, 3), some(2, 4, 5, 6, 7), some(2, 3, seed=2)
    assert norm.adapt is not None
    unconditioned(norm)
    plain = norm(x, None)
    torch.testing.assert_close(norm(x, condition), plain)
    stirred(norm)
    more = norm.adapt(condition)[..., None, None, None]
    expected = plain * (1.0 + norm.scale.view(1, 4, 1, 1, 1) + more[:, :4]) + norm.shift.view(1, 4, 1, 1, 1) + more[:, 4:]
    torch.testing.assert_close(norm(x, condition), expected)
    assert (norm(x, condition) - norm(x, condition.flip(0))).abs().max() > 0.01


# --- blocks and trunk -----------------------------------------------------------------------------------------------------------


def test_convolutions_keep_the_shape_and_halve_it() -> None:
    assert convolution(2, 3, 5)(some(1, 3, 6, 8)).shape == (1, 5, 6, 8)
    assert convolution(3, 3, 5, 1)(some(1, 3, 4, 6, 8)).shape == (1, 5, 4, 6, 8)
    assert convolution(3, 3, 5, 2, 2)(some(1, 3, 4, 6, 8)).shape == (1, 5, 2, 3, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_residual_block_adds_to_its_input(kind: str) -> None:
    block, x = ResidualBlock(2, 4, 4, kind), some(2, 4, 8, 8)
    with torch.no_grad():
        for parameter in block.second.parameters():
            parameter.zero_()
    torch.testing.assert_close(block(x, None), x)
    assert ResidualBlock(2, 4, 6, kind)(x, None).shape == (2, 6, 8, 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(8, 12), (4, 8, 12)], ids=["2D", "3D"])
@pytest.mark.parametrize(("widths", "blocks"), [((6,), (2,)), ((6, 8), (1, 1)), ((6, 8, 10), (1, 0, 2))])
def test_a_trunk_keeps_the_shape(widths: tuple[int, ...], blocks: tuple[int, ...], shape: tuple[int, ...], kind: str) -> None:
    trunk, x, condition = Trunk(len(shape), widths, blocks, kind, 5), some(2, 6, *shape), some(2, 5, seed=2)
    assert trunk(x, condition).shape == x.shape
    unconditioned(trunk)
    torch.testing.assert_close(trunk(x, condition), trunk(x, condition.flip(0)))
    stirred(trunk)
    assert (trunk(x, condition) - trunk(x, condition.flip(0))).abs().max() > 1e-3


def test_every_weight_of_a_trunk_is_used() -> None:
    trunk = stirred(Trunk(2, (6, 8, 10), (1, 1, 1), "voxel", 5))
    trunk(some(1, 6, 8, 8), some(1, 5)).square().sum().backward()
    assert [name for name, p in trunk.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_a_trunk_of_more_levels_sees_further() -> None:
    """How far one voxel is felt: the pyramid's levels double it."""
    reach = []
    for widths in ((4,), (4, 4), (4, 4, 4)):
        trunk = stirred(Trunk(2, widths, (1,) * len(widths), "voxel"))
        x = some(1, 4, 64, 64)
        y = x.clone()
        y[0, 0, 32, 32] += 1.0
        felt = (trunk(y, None) - trunk(x, None)).abs().sum(dim=1)[0] > 1e-6
        reach.append(int(felt.any(dim=0).sum()))
    assert reach[0] < reach[1] < reach[2]
