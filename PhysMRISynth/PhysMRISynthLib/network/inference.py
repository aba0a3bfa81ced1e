"""The network on a whole head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import Remedy, WeightsError
from ..physics.protocol import Protocol
from .condition import protocol_condition
from .device import autocast, fastest_precision, with_fallback
from .head_view import Inference
from .slices import infer_slices
from .vae import CLASSES, TissueVAE
from .weights import Weights

TILES = (4096, 128, 96, 64)
"""Longest side of a tile in voxels; the first takes any head whole."""
_OVERLAP = 24


def normalised(image: np.ndarray) -> np.ndarray:
    """An image divided by the 99.5th percentile of its voxels above a tenth of the bright level, float32 (0 stays 0)."""
    bright = float(np.percentile(image, 99.9))
    foreground = image[image > 0.1 * bright]
    level = float(np.percentile(foreground, 99.5)) if foreground.size else 1.0
    return (image / max(level, 1e-6)).astype(np.float32)


def infer(
    weights: Weights,
    images: Sequence[np.ndarray],
    protocols: Sequence[Protocol],
    field_strength: float,
    device: torch.device,
    progress: Callable[[float], None] = lambda fraction: None,
    tiles: tuple[int, ...] = TILES,
) -> Inference:
    """One pass over images (z, y, x; 1 mm, axes towards superior, posterior, left).

    In one piece where memory allows, else in overlapping ``tiles``; on the CPU when the device fails, which is logged. A network of slices
    with head "exp" passes them one by one. Raises EstimationError when there is not enough memory anywhere, WeightsError for a network in
    3D with that head.
    """
    maps = weights.config.head == "exp"
    if maps and weights.config.spatial_dims == 3:
        raise WeightsError("This network in 3D tells no tissues.", Remedy.DO(this="give weights of head 'classes', or of slices"))
    conditions = np.stack([protocol_condition(protocol, field_strength) for protocol in protocols])
    stack = np.stack([normalised(image) for image in images])
    del images  # as large as the stack

    def work(where: torch.device, tile: int) -> Inference:
        if maps:
            return infer_slices(weights.network, stack, conditions, field_strength, where, progress)
        return _tiled(weights, stack, conditions, where, tile, progress)

    return with_fallback(work, device, tiles)[0]


def decode(
    weights: Weights,
    latent: np.ndarray,
    device: torch.device,
    precision: str,
    progress: Callable[[float], None] = lambda fraction: None,
    tiles: tuple[int, ...] = TILES,
) -> np.ndarray:
    """Probabilities (classes, z, y, x) of the head that a ``latent`` (channels, z/factor, y/factor, x/factor) represents, float32.

    In one piece where memory allows, else in overlapping tiles, as :func:`infer`. Raises EstimationError when there is not enough memory.
    """

    def work(where: torch.device, tile: int) -> np.ndarray:
        factor, network = weights.config.factor, weights.network.to(where)
        shape = tuple(n * factor for n in latent.shape[1:])
        boxes = _boxes(shape, tile, weights.config.multiple)
        whole = _Mosaic(shape, _OVERLAP)
        for done, box in enumerate(boxes, start=1):
            part = (slice(None), *(slice(side.start // factor, side.stop // factor) for side in box))
            with torch.inference_mode(), autocast(where, precision):
                probabilities = _probabilities(network, torch.from_numpy(np.ascontiguousarray(latent[part]))[None].to(where))
            whole.add(probabilities, box)
            progress(done / len(boxes))
        return whole.joined()

    return with_fallback(work, device, tiles)[0]


def _tiled(
    weights: Weights, stack: np.ndarray, conditions: np.ndarray, device: torch.device, tile: int, progress: Callable[[float], None]
) -> Inference:
    multiple, factor = weights.config.multiple, weights.config.factor
    shape = stack.shape[1:]
    padded = tuple(n + -n % multiple for n in shape)
    network = weights.network.to(device)
    known = torch.from_numpy(conditions)[None].to(device)
    boxes = _boxes(padded, tile, multiple)
    whole = _Mosaic(padded, _OVERLAP)
    coarse = _Mosaic(tuple(n // factor for n in padded), max(1, _OVERLAP // factor))
    for done, box in enumerate(boxes, start=1):
        room = [(0, 0), *((0, max(0, side.stop - n)) for side, n in zip(box, shape, strict=True))]
        with torch.inference_mode(), autocast(device, fastest_precision(device.type)):
            together, latents = _encoded(network, np.pad(stack[(slice(None), *box)], room), known)
            whole.add(_probabilities(network, together), box)
        coarse.add(latents, tuple(slice(side.start // factor, side.stop // factor) for side in box))
        progress(done / len(boxes))
    kept = (slice(None), *(slice(0, n) for n in shape))
    latents = coarse.joined().reshape(-1, weights.config.latent_channels, *coarse.shape)
    return Inference(whole.joined()[kept], latents[(slice(None), slice(None), *(slice(0, -(-n // factor)) for n in shape))], factor)


def _encoded(network: TissueVAE, piece: np.ndarray, known: Tensor) -> tuple[Tensor, np.ndarray]:
    """The latent of one piece (M, …) from all inputs together, and the posterior means (inputs · channels, …)."""
    images = torch.from_numpy(piece)[None].to(known.device)
    alone: list[Tensor] = []
    # the encoder's output for each input is not part of the network's result, and a second pass would double the cost
    listener = network.encoder.register_forward_hook(lambda module, given, posterior: alone.append(posterior[0]))
    try:
        together = network.encode(images, known, torch.ones(images.shape[:2], dtype=torch.bool, device=known.device)).mean
    finally:
        listener.remove()
    means = torch.cat(alone if len(piece) == 1 else [*alone, together])
    return together, means.flatten(0, 1).float().cpu().numpy()


def _probabilities(network: TissueVAE, latent: Tensor) -> np.ndarray:
    """Probabilities (classes, …) of what a ``latent`` (1, channels, …) represents, float32."""
    found, done = np.empty((len(CLASSES), *(n * network.config.factor for n in latent.shape[2:])), dtype=np.float32), 0
    for logits in network.logits(latent):
        planes = slice(done, done + logits.shape[2])
        with torch.autocast(latent.device.type, enabled=False):
            found[:, planes] = torch.softmax(logits[0].float(), dim=0).cpu().numpy()
        done = planes.stop
    return found


class _Mosaic:
    """Pieces (channels, *box) joined to a volume of a ``shape``, blended over an ``overlap`` (voxels)."""

    def __init__(self, shape: tuple[int, ...], overlap: int) -> None:
        self.shape, self.overlap = shape, overlap
        self.total: np.ndarray | None = None
        self.share = np.zeros(shape, dtype=np.float32)

    def add(self, piece: np.ndarray, box: tuple[slice, ...]) -> None:
        """Add a piece at its place."""
        if piece.shape[1:] == self.shape:  # the whole volume
            self.total, self.share = piece, np.ones((), dtype=np.float32)
            return
        if self.total is None:
            self.total = np.zeros((len(piece), *self.shape), dtype=np.float32)
        taper = _taper(piece.shape[1:], self.overlap)
        self.total[(slice(None), *box)] += piece * taper
        self.share[box] += taper

    def joined(self) -> np.ndarray:
        """The volume (channels, *shape); call it once only, since it reuses the memory of the sum."""
        assert self.total is not None
        self.total /= self.share
        return self.total


def _boxes(shape: Sequence[int], tile: int, multiple: int) -> list[tuple[slice, ...]]:
    """Overlapping boxes of at most ``tile`` voxels a side that cover a shape, all sides multiples of ``multiple``."""
    starts = []
    size = max(multiple, tile // multiple * multiple)
    for n in shape:
        step = max(multiple, (size - _OVERLAP) // multiple * multiple)
        firsts = list(range(0, max(n - size, 0) + step, step)) if n > size else [0]
        starts.append([(min(first, max(n - size, 0)), min(size, n)) for first in firsts])
    return [(slice(a, a + i), slice(b, b + j), slice(c, c + k)) for a, i in starts[0] for b, j in starts[1] for c, k in starts[2]]


def _taper(shape: Sequence[int], overlap: int) -> np.ndarray:
    """Weight of a tile's voxels, falling towards its faces."""
    ramps = [np.minimum(np.arange(n) + 1.0, np.arange(n, 0, -1.0)).clip(max=overlap / 2) for n in shape]
    return (ramps[0][:, None, None] * ramps[1][None, :, None] * ramps[2][None, None, :]).astype(np.float32)
