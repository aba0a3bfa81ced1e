"""The network on a whole head: any size, in one piece or in tiles, probabilities everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PhysMRISynthLib.network import inference as module
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.inference import class_probabilities, normalised
from PhysMRISynthLib.network.vae import CLASSES, TissueVAE
from PhysMRISynthLib.network.weights import Weights, load_weights, save_weights
from PhysMRISynthLib.physics.protocol import Protocol

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
    found = class_probabilities(weights, images(*shape), PROTOCOLS, 3.0, CPU)
    assert found.shape == (len(CLASSES), *shape) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=1e-3)
    assert (found >= 0).all()


def test_tiles_agree_with_the_whole_away_from_their_faces(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = images(64, 100, 96)
    whole = class_probabilities(weights, seen, PROTOCOLS, 3.0, CPU)
    monkeypatch.setattr(module, "_TILES", (64,))
    tiled = class_probabilities(weights, seen, PROTOCOLS, 3.0, CPU)
    assert np.median(np.abs(whole - tiled)) < 0.002
    assert np.abs(whole - tiled).mean() < 0.01


def test_too_little_memory_ends_in_tiles(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    original, sizes = module._tiled, []

    def tight(*args: object) -> np.ndarray:
        sizes.append(args[4])
        if args[4] > 64:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate; out of memory")
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_tiled", tight)
    found = class_probabilities(weights, images(32, 32, 32), PROTOCOLS, 3.0, CPU)
    assert sizes[-1] == 64 and len(sizes) > 1 and np.isfinite(found).all()


def test_the_scanners_units_do_not_matter(weights: Weights) -> None:
    one, other = images(32, 32, 32), [image * 37.0 for image in images(32, 32, 32)]
    np.testing.assert_allclose(
        class_probabilities(weights, one, PROTOCOLS, 3.0, CPU), class_probabilities(weights, other, PROTOCOLS, 3.0, CPU), atol=2e-2
    )


def test_progress_ends_at_one(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TILES", (32,))
    told: list[float] = []
    class_probabilities(weights, images(64, 32, 32), PROTOCOLS, 3.0, CPU, told.append)
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 1


def test_an_empty_image_stays_empty() -> None:
    assert not normalised(np.zeros((4, 4, 4), dtype=np.float32)).any()
