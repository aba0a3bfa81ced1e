"""Noise schedules: how the two families of diffusion processes add and remove noise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from typing import Protocol as Interface

import torch
from monai.networks.schedulers.ddpm import DDPMScheduler
from monai.networks.schedulers.rectified_flow import RFlowScheduler
from torch import Tensor

from .diffusion_config import DiffusionConfig

_EVENLY = 0.1
"""Share of a flow's training times that is uniform: logit-normal ones rarely come near either end, where sampling begins and ends."""


class DiffusionProcess(Interface):
    """A diffusion process from data to noise and back; times are numbers for the network, greater with more noise."""

    def random_times(self, count: int) -> Tensor:
        """Training times (count,); uses torch's global random numbers."""

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The mixture of data and noise (B, …) at ``times`` (B,)."""

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """The network's target for a mixture."""

    def network_input(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        """The network's input for a mixture (B, C, …) at ``times`` (B,), for data of this ``variance``, (C, …) or ()."""

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        """The prediction from the network's ``output`` for such a mixture, to compare with the target."""

    def step_times(self, steps: int) -> list[tuple[int, int]]:
        """Start and end time of each sampling step, at most ``steps``, fewer if there are fewer times; the last ends at clean data."""

    def split(self, predicted: Tensor, sample: Tensor, time: int) -> tuple[Tensor, Tensor]:
        """Data and noise in a sample at this ``time``, from the network's prediction there."""

    def factors(self, time: int) -> tuple[float, float]:
        """Factors of data and noise in a mixture at this time."""


def diffusion_process(config: DiffusionConfig) -> DiffusionProcess:
    """The process that a configuration names."""
    kinds: dict[str, type[Flow] | type[VariancePreserving]] = {
        "flow": Flow, "flow_residual": ResidualFlow, "epsilon_residual": ResidualNoise
    }  # fmt: skip
    return kinds.get(config.objective, VariancePreserving)(config)


def step(
    process: DiffusionProcess, predicted: Tensor, sample: Tensor, time: int, next_time: int, new_noise: Tensor, renewal: float
) -> Tensor:
    """The sample at ``next_time`` from the one at ``time`` and the network's prediction there.

    With factors α, σ of data and noise at both times, new noise of SD ``renewal``·σ'·√(1 − (ασ'/(α'σ))²) replaces as much of the
    predicted noise: none with 0; with 1 as much as in the process itself (Kingma et al., "Variational diffusion models",
    NeurIPS 2021: the posterior of a time before; η of Song et al., "Denoising diffusion implicit models", ICLR 2021).
    """
    clean, noise = process.split(predicted, sample, time)
    (data, noise_factor), (next_data, next_noise) = process.factors(time), process.factors(next_time)
    kept = (data * next_noise / (next_data * noise_factor)) ** 2
    renewed = renewal * next_noise * max(0.0, 1.0 - kept) ** 0.5
    return next_data * clean + (next_noise**2 - renewed**2) ** 0.5 * noise + renewed * new_noise


class VariancePreserving:
    """√ᾱ·data + √(1 − ᾱ)·noise with MONAI's schedules; the network predicts the noise or v = √ᾱ·noise − √(1 − ᾱ)·data."""

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        betas: dict[str, Any] = {} if config.schedule == "cosine" else {"beta_start": config.beta_start, "beta_end": config.beta_end}
        self.scheduler = DDPMScheduler(config.time_steps, config.schedule, clip_sample=False, **betas)

    def random_times(self, count: int) -> Tensor:
        return torch.randint(self.config.time_steps, (count,))

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return self.scheduler.add_noise(clean, noise, times)

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return self.scheduler.get_velocity(clean, noise, times) if self.config.objective == "v" else noise

    def network_input(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return noisy

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return output

    def step_times(self, steps: int) -> list[tuple[int, int]]:
        """The first step starts at the most noise; the last one ends at −1, which means no noise."""
        total = self.config.time_steps
        return list(pairwise(dict.fromkeys(round(total * (1.0 - i / steps)) - 1 for i in range(steps + 1))))

    def split(self, predicted: Tensor, sample: Tensor, time: int) -> tuple[Tensor, Tensor]:
        data, noise = self.factors(time)
        if self.config.objective == "v":
            return data * sample - noise * predicted, data * predicted + noise * sample
        return (sample - noise * predicted) / data, predicted

    def factors(self, time: int) -> tuple[float, float]:
        power = float(self.scheduler.alphas_cumprod[time]) if time >= 0 else 1.0
        return power**0.5, (1.0 - power) ** 0.5


class ResidualNoise(VariancePreserving):
    """The same process and target, the noise; the network predicts the residual of the best linear estimate of each number from itself.

    For data with mean 0 and variance v, the best linear estimate of the noise from the mixture z = √ᾱ·data + √(1 − ᾱ)·noise is
    √(1 − ᾱ)·z/d with d = vᾱ + 1 − ᾱ and error SD √(vᾱ/d). The network gets z/√d and predicts the residual in units of this SD (Karras et
    al., NeurIPS 2022, for this process). Where there is hardly anything but noise, an error of the noise is 1/√ᾱ times one of the data:
    of a network that predicts the noise itself, small errors hide the layout of a head.
    """

    def network_input(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return noisy / self._powers(noisy, times, variance)[1].sqrt()

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        share, power = self._powers(noisy, times, variance)
        return ((1.0 - share).sqrt() * noisy + (variance * share * power).sqrt() * output) / power

    def _powers(self, noisy: Tensor, times: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """ᾱ and d, broadcastable to volumes (B, C, …)."""
        share = self.scheduler.alphas_cumprod.to(noisy)[times].view(-1, *[1] * (noisy.ndim - 1))
        return share, variance * share + 1.0 - share


class Flow:
    """(1 − t)·data + t·noise; the network predicts the straight path from noise to data. Times are t · ``time_steps``."""

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        self.scheduler = RFlowScheduler(config.time_steps)

    def random_times(self, count: int) -> Tensor:
        drawn = torch.where(torch.rand(count) < _EVENLY, torch.rand(count), torch.sigmoid(torch.randn(count)))
        return self.config.time_steps * self._shifted(drawn)

    def _shifted(self, time: Tensor) -> Tensor:
        return self.config.shift * time / (1.0 + (self.config.shift - 1.0) * time)

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return self.scheduler.add_noise(clean, noise, times)

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return clean - noise

    def network_input(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return noisy

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return output

    def step_times(self, steps: int) -> list[tuple[int, int]]:
        times = self.config.time_steps * self._shifted(torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64))
        return list(pairwise(dict.fromkeys(int(time) for time in times.round())))

    def split(self, predicted: Tensor, sample: Tensor, time: int) -> tuple[Tensor, Tensor]:
        data, noise = self.factors(time)
        return sample + noise * predicted, sample - data * predicted

    def factors(self, time: int) -> tuple[float, float]:
        share = time / self.config.time_steps
        return 1.0 - share, share


class ResidualFlow(Flow):
    """The same process; the network predicts the residual of the best linear estimate of each number from itself.

    For data with mean 0 and variance v, the best linear estimate from the mixture z = (1 − t)·data + t·noise is v(1 − t)·z/d with
    d = v(1 − t)² + t² and error SD t·√(v/d). The network gets z/√d and predicts the residual in units of this SD: both have variance 1 at
    every time (Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022, for this process).
    """

    def network_input(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return noisy / self._powers(noisy, times, variance)[1].sqrt()

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        share, power, spread = self._powers(noisy, times, variance)
        return ((spread * (1.0 - share) - share) * noisy + (spread * power).sqrt() * output) / power

    def _powers(self, noisy: Tensor, times: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """t, d and v, broadcastable to volumes (B, C, …)."""
        share = (times.to(noisy.dtype) / self.config.time_steps).view(-1, *[1] * (noisy.ndim - 1))
        return share, variance * (1.0 - share) ** 2 + share**2, variance
