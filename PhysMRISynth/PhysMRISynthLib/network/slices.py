"""A network of axial slices that gives PD, T1 and T2 themselves (the paper's) on a whole head."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..physics.tissues import tissue_table
from .device import autocast, fastest_precision
from .head_view import Inference
from .vae import CLASSES, TissueVAE

_SMALLEST = (224, 160)
"""Voxels of a slice (y, x), as in the paper: normalisation is over the whole slice, so that its share of air matters."""
_AT_ONCE = 8
_WIDTH = 0.25
"""SD of the logarithms of T1 and T2 about a tissue's literature values, with the network's own error."""
_AIR_PERCENT = 10.0
"""Per cent of the bright PD below which a voxel is air."""


def slice_maps(
    network: TissueVAE, stack: np.ndarray, conditions: np.ndarray, device: torch.device, progress: Callable[[float], None], planes: int
) -> tuple[np.ndarray, np.ndarray]:
    """θ (3, z, y, x) in log(fraction, ms, ms), PD in the unit of the inputs' gain; and latents (inputs, channels, z, y/factor, x/factor)
    as :class:`~.head_view.Inference` has them, of inputs (M, z, y, x) scaled by ``normalised`` under conditions (M, K)."""
    factor, multiple = network.config.factor, network.config.multiple
    sides = [max(least, n + -n % multiple) for n, least in zip(stack.shape[2:], _SMALLEST, strict=True)]
    before = [(side - n) // 2 // factor * factor for side, n in zip(sides, stack.shape[2:], strict=True)]
    room = [(a, side - n - a) for a, side, n in zip(before, sides, stack.shape[2:], strict=True)]
    padded = np.pad(stack, [(0, 0), (0, 0), *room])
    network, theta, latents = network.to(device), [], []
    for start in range(0, stack.shape[1], planes):
        piece = torch.from_numpy(np.ascontiguousarray(padded[:, start : start + planes].swapaxes(0, 1))).to(device)
        found, means = _one(network, piece, torch.from_numpy(conditions).to(device), device)
        theta.append(found)
        latents.append(means)
        progress(min(1.0, (start + planes) / stack.shape[1]))
    inner = tuple(slice(a, a + n) for a, n in zip(before, stack.shape[2:], strict=True))
    coarse = tuple(slice(a // factor, (a + n + factor - 1) // factor) for a, n in zip(before, stack.shape[2:], strict=True))
    every = (slice(None),) * 3
    return np.concatenate(theta).swapaxes(0, 1)[(*every[1:], *inner)], np.concatenate(latents, axis=2)[(*every, *coarse)]


@torch.inference_mode()
def _one(network: TissueVAE, piece: Tensor, conditions: Tensor, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """θ (planes, 3, y, x) and posterior means (inputs or inputs + 1, channels, planes, …) of slices (planes, M, y, x)."""
    inputs = piece.shape[1]
    known = conditions[None].expand(len(piece), -1, -1)
    several = list(torch.eye(inputs, dtype=torch.bool)) + ([torch.ones(inputs, dtype=torch.bool)] if inputs > 1 else [])
    with autocast(device, fastest_precision(device.type)):
        means = [network.encode(piece, known, chosen.to(device).expand(len(piece), -1)).mean for chosen in several]
        theta = cast(Tensor, network.decode(means[-1]))
    return theta.float().cpu().numpy(), torch.stack(means).swapaxes(1, 2).float().cpu().numpy()


def tissue_probabilities(theta: np.ndarray, field_strength: float) -> np.ndarray:
    """Probabilities (classes, z, y, x) of the tissues by the closeness of T1 and T2 in θ (3, z, y, x) to their literature values, float32.

    PD only identifies air: it holds the gain of the scanner. Lesions are not distinguished.
    """
    table = tissue_table(field_strength)
    found = np.zeros((len(CLASSES), *theta.shape[1:]), dtype=np.float32)
    for row, tissue in enumerate(table):
        if tissue.name != "air":
            distance = ((theta[1] - tissue.theta[1]) / _WIDTH) ** 2 + ((theta[2] - tissue.theta[2]) / _WIDTH) ** 2
            found[row] = np.exp(-0.5 * distance)
    found += np.float32(1e-12)
    air = theta[0] < np.percentile(theta[0], 99) + np.log(_AIR_PERCENT / 100.0)
    found[:, air] = 0.0
    found[[tissue.name for tissue in table].index("air"), air] = 1.0
    found[len(table) :] = 0.0
    found /= found.sum(axis=0)
    return found


def infer_slices(
    network: TissueVAE, stack: np.ndarray, conditions: np.ndarray, field_strength: float, device: torch.device,
    progress: Callable[[float], None], planes: int = _AT_ONCE,
) -> Inference:  # fmt: skip
    """The network's result for a head, as :func:`.inference.infer` gives it. Latents are those of the plane in the middle of each block."""
    theta, latents = slice_maps(network, stack, conditions, device, progress, planes)
    factor = network.config.factor
    middles = np.minimum(factor // 2 + factor * np.arange(-(-theta.shape[1] // factor)), theta.shape[1] - 1)
    return Inference(tissue_probabilities(theta, field_strength), np.ascontiguousarray(latents[:, :, middles]), factor)
