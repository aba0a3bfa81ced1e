"""Weights: what comes back is what was saved, and nothing else is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PhysMRISynthLib.errors import WeightsError
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import file_sha256, load_weights, save_weights
from safetensors.torch import save_file

CONFIG = NetworkConfig(3, 4, (), (8, 8), (1, 1), 2, (8,), 2)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[TissueVAE, Path]:
    torch.manual_seed(0)
    network, path = TissueVAE(CONFIG), tmp_path / "small.safetensors"
    save_weights(network, {"steps": 3}, path)
    return network, path


def test_weights_come_back_in_half_precision_with_their_card(saved: tuple[TissueVAE, Path]) -> None:
    network, path = saved
    loaded = load_weights(path, file_sha256(path))
    assert loaded.config == CONFIG and loaded.card == {"steps": 3}
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], tensor.half().float())
    assert not loaded.network.training
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_file_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no network weights.*--prior literature"):
        load_weights(tmp_path / "none.safetensors")


def test_a_file_that_was_tampered_with_is_refused(saved: tuple[TissueVAE, Path]) -> None:
    _, path = saved
    right = file_sha256(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not the shipped ones"):
        load_weights(path, right)


@pytest.mark.parametrize("kept", (0, 4, 100, -10))
def test_a_truncated_file_is_refused(saved: tuple[TissueVAE, Path], kept: int) -> None:
    _, path = saved
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(path)


def test_a_pickle_in_disguise_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "pickle.safetensors")
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(tmp_path / "pickle.safetensors")


def test_a_foreign_network_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="other weights than this version's"):
        load_weights(tmp_path / "foreign.safetensors")
