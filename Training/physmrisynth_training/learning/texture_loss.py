"""A loss for what is blurred: how strongly detail varies around each place, whatever its shape."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_MIXED = 32
"""Filters that look at all channels at once, beside one for each alone."""
_SIDE = 3
"""Positions that a filter spans, and that its answers are taken together over."""
_LEAST = 1e-3
"""Of an energy that is 1 in the mean, so little is none: its square root has no gradient to follow."""
_LEAST_SD = 1e-3
"""A channel that varies less says nothing."""


def texture_error(seen: Tensor, back: Tensor, emphasis: Tensor) -> Tensor:
    """How far the local energies of what comes ``back`` are from those of what was ``seen`` (both (B, C, z, y, x)), a mean square ().

    An error's square is least for the mean of all that could be there, which varies less than any of it. Here both are looked at through
    the same random filters over neighbours, of each channel and of all together, drawn anew at each call by torch's own random numbers (on
    the CPU: the same on every device), and only how strongly each answers around a place counts: a sliced comparison of local Gram
    matrices (Gatys et al. 2016; Heitz et al. 2021). Each channel counts alike; ``emphasis`` (1, z, y, x) says how much places do.
    """
    with torch.autocast(seen.device.type, enabled=False):
        seen, back = seen.float(), back.float()
        sd = (seen.square() * emphasis).mean(dim=(0, 2, 3, 4), keepdim=True).sqrt().clamp_min(_LEAST_SD)
        filters = _filters(seen.shape[1]).to(seen.device)
        energies = [_energy(images / sd, filters) for images in (seen, back)]
        error = (energies[1].add(_LEAST).sqrt() - energies[0].add(_LEAST).sqrt()).square()
        return (error * emphasis).mean()


def _filters(channels: int) -> Tensor:
    """Random filters (channels + mixed, channels, a side of 3 each), of energy 1 in the mean: the first look at a channel each."""
    looks = torch.cat([torch.eye(channels), torch.full((_MIXED, channels), channels**-0.5)])
    return torch.randn(len(looks), channels, *[_SIDE] * 3) * looks.view(*looks.shape, 1, 1, 1) / _SIDE**1.5


def _energy(images: Tensor, filters: Tensor) -> Tensor:
    """How strongly each filter answers around each place: (B, filters, *S)."""
    answers = functional.conv3d(images, filters, padding=_SIDE // 2)
    return functional.avg_pool3d(answers.square(), _SIDE, stride=1, padding=_SIDE // 2, count_include_pad=False)
