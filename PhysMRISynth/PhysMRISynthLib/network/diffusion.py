"""Latent diffusion: from noise to the latent of a synthetic head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import torch
from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet
from torch import Tensor, nn

from .blocks import block_means, positions
from .diffusion_config import CONDITIONS, DiffusionConfig
from .latent_space import LEAST_SD, LatentSpace, Moments
from .noise_schedule import diffusion_process, step

import_module("einops")  # MONAI's attention needs it, but fails only when the network is built


class LatentDiffusion(nn.Module):
    """A UNet on latents in their :class:`LatentSpace`, conditioned on the noise level and, optionally, on values of CONDITIONS.

    ``condition_mean`` and ``condition_sd`` are the moments of the training heads' values, as the network sees them; ``condition_range``
    (2, conditions) the least and greatest, in the units of CONDITIONS: its bounds where weights do not tell.
    """

    condition_mean: Tensor
    condition_sd: Tensor
    condition_range: Tensor

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__()
        self.config, self.process = config, diffusion_process(config)
        self.space = LatentSpace(config)
        channels = config.seen_shape[0]
        seen = channels + config.positions * (config.spatial_dims + config.components)
        self.unet = DiffusionModelUNet(
            config.spatial_dims, seen, channels, num_res_blocks=config.blocks, channels=config.widths,
            attention_levels=config.attention, norm_num_groups=config.groups, num_head_channels=config.head_channels,
            num_class_embeds=1 if config.condition else None, use_flash_attention=True,
        )  # fmt: skip
        self.register_buffer("condition_mean", torch.zeros(len(config.condition)))
        self.register_buffer("condition_sd", torch.ones(len(config.condition)))
        self.register_buffer("condition_range", _bounds(config.condition))
        if config.condition:
            # an MLP of numbers replaces MONAI's embedding of a class
            size, width = 2 * len(config.condition), 4 * config.widths[0]
            self.unet.add_module("class_embedding", nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width)))
        memory = torch.channels_last if config.spatial_dims == 2 else torch.channels_last_3d
        self.unet.to(memory_format=memory)  # type: ignore[call-overload]

    def take(self, latents: Moments, condition_mean: Tensor, condition_sd: Tensor, condition_range: Tensor) -> None:
        """Set the moments of the training data: of latents, and of the heads' condition values; and the range of these."""
        self.space.take(latents)
        self.condition_mean.copy_(condition_mean)
        self.condition_sd.copy_(condition_sd.clamp_min(LEAST_SD))
        self.condition_range.copy_(condition_range)

    @property
    def trained(self) -> dict[str, tuple[float, float]]:
        """Least and greatest value of the training heads by condition, in the units of CONDITIONS."""
        ends = zip(self.config.condition, *self.condition_range.tolist(), strict=True)
        return {name: (least, greatest) for name, least, greatest in ends}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """As every module's, also of weights that do not tell the range of their training heads."""
        return super().load_state_dict({"condition_range": _bounds(self.config.condition), **state_dict}, strict, assign)

    def predict(self, noisy: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """The UNet's prediction (float32) for noisy latents in their space at ``times`` (B,); ``condition`` (B, K), NaN: not given."""
        memory = torch.channels_last if self.config.spatial_dims == 2 else torch.channels_last_3d
        features = self.process.network_input(noisy, times, self.space.variance)
        if self.config.positions:
            mean_head = self.space.expected.expand(len(features), *[-1] * (features.ndim - 1))
            features = torch.cat([features, positions(features), mean_head], dim=1)
        output = self.unet(features.contiguous(memory_format=memory), times, class_labels=self._embedded(condition)).float()
        return self.process.prediction(output, noisy, times, self.space.variance)

    def _guided(self, noisy: Tensor, times: Tensor, given: Tensor, guidance: float) -> Tensor:
        told = self.predict(noisy, times, given)
        if guidance == 1.0 or not torch.isfinite(given).any():
            return told
        untold = self.predict(noisy, times, torch.full_like(given, torch.nan))
        return untold + guidance * (told - untold)

    def _embedded(self, condition: Tensor) -> Tensor | None:
        if not self.config.condition:
            return None
        known = torch.isfinite(condition)
        numbers = torch.where(known, (condition - self.condition_mean) / self.condition_sd, 0.0)
        return torch.cat([numbers, known.to(numbers.dtype)], dim=1)

    def forward(self, latent: Tensor, condition: Tensor, scales: Sequence[int] = ()) -> Tensor:
        """Mean squared error of the prediction at random times, plus one multi-scale term per entry of ``scales``; uses torch's global
        random numbers."""
        clean = self.space.seen(latent)
        # sampled on the CPU: the same on every device
        times = self.process.random_times(len(clean)).to(clean.device)
        noise = torch.randn(clean.shape).to(clean.device)
        predicted = self.predict(self.process.noisy(clean, noise, times), times, condition)
        error = predicted - self.process.target(clean, noise, times)
        return error.square().mean() + sum(_coarse_error(error, side) for side in scales)

    @torch.inference_mode()
    def sample(
        self,
        steps: int,
        seed: int,
        condition: Tensor | None = None,
        progress: Callable[[float], None] = lambda fraction: None,
        renewal: float = 0.0,
        guidance: float = 1.0,
    ) -> Tensor:
        """The latent (1, channels, *S) of a head in so many ``steps``; NaN in ``condition`` (K,) leaves a value open.

        ``progress`` gets the fraction done after each step. All noise depends on the ``seed`` alone, including that of the stochasticity
        ``renewal`` (:func:`~.noise_schedule.step`). ``guidance`` above 1 exaggerates what the condition changes in each prediction, at
        twice the time (classifier-free guidance: Ho & Salimans, arXiv:2207.12598; 1 is the condition itself, their w = 0).
        """
        device = self.condition_mean.device
        open_ = torch.full((len(self.config.condition),), torch.nan)
        given = (open_ if condition is None else condition).to(device)[None]
        generator = torch.Generator().manual_seed(seed)  # on the CPU: the same on every device

        def noise_like_input() -> Tensor:
            return torch.randn((1, *self.config.seen_shape), generator=generator).to(device)

        x = noise_like_input()
        step_times = self.process.step_times(steps)
        for done, (time, next_time) in enumerate(step_times, start=1):
            predicted = self._guided(x, torch.tensor([time], device=device), given, guidance)
            x = step(self.process, predicted, x, time, next_time, noise_like_input(), renewal)
            progress(done / len(step_times))
        return self.space.latent(x)


def _bounds(names: Sequence[str]) -> Tensor:
    """Bounds (2, len(names)) of conditions."""
    chosen = [CONDITIONS[name] for name in names]
    return torch.tensor([[condition.least for condition in chosen], [condition.greatest for condition in chosen]])


def _coarse_error(error: Tensor, side: int) -> Tensor:
    """Mean square () of the means of an ``error`` (B, C, *S) over blocks of ``side`` positions a side, times side^(dims/2).

    The factor gives errors shared by neighbours more weight: in 2D the weight 1/side of Hoogeboom et al.
    ("simple diffusion", ICML 2023, multiscale loss) for sums of squares. The global shape of a head is a small part of its variance.
    """
    return block_means(error, side).square().mean() * side ** ((error.ndim - 2) / 2)
