"""The network on a whole head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..physics.protocol import Protocol
from .condition import protocol_condition
from .device import fastest_precision, with_fallback
from .vae import CLASSES, TissuePrediction
from .weights import Weights

_TILES = (4096, 128, 96, 64)
"""Longest side of a tile in voxels; the first takes any head whole."""
_OVERLAP = 24


def normalised(image: np.ndarray) -> np.ndarray:
    """An image over the 99.5th percentile of what is brighter than a tenth of its brightest part, float32 (0 stays 0)."""
    bright = float(np.percentile(image, 99.9))
    foreground = image[image > 0.1 * bright]
    level = float(np.percentile(foreground, 99.5)) if foreground.size else 1.0
    return (image / max(level, 1e-6)).astype(np.float32)


def class_probabilities(
    weights: Weights,
    images: Sequence[np.ndarray],
    protocols: Sequence[Protocol],
    field_strength: float,
    device: torch.device,
    progress: Callable[[float], None] = lambda fraction: None,
) -> np.ndarray:
    """Probability of each class (classes, z, y, x), float32, from images (z, y, x; 1 mm, axes towards superior, posterior, left).

    In one piece where memory allows, else in overlapping tiles; on the CPU when the device fails.
    """
    conditions = np.stack([protocol_condition(protocol, field_strength) for protocol in protocols])
    stack = np.stack([normalised(image) for image in images])

    def work(where: torch.device, tile: int) -> np.ndarray:
        return _tiled(weights, stack, conditions, where, tile, progress)

    return with_fallback(work, device, _TILES)[0]


def _tiled(
    weights: Weights, stack: np.ndarray, conditions: np.ndarray, device: torch.device, tile: int, progress: Callable[[float], None]
) -> np.ndarray:
    multiple = weights.config.multiple
    shape = stack.shape[1:]
    padded = np.pad(stack, [(0, 0), *((0, -n % multiple) for n in shape)])
    network = weights.network.to(device)
    known = torch.from_numpy(conditions)[None].to(device)
    total = np.zeros((len(CLASSES), *padded.shape[1:]), dtype=np.float32)
    share = np.zeros(padded.shape[1:], dtype=np.float32)
    boxes = _boxes(padded.shape[1:], tile, multiple)
    for done, box in enumerate(boxes, start=1):
        piece = torch.from_numpy(np.ascontiguousarray(padded[(slice(None), *box)]))[None].to(device)
        probabilities = _one(network, piece, known, device)
        taper = _taper(probabilities.shape[1:]) if len(boxes) > 1 else np.float32(1.0)
        total[(slice(None), *box)] += probabilities * taper
        share[box] += taper
        progress(done / len(boxes))
    total /= np.maximum(share, np.float32(1e-6))
    return total[(slice(None), *(slice(0, n) for n in shape))]


@torch.inference_mode()
def _one(network: torch.nn.Module, piece: Tensor, known: Tensor, device: torch.device) -> np.ndarray:
    precision = fastest_precision(device.type)
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    present = torch.ones(piece.shape[:2], dtype=torch.bool, device=device)
    with torch.autocast(device.type, dtype, enabled=dtype is not None):
        _, prediction = network(piece, known, present)
    assert isinstance(prediction, TissuePrediction)
    return torch.softmax(prediction.logits[0].float(), dim=0).cpu().numpy()


def _boxes(shape: Sequence[int], tile: int, multiple: int) -> list[tuple[slice, ...]]:
    """Overlapping boxes of at most ``tile`` voxels a side that cover a shape, all sides multiples of ``multiple``."""
    starts = []
    size = max(multiple, tile // multiple * multiple)
    for n in shape:
        step = max(multiple, (size - _OVERLAP) // multiple * multiple)
        firsts = list(range(0, max(n - size, 0) + step, step)) if n > size else [0]
        starts.append([(min(first, max(n - size, 0)), min(size, n)) for first in firsts])
    return [
        (slice(a, a + i), slice(b, b + j), slice(c, c + k)) for a, i in starts[0] for b, j in starts[1] for c, k in starts[2]
    ]


def _taper(shape: Sequence[int]) -> np.ndarray:
    """Weight of a tile's voxels, falling towards its faces."""
    ramps = [np.minimum(np.arange(n) + 1.0, np.arange(n, 0, -1.0)).clip(max=_OVERLAP / 2) for n in shape]
    return (ramps[0][:, None, None] * ramps[1][None, :, None] * ramps[2][None, None, :]).astype(np.float32)
