"""Suite ``measured``: agreement of known size is found, people are paired by their BIDS names, and bad folders are answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.evaluation import measured
from physmrisynth_training.evaluation.agreement import agreement
from physmrisynth_training.evaluation.measured_people import find_people
from physmrisynth_training.evaluation.plan import Plan
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import EstimationError, PhysMRISynthError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.sidecar import sidecar_fields
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import BRAIN_TISSUE
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from Testing.training.doubles import estimate_of, scans, slab_head

HEAD = slab_head((14, 24, 16))


def write(path: Path, voxels: np.ndarray, **sidecar: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(HEAD.maps.image(voxels.astype(np.float32)), str(path))
    if sidecar:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(sidecar), encoding="utf-8")


def write_person(folder: Path, name: str, factor: float = 1.0) -> None:
    """A person's scans and maps: T1 in seconds by its name, T2 as a rate, PD in per cent by its sidecar."""
    for scan in scans(HEAD.maps):
        suffix = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}[scan.name]
        fields = {**sidecar_fields(scan.protocol), "MagneticFieldStrength": 3.0}
        write(folder / "scans" / name / "anat" / f"{name}_{suffix}.nii.gz", scan.volume.voxels, **fields)
    maps, inside = HEAD.maps, HEAD.maps.mask
    anat = folder / "maps" / name / "anat"
    write(anat / f"{name}_T1map.nii.gz", np.where(inside, factor * maps.t1 / 1000.0, 0.0))
    write(anat / f"{name}_R2map.nii.gz", np.where(inside, 1000.0 / maps.t2, 0.0), Units="1/s")
    write(anat / f"{name}_PDmap.nii.gz", np.where(inside, 100.0 * maps.pd, 0.0), Units="percent")


def off_by(factor: float, relative_sd: float = 0.1) -> Callable[[Sequence[Acquisition], float], Estimate]:
    """An estimator whose T1 is wrong by a factor."""
    maps = HEAD.maps
    sd = {"PD": relative_sd * maps.pd, "T1": relative_sd * factor * maps.t1, "T2": relative_sd * maps.t2}
    found: TissueMaps = replace(maps, t1=maps.t1 * np.float32(factor), sd=sd)
    return lambda inputs, strength: estimate_of(found, inputs, tissue=HEAD.tissue, reference="t1w")


def test_a_bias_of_known_size_is_found_in_every_tissue(tmp_path: Path) -> None:
    for name in ("sub-01", "sub-02"):
        write_person(tmp_path, name)
    plan = Plan({"literature": off_by(1.06, 0.07), "network": off_by(1.0)}, scans=tmp_path / "scans", maps=tmp_path / "maps")
    measured.check(plan)
    found = measured.measure(plan)
    assert len(found.records) == 2 * 2 * (3 * 5 - 1)  # T2 of fluid is the literature's
    for record in found.records:
        wrong = record["prior"] == "literature" and record["quantity"] == "T1"
        assert record["bias"] == pytest.approx(200 * 0.06 / 2.06 if wrong else 0.0, abs=0.05)
        assert record["limits"][1] - record["limits"][0] < 0.2 and record["correlation"] > 0.999
        assert record["within_one_sd_percent"] == 100.0
    voxels, people = found.tables
    row = next(row for row in voxels.rows if row[:3] == ("literature", "T1 (ms)", "white matter"))
    assert row[3] == "2" and row[7] == "+5.8"
    assert all(len(row) == len(table.columns) for table in (voxels, people) for row in table.rows)
    found.draw(tmp_path / "measured.png")
    assert (tmp_path / "measured.png").read_bytes().startswith(b"\x89PNG")


def test_limits_hold_the_spread_of_the_differences_and_coverage_counts_sds() -> None:
    rng = np.random.default_rng(0)
    reference = np.full(20_000, 1000.0)
    found = agreement(reference * (1.0 + 0.05 * rng.standard_normal(20_000)), reference, np.full(20_000, 50.0))
    assert found.limits == pytest.approx((-1.96 * 5, 1.96 * 5), abs=0.3)
    assert found.within_one_sd_percent == pytest.approx(68.3, abs=1.5) and found.correlation is None


def test_people_differ_where_one_was_measured_otherwise(tmp_path: Path) -> None:
    for name, factor in (("sub-01", 1.0), ("sub-02", 1.2)):
        write_person(tmp_path, name, factor)
    found = measured.measure(Plan({"literature": off_by(1.0)}, scans=tmp_path / "scans", maps=tmp_path / "maps"))
    white = next(row for row in found.tables[1].rows if row[1:3] == ("T1 (ms)", "white matter"))
    assert float(white[6]) == pytest.approx(np.mean([200 * (1 - f) / (1 + f) for f in (1.0, 1.2)]), abs=0.1)


def test_maps_on_another_grid_come_to_the_scans(tmp_path: Path) -> None:
    write_person(tmp_path, "sub-01")
    path = tmp_path / "maps" / "sub-01" / "anat" / "sub-01_T1map.nii.gz"
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(image[1:-1, 1:-1, 1:-1], str(path))
    plan = Plan({"literature": off_by(1.0)}, scans=tmp_path / "scans", maps=tmp_path / "maps", register=False)
    found = measured.measure(plan)
    assert {r["tissue"] for r in found.records} >= set(BRAIN_TISSUE)
    assert max(abs(r["bias"]) for r in found.records) < 0.1


# --- who is compared ------------------------------------------------------------------------------------------------------------


def test_sessions_are_paired_by_their_labels_and_a_map_without_one_serves_all(tmp_path: Path) -> None:
    write_person(tmp_path, "sub-01")
    anat = tmp_path / "scans" / "sub-01" / "anat"
    for label in ("ses-a", "ses-b"):
        for file in anat.iterdir():
            new = tmp_path / "bids" / "sub-01" / label / "anat" / file.name.replace("sub-01_", f"sub-01_{label}_")
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(file.read_bytes())
    found = find_people(tmp_path / "bids", tmp_path / "maps")
    assert [person.name for person in found.pairs] == ["sub-01_ses-a", "sub-01_ses-b"]
    write(tmp_path / "maps" / "sub-01" / "ses-b" / "anat" / "sub-01_ses-b_T1map.nii.gz", HEAD.maps.t1 / 1000)
    second = find_people(tmp_path / "bids", tmp_path / "maps").pairs[1]
    assert set(second.maps) == {"T1"} and "ses-b" in second.maps["T1"].name


def test_one_who_fails_is_named_and_the_others_count(tmp_path: Path) -> None:
    for name in ("sub-01", "sub-02"):
        write_person(tmp_path, name)
    good, calls = off_by(1.0), []

    def estimate(inputs: Sequence[Acquisition], strength: float) -> Estimate:
        calls.append(strength)
        if len(calls) == 1:
            raise EstimationError("No brain was found.")
        return good(inputs, strength)

    write(tmp_path / "maps" / "sub-02" / "anat" / "sub-02_run-2_T1map.nii.gz", HEAD.maps.t1 / 1000)
    (tmp_path / "scans" / "sub-03").mkdir()
    found = measured.measure(Plan({"literature": estimate}, scans=tmp_path / "scans", maps=tmp_path / "maps"))
    assert {r["person"] for r in found.records} == {"sub-02"}
    told = " ".join(found.notes)
    assert "sub-01 is left out: sub-01, literature prior: No brain" in told and "sub-02 has 2 T1 maps" in told


def _in_ms(folder: Path) -> None:
    write(folder / "maps" / "sub-01" / "anat" / "sub-01_T1map.nii.gz", HEAD.maps.t1)


def _furlong(folder: Path) -> None:
    write(folder / "maps" / "sub-01" / "anat" / "sub-01_T1map.nii.gz", HEAD.maps.t1, Units="furlong")


def _exchanged(folder: Path) -> None:
    anat = folder / "maps" / "sub-01" / "anat"
    write(anat / "sub-01_T1map.nii.gz", np.where(HEAD.maps.mask, HEAD.maps.t2, 0), Units="s")
    (anat / "sub-01_R2map.nii.gz").unlink()
    write(anat / "sub-01_T2map.nii.gz", np.where(HEAD.maps.mask, HEAD.maps.t1, 0), Units="ms")
    write(anat / "sub-01_T1map.nii.gz", np.where(HEAD.maps.mask, 2 * HEAD.maps.t2, 0), Units="ms")


def _nothing(folder: Path) -> None:
    write(folder / "maps" / "sub-01" / "anat" / "sub-01_T1map.nii.gz", np.zeros(HEAD.maps.t1.shape))


def _truncated(folder: Path) -> None:
    path = folder / "maps" / "sub-01" / "anat" / "sub-01_T1map.nii.gz"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_in_ms, 'cannot be in s, the unit by its file name. State "Units" in the map\'s JSON sidecar: ms, s'),
        (_furlong, "'furlong' is not known. State \"Units\""),
        (_exchanged, "T2 is longer than T1"),
        (_nothing, "No person could be compared"),
        (_truncated, "sub-01_T1map"),
    ],
)
def test_maps_that_cannot_be_used_are_answered(tmp_path: Path, harm: Callable[[Path], None], told: str) -> None:
    write_person(tmp_path, "sub-01")
    harm(tmp_path)
    with pytest.raises(PhysMRISynthError) as answered:
        measured.measure(Plan({"literature": off_by(1.0)}, scans=tmp_path / "scans", maps=tmp_path / "maps"))
    assert told in str(answered.value) and "--t1-unit" not in str(answered.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "--scans"),
        (["--scans", "scans"], "--maps"),
        (["--scans", "none", "--maps", "maps"], "none is not a folder"),
        (["--scans", "maps", "--maps", "maps"], "There is no T1w, T2w or FLAIR image"),
        (["--scans", "scans", "--maps", "scans"], "There is no measured map"),
        (["--scans", "scans", "--maps", "others"], "No person has both"),
    ],
)
def test_folders_without_pairs_exit_2_and_leave_nothing(
    tmp_path: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_person(tmp_path, "sub-01")
    write(tmp_path / "others" / "sub-99" / "anat" / "sub-99_T1map.nii.gz", HEAD.maps.t1)
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--suite", "measured", "--priors", "literature", "--out", "out", *options]) == 2
    message = capsys.readouterr().err
    assert told in message and "Traceback" not in message
    assert not (tmp_path / "out").exists()
