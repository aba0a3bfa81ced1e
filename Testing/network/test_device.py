"""Devices: the one asked for, a reason when it cannot be had, and a way on when it fails."""

from __future__ import annotations

import pytest
import torch

from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.network import device as module
from PhysMRISynthLib.network.device import choose_device, with_fallback
from Testing.refusals import refused

GPU, CPU = torch.device("cuda"), torch.device("cpu")


def test_the_cpu_can_always_be_had() -> None:
    assert choose_device("cpu") == CPU


def test_a_gpu_that_is_not_there_is_passed_over_but_not_when_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with refused(EstimationError, r"'cuda' cannot be used .*does not see one.*--device cpu"):
        choose_device("cuda")


def test_a_gpu_of_an_unknown_architecture_is_found_out_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(module.torch, "ones", fail)
    assert choose_device("auto") == CPU
    with pytest.raises(EstimationError, match="no kernel image is available"):
        choose_device("cuda")


def test_out_of_memory_leads_to_smaller_tiles_then_to_the_cpu() -> None:
    tried: list[tuple[str, int]] = []

    def work(device: torch.device, tile: int) -> str:
        tried.append((device.type, tile))
        if device.type == "cuda":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return "done"

    assert with_fallback(work, GPU, (512, 128)) == ("done", CPU)
    assert tried == [("cuda", 512), ("cuda", 128), ("cpu", 512)]


def test_a_smaller_tile_that_fits_is_enough() -> None:
    def work(device: torch.device, tile: int) -> int:
        if tile > 128:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return tile

    assert with_fallback(work, GPU, (512, 128, 64)) == (128, GPU)


def test_a_gpu_that_breaks_is_left_for_the_cpu_at_once() -> None:
    tried: list[tuple[str, int]] = []

    def work(device: torch.device, tile: int) -> str:
        tried.append((device.type, tile))
        if device.type == "cuda":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return "done"

    assert with_fallback(work, GPU, (512, 128)) == ("done", CPU)
    assert tried == [("cuda", 512), ("cpu", 512)]


def test_memory_that_is_nowhere_to_be_had_is_said_plainly() -> None:
    def work(device: torch.device, tile: int) -> None:
        raise MemoryError

    with refused(EstimationError, r"Not enough memory for the network.*--prior literature"):
        with_fallback(work, GPU, (512, 128))


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    def work(device: torch.device, tile: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        with_fallback(work, CPU, (512, 128))
