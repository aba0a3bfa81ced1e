"""Training the condenser, and the sampling model of its codes: from label maps to weights that draw a head."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from physmrisynth_training.learning import latent_batches as module
from physmrisynth_training.learning.checkpoint import load_checkpoint, save_atomically
from physmrisynth_training.learning.latents import Latents, whole_heads
from physmrisynth_training.learning.run_options import Run
from physmrisynth_training.learning.train_condenser import emphasis, train_condenser, trained_condenser
from physmrisynth_training.learning.train_ldm import train_ldm
from physmrisynth_training.shipping import ship_sampler as ship_module
from physmrisynth_training.shipping.ship_sampler import main as ship
from physmrisynth_training.shipping.ship_sampler import ship_sampler
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.condenser_weights import codes_sha256, load_expander, save_expander
from PhysMRISynthLib.network.diffusion_weights import load_sampler, sampling_weights
from PhysMRISynthLib.network.manifest import write_manifest
from PhysMRISynthLib.network.weights import load_weights, save_weights
from Testing.network.tiny_sampler import CONDENSER, OF_CODES, tiny_vae
from Testing.training.heads import training_folder

pytestmark = pytest.mark.usefixtures("one_thread")

TRAINING = {"heads": 4, "held_out": 2, "workers": 0, "warm_up_steps": 2, "log_every": 1, "validate_every": 3, "batch": 2}
CONFIGURATION: dict[str, Any] = {"network": CONDENSER.mapping(), "training": TRAINING}
LDM: dict[str, Any] = json.loads(json.dumps({"network": OF_CODES.mapping(), "training": TRAINING}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps, a network, and a condenser trained for four steps on it."""
    folder = training_folder(tmp_path_factory.mktemp("data"))
    save_weights(tiny_vae(), {}, folder / "vae.safetensors")
    write_manifest(folder / "vae.safetensors", folder / "weights.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TRAINING_HEADS", (1,))
        trained(folder, folder / "condenser", 4)
    return folder


@pytest.fixture(autouse=True)
def one_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRAINING_HEADS", (1,))


def trained(folder: Path, out: Path, steps: int, training: dict[str, Any] = TRAINING, **options: Any) -> Path:
    run = Run(folder, out, steps=steps, precision="32-true", latents=folder / "latents", **options)
    path = train_condenser({**CONFIGURATION, "training": training}, run, folder / "vae.safetensors")
    assert path is not None
    return path


def test_a_run_stopped_and_resumed_is_a_run_in_one_go(folder: Path, tmp_path: Path) -> None:
    half = load_checkpoint(trained(folder, tmp_path, 2))
    parts, whole = load_checkpoint(trained(folder, tmp_path, 4, resume=True)), load_checkpoint(folder / "condenser" / "checkpoint.pt")
    for kind in ("network", "average"):
        moved = {name: float((whole[kind][name].float() - half[kind][name].float()).abs().max()) for name in whole[kind]}
        assert moved["reader.enter.weight"] > 1e-5 and moved["normal.running_mean"] > 1e-5
        for name, tensor in whole[kind].items():
            torch.testing.assert_close(parts[kind][name], tensor, atol=1e-6, rtol=1e-5, msg=name)
    # the average normalises codes as the training's network does
    assert torch.equal(whole["average"]["normal.running_mean"], whole["network"]["normal.running_mean"])
    assert not (tmp_path / "latents").exists()  # they are shared


def test_a_decoder_that_exists_gets_an_encoder(folder: Path, tmp_path: Path) -> None:
    """Its codes keep their meaning while the encoder learns; then both go on from there. Another network's decoder is refused."""
    sha256 = load_weights(folder / "vae.safetensors").sha256
    start = tmp_path / "expander.safetensors"
    save_expander(trained_condenser(folder / "condenser" / "checkpoint.pt", sha256), sha256, {}, start)
    decoder = load_expander(start).network.state_dict()
    first = {**TRAINING, "decoder_fixed": True}
    path = trained(folder, tmp_path / "run", 3, training=first, start_from=start)
    begun = load_checkpoint(path)["network"]
    for name, tensor in decoder.items():
        assert torch.equal(begun[f"expander.{name}"], tensor), name
    both = load_checkpoint(trained(folder, tmp_path / "run", 5, resume=True, start_from=start))["network"]
    assert not torch.equal(both["expander.leave.weight"], begun["expander.leave.weight"])
    assert not torch.equal(both["reader.enter.weight"], begun["reader.enter.weight"])
    assert torch.equal(both["expander.space.axes"], decoder["space.axes"])
    save_expander(trained_condenser(folder / "condenser" / "checkpoint.pt", sha256), "0" * 64, {}, start)
    with pytest.raises(PhysMRISynthError, match="for another network"):
        trained(folder, tmp_path / "other", 1, start_from=start)
    with pytest.raises(PhysMRISynthError, match="leave nothing to train"):
        trained(folder, tmp_path / "none", 1, training={**first, "codes_fixed": True})


def test_an_expander_is_sharpened_for_the_same_codes(folder: Path, tmp_path: Path) -> None:
    """A sampling model that was trained before still draws codes that it understands; what comes back varies more than it did."""
    sharp = {**TRAINING, "codes_fixed": True, "texture_weight": 3.0, "learning_rate": 0.01}
    sha256 = load_weights(folder / "vae.safetensors").sha256
    before = trained_condenser(folder / "condenser" / "checkpoint.pt", sha256)
    kept = {}
    for name, training in (("plain", {**sharp, "texture_weight": 0.0}), ("sharp", sharp)):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "condenser" / "checkpoint.pt", tmp_path / name)
        kept[name] = trained_condenser(trained(folder, tmp_path / name, 24, resume=True, training=training), sha256)
        assert codes_sha256(kept[name]) == codes_sha256(before)
    learned = Latents(folder / "latents" / "learned", whole_heads(folder, (1,), CONDENSER.shape, 0), 4)
    latent = torch.from_numpy(learned[0].latent)
    shown = {name: network.expander.seen(network.codes(latent)) for name, network in kept.items()}
    assert shown["sharp"].var() > 1.02 * shown["plain"].var()
    assert "loss_texture" in (tmp_path / "sharp" / "log.csv").read_text(encoding="utf-8")


def test_a_sharpening_stopped_and_resumed_is_one_in_one_go(folder: Path, tmp_path: Path) -> None:
    sharp = {**TRAINING, "codes_fixed": True, "texture_weight": 3.0}
    kept = []
    for name, stops in (("parts", (6, 8)), ("whole", (8,))):
        (tmp_path / name).mkdir()
        shutil.copy(folder / "condenser" / "checkpoint.pt", tmp_path / name)
        for steps in stops:
            trained(folder, tmp_path / name, steps, resume=True, training=sharp)
        kept.append(load_checkpoint(tmp_path / name / "checkpoint.pt")["network"])
    for name, tensor in kept[1].items():
        torch.testing.assert_close(kept[0][name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_what_would_spoil_an_expander_is_refused(folder: Path, tmp_path: Path) -> None:
    sharp = {**TRAINING, "codes_fixed": True, "texture_weight": 1.0}
    with pytest.raises(PhysMRISynthError, match="copy its checkpoint"):
        trained(folder, tmp_path / "new", 1, training=sharp)
    with pytest.raises(PhysMRISynthError, match="'texture_weight' needs a trained condenser"):
        trained(folder, tmp_path / "new", 1, training={**sharp, "codes_fixed": False})
    with pytest.raises(PhysMRISynthError, match="'texture_weight' must be"):
        trained(folder, tmp_path / "new", 1, training={**sharp, "texture_weight": -1.0})
    shutil.copy(folder / "condenser" / "checkpoint.pt", tmp_path)
    trained(folder, tmp_path, 5, resume=True, training=sharp)
    broken = load_checkpoint(tmp_path / "checkpoint.pt")
    broken["average"]["normal.running_mean"][0] = torch.nan
    save_atomically(broken, tmp_path / "broken.pt")
    with pytest.raises(PhysMRISynthError, match="not numbers in normal"):
        trained_condenser(tmp_path / "broken.pt", load_weights(folder / "vae.safetensors").sha256)


def test_brain_counts_more_than_the_air_around_it_and_its_middle_most(folder: Path) -> None:
    weights = load_weights(folder / "vae.safetensors")
    latents = Latents(folder / "latents" / "learned", whole_heads(folder, (1,), CONDENSER.shape, 0), 4)
    found = emphasis(latents, CONDENSER, weights, Run(folder, folder))
    assert found.shape == (1, 4, 6, 4) and 0.2 <= found.min() < found.max() <= 3.0
    middle, sides = found[..., 1:3].mean(dim=(0, 1, 2)), found[..., [0, 3]].mean(dim=(0, 1, 2))
    assert middle.min() > sides.max()
    kept = load_checkpoint(folder / "condenser" / "checkpoint.pt")["average"]["emphasis"]
    torch.testing.assert_close(kept, found / found.mean(), atol=0.02, rtol=0.02)


def test_the_sampling_model_learns_the_codes_and_is_shipped_with_their_expander(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = ["--data", str(folder), "--vae", str(folder / "vae.safetensors"), "--latents", str(folder / "latents")]
    condenser = folder / "condenser" / "checkpoint.pt"
    (tmp_path / "ldm.json").write_text(json.dumps(LDM), encoding="utf-8")
    options = ["--config", str(tmp_path / "ldm.json"), "--out", str(tmp_path / "run"), "--condenser", str(condenser), "--steps", "2"]
    options += ["--precision", "32-true"]
    assert main(["train", "ldm", *common, *options]) == 0
    state = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    network = trained_condenser(condenser, load_weights(folder / "vae.safetensors").sha256)
    assert state["codes_sha256"] == codes_sha256(network)
    assert state["network"]["space.mean"].shape == (4,)
    run = Run(folder, tmp_path / "run", resume=True, steps=3, precision="32-true", latents=folder / "latents")
    train_ldm(LDM, run, folder / "vae.safetensors", condenser=condenser)
    columns, last = ((tmp_path / "run" / "log.csv").read_text(encoding="utf-8").split()[line].split(",") for line in (0, -1))
    assert columns[-1] == "novelty" and 0.0 < float(last[-1]) < 3.0

    shutil.copy(folder / "vae.safetensors", tmp_path)
    assert ship(["--checkpoint", str(tmp_path / "run" / "checkpoint.pt"), "--condenser", str(condenser), "--out", str(tmp_path)]) == 0
    found, _ = sampling_weights(tmp_path / "sampler.safetensors", tmp_path / "vae.safetensors")
    assert found.expander is not None and found.expander.card["steps"] == 4
    assert found.latent(torch.device("cpu"), 2, 0, torch.full((3,), torch.nan)).shape == (1, 2, 8, 12, 8)

    # without the condenser, or with one of other codes, nothing is shipped
    with pytest.raises(PhysMRISynthError, match="Give the condenser's checkpoint"):
        ship_sampler(tmp_path / "run" / "checkpoint.pt", tmp_path / "none")
    other = load_checkpoint(condenser)
    other["average"]["reader.enter.weight"] += 0.1
    save_atomically(other, tmp_path / "other.pt")
    with pytest.raises(PhysMRISynthError, match="trained for other codes"):
        ship_sampler(tmp_path / "run" / "checkpoint.pt", tmp_path / "none", condenser=tmp_path / "other.pt")
    assert not list(tmp_path.glob("none/*"))
    # a file that is too large leaves both as they were
    before = {file: (tmp_path / file).read_bytes() for file in ("sampler.safetensors", "expander.safetensors", "weights.json")}
    monkeypatch.setattr(ship_module, "LARGEST_BYTES", 1 + min(len(before[file]) for file in before if file != "weights.json"))
    with pytest.raises(PhysMRISynthError, match="Ship a smaller model"):
        ship_sampler(tmp_path / "run" / "checkpoint.pt", tmp_path, "other", condenser)
    assert {file: (tmp_path / file).read_bytes() for file in before} == before and not list(tmp_path.glob(".*"))
    # nor is the training gone on with
    run = Run(folder, tmp_path / "run", resume=True, steps=4, precision="32-true", latents=folder / "latents")
    with pytest.raises(PhysMRISynthError, match="is of another model"):
        train_ldm(LDM, run, folder / "vae.safetensors", condenser=tmp_path / "other.pt")
    with pytest.raises(PhysMRISynthError, match="expects 4 for 16"):
        train_ldm(LDM, run, folder / "vae.safetensors")


def test_codes_that_the_sampling_model_does_not_expect_are_refused(folder: Path, tmp_path: Path) -> None:
    condenser, run = folder / "condenser" / "checkpoint.pt", Run(folder, tmp_path / "run", latents=folder / "latents")
    more = {**LDM, "network": {**LDM["network"], "latent_channels": 5}}
    with pytest.raises(PhysMRISynthError, match=r"gives 4 codes for 16 voxels in 3D .* expects 5 for 16"):
        train_ldm(more, run, folder / "vae.safetensors", condenser=condenser)
    save_weights(tiny_vae(1), {}, tmp_path / "other.safetensors")
    with pytest.raises(PhysMRISynthError, match="trained for another network"):
        train_ldm(LDM, run, tmp_path / "other.safetensors", condenser=condenser)
    save_atomically({"step": 3}, tmp_path / "no.pt")
    with pytest.raises(PhysMRISynthError, match="no checkpoint of 'train condenser'"):
        train_ldm(LDM, run, folder / "vae.safetensors", condenser=tmp_path / "no.pt")
    assert not (tmp_path / "run").exists()


def test_the_command_trains_a_condenser(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "condenser.json").write_text(json.dumps(CONFIGURATION), encoding="utf-8")
    common = ["--data", str(folder), "--vae", str(folder / "vae.safetensors"), "--latents", str(folder / "latents")]
    options = ["--config", str(tmp_path / "condenser.json"), "--out", str(tmp_path / "run"), "--steps", "1", "--precision", "32-true"]
    assert main(["train", "condenser", *common, *options]) == 0
    assert "The checkpoint is" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"] == 1


def test_the_card_tells_what_was_shipped_and_measured(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(folder, tmp_path / "run", steps=2, precision="32-true", latents=folder / "latents")
    condenser = folder / "condenser" / "checkpoint.pt"
    checkpoint = train_ldm(LDM, run, folder / "vae.safetensors", condenser=condenser)
    assert checkpoint is not None
    ship_sampler(checkpoint, tmp_path, "abc123", condenser, "It began with another.")
    card = (tmp_path / "sampler_card.md").read_text(encoding="utf-8")
    shipped = load_sampler(tmp_path / "sampler.safetensors")
    assert shipped.sha256 in card and "2 steps in" in card and "4 steps in" in card and "abc123" in card and "No metrics" in card
    assert "`expander.safetensors` (" in card and '"codes": 4' in card and "4 simulated heads from the 14 label maps" in card
    assert "(hemisphere mixing). It began with another.\n" in card

    expander = load_expander(tmp_path / "expander.safetensors")
    of = {"network_sha256": "2" * 64, "sampler_sha256": shipped.sha256, "expander_sha256": expander.sha256}
    estimates = {"settings": {"network_sha256": "2" * 64}, "notes": ["Of estimates."], "tables": []}
    measured = {"maps": estimates, "samples": {"settings": of, "notes": ["As seen."], "tables": []}}
    (tmp_path / "results.json").write_text(json.dumps(measured), encoding="utf-8")
    assert ship(["--metrics", str(tmp_path / "results.json"), "--out", str(tmp_path)]) == 0
    card = (tmp_path / "sampler_card.md").read_text(encoding="utf-8")
    assert "As seen." in card and "Of estimates." not in card and "No metrics" not in card
    refused: list[tuple[dict[str, Any], str]] = [({"maps": estimates}, "nothing about such")]
    for name in ("sampler_sha256", "expander_sha256"):
        refused.append(({"samples": {**measured["samples"], "settings": {**of, name: "0" * 64}}}, "measured other weights"))
    for content, message in refused:
        (tmp_path / "results.json").write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(SystemExit):
            ship(["--metrics", str(tmp_path / "results.json"), "--out", str(tmp_path)])
        assert message in capsys.readouterr().err
    assert (tmp_path / "sampler_card.md").read_text(encoding="utf-8") == card
