"""Moments of training latents and of their heads' condition values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.latent_space import Folded, LatentSpace, Moments

from .latents import HeadLatents

_ELSEWHERE = 0.05
"""Weight of the mean variance in each position's variance: new heads may extend where none of the few training heads does."""


def latent_moments(latents: HeadLatents, config: Folded) -> Moments:
    """Moments of all latents, read one by one."""
    mean, sd = _of_channels(latents)
    if not config.components:
        return Moments(mean, sd)
    space = LatentSpace(config)
    space.take(Moments(mean, sd))

    def folded(index: int) -> torch.Tensor:
        return space.folded(torch.from_numpy(latents[index].latent))[0].double()

    products = torch.zeros(config.folded_channels, config.folded_channels, dtype=torch.float64)
    head = torch.zeros(config.folded_channels, *config.seen_shape[1:], dtype=torch.float64)
    for index in range(len(latents)):
        one = folded(index)
        products += one.flatten(1) @ one.flatten(1).T / (one[0].numel() * len(latents))
        head += one / len(latents)
    axes = torch.linalg.eigh(products).eigenvectors.flip(1)[:, : config.components]
    centre = torch.einsum("fk,f...->k...", axes, head)
    variance = torch.zeros_like(centre)
    for index in range(len(latents)):
        variance += (torch.einsum("fk,f...->k...", axes, folded(index)) - centre).square() / len(latents)
    spread = variance.mean().sqrt()
    variance = torch.lerp(_near(variance), variance.mean(dim=(1, 2, 3), keepdim=True), _ELSEWHERE)
    return Moments(mean, sd, axes.float(), centre.float(), spread.float(), (variance / variance.mean().clamp_min(1e-12)).float())


def _near(variance: torch.Tensor) -> torch.Tensor:
    """Means over each position and its neighbours, for a better estimate."""
    within, inside = (functional.pad(volume, (1,) * 6) for volume in (variance, torch.ones_like(variance)))
    return functional.avg_pool3d(within, 3, stride=1) / functional.avg_pool3d(inside, 3, stride=1)


def _of_channels(latents: HeadLatents) -> tuple[torch.Tensor, torch.Tensor]:
    count = 0
    total, squares = np.zeros(()), np.zeros(())
    for index in range(len(latents)):
        flat = latents[index].latent.swapaxes(0, 1)
        flat = flat.reshape(len(flat), -1).astype(np.float64)
        count, total, squares = count + flat.shape[1], total + flat.sum(axis=1), squares + (flat**2).sum(axis=1)
    mean = total / count
    sd = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return torch.from_numpy(mean).float(), torch.from_numpy(sd).float()


def number_moments(latents: HeadLatents, names: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and SD (len(names),) of the heads' condition values ``names``, over heads with known values."""
    conditions = [latents[index].conditions(names) for index in range(len(latents))]
    numbers = np.array(conditions).reshape(len(conditions), len(names)).astype(np.float64)
    known = np.isfinite(numbers)
    share = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, numbers, 0.0).sum(axis=0) / share
    spread = np.sqrt((np.where(known, numbers - middle, 0.0) ** 2).sum(axis=0) / share)
    return torch.from_numpy(middle).float(), torch.from_numpy(spread).float()


def number_range(latents: HeadLatents, names: Sequence[str]) -> torch.Tensor:
    """Least and greatest (2, len(names)) of the heads' condition values ``names``, in the units of CONDITIONS.

    Raises PhysMRISynthError when no head has one of them: a model would seem to know it."""
    heads = [latents[index].numbers for index in range(len(latents))]
    known = [[numbers[name] for numbers in heads if name in numbers] for name in names]
    if unknown := [name for name, values in zip(names, known, strict=True) if not values]:
        raise PhysMRISynthError(
            f"No training head states {', '.join(unknown)}. Delete the latents, so that their heads are measured again, or leave the name "
            "out of the configuration's 'condition'."
        )
    return torch.tensor([[function(values) for values in known] for function in (min, max)], dtype=torch.float64).float()
