"""Differentiable rendering: from the decoder's prediction to the images of a session's protocols."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from PhysMRISynthLib.network.vae import TissuePrediction
from PhysMRISynthLib.physics.protocol import Protocol

from .dataset import class_values

Equations = Sequence[Sequence[Protocol | None]]
"""The protocols of B sessions' M inputs, None where a session lacks one."""
_RIDGE = 1e-9
"""Ridge, in units of the normal matrix' mean diagonal, that keeps the fit of a field solvable in empty images."""


def render(theta: Tensor, equations: Equations) -> Tensor:
    """Images (B, M, *S) at gain 1 of θ = (log PD, log T1, log T2) (B, 3, *S) under each input's own protocol; 0 without one."""
    return torch.stack([_images(maps, row) for maps, row in zip(theta, equations, strict=True)])


def _images(theta: Tensor, row: Sequence[Protocol | None]) -> Tensor:
    pd, t1, t2 = theta.exp()
    return torch.stack([torch.zeros_like(pd) if protocol is None else protocol.signal(pd, t1, t2) for protocol in row])


def expected_images(prediction: TissuePrediction, equations: Equations, field_strengths: Sequence[float]) -> Tensor:
    """Images (B, M, *S) at gain 1: Σ_c p_c(x)·s(θ_c + offset(x)) over the classes c, θ_c from the literature."""
    probabilities = torch.softmax(prediction.logits.float(), dim=1)
    factor = probabilities.shape[-1] // prediction.offset.shape[-1]
    images = []
    for share, offset, row, strength in zip(probabilities, prediction.offset, equations, field_strengths, strict=True):
        literature = torch.from_numpy(class_values(strength)).to(offset).T
        theta = literature.view(*literature.shape, *[1] * (offset.dim() - 1)) + offset[:, None]
        # the offset has one value per latent position, and so has every class's signal
        signals = functional.interpolate(_images(theta, row), scale_factor=float(factor), mode="nearest")
        images.append((share * signals).sum(dim=1))
    return torch.stack(images)


def with_gain_and_field(images: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """``images`` (B, M, *S) times the gain and linear field, g·(1 + a·x), of each that fit ``targets`` best where ``known``.

    Linear least squares in closed form. The coefficients need no gradient: it vanishes at the optimum of the squared error.
    """
    axes = [torch.linspace(-1.0, 1.0, n, dtype=torch.float64, device=images.device) for n in images.shape[2:]]
    ramps = torch.stack([torch.ones(images.shape[2:], dtype=torch.float64, device=images.device), *torch.meshgrid(*axes, indexing="ij")])
    with torch.no_grad():
        columns = (ramps * (images * known).double()[:, :, None]).flatten(3)
        normal = columns @ columns.mT
        ridge = _RIDGE * normal.diagonal(dim1=-2, dim2=-1).mean(dim=-1) + torch.finfo(torch.float64).tiny
        normal = normal + ridge[..., None, None] * torch.eye(len(ramps), dtype=torch.float64, device=images.device)
        coefficients = torch.linalg.solve(normal, columns @ targets.double().flatten(2)[..., None])[..., 0]
        field = torch.tensordot(coefficients, ramps, dims=1).to(images.dtype)
    return images * field
