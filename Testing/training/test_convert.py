"""Weights in an earlier storage become small: the same networks, which still belong together, and cards that say what was measured."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from physmrisynth_training.shipping.convert import main
from physmrisynth_training.shipping.rounding import Change, changes
from physmrisynth_training.shipping.ship_sampler import write_card as write_sampler_card
from physmrisynth_training.shipping.ship_vae import write_card
from PhysMRISynthLib.network import storage
from PhysMRISynthLib.network.condenser_weights import codes_sha256, save_expander
from PhysMRISynthLib.network.diffusion_weights import sampling_weights, save_sampler
from PhysMRISynthLib.network.manifest import file_sha256, write_manifest
from PhysMRISynthLib.network.weights import load_weights, save_weights
from Testing.network.tiny_sampler import OF_CODES, tiny_condenser, tiny_model, tiny_vae

OF_ALL = {"steps": 6, "hours": 0.1, "version": "0.1.0", "code_version": "abc", "configuration": {"codes": 4}, "data": {}}
VAE = {**OF_ALL, "training_heads": [1, 14], "selection_heads": [15], "simulated_heads": {"training": 1, "held_out": 1}}
FILES = ("vae", "sampler", "expander")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of weights as they were stored before: all of them in 16 bits."""
    condenser, card = tiny_condenser(), {**OF_ALL, "label_maps": 14, "heads": 4}
    with monkeypatch.context() as earlier:
        earlier.setattr(storage, "SMALLEST", 10**9)
        sha256 = save_weights(tiny_vae(), VAE, tmp_path / "vae.safetensors")
        save_expander(condenser, sha256, card, tmp_path / "expander.safetensors")
        save_sampler(tiny_model(**vars(OF_CODES)), sha256, card, tmp_path / "sampler.safetensors", codes_sha256(condenser))
    for kind in FILES:
        write_manifest(tmp_path / f"{kind}.safetensors", tmp_path / "weights.json", kind)
    write_card(tmp_path)
    write_sampler_card(tmp_path)
    for name in ("model_card.md", "sampler_card.md"):
        text = (tmp_path / name).read_text(encoding="utf-8").split("No metrics were given.")[0]
        (tmp_path / name).write_text(f"{text}### maps\n\n| T1 % |\n\n## Configuration\n\nold", encoding="utf-8")
    return tmp_path


def test_converted_weights_are_small_and_belong_together(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {kind: (installed / f"{kind}.safetensors").stat().st_size for kind in FILES}
    old = load_weights(installed / "vae.safetensors")
    assert main(["--out", str(installed), "--note", "Measured in 16 bits."]) == 0
    assert all((installed / f"{kind}.safetensors").stat().st_size < size + 500 for kind, size in before.items())
    assert sum((installed / f"{kind}.safetensors").stat().st_size for kind in FILES) < sum(before.values())
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", installed / "weights.json")
    sampler, decoder = sampling_weights()
    assert sampler.expander is not None and sampler.vae_sha256 == decoder.sha256 != old.sha256
    for name, tensor in old.network.state_dict().items():
        assert float((decoder.network.state_dict()[name] - tensor).norm()) <= 0.015 * float(tensor.norm())
    manifest = json.loads((installed / "weights.json").read_text(encoding="utf-8"))
    assert {kind: entry["sha256"] for kind, entry in manifest.items()} == {k: file_sha256(installed / f"{k}.safetensors") for k in FILES}
    for name in ("model_card.md", "sampler_card.md"):
        card = (installed / name).read_text(encoding="utf-8")
        assert decoder.sha256 in card and old.sha256 not in card and "relative error" in card
        assert card.count("Measured in 16 bits.\n\n### maps\n\n| T1 % |\n\n## Configuration") == 1 and not card.endswith("old")


def test_what_rounding_has_changed_stays_with_the_weights_and_their_cards(installed: Path) -> None:
    manifest = installed / "weights.json"
    entries = json.loads(manifest.read_text(encoding="utf-8"))
    entries["sampler"]["rounding"] = "One voxel of a hundred."
    manifest.write_text(json.dumps(entries), encoding="utf-8")
    write_manifest(installed / "sampler.safetensors", manifest, "sampler")
    for _again in range(2):
        assert main(["--out", str(installed), "--cards"]) == 0
        card = (installed / "sampler_card.md").read_text(encoding="utf-8")
        assert card.count("## Rounding for storage\n\nOne voxel of a hundred.\n\n## Metrics\n\n### maps\n\n| T1 % |\n\n## Conf") == 1
    assert "Rounding" not in (installed / "model_card.md").read_text(encoding="utf-8")
    assert main(["--out", str(installed), "--note", "Measured in 16 bits."]) == 0
    assert "rounding" not in json.loads(manifest.read_text(encoding="utf-8"))["sampler"], "these are other weights"


def test_rounding_is_seen_in_heads_of_the_same_seed(installed: Path) -> None:
    model = sampling_weights(installed / "sampler.safetensors", installed / "vae.safetensors")
    assert changes(model, model, seed=1, steps=2)["rounded"] == Change(0.0, 0.0)
    other = deepcopy(model)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in other[1].network.decoder.parameters():
            parameter.add_(3.0 * torch.randn_like(parameter) * parameter.abs().mean())
    assert changes(model, other, seed=1, steps=2)["rounded"].other_tissue > 1.0


def test_a_folder_without_weights_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--note", ""])
    assert "no network weights" in capsys.readouterr().err
