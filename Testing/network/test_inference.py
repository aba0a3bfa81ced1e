"""The network on a whole head: any size, in one piece or in tiles, probabilities everywhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.device import with_fallback
from PhysMRISynthLib.network.inference import TILES, infer, normalised
from PhysMRISynthLib.network.vae import CLASSES, TissueVAE
from PhysMRISynthLib.network.weights import Weights, load_weights, save_weights
from PhysMRISynthLib.physics.protocol import Protocol
from Testing.refusals import refused

PROTOCOLS = (Protocol.of("mprage"), Protocol.of("tse", TR=4500, TE=100))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    # "voxel": what a voxel is told depends on its surroundings alone, so that tiles and the whole must agree
    save_weights(TissueVAE(NetworkConfig(3, 4, (), (8,), (1,), 2, (8,), 2, norm="voxel")), {}, path)
    return load_weights(path)


def images(*shape: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random(shape, dtype=np.float32) * 900.0 for _ in PROTOCOLS]


@pytest.mark.parametrize("shape", ((32, 40, 36), (17, 5, 61)))
def test_every_voxel_of_any_size_gets_probabilities(weights: Weights, shape: tuple[int, ...]) -> None:
    found = infer(weights, images(*shape), PROTOCOLS, 3.0, CPU).probabilities
    assert found.shape == (len(CLASSES), *shape) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=1e-3)
    assert (found >= 0).all()


def test_tiles_agree_with_the_whole_away_from_their_faces(weights: Weights) -> None:
    seen = images(64, 100, 96)
    whole = infer(weights, seen, PROTOCOLS, 3.0, CPU)
    tiled = infer(weights, seen, PROTOCOLS, 3.0, CPU, tiles=(64,))
    assert np.median(np.abs(whole.probabilities - tiled.probabilities)) < 0.002
    assert np.abs(whole.probabilities - tiled.probabilities).mean() < 0.01
    assert tiled.latents.shape == whole.latents.shape
    assert np.median(np.abs(whole.latents - tiled.latents)) < 0.02 * whole.latents.std()


def test_latents_are_of_each_input_alone_then_of_all(weights: Weights) -> None:
    seen = images(32, 40, 34)
    found = infer(weights, seen, PROTOCOLS, 3.0, CPU)
    assert found.factor == 4 and found.latents.shape == (3, 2, 8, 10, 9)
    for position in range(2):
        alone = infer(weights, seen[position : position + 1], PROTOCOLS[position : position + 1], 3.0, CPU)
        assert alone.latents.shape == (1, 2, 8, 10, 9)
        np.testing.assert_allclose(alone.latents[0], found.latents[position], atol=0.02)
    low, high = found.latents[:2].min(axis=0), found.latents[:2].max(axis=0)
    assert ((found.latents[2] > low - 0.02) & (found.latents[2] < high + 0.02)).all()


Pass = Callable[[torch.device, int], int]


def failing(error: BaseException, when: Callable[[torch.device, int], bool]) -> tuple[Pass, list[tuple[str, int]]]:
    """A pass over the head that fails on some devices and for some tiles, and what is tried."""
    tried: list[tuple[str, int]] = []

    def work(device: torch.device, tile: int) -> int:
        tried.append((device.type, tile))
        if when(device, tile):
            raise error
        return tile

    return work, tried


@pytest.mark.parametrize(
    "error",
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), MemoryError(), RuntimeError("CPUAllocator: out of memory")),
    ids=repr,
)
def test_too_little_memory_ends_in_smaller_tiles(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    work, tried = failing(error, lambda device, tile: tile > 64)
    assert with_fallback(work, torch.device("cuda"), TILES) == (64, torch.device("cuda"))
    assert tried == [("cuda", tile) for tile in TILES]
    assert "Not enough memory on cuda for tiles of 96 voxels" in caplog.text


def test_a_gpu_that_this_torch_does_not_know_is_left_for_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    unknown = RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")
    work, tried = failing(unknown, lambda device, tile: device.type == "cuda")
    assert with_fallback(work, torch.device("cuda"), TILES) == (TILES[0], CPU)
    assert tried == [("cuda", TILES[0]), ("cpu", TILES[0])]
    assert "no kernel image is available for execution on the device): going on with the CPU" in caplog.text


def test_memory_that_is_nowhere_to_be_had_is_said(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(weights.network, "encode", full)
    with refused(EstimationError, r"Not enough memory for the network.*--prior literature"):
        infer(weights, images(32, 32, 32), PROTOCOLS, 3.0, CPU)


def test_the_scanners_units_do_not_matter(weights: Weights) -> None:
    one, other = images(32, 32, 32), [image * 37.0 for image in images(32, 32, 32)]
    found, again = (infer(weights, given, PROTOCOLS, 3.0, CPU).probabilities for given in (one, other))
    np.testing.assert_allclose(found, again, atol=2e-2)


def test_progress_ends_at_one(weights: Weights) -> None:
    told: list[float] = []
    infer(weights, images(64, 32, 32), PROTOCOLS, 3.0, CPU, told.append, tiles=(32,))
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 1


def test_an_empty_image_stays_empty() -> None:
    assert not normalised(np.zeros((4, 4, 4), dtype=np.float32)).any()
