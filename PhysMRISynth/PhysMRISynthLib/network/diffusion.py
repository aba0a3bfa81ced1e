"""Latent diffusion: from noise to the latent of a head that does not exist."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch import Tensor, nn
from torch.nn import functional

from .blocks import depth_to_space, space_to_depth
from .diffusion_config import DiffusionConfig
from .noising import noising

import_module("einops")  # MONAI's attention needs it, and would say so only when the network is made
_LEAST_SD = 1e-3


class LatentDiffusion(nn.Module):
    """A UNet on normalised, folded latents (B, channels, *S), told how much noise there is and, at will, of the head's numbers.

    ``mean`` and ``sd`` (channels,) are those of the training latents, ``condition_mean`` and ``condition_sd`` of their numbers.
    """

    mean: Tensor
    sd: Tensor
    condition_mean: Tensor
    condition_sd: Tensor

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config, self.noising = config, noising(config)
        channels = config.folded_shape[0]
        seen = channels + config.positions * config.spatial_dims
        self.unet = DiffusionModelUNet(
            config.spatial_dims, seen, channels, num_res_blocks=config.blocks, channels=config.widths,
            attention_levels=config.attention, norm_num_groups=config.groups, num_head_channels=config.head_channels,
            num_class_embeds=1 if config.condition else None, use_flash_attention=True,
        )  # fmt: skip
        for name, count in (("", config.latent_channels), ("condition_", len(config.condition))):
            self.register_buffer(f"{name}mean", torch.zeros(count))
            self.register_buffer(f"{name}sd", torch.ones(count))
        if config.condition:
            # where MONAI looks up the embedding of a class, an MLP reads numbers
            size, width = 2 * len(config.condition), 4 * config.widths[0]
            self.unet.add_module("class_embedding", nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width)))
        memory = torch.channels_last if config.spatial_dims == 2 else torch.channels_last_3d
        self.to(memory_format=memory)  # type: ignore[call-overload]

    def normalise_by(self, mean: Tensor, sd: Tensor, condition_mean: Tensor, condition_sd: Tensor) -> None:
        """Take the training data's moments per channel and number."""
        for own, given in ((self.mean, mean), (self.condition_mean, condition_mean)):
            own.copy_(given)
        for own, given in ((self.sd, sd), (self.condition_sd, condition_sd)):
            own.copy_(given.clamp_min(_LEAST_SD))

    def folded(self, latent: Tensor) -> Tensor:
        """A latent (B, channels, *S) as the UNet sees it: normalised, blocks folded into channels."""
        return space_to_depth((latent - self._per_channel(self.mean)) / self._per_channel(self.sd), self.config.fold)

    def unfolded(self, folded: Tensor) -> Tensor:
        """The inverse of :meth:`folded`."""
        return depth_to_space(folded, self.config.fold) * self._per_channel(self.sd) + self._per_channel(self.mean)

    def _per_channel(self, numbers: Tensor) -> Tensor:
        return numbers.view(1, -1, *[1] * self.config.spatial_dims)

    def predict(self, noisy: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """What the UNet predicts of folded latents at ``times`` (B,) under a ``condition`` (B, K; NaN: not told), float32."""
        memory = torch.channels_last if self.config.spatial_dims == 2 else torch.channels_last_3d
        seen = torch.cat([noisy, _positions(noisy)], dim=1) if self.config.positions else noisy
        output = self.unet(seen.contiguous(memory_format=memory), times, class_labels=self._told(condition)).float()
        return self.noising.prediction(output, noisy, times)

    def _told(self, condition: Tensor) -> Tensor | None:
        if not self.config.condition:
            return None
        known = torch.isfinite(condition)
        numbers = torch.where(known, (condition - self.condition_mean) / self.condition_sd, 0.0)
        return torch.cat([numbers, known.to(numbers.dtype)], dim=1)

    def forward(self, latent: Tensor, condition: Tensor) -> Tensor:
        """Squared error of the prediction at random times, a mean over everything; by torch's own random numbers."""
        clean = self.folded(latent)
        # drawn on the CPU: the same on every device
        times = self.noising.random_times(len(clean)).to(clean.device)
        noise = torch.randn(clean.shape).to(clean.device)
        predicted = self.predict(self.noising.noisy(clean, noise, times), times, condition)
        return functional.mse_loss(predicted, self.noising.target(clean, noise, times))

    @torch.inference_mode()
    def sample(
        self, steps: int, seed: int, condition: Tensor | None = None, progress: Callable[[float], None] = lambda fraction: None
    ) -> Tensor:
        """The latent (1, channels, *S) of a head in so many ``steps``; ``condition`` (K,) may hold NaN for what is left open.

        ``progress`` is told the fraction done after each step. The noise comes from the ``seed`` alone.
        """
        device = self.mean.device
        open_ = torch.full((len(self.config.condition),), torch.nan)
        told = (open_ if condition is None else condition).to(device)[None]
        x = torch.randn((1, *self.config.folded_shape), generator=torch.Generator().manual_seed(seed)).to(device)
        pairs = self.noising.pairs(steps)
        for done, (now, then) in enumerate(pairs, start=1):
            x = self.noising.step(self.predict(x, torch.tensor([now], device=device), told), x, now, then)
            progress(done / len(pairs))
        return self.unfolded(x)


def _positions(volume: Tensor) -> Tensor:
    """Where each position of a volume (B, C, *S) lies along its axes, from −1 to 1: (B, dims, *S)."""
    axes = [torch.linspace(-1.0, 1.0, side, device=volume.device, dtype=volume.dtype) for side in volume.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(volume), -1, *volume.shape[2:])
