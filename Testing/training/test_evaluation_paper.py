"""Suite ``paper``: laws of its scores, and a tiny model through all of it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from physmrisynth_training.evaluation.frechet import frechet_distance
from physmrisynth_training.evaluation.paper.contrasts import COMMON, FLAIR, MPRAGE, SPIN_ECHO, UNSEEN, Contrast, bright_backgrounds
from physmrisynth_training.evaluation.paper.runs import read_diffusions, read_runs
from physmrisynth_training.evaluation.paper.scores import image_records, map_errors
from physmrisynth_training.evaluation.paper.slices import SHAPE, KnownSlices, known_slices
from physmrisynth_training.evaluation.paper.whole_heads import LITERATURE_FIT, Reconstruction, reconstructions
from physmrisynth_training.evaluation.plan import Plan
from physmrisynth_training.evaluation.suites import evaluate
from physmrisynth_training.simulator.oasis3_folder import write_oasis3
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.diffusion import LatentDiffusion
from PhysMRISynthLib.network.diffusion_config import DiffusionConfig
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import save_weights
from PhysMRISynthLib.physics.tissues import PROPERTIES
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from Testing.training.doubles import estimate_of
from Testing.training.heads import toy_labels, write_label_map

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK: dict[str, Any] = {
    "spatial_dims": 2, "stem": 4, "down_widths": [8], "trunk_widths": [8], "trunk_blocks": [1], "latent_channels": 2, "up_widths": [8],
    "tail": 4, "head": "exp", "norm": "group",
}  # fmt: skip
DIFFUSION: dict[str, Any] = {
    "spatial_dims": 2, "latent_channels": 2, "factor": 8, "shape": list(SHAPE), "widths": [8], "attention": [False], "head_channels": 8,
    "objective": "epsilon",
}  # fmt: skip


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy head, simulated with its true maps."""
    folder = tmp_path_factory.mktemp("paper")
    write_label_map(folder / "data" / "head_labels" / "head_16.nii.gz", toy_labels((64, 66, 68)))
    write_oasis3(folder / "data", folder / "scans", "test", sessions=1)
    return folder / "scans"


@pytest.fixture(scope="module")
def slices(scans: Path) -> KnownSlices:
    (found,) = known_slices(scans, scans.parent / "cache", 3)
    return found


def test_true_maps_lie_where_the_scans_show_them(slices: KnownSlices) -> None:
    assert slices.images.shape == (3, 3, *SHAPE) and slices.truth.shape == (3, 3, *SHAPE)
    for acquisition, image in zip(slices.acquisitions(), slices.images, strict=True):
        np.testing.assert_allclose(slices.of(acquisition.volume.image), image, rtol=2e-3, atol=2.0)
    assert slices.solid.sum() > 1000 and not slices.truth[:, ~slices.brain & (slices.truth[1] == 0)].any()


def test_a_perfect_reconstruction_has_no_error(slices: KnownSlices) -> None:
    perfect = Reconstruction(slices.images, slices.truth)
    records = image_records(perfect, slices)
    assert {record["image"] for record in records} == set(ROLES)
    for record in records:
        assert record["mse"] == record["raw_mae"] == 0.0 and record["ms_ssim"] == pytest.approx(1.0, abs=1e-6)
    assert map_errors(perfect.maps, slices) == pytest.approx(dict.fromkeys(PROPERTIES, 0.0), abs=1e-4)


def test_a_gain_is_forgiven_in_pd_alone(slices: KnownSlices) -> None:
    pd, t1, t2 = slices.truth
    assert map_errors(np.stack([3.0 * pd, t1, 1.1 * t2]), slices) == pytest.approx({"PD": 0.0, "T1": 0.0, "T2": 10.0}, abs=1e-3)
    assert map_errors(np.stack([pd, 1.2 * t1, t2]), slices)["T1"] == pytest.approx(20.0, abs=1e-3)


def test_raw_errors_are_in_the_files_unit(slices: KnownSlices) -> None:
    whole = [r for r in image_records(Reconstruction(slices.images + 7.0, slices.truth), slices) if r["region"] == "whole slice"]
    assert [r["raw_mae"] for r in whole] == pytest.approx([7.0] * 3, rel=1e-3)
    assert [r["raw_mse"] for r in whole] == pytest.approx([49.0] * 3, rel=1e-3)


def test_contrasts_are_the_papers_equations() -> None:
    pd, t1, t2 = maps = np.array([[0.7, 0.8], [900.0, 1400.0], [80.0, 100.0]])
    formulas = {
        MPRAGE: lambda c: 1 - 2 * np.exp(-c.ti / t1) / (1 + np.exp(-c.tr / t1)),
        SPIN_ECHO: lambda c: (1 - np.exp(-c.tr / t1)) * np.exp(-c.te / t2),
        FLAIR: lambda c: (1 - 2 * np.exp(-c.ti / t1) + np.exp(-c.tr / t1)) * np.exp(-c.te / t2),
    }
    for contrast in (*COMMON, *UNSEEN):
        np.testing.assert_allclose(contrast.image(maps), np.abs(pd * formulas[contrast.family](contrast)), rtol=1e-5)
    assert len(UNSEEN) == 9 and not Contrast(MPRAGE, 3, 2400, 1000).image(np.zeros((3, 2))).any()


def test_a_background_is_bright_if_the_air_is() -> None:
    maps = np.ones((3, 2, *SHAPE), dtype=np.float32) * np.array([0.8, 1000.0, 100.0])[:, None, None, None]
    rows, columns = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    maps[0, 1] *= np.hypot(rows, columns) < 0.8
    assert set(bright_backgrounds(maps).values()) == {1}


def test_the_frechet_distance_is_that_of_two_gaussians() -> None:
    rng = np.random.default_rng(0)
    one = rng.standard_normal((400, 5))
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-8)
    assert frechet_distance(one, one + 2.0) == pytest.approx(20.0)
    # of the same axes: the sum of the squared differences of the SDs
    assert frechet_distance(one, 3.0 * one) == pytest.approx(float(4.0 * np.trace(np.cov(one.T)) + 4.0 * np.square(one.mean(0)).sum()))
    other = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 5))
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))


# --- a tiny model through the suite ---------------------------------------------------------------------------------------------


def checkpoint(folder: Path, network: torch.nn.Module, configuration: dict[str, Any], **others: Any) -> None:
    folder.mkdir(parents=True)
    state = {"configuration": configuration, "average": network.state_dict(), "step": 5, "seconds": 60.0, **others}
    torch.save(state, folder / "checkpoint.pt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained networks with and without the prior, and a latent diffusion on the latents of each."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    diffusion = LatentDiffusion(DiffusionConfig.from_mapping(DIFFUSION))
    for name, prior in (("both", 1e-3), ("ablated", 0.0)):
        network = TissueVAE(NetworkConfig.from_mapping(NETWORK))
        training = {"crops": [[32, 32]], "published_equations": True, "tissue_prior": prior, "modality_dropout": False}
        checkpoint(folder / name, network, {"network": NETWORK, "training": training})
        sha256 = save_weights(network, {}, folder / name / "weights.safetensors")
        checkpoint(folder / f"ldm-{name}", diffusion, {"network": DIFFUSION, "training": {"batch": 3}}, vae_sha256=sha256)
    return folder


def sampled_head(order: Any) -> Any:
    """A box of tissue in air."""
    values = np.zeros((40, 60, 50), dtype=np.float32)
    values[:, 5:-5, 5:-5] = 1.0
    maps = TissueMaps(0.8 * values, 1000.0 * values, 90.0 * values, values > 0, sitk.Image(50, 60, 40, sitk.sitkFloat32))
    return SimpleNamespace(maps=maps, brain=maps.mask)


def test_a_tiny_model_through_the_suite(scans: Path, runs: Path, tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    def literature(inputs: Sequence[Acquisition], field_strength: float) -> Estimate:
        asked.append(tuple(a.name for a in inputs))
        grid, truth = inputs[0].volume.image, scans / "sub-head16" / "ses-d0001" / "truth"
        pd, t1, t2 = (sitk.GetArrayFromImage(sitk.ReadImage(str(truth / f"{name}map.nii.gz"))) for name in ("PD", "T1", "T2"))
        return estimate_of(TissueMaps(2.0 * pd, t1, t2, pd > 0, grid), inputs)

    model = SimpleNamespace(sha256="0" * 64)
    plan = Plan(
        {"literature": literature},
        scans=scans,
        runs=runs,
        slices=2,
        sampler=cast(Any, lambda: SimpleNamespace(model=model, head=sampled_head)),
    )
    evaluate(plan, ["paper"], tmp_path)
    assert asked == [tuple(ROLES), ("t1w", "flair"), ("t1w",)]
    those, _ = known_slices(scans, runs / "evaluated" / "scans", 2 * plan.slices)[0].alternate()
    resumed = reconstructions(replace(plan, estimators={}), ["literature"], those, ROLES, runs / "evaluated" / "estimates")
    assert [method for method, _ in resumed] == [LITERATURE_FIT]  # from what was kept
    written = (tmp_path / "results.md").read_text(encoding="utf-8")
    for name in ("paper", "paper-maps", "paper-contrasts", "paper-distributions", "paper-reconstructions"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG") and f"({name}.png)" in written
    (row,) = (line for line in written.splitlines() if line.startswith(f"| {LITERATURE_FIT}"))
    assert row.rstrip(" |").endswith("0.0 / 0.0 / 0.0")  # PD is right but for its gain
    assert "1367 / 24.11" not in written and "996 / 20.25" in written and "1268 / 22.94" in written
    assert written.count("| t1w + t2w |") == 2  # images and maps of every subset of inputs
    for row in ("| samples, both |", "| samples, ablated |", "| latent diffusion, both |", "| t1w + flair |"):
        assert row in written
    # the figures show the samples of the run with the prior
    assert written.index("samples of the 2D model (both)") < written.index("samples of the 2D model (ablated)")


def test_two_diffusions_of_one_run_are_refused(runs: Path, tmp_path: Path) -> None:
    """Samples are named by the run whose latents they are of."""
    copy = shutil.copytree(runs, tmp_path / "runs")
    assert [model.of for model in read_diffusions(copy)] == ["ablated", "both"]
    shutil.copytree(runs / "ldm-both", copy / "again")
    with pytest.raises(PhysMRISynthError, match="two latent diffusions of the latents of 'both'"):
        read_diffusions(copy)
    shutil.rmtree(copy / "both")
    with pytest.raises(PhysMRISynthError, match="Put their run's folder there"):
        read_diffusions(copy)


def test_folders_without_what_it_needs_are_refused(scans: Path, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(PhysMRISynthError, match="--scans and --runs"):
        evaluate(Plan({}), ["paper"], tmp_path / "out")
    with pytest.raises(PhysMRISynthError, match="no session with true maps"):
        known_slices(runs, tmp_path, 1)
    with pytest.raises(PhysMRISynthError, match="train vae"):
        read_runs(scans)
