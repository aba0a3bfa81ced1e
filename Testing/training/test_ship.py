"""Shipping: what users get is the averaged network with its statistics, a manifest that finds it and a card that tells the truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from physmrisynth_training.learning.checkpoint import save_atomically
from physmrisynth_training.shipping import ship_vae as module
from physmrisynth_training.shipping.model_card import read_metrics
from physmrisynth_training.shipping.ship_vae import CARD, FILE, MANIFEST, Shipment, familiarity_of, main, ship, whole_head, write_card
from physmrisynth_training.simulator.simulated_scans import read_simulator
from PhysMRISynthLib.errors import PhysMRISynthError, RegistrationError, WeightsError
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.familiarity import POPULATIONS
from PhysMRISynthLib.network.manifest import file_sha256, shipped_weights
from PhysMRISynthLib.network.storage import restored, stored
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import STEP, load_weights
from Testing.training.heads import toy_labels, write_label_map

FEW: dict[str, Any] = {"shape": (40, 36, 32), "training_heads": (1, 2, 3), "device": "cpu"}
CONFIG = NetworkConfig(3, 4, (), (8, 8), (1, 1), 2, (8,), 2)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Pieces of toy heads fill their images and lie in the middle of the atlas."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "head_mask", lambda images: np.ones(images[0].GetSize()[::-1], dtype=bool))
        patch.setattr(module, "place_atlas", lambda *given: AtlasPlacement(sitk.AffineTransform(3), False, 1.0))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, size in ((1, 64), (2, 66), (3, 68), (15, 70)):
        write_label_map(folder / "head_labels" / f"head_{number:02d}.nii.gz", toy_labels((size, 66, 68)))
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    states = {"network": TissueVAE(CONFIG).state_dict(), "average": TissueVAE(CONFIG).state_dict()}
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    save_atomically({**states, "step": 1234, "seconds": 9000.0, "configuration": {"network": CONFIG.mapping(), "training": {}}}, path)
    return path


@pytest.fixture(scope="module")
def shipped(checkpoint: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shipped weights."""
    out = tmp_path_factory.mktemp("resources")
    told: list[str] = []
    ship(Shipment(checkpoint, data, out, heads=6, held_out=2, code_version="abc123", **FEW), told.append)
    assert len(told) == 8, told
    return out


def test_the_averaged_network_is_shipped_with_its_statistics(shipped: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {file.name for file in shipped.iterdir()} == {FILE, MANIFEST, CARD}
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", shipped / MANIFEST)
    found = shipped_weights()
    assert found == (shipped / FILE, file_sha256(shipped / FILE))
    loaded = load_weights(*found)
    average = restored(stored(torch.load(checkpoint, weights_only=True)["average"], STEP))
    assert all(torch.equal(tensor, average[name]) for name, tensor in loaded.network.state_dict().items())
    assert loaded.familiarity is not None and set(loaded.familiarity) == set(POPULATIONS)
    assert all(population.limit > 0 for population in loaded.familiarity.values())
    assert len(loaded.familiarity["latent_one"].mean) == CONFIG.latent_channels


def test_the_card_tells_what_the_weights_are(shipped: Path) -> None:
    text = (shipped / CARD).read_text(encoding="utf-8")
    for told in (
        "1234 steps in 2.5 hours", "abc123", file_sha256(shipped / FILE), "Apache-2.0", "Billot", "Heads 01–03 were used for training, 15",
        "No metrics were given", "Research only", "child", "contrast agent", "6 simulated scans", '"latent_channels": 2',
    ):  # fmt: skip
        assert told in text
    assert "Lesjak" not in text  # there were no lesion masks


RESULTS: dict[str, Any] = {
    "maps": {"tables": [{"title": "Errors", "columns": ["tissue", "T1"], "rows": [["cortex", "3.1"]]}], "notes": ["Medians."]},
    "retest": {"markdown": "Both visits agree."},
}


@pytest.mark.parametrize("wrapped", (False, True))
def test_an_evaluations_tables_go_into_the_card_and_nowhere_else(shipped: Path, tmp_path: Path, wrapped: bool) -> None:
    before = (shipped / FILE).read_bytes()
    measured = {name: {**entry, "settings": {"network_sha256": file_sha256(shipped / FILE)}} for name, entry in RESULTS.items()}
    (tmp_path / "results.json").write_text(json.dumps({"format": "any", "suites": measured} if wrapped else measured), encoding="utf-8")
    assert main(["--out", str(shipped), "--metrics", str(tmp_path / "results.json")]) == 0
    text = (shipped / CARD).read_text(encoding="utf-8")
    assert "| tissue | T1 |\n| --- | --- |\n| cortex | 3.1 |" in text and "Both visits agree." in text and "Medians." in text
    assert (shipped / FILE).read_bytes() == before
    write_card(shipped)
    assert "No metrics were given" in (shipped / CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ("", "[]", "3", '{"maps": 3}', '{"maps": {}}', '{"maps": {"tables": [{}]}}', '{"suites": null}'))
def test_what_is_no_evaluation_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(PhysMRISynthError, match=r"Give its results.json"):
        read_metrics(tmp_path / "results.json", {"network_sha256": "0" * 64})


def test_an_evaluation_of_other_weights_is_refused(tmp_path: Path) -> None:
    measured = {"maps": {"markdown": "", "settings": {"network_sha256": "1" * 64}}}
    (tmp_path / "results.json").write_text(json.dumps(measured), encoding="utf-8")
    with pytest.raises(PhysMRISynthError, match="measured other weights"):
        read_metrics(tmp_path / "results.json", {"network_sha256": "0" * 64})


def test_whole_heads_are_repeatable_and_take_turns(data: Path) -> None:
    simulator = read_simulator(data, (1, 2, 3), (48, 44, 40), 5)
    sample, again = whole_head(simulator, 1), whole_head(simulator, 1)
    for role, image in sample.images.items():
        np.testing.assert_array_equal(image, again.images[role])
    assert sample.record["PlaceHead"]["head"] == "head_02.nii.gz" and not sample.record["PlaceHead"]["anywhere"]


def test_scans_without_a_place_in_the_atlas_are_left_out(
    shipped: Path, checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def sometimes(*given: object) -> AtlasPlacement:
        calls.append(1)
        if len(calls) == 2:
            raise RegistrationError("The head could not be found.")
        return AtlasPlacement(sitk.AffineTransform(3), False, 1.0)

    monkeypatch.setattr(module, "place_atlas", sometimes)
    told: list[str] = []
    shipment = Shipment(checkpoint, data, shipped, heads=7, held_out=1, **FEW)
    found = familiarity_of(load_weights(shipped / FILE), shipment, told.append)
    assert set(found) == set(POPULATIONS) and sum("left out" in line for line in told) == 1


def test_weights_that_are_too_large_are_not_shipped(checkpoint: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 1000)
    with pytest.raises(WeightsError, match="more than 1000"):
        ship(Shipment(checkpoint, data, tmp_path / "out"))
    assert not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("state", ({"step": 1}, {"step": 1, "seconds": 1.0, "configuration": {"network": CONFIG.mapping()}, "average": {}}))
def test_a_foreign_checkpoint_is_refused(state: dict[str, Any], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_atomically(state, tmp_path / "other.pt")
    with pytest.raises(SystemExit) as ended:
        main(["--checkpoint", str(tmp_path / "other.pt"), "--data", str(data), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2 and "is no checkpoint of 'train vae'" in capsys.readouterr().err


@pytest.mark.parametrize("given", ([], ["--checkpoint", "c"], ["--data", "d", "--metrics", "m"]))
def test_half_a_command_is_refused(given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*given, "--out", str(tmp_path)])
    assert ended.value.code == 2 and "--checkpoint with --data" in capsys.readouterr().err
