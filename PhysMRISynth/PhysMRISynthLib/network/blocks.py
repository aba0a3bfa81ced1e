"""Building blocks of the encoder and the decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_GROUPS = 32
SHARED = 2
"""Size of a condition that is one scale and one shift for all layers."""


def convolution(dims: int, inputs: int, outputs: int, size: int = 3, stride: int = 1, bias: bool = True) -> nn.Conv2d | nn.Conv3d:
    """A convolution in 2D or 3D that keeps the shape (at stride 1)."""
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    return kind(inputs, outputs, size, stride, padding=(size - 1) // 2 if stride == 1 else 0, bias=bias)


class AdaptiveNorm(nn.Module):
    """Normalise features (B, C, …), then scale and shift them by an MLP of the condition (B, K).

    ``kind`` "voxel": over the channels of each voxel, so that a crop and a whole head agree. "group": over groups of channels and the
    whole image (Wu & He 2018), as in the paper, with at most ``groups`` groups. Without a condition (``condition_size`` 0) scale and shift
    are learned constants. A condition of size SHARED is itself added to them, to all channels alike.
    """

    def __init__(self, channels: int, kind: str, condition_size: int = 0, groups: int = _GROUPS) -> None:
        super().__init__()
        self.kind, self.channels, self.groups = kind, channels, math.gcd(groups, channels)
        self.scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.adapt: nn.Module | None = None
        if condition_size:
            self.adapt = nn.Identity() if condition_size == SHARED else nn.Linear(condition_size, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        if self.kind == "group" and (self.adapt is None or condition is None):
            return functional.group_norm(x, self.groups, 1.0 + self.scale, self.shift)
        scale, shift = self.scale[None], self.shift[None]
        if self.adapt is not None and condition is not None:
            more_scale, more_shift = self.adapt(condition).chunk(2, dim=1)
            scale, shift = scale + more_scale, shift + more_shift
        if self.kind == "group":
            shape = (-1, self.channels, *[1] * (x.dim() - 2))
            normal = functional.group_norm(x, self.groups)
            return torch.addcmul(shift.view(shape).to(normal.dtype), normal, (1.0 + scale).view(shape).to(normal.dtype))
        # channels last, the convolutions' own memory format
        last = x.movedim(1, -1)
        shape = (-1, *[1] * (x.dim() - 2), self.channels)
        normal = functional.layer_norm(last, (self.channels,))
        return torch.addcmul(shift.view(shape).to(x.dtype), normal, (1.0 + scale).view(shape).to(x.dtype)).movedim(-1, 1)


def activated(x: Tensor) -> Tensor:
    """SiLU, in the memory of ``x`` where no gradient needs that."""
    return functional.silu(x, inplace=not torch.is_grad_enabled())


class ResidualBlock(nn.Module):
    """norm – SiLU – convolution – norm – SiLU – convolution, added to the input."""

    def __init__(self, dims: int, inputs: int, outputs: int, norm: str, condition_size: int = 0, groups: int = _GROUPS) -> None:
        super().__init__()
        self.norms = nn.ModuleList(AdaptiveNorm(width, norm, condition_size, groups) for width in (inputs, outputs))
        # no bias before a norm: it could bury a weak signal
        self.first = convolution(dims, inputs, outputs, bias=False)
        self.second = convolution(dims, outputs, outputs)
        self.skip = convolution(dims, inputs, outputs, size=1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        y = self.first(activated(self.norms[0](x, condition)))
        return self.skip(x) + self.second(activated(self.norms[1](y, condition)))


class Trunk(nn.Module):
    """Residual blocks on a pyramid of resolutions, down and up again: a large receptive field at the cost of the coarse levels.

    Takes and returns ``widths[0]`` channels at the finest level.
    """

    def __init__(self, dims: int, widths: Sequence[int], blocks: Sequence[int], norm: str, condition_size: int = 0) -> None:
        super().__init__()
        levels = range(len(widths))
        self.down = nn.ModuleList(convolution(dims, widths[i - 1], widths[i], 2, 2, bias=False) for i in levels[1:])
        self.up = nn.ModuleList(convolution(dims, widths[i], widths[i - 1], 1) for i in levels[1:])
        self.before = nn.ModuleList(
            nn.ModuleList(ResidualBlock(dims, widths[i], widths[i], norm, condition_size) for _ in range(blocks[i])) for i in levels
        )
        self.after = nn.ModuleList(ResidualBlock(dims, widths[i], widths[i], norm, condition_size) for i in levels[:-1])

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        kept = []
        for level, blocks in enumerate(self.before):
            if level:
                x = self.down[level - 1](x)
            for block in cast(nn.ModuleList, blocks):
                x = block(x, condition)
            kept.append(x)
        for level in reversed(range(len(self.after))):
            x = kept[level] + functional.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest")
            x = self.after[level](x, condition)
        return x


def positions(volume: Tensor) -> Tensor:
    """Coordinates of each position of a volume (B, C, *S) along its axes, from −1 to 1: (B, dims, *S)."""
    axes = [torch.linspace(-1.0, 1.0, side, device=volume.device, dtype=volume.dtype) for side in volume.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(volume), -1, *volume.shape[2:])


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """Fold blocks of ``block`` voxels a side into channels: (B, C, *S) → (B, C·block^d, *S/block), channels last in memory."""
    if block == 1:
        return x
    batch, channels, *shape = x.shape
    dims = len(shape)
    split = [size for side in shape for size in (side // block, block)]
    order = [0, *range(2, 2 + 2 * dims, 2), 1, *range(3, 3 + 2 * dims, 2)]
    folded = x.reshape(batch, channels, *split).permute(*order)
    return folded.reshape(batch, *[side // block for side in shape], channels * block**dims).movedim(-1, 1)


def block_means(x: Tensor, block: int) -> Tensor:
    """Means of (B, C, *S) over blocks of ``block`` voxels a side: (B, C, *S/block)."""
    return space_to_depth(x, block).unflatten(1, (x.shape[1], block ** (x.dim() - 2))).mean(dim=2)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """The inverse of :func:`space_to_depth`."""
    if block == 1:
        return x
    batch, channels, *shape = x.shape
    dims = len(shape)
    split = x.movedim(1, -1).reshape(batch, *shape, channels // block**dims, *[block] * dims)
    order = [0, *(axis for i in range(dims) for axis in (1 + i, 2 + dims + i)), 1 + dims]
    return split.permute(*order).reshape(batch, *[side * block for side in shape], channels // block**dims).movedim(-1, 1)
