"""How noise is added and taken away again: the two families of diffusion processes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from typing import Protocol as Interface

import torch
from monai.networks.schedulers.ddpm import DDPMScheduler
from monai.networks.schedulers.rectified_flow import RFlowScheduler
from torch import Tensor

from .diffusion_config import DiffusionConfig


class Noising(Interface):
    """From data to noise and back; times are numbers for the network, greater with more noise."""

    def random_times(self, count: int) -> Tensor:
        """Times to train at (count,), by torch's own random numbers."""

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Data and noise (B, …) mixed as at ``times`` (B,)."""

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What is to be predicted of a mixture."""

    def shown(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        """How the network sees a mixture (B, C, …) at ``times`` (B,) of data that have this ``variance`` (C,)."""

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        """What the network's ``output`` for such a mixture predicts, to be compared with the target."""

    def pairs(self, steps: int) -> list[tuple[int, int]]:
        """From which time to which each of so many sampling steps goes; the last ends at clean data."""

    def step(self, predicted: Tensor, sample: Tensor, now: int, then: int) -> Tensor:
        """The sample at the time ``then`` from the one at ``now`` and what the network predicted there."""


def noising(config: DiffusionConfig) -> Noising:
    """The process that a configuration names."""
    flows = {"flow": Flow, "flow_residual": ResidualFlow}
    return flows.get(config.objective, VariancePreserving)(config)


class VariancePreserving:
    """√ᾱ·data + √(1 − ᾱ)·noise with MONAI's schedules; the network predicts the noise or v = √ᾱ·noise − √(1 − ᾱ)·data.

    Sampling is DDIM's (Song et al., ICLR 2021) without added noise.
    """

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        betas: dict[str, Any] = {} if config.schedule == "cosine" else {"beta_start": config.beta_start, "beta_end": config.beta_end}
        self.scheduler = DDPMScheduler(config.time_steps, config.schedule, clip_sample=False, **betas)

    def random_times(self, count: int) -> Tensor:
        return torch.randint(self.config.time_steps, (count,))

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return self.scheduler.add_noise(clean, noise, times)

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return noise if self.config.objective == "epsilon" else self.scheduler.get_velocity(clean, noise, times)

    def shown(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return noisy

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return output

    def pairs(self, steps: int) -> list[tuple[int, int]]:
        """The first step starts where there is most noise and the last one ends at −1, which stands for none."""
        total = self.config.time_steps
        return list(pairwise(round(total * (1.0 - i / steps)) - 1 for i in range(steps + 1)))

    def step(self, predicted: Tensor, sample: Tensor, now: int, then: int) -> Tensor:
        # not by MONAI's scheduler: its steps go T // steps back, which is not where the next one of its times is
        share, next_share = self._share(now), self._share(then)
        if self.config.objective == "epsilon":
            noise, clean = predicted, (sample - (1.0 - share) ** 0.5 * predicted) / share**0.5
        else:
            noise, clean = share**0.5 * predicted + (1.0 - share) ** 0.5 * sample, share**0.5 * sample - (1.0 - share) ** 0.5 * predicted
        return next_share**0.5 * clean + (1.0 - next_share) ** 0.5 * noise

    def _share(self, time: int) -> float:
        """ᾱ, the share of the data's variance."""
        return float(self.scheduler.alphas_cumprod[time]) if time >= 0 else 1.0


class Flow:
    """(1 − t)·data + t·noise; the network predicts the straight way from noise to data. Times are t · ``time_steps``."""

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        self.scheduler = RFlowScheduler(config.time_steps)

    def random_times(self, count: int) -> Tensor:
        return self.config.time_steps * self._shifted(torch.sigmoid(torch.randn(count)))

    def _shifted(self, time: Tensor) -> Tensor:
        return self.config.shift * time / (1.0 + (self.config.shift - 1.0) * time)

    def noisy(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return self.scheduler.add_noise(clean, noise, times)

    def target(self, clean: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return clean - noise

    def shown(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return noisy

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return output

    def pairs(self, steps: int) -> list[tuple[int, int]]:
        times = self.config.time_steps * self._shifted(torch.linspace(1.0, 0.0, steps + 1, dtype=torch.float64))
        return list(pairwise(int(time) for time in times.round()))

    def step(self, predicted: Tensor, sample: Tensor, now: int, then: int) -> Tensor:
        self.scheduler.num_inference_steps = self.config.time_steps  # asked for by MONAI, and of no effect where ``then`` is given
        return self.scheduler.step(predicted, now, sample, then)[0]


class ResidualFlow(Flow):
    """The same process, in which the network adds to the best linear estimate of the data what that cannot know.

    Of data with mean 0 and variance v, the mixture z = (1 − t)·data + t·noise tells v(1 − t)·z/d linearly, d = v(1 − t)² + t², give or take
    t·√(v/d). The network sees z/√d and puts out the rest in units of this SD: both have variance 1 at every time (Karras et al.,
    "Elucidating the design space of diffusion-based generative models", NeurIPS 2022, for this process). It need not carry the data
    through itself.
    """

    def shown(self, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        return noisy / self._powers(noisy, times, variance)[1].sqrt()

    def prediction(self, output: Tensor, noisy: Tensor, times: Tensor, variance: Tensor) -> Tensor:
        share, power, spread = self._powers(noisy, times, variance)
        return ((spread * (1.0 - share) - share) * noisy + (spread * power).sqrt() * output) / power

    def _powers(self, noisy: Tensor, times: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """t, d and v, to be multiplied with volumes (B, C, …)."""
        share = (times.to(noisy.dtype) / self.config.time_steps).view(-1, *[1] * (noisy.ndim - 1))
        spread = variance.view(1, -1, *[1] * (noisy.ndim - 2))
        return share, spread * (1.0 - share) ** 2 + share**2, spread
