"""On a torch device the fit and the rendering give the numbers of NumPy; where the device cannot go on, NumPy does."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.fitting.head import HeadModel, fit_head
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.network import device as devices
from PhysMRISynthLib.physics.arrays import Move
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow import compute as module
from PhysMRISynthLib.workflow.compute import Compute
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.head_voxels import HeadVoxels, fit_all_voxels
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from Testing.fitting.balls import Head
from Testing.refusals import refused

TORCH = Compute(torch.device("cpu"))
"""Tensors on the CPU stand for those on a GPU: the same code, in the single precision that all devices know."""


class _SinglePrecision(TorchDispatchMode):
    """Fails where a tensor has double precision, which Apple's GPUs do not know."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        assert not (isinstance(found, torch.Tensor) and found.dtype == torch.float64), f"{function} gives double precision"
        return found


@cache
def _ball() -> tuple[Head, list[Observation]]:
    head = Head.drawn(3)
    return head, head.seen(PROTOCOLS, 3)[0]


@cache
def _model() -> HeadModel:
    head, seen = _ball()
    return fit_head(seen, head.positions, head.atlas, 3.0)


def test_the_head_level_is_the_same_on_a_device() -> None:
    head, seen = _ball()
    with _SinglePrecision():
        found = fit_head(seen, head.positions, head.atlas, 3.0, move=TORCH.move)
    np.testing.assert_allclose(found.level.theta, _model().level.theta, atol=1e-3)
    np.testing.assert_allclose(found.level.log_gains, _model().level.log_gains, atol=1e-3)
    assert found.values[-1] == pytest.approx(_model().values[-1], abs=0.05)


@pytest.mark.parametrize("partly_covered", [False, True])
def test_voxels_are_the_same_on_a_device(partly_covered: bool) -> None:
    head, seen = _ball()
    voxels = _voxels(head)
    if partly_covered:
        seen = [*seen[:2], replace(seen[2], covered=head.positions[:, 0] > 0)]
    expected = fit_all_voxels(_model(), seen, voxels)
    with _SinglePrecision():
        found = fit_all_voxels(_model(), seen, voxels, compute=TORCH)
    for name in ("theta", "brain", "fluid"):
        difference = np.abs(getattr(found, name) - getattr(expected, name))
        assert np.quantile(difference, 0.99) < 1e-3 and difference.max() < 0.05, name
    np.testing.assert_allclose(found.sd, expected.sd, rtol=0.02)
    np.testing.assert_allclose(found.predicted, expected.predicted, rtol=5e-3, atol=1e-3 * expected.predicted.max())
    assert (found.tissue != expected.tissue).mean() < 1e-3


def _voxels(head: Head) -> HeadVoxels:
    """The head's voxels as a column of a volume: the fields vary along one axis only, as their positions do."""
    count = len(head.positions)
    atlas = np.round(255.0 * head.atlas).astype(np.uint8)
    return HeadVoxels(np.arange(count), (count, 1, 1), (100.0 / count, 1.0, 1.0), atlas, atlas)


def test_rendering_is_the_same_on_a_device() -> None:
    maps = small_head().maps
    share = np.clip(np.random.default_rng(0).normal(0.2, 0.3, maps.pd.shape), 0.0, 1.0).astype(np.float32)
    for head in (maps, replace(maps, fluid_fraction=share, fluid=(1.0, 4200.0, 2000.0))):
        for protocol in (*PROTOCOLS.values(), Protocol.of("psir"), Protocol.of("mp2rage")):
            with _SinglePrecision():
                found = render(head, protocol, scale=1000.0, compute=TORCH)
            np.testing.assert_allclose(found, render(head, protocol, scale=1000.0), rtol=1e-4, atol=2e-3)


@pytest.mark.nightly
def test_an_estimate_is_the_same_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of what is tested above and below by itself."""
    maps = small_head().maps
    images = simulate(maps, PROTOCOLS, snr=100, field=0.2, seed=9)
    inputs = [Acquisition(name, volume_from_image(image_like(v, maps.grid)), PROTOCOLS[name]) for name, v in images.items()]
    expected = estimate_tissue_maps(inputs, EstimateOrder(prior="literature", device="cpu"))
    monkeypatch.setattr(devices, "choose_device", lambda wanted: {"cuda": torch.device("cpu")}[wanted])
    found = estimate_tissue_maps(inputs, EstimateOrder(prior="literature", device="cuda"))
    for name in ("pd", "t1", "t2"):
        one, other = (getattr(estimate.maps, name)[expected.brain] for estimate in (expected, found))
        assert np.median(np.abs(other / one - 1.0)) < 1e-3, name
        assert np.quantile(np.abs(other / one - 1.0), 0.99) < 5e-3, name


def _filled(limit: int, error: Callable[[], Exception]) -> tuple[Callable[[slice, Move], None], np.ndarray, list[tuple[bool, int]]]:
    """Work that a device does for ``limit`` voxels at a time, how often each voxel was done, and (on the device, size) of each try."""
    count, tried = np.zeros(100_000, dtype=int), []

    def work(piece: slice, move: Move) -> None:
        on_device, size = move is not module.stay, piece.stop - piece.start
        tried.append((on_device, size))
        if on_device and size > limit:
            raise error()
        count[piece] += 1

    return work, count, tried


def _no_memory() -> Exception:
    return torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")


def test_a_device_without_enough_memory_gets_fewer_voxels_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    work, count, tried = _filled(30_000, _no_memory)
    told: list[float] = []
    with caplog.at_level(logging.WARNING):
        TORCH.for_each_chunk(count.size, 1000, work, told.append)
    assert (count == 1).all()
    assert all(on_device for on_device, _ in tried)
    assert max(size for _, size in tried if size <= 30_000) > 15_000
    assert told == sorted(told) and told[-1] == 1.0
    assert "Not enough memory on cpu" in caplog.text


@pytest.mark.parametrize(
    ("error", "said"),
    [(_no_memory, "out of memory"), (lambda: RuntimeError("CUDA error: an illegal memory access"), "illegal memory access")],
    ids=["no memory at all", "a device that breaks"],
)
def test_what_a_device_cannot_do_the_cpu_does(error: Callable[[], Exception], said: str, caplog: pytest.LogCaptureFixture) -> None:
    work, count, tried = _filled(0, error)
    with caplog.at_level(logging.WARNING):
        TORCH.for_each_chunk(count.size, 1000, work)
    assert (count == 1).all()
    assert {size for on_device, size in tried if not on_device} == {1000}
    assert said in caplog.text and "going on with the CPU" in caplog.text


def test_a_device_that_breaks_halfway_leaves_the_rest_to_the_cpu() -> None:
    count, calls = np.zeros(100_000, dtype=int), []

    def work(piece: slice, move: Move) -> None:
        calls.append(move)
        if move is not module.stay and len(calls) == 2:
            raise RuntimeError("CUDA error: device-side assert triggered")
        count[piece] += 1

    replace(TORCH, most=40_000).for_each_chunk(count.size, 1000, work)
    assert (count == 1).all()
    assert len(calls) == 2 + 60


def test_the_head_level_goes_on_with_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    def work(move: Move) -> str:
        if move is not module.stay:
            raise RuntimeError("MPS backend failed")
        return "done"

    with caplog.at_level(logging.WARNING):
        assert TORCH.at_once(work) == "done"
    assert "MPS backend failed" in caplog.text


def test_a_mistake_of_our_own_is_not_hidden() -> None:
    def work(piece: slice, move: Move) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        TORCH.for_each_chunk(10, 5, work)


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_numpy_computes_unless_a_device_is_asked_for(wanted: str) -> None:
    assert Compute.on(wanted).device is None


def test_a_device_that_is_not_there_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with refused(EstimationError, r"'cuda' cannot be used .*--device cpu"):
        estimate_tissue_maps([], EstimateOrder(prior="literature", device="cuda"))


def test_without_torch_a_device_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.endswith("network.device"):
            raise ImportError("No module named 'torch'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with refused(EstimationError, r"needs PyTorch.*physmrisynth\[inference\].*--device cpu"):
        Compute.on("mps")
