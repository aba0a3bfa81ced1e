"""Weights: what comes back is what was saved, and nothing else is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from PhysMRISynthLib.errors import WeightsError
from PhysMRISynthLib.network import weights as module
from PhysMRISynthLib.network.condition import CONDITION_SIZE
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.familiarity import POPULATIONS, Population
from PhysMRISynthLib.network.manifest import file_sha256, shipped_weights, write_manifest
from PhysMRISynthLib.network.storage import restored, stored
from PhysMRISynthLib.network.vae import CLASSES, TissueVAE
from PhysMRISynthLib.network.weights import load_weights, save_weights
from PhysMRISynthLib.workflow.estimation.network_prior import loadable_weights, usable_weights
from Testing.refusals import refused

CONFIG = NetworkConfig(3, 4, (), (8, 8), (1, 1), 2, (8,), 2)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[TissueVAE, Path]:
    torch.manual_seed(0)
    network, path = TissueVAE(CONFIG), tmp_path / "small.safetensors"
    save_weights(network, {"steps": 3}, path)
    return network, path


def test_weights_come_back_as_they_are_stored_with_their_card(saved: tuple[TissueVAE, Path]) -> None:
    network, path = saved
    loaded = load_weights(path, file_sha256(path))
    assert loaded.config == CONFIG and loaded.card == {"steps": 3} and loaded.familiarity is None
    for name, tensor in restored(stored(network.state_dict(), module.STEP)).items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)
        assert float((tensor - network.state_dict()[name]).norm()) <= 0.015 * float(tensor.norm())
    assert not loaded.network.training
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_file_names_the_way_out(tmp_path: Path) -> None:
    with refused(WeightsError, r"no network weights.*--prior literature"):
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


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(WeightsError, match="no network weights"):
        load_weights(tmp_path / "folder.safetensors")


def test_a_pickle_in_disguise_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "pickle.safetensors")
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(tmp_path / "pickle.safetensors")


def test_a_foreign_network_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="other weights than this version's"):
        load_weights(tmp_path / "foreign.safetensors")


def rewritten(path: Path, **metadata: str | None) -> Path:
    """The file with some of its metadata changed, or left out (None)."""
    with safe_open(path, framework="pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    save_file(tensors, path, metadata={name: value for name, value in {**told, **metadata}.items() if value is not None})
    return path


@pytest.mark.parametrize(
    "metadata",
    (
        {"format": "physmrisynth-vae-0"},
        {"format": None},
        {"classes": ",".join(reversed(CLASSES))},
        {"condition_size": str(CONDITION_SIZE + 1)},
    ),
    ids=str,
)
def test_another_versions_weights_are_refused(saved: tuple[TissueVAE, Path], metadata: dict[str, str | None]) -> None:
    with pytest.raises(WeightsError, match="other weights than this version's"):
        load_weights(rewritten(saved[1], **metadata))


@pytest.mark.parametrize(
    "metadata",
    (
        {"config": None},
        {"card": None},
        {"config": "no JSON"},
        {"card": "{"},
        {"config": "[1, 2]"},
        {"config": json.dumps({**CONFIG.mapping(), "colour": 3})},
        {"config": json.dumps({**CONFIG.mapping(), "trunk_widths": ["a", "b"]})},
    ),
    ids=str,
)
def test_a_damaged_description_is_refused(saved: tuple[TissueVAE, Path], metadata: dict[str, str | None]) -> None:
    with pytest.raises(WeightsError, match=r"description .* is damaged"):
        load_weights(rewritten(saved[1], **metadata))


def test_a_network_of_another_shape_is_refused(saved: tuple[TissueVAE, Path]) -> None:
    wider = json.dumps({**CONFIG.mapping(), "up_widths": [16]})
    with pytest.raises(WeightsError, match="do not fit their own description"):
        load_weights(rewritten(saved[1], config=wider))


def test_weights_that_are_no_numbers_are_neither_written_nor_read(saved: tuple[TissueVAE, Path], tmp_path: Path) -> None:
    network, path = saved
    with torch.no_grad():
        next(network.parameters()).flatten()[0] = 1e6  # more than half precision holds
    with pytest.raises(WeightsError, match="are not numbers"):
        save_weights(network, {}, tmp_path / "new.safetensors")
    assert not (tmp_path / "new.safetensors").exists()
    with safe_open(path, framework="pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    next(iter(tensors.values())).flatten()[0] = float("nan")
    save_file(tensors, path, metadata=told)
    with pytest.raises(WeightsError, match="are not numbers"):
        load_weights(path)


def test_statistics_travel_with_the_weights(saved: tuple[TissueVAE, Path]) -> None:
    network, path = saved
    known = {name: Population(np.full(3, 2.0), 0.5 * np.eye(3), 1.5) for name in POPULATIONS}
    save_weights(network, {}, path, known)
    loaded = load_weights(path).familiarity
    assert loaded is not None and set(loaded) == set(POPULATIONS)
    assert loaded["tissues_one"].distance(np.array([2.0, 2.0, 4.0])) == pytest.approx(2.0 / np.sqrt(0.5) / 1.5)
    broken = {**known, "latent_one": Population(np.full(3, 2.0), np.zeros((3, 3)), 1.5)}
    save_weights(network, {}, path, broken)
    with pytest.raises(WeightsError, match="statistics of the training heads are damaged"):
        load_weights(path)


# --- what is shipped ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(saved: tuple[TissueVAE, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The manifest of shipped weights."""
    path = saved[1]
    write_manifest(path, path.parent / "weights.json")
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", path.parent / "weights.json")
    return path.parent / "weights.json"


def test_shipped_weights_are_found_by_their_manifest(shipped: Path, saved: tuple[TissueVAE, Path]) -> None:
    assert shipped_weights() == (saved[1], file_sha256(saved[1]))
    assert json.loads(shipped.read_text(encoding="utf-8"))["vae"]["bytes"] == saved[1].stat().st_size
    loaded = usable_weights("auto")
    assert loaded is not None and loaded.sha256 == file_sha256(saved[1])


HASH = "0" * 64


@pytest.mark.parametrize(
    "content",
    (
        "",
        "{",
        "[]",
        "{}",
        {"vae": None},
        {"vae": {"file": "small.safetensors"}},
        {"vae": {"sha256": HASH}},
        {"vae": {"file": "small.safetensors", "sha256": "zz"}},
        {"vae": {"file": "small.safetensors", "sha256": 3}},
        {"vae": {"file": 3, "sha256": HASH}},
        {"vae": {"file": "../small.safetensors", "sha256": HASH}},
    ),
    ids=str,
)
def test_a_damaged_manifest_is_refused(shipped: Path, content: Any) -> None:
    shipped.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    for prior in ("auto", "network"):
        with pytest.raises(WeightsError, match=r"manifest .* is damaged"):
            usable_weights(prior)


@pytest.mark.parametrize("prior", ("auto", "network"))
def test_damaged_weights_are_never_passed_over_in_silence(prior: str, shipped: Path, saved: tuple[TissueVAE, Path]) -> None:
    path = saved[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    for load in (usable_weights, loadable_weights):  # the second before anything is loaded
        with refused(WeightsError, r"not the shipped ones.*--prior literature"):
            load(prior)
    path.unlink()
    for load in (usable_weights, loadable_weights):
        with refused(WeightsError, r"no network weights.*--prior literature"):
            load(prior)
    assert usable_weights("literature") is None and loadable_weights("literature")() is None


def test_weights_that_are_whole_are_loaded_when_they_are_asked_for(shipped: Path, saved: tuple[TissueVAE, Path]) -> None:
    load = loadable_weights("network")
    damaged, whole = saved[1].with_name("other.safetensors"), saved[1].read_bytes()
    damaged.write_bytes(whole[:-9])
    with pytest.raises(WeightsError, match="damaged"):  # one's own file is read at once
        loadable_weights("network", str(damaged))
    assert loadable_weights("network", str(saved[1]))() is not None
    saved[1].write_bytes(whole[:-9])
    with pytest.raises(WeightsError, match="not the shipped ones"):  # the installed one is compared again when it is read
        load()
    saved[1].write_bytes(whole)
    found = load()
    assert found is not None and found.sha256 == file_sha256(saved[1])


def test_without_a_manifest_nothing_is_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", tmp_path / "weights.json")
    assert shipped_weights() is None and usable_weights("auto") is None
