"""The paper's way from a folder in OASIS-3's layout to maps: simulated sessions, both trainings, an estimate and samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from physmrisynth_training.learning.checkpoint import load_checkpoint
from physmrisynth_training.simulator.oasis3 import oasis3_rows
from physmrisynth_training.simulator.oasis3_folder import write_oasis3
from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import PhysMRISynthError, WeightsError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.sessions import find_sessions
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.network.condition import CONDITION_SIZE
from PhysMRISynthLib.network.config import SAMPLER_CONFIGURATIONS, NetworkConfig, read_configuration
from PhysMRISynthLib.network.device import autocast, fastest_precision
from PhysMRISynthLib.network.diffusion_weights import load_sampler
from PhysMRISynthLib.network.inference import infer
from PhysMRISynthLib.network.slices import slice_maps, tissue_probabilities
from PhysMRISynthLib.network.vae import CLASSES, TissueVAE
from PhysMRISynthLib.network.weights import load_weights
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from Testing.faults.scans import coarse
from Testing.training.heads import toy_labels, write_label_map

pytestmark = pytest.mark.usefixtures("one_thread")

NARROW: dict[str, Any] = {
    "stem": 2, "down_widths": [8, 8], "trunk_widths": [8], "trunk_blocks": [1], "up_widths": [8, 8], "tail": 2, "level_blocks": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label maps of two heads to train on and one to test on, and a person with a scan."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("head_labels/head_01", "head_labels/head_02", "head_labels/head_16", "people/person_01_labels"):
        path = write_label_map(folder / f"{name}.nii.gz", toy_labels((48, 52, 50)))
    image = sitk.Cast(sitk.ReadImage(str(path)) != 0, sitk.sitkUInt8) * 100
    sitk.WriteImage(image, str(folder / "people" / "person_01_t1w.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def sessions(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated sessions of each head and the person."""
    out = tmp_path_factory.mktemp("oasis3")
    assert main(["train", "simulate-oasis3", "--data", str(data), "--out", str(out)]) == 0
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- the stand-in ---------------------------------------------------------------------------------------------------------------


def test_the_sessions_are_found_with_protocols_of_the_table(sessions: Path) -> None:
    found = {session.name: session for session in find_sessions(sessions)}
    names = [f"sub-{name}_ses-d000{number}" for name in ("head01", "head02", "person01") for number in (1, 2)]
    assert list(found) == [*names, "sub-person01_ses-own"]
    assert all("t1w" in session.files for session in found.values())
    rows = {(row.role, row.tr, row.te, row.ti) for row in oasis3_rows()}
    for name in names:
        for role, path in found[name].files.items():
            fields = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
            ms = [round(1000.0 * fields[key], 3) if key in fields else None for key in ("RepetitionTime", "EchoTime", "InversionTime")]
            assert (role, *ms) in rows
    assert not list((sessions / "sub-person01" / "ses-own").rglob("*.json"))


def test_an_interrupted_simulation_goes_on_to_the_same_files(data: Path, sessions: Path, tmp_path: Path) -> None:
    shutil.copytree(sessions, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "sub-head02" / "ses-d0002")
    kept = (tmp_path / "again" / "sub-head02" / "ses-d0001" / "anat").stat().st_mtime_ns
    assert write_oasis3(data, tmp_path / "again") == 7
    assert contents(tmp_path / "again") == contents(sessions)
    assert (tmp_path / "again" / "sub-head02" / "ses-d0001" / "anat").stat().st_mtime_ns == kept


def test_the_split_for_testing_is_complete_and_apart(data: Path, sessions: Path, tmp_path: Path) -> None:
    assert write_oasis3(data, tmp_path, "test", sessions=1) == 1
    (found,) = find_sessions(tmp_path)
    assert found.subject == "sub-head16" and set(found.files) == {"t1w", "t2w", "flair"}
    assert not list(sessions.glob("sub-head16")) and not list(sessions.rglob("truth"))
    truth = {path.name.split(".")[0]: sitk.ReadImage(str(path)) for path in (tmp_path / "sub-head16" / "ses-d0001" / "truth").iterdir()}
    assert set(truth) == {"PDmap", "T1map", "T2map", "tissue"}
    white = sitk.GetArrayFromImage(truth["tissue"]) == [tissue.name for tissue in tissue_table()].index("white_matter")
    pd, t1, t2 = (float(np.median(sitk.GetArrayFromImage(truth[name])[white])) for name in ("PDmap", "T1map", "T2map"))
    assert 60 < pd < 80 and 700 < t1 < 1100 and 50 < t2 < 100
    assert truth["T1map"].GetSize() == sitk.ReadImage(str(found.files["t1w"])).GetSize()


def test_a_subject_of_the_other_split_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PhysMRISynthError, match=r"has no head16\. It has person01, head01, head02"):
        write_oasis3(data, tmp_path, subjects=["head16"])
    with pytest.raises(PhysMRISynthError, match="no label maps"):
        write_oasis3(tmp_path, tmp_path / "out")


# --- from end to end ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(sessions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both trainings by the command, narrowed, on the shipped configurations' losses; returns the folder of the runs."""
    out = tmp_path_factory.mktemp("runs")
    vae, ldm = read_configuration("paper_2d_small"), read_configuration("paper_2d_small", SAMPLER_CONFIGURATIONS)
    vae["network"] |= NARROW
    vae["training"] |= {"crops": [[64, 64]], "discriminator_channels": 4, "adversarial_after": 0.01, "log_every": 1, "validate_every": 2}
    ldm["network"] |= {"shape": [64, 64], "widths": [8, 8], "attention": [False, True], "head_channels": 8}
    ldm["training"] |= {"batch": 2, "heads": 4, "log_every": 1}
    for kind, configuration in (("vae", vae), ("ldm", ldm)):
        (out / f"{kind}.json").write_text(json.dumps(configuration), encoding="utf-8")
    common = ["--data", str(sessions), "--precision", "32-true"]
    assert main(["train", "vae", "--config", str(out / "vae.json"), "--out", str(out / "vae"), "--steps", "6", *common]) == 0
    weights = str(out / "vae" / "vae.safetensors")
    made = ["train", "ldm", "--config", str(out / "ldm.json"), "--out", str(out / "ldm"), "--vae", weights, "--steps", "2", *common]
    assert main(made) == 0
    return out


def test_the_adversarial_loss_begins_after_its_warm_up(trained: Path) -> None:
    rows = (trained / "vae" / "log.csv").read_text().splitlines()
    column = rows[0].split(",").index("adversarial")
    told = [bool(row.split(",")[column]) for row in rows[1:]]
    assert len(told) == 6 and not told[0] and told[-1] and told == sorted(told)


def test_the_released_weights_are_the_averaged_ones(trained: Path) -> None:
    average = load_checkpoint(trained / "vae" / "checkpoint.pt")["average"]
    found = load_weights(trained / "vae" / "vae.safetensors").network.state_dict()
    assert found.keys() == average.keys()
    torch.testing.assert_close(found["encoder.out.bias"], average["encoder.out.bias"], rtol=0.02, atol=1e-3)


def test_samples_are_maps(trained: Path) -> None:
    weights, sampler = load_weights(trained / "vae" / "vae.safetensors"), load_sampler(trained / "ldm" / "sampler.safetensors")
    assert sampler.vae_sha256 == weights.sha256
    latents = [sampler.model.sample(3, seed) for seed in (0, 1)]
    maps = [weights.network.decode(latent).exp() for latent in latents]  # type: ignore[union-attr]
    assert maps[0].shape == (1, 3, 64, 64) and all(bool((found > 0).all()) for found in maps)
    assert not torch.equal(*latents)


def test_the_weights_serve_in_an_estimate(trained: Path) -> None:
    scans = [Acquisition(role, volume_from_image(coarse(role)), PROTOCOLS[role]) for role in ("t1w",)]
    file = trained / "vae" / "vae.safetensors"
    found = estimate_tissue_maps(scans, EstimateOrder(prior="network", weights=str(file)))
    assert found.network is not None and found.network.sha256 == load_weights(file).sha256
    with pytest.raises(WeightsError, match=r"There are no network weights at .*absent"):
        estimate_tissue_maps(scans, EstimateOrder(weights=str(file.with_name("absent.safetensors"))))


# --- the network ----------------------------------------------------------------------------------------------------------------


def test_a_head_in_slices_is_each_slice_in_the_papers_frame() -> None:
    """The same maps as of a slice of 224 x 160 with the head in the middle, whatever is passed at once."""
    torch.manual_seed(0)
    network = TissueVAE(NetworkConfig.from_mapping(read_configuration("paper_2d_small")["network"] | NARROW)).eval()
    rng = np.random.default_rng(0)
    stack = rng.random((2, 5, 60, 44), dtype=np.float32)
    conditions = rng.random((2, CONDITION_SIZE), dtype=np.float32)
    cpu = torch.device("cpu")
    theta, latents = slice_maps(network, stack, conditions, cpu, lambda done: None, planes=2)
    assert theta.shape == (3, 5, 60, 44) and latents.shape[:3] == (3, 6, 5)
    framed = np.zeros((1, 2, 224, 160), dtype=np.float32)
    framed[0, :, 80:140, 56:100] = stack[:, 3]
    with torch.inference_mode(), autocast(cpu, fastest_precision("cpu")):
        posterior = network.encode(torch.from_numpy(framed), torch.from_numpy(conditions)[None], torch.ones(1, 2, dtype=torch.bool))
        alone = network.decode(posterior.mean)
    np.testing.assert_allclose(theta[:, 3], alone[0, :, 80:140, 56:100].numpy(), atol=1e-4)  # type: ignore[index]


def test_tissues_are_told_by_their_relaxation_times() -> None:
    table = tissue_table(3.0)
    names = [tissue.name for tissue in table]
    chosen = [names.index(name) for name in ("white_matter", "cortex", "csf")]
    theta = np.stack([table[row].theta for row in (*chosen, chosen[0])], axis=1).astype(np.float32)[:, :, None, None]
    theta[0] += 2.0  # whatever the gain
    theta[0, -1] -= 5.0  # the last one hardly shines
    found = tissue_probabilities(theta, 3.0)
    assert found.shape == (len(CLASSES), 4, 1, 1)
    assert found[:, :, 0, 0].argmax(axis=0).tolist() == [*chosen, names.index("air")]
    np.testing.assert_allclose(found.sum(axis=0), 1.0, atol=1e-5)


def test_a_network_of_maps_in_3d_is_refused() -> None:
    from types import SimpleNamespace

    weights = SimpleNamespace(config=SimpleNamespace(head="exp", spatial_dims=3))
    with pytest.raises(WeightsError, match="no tissues"):
        infer(weights, [], [], 3.0, torch.device("cpu"))  # type: ignore[arg-type]


def test_one_scale_and_shift_serve_all_layers() -> None:
    network = TissueVAE(NetworkConfig.from_mapping(read_configuration("paper_2d")["network"] | NARROW | {"level_blocks": 3}))
    assert network.condition[-1].out_features == 2
    assert not [name for name, _ in network.encoder.named_parameters() if "adapt" in name]
    assert len(network.encoder.blocks) == 3 * len(NARROW["down_widths"])
    image, there = torch.rand(1, 1, 32, 32), torch.ones(1, 1, dtype=torch.bool)
    one, other = (network.encode(image, torch.full((1, 1, CONDITION_SIZE), value), there).mean for value in (0.0, 1.0))
    assert not torch.allclose(one, other)
