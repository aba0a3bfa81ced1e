"""Losses of the network, and Dice."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from PhysMRISynthLib.network.blocks import block_means
from PhysMRISynthLib.network.vae import CLASSES, T1_MEDIAN_MS, T2_MEDIAN_MS, TissuePrediction
from PhysMRISynthLib.physics.tissues import tissue_table

_OUTSIDE, _RARE = 0.4, 3.0
"""Weights of voxels outside the brain (1 inside), and of small classes whose loss would be negligible."""
_RARE_CLASSES = ("deep_grey", "thalamus", "lesion")
_LARGE_ERROR = 0.1
"""Log units above which an error of the values counts linearly."""
_LEAST_SHARE = 0.25
"""Share of a latent position's voxels that must be brain for its values to be known."""


def class_weights() -> Tensor:
    """Weight of each class (classes,)."""
    weights = [1.0 if tissue.region == "brain" else _OUTSIDE for tissue in tissue_table()] + [1.0]
    return torch.tensor([w * (_RARE if name in _RARE_CLASSES else 1.0) for w, name in zip(weights, CLASSES, strict=True)])


def class_loss(prediction: TissuePrediction, tissue: Tensor) -> Tensor:
    """Weighted cross-entropy of ``tissue`` (B, *S), divided by the number of voxels: air is easy and contributes little."""
    weights = class_weights().to(prediction.logits.device)
    target = tissue.long()
    return functional.cross_entropy(prediction.logits.float(), target, weights, reduction="sum") / target.numel()


def block_mean_offset(offset: Tensor, tissue: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Mean ``offset`` (B, 3, *S) over the brain of each latent position (B, 3, *S/factor), and whether there is enough of it (B, 1, …)."""
    brain = torch.tensor([tissue_.region == "brain" for tissue_ in tissue_table()] + [True], device=tissue.device)
    inside = brain[tissue.long()][:, None].to(offset.dtype)
    share = block_means(inside, factor)
    return block_means(offset * inside, factor) / share.clamp_min(1e-6), share > _LEAST_SHARE


def values_loss(prediction: TissuePrediction, offset: Tensor, tissue: Tensor) -> Tensor:
    """Loss of the predicted deviation from literature values: Huber loss of its mean, and the negative
    log-likelihood, per number, of the residual under the predicted covariance L·Lᵀ.

    The two are separate: the likelihood's gradient with respect to the mean is unbounded for small covariances, which dominated the
    tissue classes in trials.
    """
    factor = tissue.shape[-1] // prediction.offset.shape[-1]
    target, known = block_mean_offset(offset, tissue, factor)
    residual = target - prediction.offset
    left = residual.detach()
    l00, l10, l11, l20, l21, l22 = prediction.scale.unbind(dim=1)
    w0 = left[:, 0] / l00
    w1 = (left[:, 1] - l10 * w0) / l11
    w2 = (left[:, 2] - l20 * w0 - l21 * w1) / l22
    likelihood = 0.5 * (w0**2 + w1**2 + w2**2) + torch.log(l00 * l11 * l22) + 1.5 * math.log(2.0 * math.pi)
    error = functional.huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=_LARGE_ERROR).sum(dim=1)
    per_position = likelihood + error / _LARGE_ERROR**2
    mask = known[:, 0].to(per_position.dtype)
    return (per_position * mask).sum() / (3.0 * mask.sum().clamp_min(1.0))


def squared_error(found: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape over ``known`` positions."""
    return ((found - target) ** 2 * known).sum() / known.sum().clamp_min(1)


def tissue_prior(theta: Tensor) -> Tensor:
    """The paper's log-normal prior on T1 and T2: the mean square of the decoder's outputs before their bias, from θ (B, 3, *S)."""
    start = theta.new_tensor([T1_MEDIAN_MS, T2_MEDIAN_MS]).log()
    return ((theta[:, 1:] - start.view(1, 2, *[1] * (theta.dim() - 2))) ** 2).mean()


def dice(prediction: TissuePrediction, tissue: Tensor, names: tuple[str, ...]) -> dict[str, float]:
    """Overlap of the most probable class with the truth, 2·|A∩B|/(|A|+|B|), for those of the named classes that occur."""
    found = prediction.logits.argmax(dim=1)
    scores = {}
    for name in names:
        a, b = found == CLASSES.index(name), tissue == CLASSES.index(name)
        if b.any():
            scores[name] = float(2.0 * (a & b).sum() / (a.sum() + b.sum()))
    return scores
