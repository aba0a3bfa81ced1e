"""The space of the sampling model: latents folded, projected on principal axes, relative to the mean head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol as Interface

import torch
from torch import Tensor, nn

from .blocks import depth_to_space, space_to_depth

LEAST_SD = 1e-3
"""Lower bound of SDs that inputs are divided by."""


@dataclass(frozen=True)
class Moments:
    """Moments of training latents: ``mean`` and ``sd`` of their channels (channels,); of folded, normalised ones the principal ``axes``
    (folded channels, components), the mean head along these, ``centre`` (components, *S), the root mean square ``spread`` () about it, and
    the ``variance`` (components, *S) in units of its square, with mean 1.
    """

    mean: Tensor
    sd: Tensor
    axes: Tensor | None = None
    centre: Tensor | None = None
    spread: Tensor | None = None
    variance: Tensor | None = None


class Folded(Interface):
    """How latents are folded: see :class:`~.diffusion_config.DiffusionConfig`."""

    @property
    def spatial_dims(self) -> int: ...

    @property
    def latent_channels(self) -> int: ...

    @property
    def fold(self) -> int: ...

    @property
    def components(self) -> int: ...

    @property
    def folded_channels(self) -> int: ...

    @property
    def seen_shape(self) -> tuple[int, ...]: ...


class LatentSpace(nn.Module):
    """Conversion between latents (B, channels, *S) and the UNet's input.

    Latents hold more numbers than heads need: with ``components`` above 0 only so many of the folded channels' principal axes are kept,
    relative to the mean head at each position, so that noise cannot hide the layout of a head.
    ``variance`` (channels, *S) is that of the UNet's input, almost 0 in air; 1 () without components.
    """

    mean: Tensor
    sd: Tensor
    axes: Tensor
    centre: Tensor
    spread: Tensor
    variance: Tensor

    def __init__(self, config: Folded) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.latent_channels))
        self.register_buffer("sd", torch.ones(config.latent_channels))
        self.register_buffer("variance", torch.ones(config.seen_shape if config.components else ()))
        if config.components:
            self.register_buffer("axes", torch.eye(config.folded_channels)[:, : config.components].clone())
            self.register_buffer("centre", torch.zeros(config.seen_shape))
            self.register_buffer("spread", torch.ones(()))

    def take(self, moments: Moments) -> None:
        """Set the training latents' moments."""
        self.mean.copy_(moments.mean)
        self.sd.copy_(moments.sd.clamp_min(LEAST_SD))
        if moments.axes is not None:
            assert moments.centre is not None and moments.spread is not None and moments.variance is not None
            self.axes.copy_(moments.axes)
            self.centre.copy_(moments.centre)
            self.spread.copy_(moments.spread.clamp_min(LEAST_SD))
            self.variance.copy_(moments.variance.clamp_min(LEAST_SD**2))

    def folded(self, latent: Tensor) -> Tensor:
        """Latents (B, channels, *S) normalised, and folded into channels."""
        return space_to_depth((latent - self._per_channel(self.mean)) / self._per_channel(self.sd), self.config.fold)

    def seen(self, latent: Tensor) -> Tensor:
        """The UNet's input for latents (B, channels, *S)."""
        folded = self.folded(latent)
        if not self.config.components:
            return folded
        with torch.autocast(folded.device.type, enabled=False):  # the mean head is large compared with the deviations from it
            return (torch.einsum("fk,bf...->bk...", self.axes, folded) - self.centre) / self.spread

    def latent(self, seen: Tensor) -> Tensor:
        """The latents (B, channels, *S) of the UNet's output: the inverse of :meth:`seen`, except for the dropped components."""
        if self.config.components:
            with torch.autocast(seen.device.type, enabled=False):
                seen = torch.einsum("fk,bk...->bf...", self.axes, seen.float() * self.spread + self.centre)
        return depth_to_space(seen, self.config.fold) * self._per_channel(self.sd) + self._per_channel(self.mean)

    @property
    def expected(self) -> Tensor:
        """The mean head (components, *S) in the UNet's units, an extra input of the UNet; empty (0, *S) without components."""
        return self.centre / self.spread if self.config.components else self.mean.new_zeros((0, *self.config.seen_shape[1:]))

    def _per_channel(self, numbers: Tensor) -> Tensor:
        return numbers.view(1, -1, *[1] * self.config.spatial_dims)
