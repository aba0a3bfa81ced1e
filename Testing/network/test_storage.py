"""Stored weights: small files, small errors, and the same numbers when they are stored again."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import Remedy, WeightsError
from PhysMRISynthLib.network.storage import SMALLEST, restored, stored
from PhysMRISynthLib.network.weights import read_tensors, write_tensors
from PhysMRISynthLib.resource_files import RESOURCES

SHAPE = (16, 32, 3, 3, 3)


def weights(seed: int = 0) -> torch.Tensor:
    """A layer's weights, whose channels differ in size."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SHAPE, generator=generator) * torch.logspace(-4, 1, SHAPE[0])[:, None, None, None, None]


@settings(max_examples=10, deadline=None)
@given(st.floats(0.02, 0.2), st.integers(0, 1000))
def test_every_channel_comes_back_with_the_error_that_the_step_promises(step: float, seed: int) -> None:
    layer = weights(seed)
    packed = stored({"layer": layer}, step)
    back = restored(packed)["layer"]
    assert back.shape == layer.shape and back.dtype == torch.float32
    errors = (back - layer).flatten(1).norm(dim=1) / layer.flatten(1).norm(dim=1)
    assert float(errors.max()) < 1.25 * max(step, 0.04) / 12**0.5  # the largest number of a channel has to fit in a byte
    size = sum(tensor.numel() * tensor.element_size() for tensor in packed.values())
    assert 8 * size / layer.numel() < np.log2(4.2 / step) + 0.3  # bits: the entropy of normal numbers in such steps


def test_small_and_chosen_tensors_keep_their_precision() -> None:
    tensors = {"bias": torch.rand(50_000), "small": torch.rand(3, SMALLEST // 4), "mean": torch.rand(SHAPE), "layer": weights()}
    back = restored(stored(tensors, 0.05, lambda name: torch.float32 if name == "mean" else None))
    assert torch.equal(back["mean"], tensors["mean"]) and torch.equal(back["bias"], tensors["bias"].half().float())
    assert torch.equal(back["small"], tensors["small"].half().float()) and not torch.equal(back["layer"], tensors["layer"])


def test_a_channel_of_zeros_and_one_of_tiny_numbers_stay_finite() -> None:
    layer = torch.zeros(SHAPE)
    layer[1] = 1e-9
    back = restored(stored({"layer": layer}, 0.05))["layer"]
    assert torch.isfinite(back).all() and float(back.abs().max()) < 1e-6


@pytest.mark.parametrize("damage", ["no scale", "no shape", "short", "other shape", "larger than its shape", "no stream"])
def test_incomplete_tensors_are_refused_as_damaged(damage: str, tmp_path: Path) -> None:
    tensors = stored({"layer": weights()}, 0.05)
    if damage == "short":
        tensors["layer|numbers"] = tensors["layer|numbers"][:-100].contiguous()
    elif damage == "other shape":
        tensors["layer|shape"] = torch.tensor([16, 5])
    elif damage == "larger than its shape":
        tensors["layer|numbers"] = torch.frombuffer(bytearray(zlib.compress(bytes(10**8))), dtype=torch.uint8)
    elif damage == "no stream":
        tensors["layer|numbers"] = torch.zeros(100, dtype=torch.uint8)
    else:
        del tensors[f"layer|{damage.removeprefix('no ')}"]
    write_tensors(tensors, {}, tmp_path / "damaged.safetensors")
    with pytest.raises(WeightsError, match=r"damaged \(layer"):
        read_tensors(tmp_path / "damaged.safetensors", None, [Remedy.REINSTALL])


def test_the_shipped_weights_fit_into_the_extension() -> None:
    sizes = [path.stat().st_size for path in RESOURCES.glob("*.safetensors")]
    assert len(sizes) == 3 and np.sum(sizes) <= 30_000_000
