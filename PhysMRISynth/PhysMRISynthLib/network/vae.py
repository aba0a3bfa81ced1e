"""The variational autoencoder: a shared encoder, a product of experts, and a decoder to tissue probabilities or values."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..physics.tissues import tissue_table
from .blocks import SHARED, AdaptiveNorm, ResidualBlock, Trunk, activated, convolution, depth_to_space, space_to_depth
from .condition import CONDITION_SIZE, EVIDENCE, EVIDENCE_POSITIONS
from .config import NetworkConfig

CLASSES = (*(tissue.name for tissue in tissue_table()), "lesion")
"""The decoder's classes: the rows of the tissue table, and lesions."""
PROTON_DENSITY_START = float(np.log(0.75))
T1_MEDIAN_MS, T2_MEDIAN_MS = 1000.0, 100.0
"""The paper's log-normal prior (Bojórquez et al., Magn Reson Imaging 35:69, 2017)."""
_CONDITION_WIDTH = 128
_FIRST_LOG_VARIANCE = -5.0
_FIRST_LOG_WIDTH = -1.8
_LOG_VARIANCE_RANGE = (-12.0, 4.0)
_FIRST_LOG_SD, _LEAST_LOG_SD, _GREATEST_LOG_SD = -2.5, -3.7, 0.0
_OFF_DIAGONAL = 0.1
"""Scale of the off-diagonal numbers, in the order of an SD."""


class Posterior(NamedTuple):
    """Gaussian over the latent: ``mean`` and ``log_variance`` (B, latent channels, *S/factor)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self) -> Tensor:
        """One sample (reparametrised)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * torch.randn_like(self.mean)

    def divergence(self) -> Tensor:
        """Kullback–Leibler divergence from the standard normal, a mean over positions and channels."""
        return 0.5 * (self.mean**2 + self.log_variance.exp() - 1.0 - self.log_variance).mean()


def product_of_experts(mean: Tensor, log_variance: Tensor, present: Tensor) -> Posterior:
    """σ⁻² = Σσᵢ⁻², μ = σ²Σμᵢσᵢ⁻² over the experts that are ``present`` (B, M; at least one of each M); ``mean`` and
    ``log_variance`` are (B, M, …)."""
    given = present.view(*present.shape, *[1] * (mean.dim() - 2))
    precision = torch.where(given, torch.exp(-log_variance), 0.0)
    total = precision.sum(dim=1)
    return Posterior((precision * torch.where(given, mean, 0.0)).sum(dim=1) / total, -torch.log(total))


class TissuePrediction(NamedTuple):
    """The decoder's prediction: ``logits`` (B, classes, *S); and, one value per latent position, the ``offset`` (B, 3, *S/factor) of
    θ = (log PD, log T1, log T2) from the classes' literature values with the lower triangle ``scale`` (B, 6, *S/factor) of its
    covariance's root: rows (0,0) (1,0) (1,1) (2,0) (2,1) (2,2)."""

    logits: Tensor
    offset: Tensor
    scale: Tensor


class TissueEvidence(nn.Module):
    """An image (B, C, *S) and its evidence for each of a few tissues, exp(−½((scale·x − expected)/width)²): (B, 7·C, *S).

    Expected signals come from the condition, so that the signal equation, not the network, decides whether white matter is bright or dark.
    ``scale``, from the protocol's features (B, K), and ``width`` are learned, since the image's gain is unknown. The C channels are
    folded voxels of one image: folding first moves seven times less memory, in the same order.
    """

    channels = 1 + len(EVIDENCE)

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Linear(_CONDITION_WIDTH, 1)
        self.log_width = nn.Parameter(torch.full((len(EVIDENCE),), _FIRST_LOG_WIDTH))

    def forward(self, image: Tensor, condition: Tensor, features: Tensor) -> Tensor:
        # per tissue, scale·x − expected over √2·width as one multiplication and one addition: this runs at full resolution
        steepness = 0.5**0.5 * torch.exp(-self.log_width)
        factors = (torch.exp(self.log_scale(features)) * steepness).unbind(dim=1)
        starts = (condition[:, EVIDENCE_POSITIONS] * -steepness).unbind(dim=1)
        shape = (-1, *[1] * (image.dim() - 1))
        distances = (torch.addcmul(start.view(shape), image, factor.view(shape)) for start, factor in zip(starts, factors, strict=True))
        return torch.cat([image, *(torch.exp(-(distance**2)) for distance in distances)], dim=1)


class Encoder(nn.Module):
    """One image (B, 1, *S), its protocol's vector and the embedded condition (B, K) → mean and log variance of its latent."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        dims, count = config.spatial_dims, config.level_blocks
        size = (SHARED if config.shared_adaptation else _CONDITION_WIDTH) if config.adaptive else 0
        self.stem_factor = config.stem
        widths = [*config.down_widths, config.trunk_widths[0]]
        self.evidence = TissueEvidence() if config.evidence else None
        channels = TissueEvidence.channels if config.evidence else 1
        self.stem = convolution(dims, channels * config.stem**dims, widths[0], 1 if config.stem > 1 else 3)
        self.level_blocks = count
        self.blocks = nn.ModuleList(ResidualBlock(dims, w, w, config.norm, size) for w in config.down_widths for _ in range(count))
        self.down = nn.ModuleList(convolution(dims, a, b, 2, 2) for a, b in pairwise(widths))
        self.trunk = Trunk(dims, config.trunk_widths, config.trunk_blocks, config.norm, size)
        self.norm = AdaptiveNorm(config.trunk_widths[0], config.norm, size)
        self.out = convolution(dims, config.trunk_widths[0], 2 * config.latent_channels, 1)
        with torch.no_grad():
            cast(Tensor, self.out.bias)[config.latent_channels :] = _FIRST_LOG_VARIANCE

    def forward(self, image: Tensor, protocol: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        # evidence is 7 times the image: plane by plane it stays in the processor's cache, where no gradient needs it later
        whole = self.evidence is None or self.stem_factor == 1 or torch.is_grad_enabled()
        planes = [image] if whole else image.split(self.stem_factor, dim=2)
        x = torch.cat([self._entered(plane, protocol, condition) for plane in planes], dim=2)
        for level, down in enumerate(self.down):
            for block in self.blocks[level * self.level_blocks : (level + 1) * self.level_blocks]:
                x = block(x, condition)
            x = down(x)
        x = self.out(activated(self.norm(self.trunk(x, condition), condition)))
        mean, log_variance = x.float().chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE_RANGE)

    def _entered(self, image: Tensor, protocol: Tensor, condition: Tensor | None) -> Tensor:
        """The features that the first block gets."""
        x = space_to_depth(image, self.stem_factor).contiguous(memory_format=_channels_last(image.dim() - 2))
        if self.evidence is not None:
            assert condition is not None
            x = self.evidence(x, protocol, condition)
        return cast(Tensor, self.stem(x))


class Decoder(nn.Module):
    """Latent (B, latent channels, *S/factor) → features at the latent's and at the image's resolution."""

    def __init__(self, config: NetworkConfig, outputs: int) -> None:
        super().__init__()
        dims, widths = config.spatial_dims, [config.trunk_widths[0], *config.up_widths]
        self.tail_factor, self.dims = config.tail, dims
        self.stem = convolution(dims, config.latent_channels, widths[0])
        self.trunk = Trunk(dims, config.trunk_widths, config.trunk_blocks, config.norm)
        # unfolding channels into space keeps more detail than interpolation
        self.up = nn.ModuleList(convolution(dims, a, b * 2**dims, 1) for a, b in pairwise(widths))
        self.level_blocks = config.level_blocks
        self.blocks = nn.ModuleList(ResidualBlock(dims, w, w, config.norm) for w in config.up_widths for _ in range(config.level_blocks))
        self.norm = AdaptiveNorm(widths[-1], config.norm)
        self.out = convolution(dims, widths[-1], outputs * config.tail**dims, 1)

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        features, x = self.unfinished(latent)
        return features, self.finished(x)

    def unfinished(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The features at the latent's resolution, and what the last layer gets."""
        features = self.trunk(self.stem(latent), None)
        x = features
        for level, up in enumerate(self.up):
            x = depth_to_space(up(x), 2).contiguous(memory_format=_channels_last(self.dims))
            for block in self.blocks[level * self.level_blocks : (level + 1) * self.level_blocks]:
                x = block(x, None)
        return features, activated(self.norm(x, None))

    def finished(self, x: Tensor) -> Tensor:
        """What the last layer makes of its input, or of some planes of it: it sees each position alone."""
        return depth_to_space(self.out(x), self.tail_factor)


def _channels_last(dims: int) -> torch.memory_format:
    return torch.channels_last if dims == 2 else torch.channels_last_3d


class TissueVAE(nn.Module):
    """The whole network. ``config.head`` selects the decoder's output: see :class:`NetworkConfig`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = _CONDITION_WIDTH
        reading = [nn.Linear(CONDITION_SIZE, width), nn.SiLU()]
        self.condition = nn.Sequential(
            *reading, *([nn.Linear(width, SHARED)] if config.shared_adaptation else [nn.Linear(width, width), nn.SiLU()])
        )
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, len(CLASSES) if config.head == "classes" else 3)
        self.offset = convolution(config.spatial_dims, config.trunk_widths[0], 3, 1) if config.head == "classes" else None
        self.spread = convolution(config.spatial_dims, config.trunk_widths[0], 6, 1) if config.head == "classes" else None
        self.norm = AdaptiveNorm(config.trunk_widths[0], config.norm) if config.head == "classes" else None
        for head in (self.offset, self.spread):
            for parameter in head.parameters() if head is not None else ():
                nn.init.zeros_(parameter)
        self.to(memory_format=_channels_last(config.spatial_dims))  # type: ignore[call-overload]

    def encode(self, images: Tensor, conditions: Tensor, present: Tensor) -> Posterior:
        """Latent of ``images`` (B, M, *S) under ``conditions`` (B, M, K), from those that are ``present`` (B, M).

        With gradients, all present images pass the encoder in one call; else one by one, which needs less memory.
        """
        memory = _channels_last(self.config.spatial_dims)
        every = bool(present.all())  # then nothing need be copied
        picked = (images.flatten(0, 1) if every else images[present])[:, None].contiguous(memory_format=memory)
        if self.config.centred:
            picked = 2.0 * picked - 1.0
        adapted = self.condition(conditions[present]) if self.config.adaptive else None
        count, chosen = max(1, len(picked)), conditions[present]
        step = count if torch.is_grad_enabled() else 1
        pieces = [slice(start, start + step) for start in range(0, count, step)]
        found = [self.encoder(picked[piece], chosen[piece], None if adapted is None else adapted[piece]) for piece in pieces]
        mean, log_variance = (torch.cat(part) for part in zip(*found, strict=True))
        nothing = mean.new_zeros((*present.shape, *mean.shape[1:]))
        places = present.view(*present.shape, *[1] * (mean.dim() - 1))
        return product_of_experts(nothing.masked_scatter(places, mean), nothing.masked_scatter(places, log_variance), present)

    def decode(self, latent: Tensor) -> TissuePrediction | Tensor:
        """The decoder's prediction: a TissuePrediction ("classes"), or θ (B, 3, *S) in log(fraction, ms, ms) ("exp")."""
        features, out = self.decoder(self._last(latent))
        if self.offset is None or self.spread is None or self.norm is None:
            start = out.new_tensor([PROTON_DENSITY_START, np.log(T1_MEDIAN_MS), np.log(T2_MEDIAN_MS)])
            return out.float() + start.view(1, 3, *[1] * self.config.spatial_dims)
        features = self.norm(features, None)
        offset = self.offset(features).float()
        raw = self.spread(features.detach()).float()  # uncertainties must not change the prediction itself
        diagonal = torch.exp((_FIRST_LOG_SD + raw[:, :3]).clamp(_LEAST_LOG_SD, _GREATEST_LOG_SD))
        lower = _OFF_DIAGONAL * torch.tanh(raw[:, 3:])
        scale = torch.stack([diagonal[:, 0], lower[:, 0], diagonal[:, 1], lower[:, 1], lower[:, 2], diagonal[:, 2]], dim=1)
        return TissuePrediction(out, offset, scale)

    def logits(self, latent: Tensor) -> Iterator[Tensor]:
        """The logits of "classes" for a latent, some planes (B, classes, planes, …) at a time: those of a head are as large as all else."""
        _, x = self.decoder.unfinished(self._last(latent))
        return (self.decoder.finished(planes) for planes in x.split(1, dim=2))

    def _last(self, latent: Tensor) -> Tensor:
        """With channels last in memory."""
        return latent.contiguous(memory_format=_channels_last(self.config.spatial_dims))

    def forward(self, images: Tensor, conditions: Tensor, present: Tensor) -> tuple[Posterior, TissuePrediction | Tensor]:
        """Encode, sample one latent in training (its mean otherwise), decode."""
        posterior = self.encode(images, conditions, present)
        return posterior, self.decode(posterior.sample() if self.training else posterior.mean)
