"""Storage of weights: large tensors as Huffman-coded integers with a scale per output channel, the rest in 16 bits.

A scale is a fixed fraction of its channel's root mean square, so every channel has the same relative error. Most numbers are small: coded,
they take about 6 bits. A tensor NAME is stored as three: ``NAME|numbers`` (zlib bytes), ``NAME|scale`` (channels) and ``NAME|shape``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

SMALLEST = 10_000
"""Tensors with fewer numbers stay in 16 bits: they are a thousandth of a file."""
_TOP = 127
_PARTS = ("numbers", "scale", "shape")


def stored(
    tensors: Mapping[str, Tensor], step: float, kept_as: Callable[[str], torch.dtype | None] = lambda name: None
) -> dict[str, Tensor]:
    """Tensors in the file's format; large ones are quantised in steps of ``step`` times the root mean square of their channel, a relative
    error of step / √12. ``kept_as`` gives the type of those that are not coded."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        values = tensor.detach().cpu()
        if kept_as(name) is None and values.ndim >= 2 and values.numel() >= SMALLEST:
            numbers, scale = _quantised(values.float().flatten(1).numpy(), step)
            parts = torch.from_numpy(_coded(numbers)), torch.from_numpy(scale), torch.tensor(values.shape)
            found |= {f"{name}|{part}": content for part, content in zip(_PARTS, parts, strict=True)}
        else:
            found[name] = values.to(kept_as(name) or torch.float16).contiguous().clone()
    return found


def restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in float32. Raises ValueError when parts of one are missing or do not fit."""
    whole = {name: tensor.float() for name, tensor in tensors.items() if name.rpartition("|")[2] not in _PARTS or "|" not in name}
    for name in dict.fromkeys(name.rpartition("|")[0] for name in tensors if name not in whole):
        parts = [tensors.get(f"{name}|{part}") for part in _PARTS]
        if any(part is None for part in parts):
            raise ValueError(f"{name} is incomplete")
        whole[name] = _decoded(name, *(part for part in parts if part is not None))
    return whole


def _quantised(values: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Integers (channels, n; int8) and their scale (channels, float16)."""
    wanted = np.maximum(step * np.sqrt((values**2).mean(axis=1)), np.abs(values).max(axis=1) / _TOP)
    scale = wanted.astype(np.float16)
    divisor = np.where(scale > 0, scale, np.float16(1.0)).astype(np.float32)
    return np.clip(np.rint(values / divisor[:, None]), -_TOP, _TOP).astype(np.int8), scale


def _coded(numbers: np.ndarray) -> np.ndarray:
    coder = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_HUFFMAN_ONLY)  # weights do not repeat
    return np.frombuffer(coder.compress(numbers.tobytes()) + coder.flush(), np.uint8).copy()


def _decoded(name: str, numbers: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
    sizes = [int(size) for size in shape.tolist()]
    count = int(np.prod(sizes))
    try:
        content = zlib.decompressobj().decompress(numbers.numpy().tobytes(), count + 1)  # no more than expected, whatever the file holds
    except zlib.error as error:
        raise ValueError(f"{name}: {error}") from None
    if len(content) != count or not sizes or len(scale) != sizes[0]:
        raise ValueError(f"{name} has another length than its shape")
    levels = torch.from_numpy(np.frombuffer(content, np.int8).astype(np.float32).reshape(sizes[0], -1))
    return (levels * scale.float()[:, None]).reshape(sizes)
