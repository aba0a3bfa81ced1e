"""From a checkpoint to an installed sampling model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from physmrisynth_training.learning.checkpoint import save_atomically
from physmrisynth_training.shipping import ship_sampler as module
from physmrisynth_training.shipping.ship_sampler import main, ship_sampler
from PhysMRISynthLib.errors import ImageError, PhysMRISynthError, WeightsError
from PhysMRISynthLib.network.diffusion_weights import sampling_weights
from PhysMRISynthLib.network.manifest import write_manifest
from PhysMRISynthLib.network.weights import save_weights
from Testing.network.tiny_sampler import TINY, tiny_model, tiny_vae


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    sha256 = save_weights(tiny_vae(), {}, tmp_path / "vae.safetensors")
    write_manifest(tmp_path / "vae.safetensors", tmp_path / "weights.json")
    state = {
        "network": tiny_model(1).state_dict(), "average": tiny_model(2).state_dict(), "step": 70, "seconds": 7200.0, "vae_sha256": sha256,
        "codes_sha256": "", "configuration": {"network": TINY.mapping()},
    }  # fmt: skip
    save_atomically(state, tmp_path / "run" / "checkpoint.pt")
    return tmp_path / "run" / "checkpoint.pt"


def test_the_averaged_model_is_installed_beside_its_network(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["--checkpoint", str(checkpoint), "--out", str(tmp_path), "--code-version", "abc"]) == 0
    assert set(json.loads((tmp_path / "weights.json").read_text(encoding="utf-8"))) == {"vae", "sampler"}
    assert not list(tmp_path.glob(".*"))
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", tmp_path / "weights.json")
    sampler, _ = sampling_weights()
    assert (sampler.card["steps"], sampler.card["hours"], sampler.card["code_version"]) == (70, 2.0, "abc")
    expected = tiny_model(2).state_dict()
    for name, tensor in sampler.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-3, rtol=1e-3)


def test_the_card_tells_whose_heads_it_learned_from(checkpoint: Path, tmp_path: Path) -> None:
    ship_sampler(checkpoint, tmp_path)
    assert "hemisphere mixing" in (tmp_path / "sampler_card.md").read_text(encoding="utf-8")
    with pytest.raises(ImageError, match=r"no heads\.tsv"):
        ship_sampler(checkpoint, tmp_path, people=tmp_path)
    (tmp_path / "heads.tsv").write_text("head\tage\none\t30\ntwo\t40\n", encoding="utf-8")
    ship_sampler(checkpoint, tmp_path, people=tmp_path)
    card = (tmp_path / "sampler_card.md").read_text(encoding="utf-8")
    assert "2 heads with other people's brains" in card and "ds002748" in card and "hemisphere mixing" not in card


def test_what_is_no_checkpoint_or_too_large_is_not_shipped(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_atomically({"step": 3}, tmp_path / "other.pt")
    with pytest.raises(PhysMRISynthError, match="no checkpoint of 'train ldm'"):
        ship_sampler(tmp_path / "other.pt", tmp_path)
    monkeypatch.setattr(module, "LARGEST_BYTES", 1000)
    with pytest.raises(WeightsError, match="more than 1000"):
        ship_sampler(checkpoint, tmp_path)
    assert not list(tmp_path.glob("*sampler*")) and not list(tmp_path.glob(".*"))
