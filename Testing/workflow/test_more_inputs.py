"""Further inputs: roles are data, each needs a protocol, and the fit takes what they add."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from physmrisynth_training.evaluation import inputs
from physmrisynth_training.evaluation.plan import Plan
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import EstimationError, ProtocolError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image, write_image
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.more_inputs import MORE_ROLES, read_more
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate

SPECS = {"t1w": "mprage", "t2w": "tse,TR=4500,TE=100", "pdw": "tse,TR=3000,TE=14", "t1w_2": "spgr,TR=50,TE=4,FA=30"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of the small head under each protocol."""
    folder, maps = tmp_path_factory.mktemp("scans"), small_head().maps
    for role, image in simulate(maps, {role: protocol_from_spec(spec) for role, spec in SPECS.items()}, 100.0, 0.1, 1).items():
        write_image(maps.image(image), folder / f"{role}.nii.gz")
    return folder


def test_further_inputs_have_their_role_and_protocol(files: Path) -> None:
    found = read_more([(role, files / f"{role}.nii.gz", SPECS[role]) for role in ("pdw", "t1w_2")], EstimateOrder())
    assert [(a.name, a.protocol.sequence.name) for a in found] == [("pdw", "tse"), ("t1w_2", "spgr")]
    assert set(MORE_ROLES) == {"pdw", "t1w_2", "t2w_2", "flair_2", "inv1", "inv2", "t2starw"}
    with pytest.raises(EstimationError, match="no further input"):
        read_more([("t2star", files / "pdw.nii.gz", "se")], EstimateOrder())


@pytest.mark.parametrize(
    "role, spec, told",
    [
        ("inv1", "mp2rage", "its sequence is mp2rage_inv1"),
        ("inv2", "mp2rage_inv1", "its sequence is mp2rage_inv2"),
        ("t2starw", "tse", "its sequence is spgr"),
    ],
)
def test_a_role_has_its_sequence(files: Path, role: str, spec: str, told: str) -> None:
    with pytest.raises(ProtocolError, match=told):
        read_more([(role, files / "pdw.nii.gz", spec)])


def test_inversion_images_of_an_mp2rage_are_fitted() -> None:
    maps = small_head().maps
    protocols = {"inv1": "mp2rage_inv1", "inv2": "mp2rage_inv2", "t2w": SPECS["t2w"]}
    parsed = {role: protocol_from_spec(spec) for role, spec in protocols.items()}
    images = simulate(maps, parsed, 100.0, 0.1, 1)
    acquisitions = [Acquisition(role, volume_from_image(maps.image(image)), parsed[role]) for role, image in images.items()]
    found = estimate_tissue_maps(acquisitions, EstimateOrder(prior="literature"))
    brain = small_head().brain_tissue()
    for estimated, true in ((found.maps.t1, maps.t1), (found.maps.t2, maps.t2)):
        assert np.median(np.abs(estimated[brain] / true[brain] - 1)) < 0.06


def test_the_command_fits_them_beside_the_others(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [f"--{role}={files}/{role}.nii.gz" for role in ("t1w", "t2w")] + [f"--{r}-protocol={SPECS[r]}" for r in ("t1w", "t2w")]
    also = ["--also", "pdw", f"{files}/pdw.nii.gz", SPECS["pdw"], "--also", "t1w_2", f"{files}/t1w_2.nii.gz", SPECS["t1w_2"]]
    command = ["estimate", *given, *also, "--field-strength", "3", "--prior", "literature", "--out", str(tmp_path / "maps")]
    assert main([*command, "--dry-run"]) == 0
    assert "pdw" in capsys.readouterr().out
    assert main(command) == 0, capsys.readouterr().err
    written = {path.name for path in (tmp_path / "maps").iterdir()}
    assert {"fit_pdw.nii.gz", "fit_t1w_2.nii.gz", "T1.nii.gz"} <= written


def test_the_suite_compares_sets_of_inputs(tmp_path: Path) -> None:
    def estimate(given: list[Acquisition], field_strength: float) -> Estimate:
        """Maps that err by 10 % over the number of inputs."""
        from Testing.training.doubles import estimate_of

        truth = made[-1].truth
        factor = np.float32(1.0 + 0.1 / len(given))
        return estimate_of(replace(truth.maps, t1=truth.maps.t1 * factor), given, tissue=truth.tissue, brain=truth.maps.mask, medians={})

    made = []
    simulated = inputs.simulated_head

    def remembered(*given: object) -> object:
        made.append(simulated(*given))  # type: ignore[arg-type]
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "simulated_head", remembered)
        found = inputs.measure(Plan({"literature": estimate}, None, ("example",), step=6))  # type: ignore[dict-item]
    rows = {row[1]: float(row[3]) for row in found.tables[0].rows}
    assert rows["t1w + t2w"] == pytest.approx(5.0, abs=0.05) and rows["t1w + t2w + flair + pdw"] == pytest.approx(2.5, abs=0.05)
    found.draw(tmp_path / "inputs.png")
    assert (tmp_path / "inputs.png").stat().st_size > 1000
