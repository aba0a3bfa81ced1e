"""A loss against blurring: the local strength of detail, whatever its shape."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_MIXED = 32
"""Filters over all channels at once, besides one for each channel."""
_SIDE = 3
"""Positions a side of a filter, and of the window of its local energy."""
_LEAST = 1e-3
"""Lower bound of an energy with mean 1: the square root has no finite gradient at 0."""
_LEAST_SD = 1e-3
"""A channel with a smaller SD is ignored."""


def texture_error(seen: Tensor, back: Tensor, emphasis: Tensor) -> Tensor:
    """Mean squared difference () of the local energies of a reconstruction ``back`` and the original ``seen``, both (B, C, z, y, x).

    The squared error alone is minimised by the mean over all possibilities, which varies less than any of them. Here both pass the
    same random filters over neighbours, of each channel and of all together, sampled at each call by torch's global random numbers (on
    the CPU: the same on every device), and only the local strength of each response counts: a sliced comparison of local Gram
    matrices (Gatys et al. 2016; Heitz et al. 2021). Channels have equal weight; ``emphasis`` (1, z, y, x) weights positions.
    """
    with torch.autocast(seen.device.type, enabled=False):
        seen, back = seen.float(), back.float()
        sd = (seen.square() * emphasis).mean(dim=(0, 2, 3, 4), keepdim=True).sqrt().clamp_min(_LEAST_SD)
        filters = _filters(seen.shape[1]).to(seen.device)
        energies = [_energy(images / sd, filters) for images in (seen, back)]
        error = (energies[1].add(_LEAST).sqrt() - energies[0].add(_LEAST).sqrt()).square()
        return (error * emphasis).mean()


def _filters(channels: int) -> Tensor:
    """Random filters (channels + mixed, channels, 3, 3, 3) with mean energy 1; the first ones see a single channel each."""
    looks = torch.cat([torch.eye(channels), torch.full((_MIXED, channels), channels**-0.5)])
    return torch.randn(len(looks), channels, *[_SIDE] * 3) * looks.view(*looks.shape, 1, 1, 1) / _SIDE**1.5


def _energy(images: Tensor, filters: Tensor) -> Tensor:
    """Local response strength of each filter: (B, filters, *S)."""
    answers = functional.conv3d(images, filters, padding=_SIDE // 2)
    return functional.avg_pool3d(answers.square(), _SIDE, stride=1, padding=_SIDE // 2, count_include_pad=False)
