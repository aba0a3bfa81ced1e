"""The second stage: an autoencoder of the first network's latents, with far fewer numbers (codes), which the sampling model samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import PhysMRISynthError
from .blocks import AdaptiveNorm, ResidualBlock, block_means, convolution, depth_to_space, positions
from .config import read_fields
from .latent_space import LatentSpace, Moments

_GROUPS = 16
_PER_LEVEL = ("reading", "reading_blocks", "writing", "writing_blocks")
_SLOWNESS = 0.02
"""Update rate of the codes' running moments."""


@dataclass(frozen=True)
class CondenserConfig:
    """Shape of the second stage.

    Latents have ``latent_channels`` numbers per block of ``factor`` voxels a side, for heads of ``shape`` voxels of 1 mm (z, y, x);
    blocks of ``fold`` positions a side are folded into channels, of which ``components`` principal axes are kept. The encoder then
    halves the resolution from each of its ``reading`` widths to the next, with ``reading_blocks`` blocks at each, and ends with ``codes``
    numbers per position, of variance 1; the decoder mirrors it with ``writing`` widths, coarse to fine. In training, ``noise`` (an SD)
    is added to the codes, so that the decoder tolerates sampling errors of this size.
    """

    latent_channels: int
    factor: int
    shape: tuple[int, ...]
    codes: int
    reading: tuple[int, ...]
    reading_blocks: tuple[int, ...]
    writing: tuple[int, ...]
    writing_blocks: tuple[int, ...]
    fold: int = 2
    components: int = 32
    noise: float = 0.4

    def __post_init__(self) -> None:
        for name in ("latent_channels", "factor", "fold", "codes", "components", "shape", *_PER_LEVEL):
            value = getattr(self, name)
            whole = all(type(number) is int and number > 0 for number in (value if name in ("shape", *_PER_LEVEL) else (value,)))
            _require(whole, f"whole numbers above 0 as {name}", value)
        _require(self.components <= self.folded_channels, f"at most {self.folded_channels} components", self.components)
        levels = {len(getattr(self, name)) for name in _PER_LEVEL}
        _require(levels == {len(self.reading)} and bool(self.reading), "as many widths as blocks, to read as to write", levels)
        widths = self.reading + self.writing
        _require(all(width % _GROUPS == 0 for width in widths), f"widths of multiples of {_GROUPS}", widths)
        fits = len(self.shape) == 3 and all(side % self.code_factor == 0 for side in self.shape)
        _require(fits, f"a shape of 3 multiples of {self.code_factor}", self.shape)
        _require(self.noise >= 0, "a noise from 0 on", self.noise)

    spatial_dims = 3

    @property
    def folded_channels(self) -> int:
        """Channels of a folded latent."""
        return int(self.latent_channels * self.fold**3)

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """Channels and positions of the encoder's input."""
        return (self.components, *(side // (self.factor * self.fold) for side in self.shape))

    @property
    def code_factor(self) -> int:
        """Side in voxels of the block that one position of the codes represents."""
        return int(self.factor * self.fold * 2 ** (len(self.reading) - 1))

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> CondenserConfig:
        """Read from JSON's types. Raises PhysMRISynthError that names an unknown, missing or impossible field."""
        return read_fields(cls, values, "a second stage")

    def mapping(self) -> dict[str, Any]:
        """As JSON's types."""
        return asdict(self)


def _require(holds: bool, wanted: str, value: object) -> None:
    if not holds:
        raise PhysMRISynthError(f"A second stage needs {wanted}, not {value!r}.")


class Expander(nn.Module):
    """The second-stage decoder: codes (B, codes, *S) to latents (B, channels, *S·fold·2^(levels − 1)).

    Every level also gets the positions' coordinates and the mean head there.
    """

    def __init__(self, config: CondenserConfig) -> None:
        super().__init__()
        self.config = config
        self.space = LatentSpace(config)
        extra, widths = 3 + config.components, config.writing
        self.enter = nn.ModuleList(
            convolution(3, extra + inputs, width) for inputs, width in zip((config.codes, *widths[1:]), widths, strict=True)
        )
        self.blocks = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, config.writing_blocks, strict=True))
        self.up = nn.ModuleList(convolution(3, coarse, 8 * fine, size=1) for coarse, fine in pairwise(widths))
        self.norm = AdaptiveNorm(widths[-1], "group", groups=_GROUPS)
        self.leave = convolution(3, widths[-1], config.components, size=1)
        for part in (self.enter, self.blocks, self.up, self.leave):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def seen(self, codes: Tensor) -> Tensor:
        """The latents in their :class:`LatentSpace`, float32."""
        x = codes
        for level, blocks in enumerate(self.blocks):
            if level:
                x = depth_to_space(self.up[level - 1](x), 2)
            shrink = 2 ** (len(self.blocks) - 1 - level)
            mean_head = block_means(self.space.expected[None], shrink).expand(len(x), -1, -1, -1, -1)
            x = self.enter[level](torch.cat([x, positions(x), mean_head], dim=1))
            x = _through(blocks, x)
        return cast(Tensor, self.leave(functional.silu(self.norm(x, None)))).float()

    def latent(self, codes: Tensor) -> Tensor:
        """The latents that ``codes`` represent."""
        return self.space.latent(self.seen(codes))


def _blocks(width: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(3, width, width, "group", groups=_GROUPS) for _ in range(count))


def _through(blocks: nn.Module, x: Tensor) -> Tensor:
    for block in cast(nn.ModuleList, blocks):
        x = block(x, None)
    return x


class _Reader(nn.Module):
    """The second-stage encoder: latents in their space (B, components, *S) → codes (B, codes, *S/2^(levels − 1)), not normalised yet."""

    def __init__(self, config: CondenserConfig) -> None:
        super().__init__()
        widths = config.reading
        self.enter = convolution(3, config.components, widths[0])
        self.blocks = nn.ModuleList(_blocks(width, count) for width, count in zip(widths, config.reading_blocks, strict=True))
        self.down = nn.ModuleList(convolution(3, fine, coarse, 2, 2) for fine, coarse in pairwise(widths))
        self.norm = AdaptiveNorm(widths[-1], "group", groups=_GROUPS)
        self.leave = convolution(3, widths[-1], config.codes, size=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for level, blocks in enumerate(self.blocks):
            if level:
                x = self.down[level - 1](x)
            x = _through(blocks, x)
        return cast(Tensor, self.leave(functional.silu(self.norm(x, None))))


class Condenser(nn.Module):
    """Latents (B, channels, *S) to codes and back: ``expander`` is its decoder. ``emphasis`` (1, *S of the latent space) weights positions
    in training, with mean 1."""

    emphasis: Tensor

    def __init__(self, config: CondenserConfig) -> None:
        super().__init__()
        self.config = config
        self.expander = Expander(config)
        self.reader = _Reader(config)
        self.normal = nn.BatchNorm1d(config.codes, affine=False, momentum=_SLOWNESS)
        self.register_buffer("emphasis", torch.ones(1, *config.seen_shape[1:]))
        self.reader.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def take(self, moments: Moments, emphasis: Tensor) -> None:
        """Set the training latents' moments, and the weights of positions."""
        self.expander.space.take(moments)
        self.emphasise(emphasis)

    def emphasise(self, emphasis: Tensor) -> None:
        """Set the weights of positions alone."""
        self.emphasis.copy_(emphasis / emphasis.mean())

    def codes(self, latent: Tensor) -> Tensor:
        """The codes (B, codes, *S/code_factor of voxels) of latents, float32."""
        return self._codes(self.expander.space.seen(latent))

    def _codes(self, seen: Tensor) -> Tensor:
        read = self.reader(seen).float()
        with torch.autocast(read.device.type, enabled=False):
            return cast(Tensor, self.normal(read.flatten(2)).view(read.shape))

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latents in their space (B, components, *S), and their reconstruction from noisy codes; uses torch's global random numbers."""
        seen = self.expander.space.seen(latent)
        codes = self._codes(seen)
        noise = torch.randn(codes.shape).to(codes.device)  # sampled on the CPU: the same on every device
        return seen, self.expander.seen(codes + self.config.noise * noise)

    def error(self, seen: Tensor, back: Tensor) -> Tensor:
        """Mean squared error () of the reconstruction ``back`` of ``seen``, weighted by ``emphasis``."""
        return ((back - seen).square() * self.emphasis).mean()
