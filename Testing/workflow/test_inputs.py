"""Inputs from files: whose header counts, what two headers disagree on, contrast agents, other modalities, fields."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import EstimationError, ImageError, ProtocolError
from PhysMRISynthLib.imaging.intake.volumes import image_like, write_image
from PhysMRISynthLib.workflow.estimation.inputs import field_strength_of, read_acquisition, read_acquisitions, read_header
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from Testing.imaging.dicom_folders import T1W, picture, write_series
from Testing.imaging.phantoms import grid
from Testing.mrml.dicom import classic
from Testing.refusals import refused

MPRAGE = {"RepetitionTime": 2.3, "EchoTime": 0.00298, "InversionTime": 0.9, "FlipAngle": 9, "MagneticFieldStrength": 3}
OASIS = "subject_id,label,scan category,filename,MagneticFieldStrength,RepetitionTime,EchoTime,InversionTime,FlipAngle,SequenceName\n"


@pytest.fixture
def scan(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small volume, and a sidecar beside it."""

    def write(name: str, sidecar: dict[str, Any] | None = None, folder: str = "") -> Path:
        path = tmp_path / folder / f"{name}.nii.gz"
        reference = grid((8, 8, 8), (20.0, 20.0, 20.0), np.eye(3))
        write_image(image_like(np.random.default_rng(0).uniform(1, 500, (8, 8, 8)).astype(np.float32), reference), path)
        if sidecar is not None:
            path.with_name(f"{name}.json").write_text(json.dumps(sidecar), encoding="utf-8")
        return path

    return write


# --- which header ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", ("", "OAS30001_MR_d0129/anat2/NIFTI", "sub-OAS30001/ses-d0129/anat"))
def test_a_row_of_the_oasis_table_stands_in_for_a_sidecar(scan: Callable[..., Path], tmp_path: Path, levels: str) -> None:
    name = "sub-OAS30001_ses-d0129_run-01_T1w"
    path = scan(name, folder=levels)
    rows = (f"OAS30001,OAS30001_MR_d0129,T1w,{n}.json,3.0,2.4,0.00316,{ti},8,*tfl3d1_ns" for n, ti in ((f"{name}x", "0.5"), (name, "1.0")))
    (tmp_path / "OASIS3_MR_json.csv").write_text(OASIS + "\n".join(rows), encoding="utf-8")
    found = read_acquisition("t1w", path)
    assert {key: found.protocol.values[key] for key in ("TR", "TE", "TI", "FA")} == {"TR": 2400, "TE": 3.16, "TI": 1000, "FA": 8}
    assert found.protocol.sources["TI"] == "table OASIS3_MR_json.csv" and found.field_strength == 3.0
    assert read_header(tmp_path / "other_T1w.nii.gz") is None


def test_cells_of_the_table_without_a_value_are_left_out_and_damaged_ones_refused(scan: Callable[..., Path], tmp_path: Path) -> None:
    path = scan("sub-1_T2w")
    (tmp_path / "OASIS3_MR_json.csv").write_text(OASIS + "1,1,T2w,sub-1_T2w.json,,3.2,nan,,120,\n", encoding="utf-8")
    found = read_acquisition("t2w", path)
    assert found.protocol.values["TR"] == 3200 and found.protocol.sources["TE"] == "default" and found.field_strength is None
    (tmp_path / "OASIS3_MR_json.csv").write_text(OASIS + "1,1,T2w,sub-1_T2w.json,,often,,,,\n", encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"table OASIS3_MR_json\.csv: RepetitionTime is 'often'"):
        read_acquisition("t2w", path)
    (tmp_path / "OASIS3_MR_json.csv").write_bytes(b"filename\n\xff\xfe")
    with pytest.raises(ProtocolError, match=r"OASIS3_MR_json\.csv is not a readable table"):
        read_acquisition("t2w", path)


def test_a_sidecar_goes_before_the_table(scan: Callable[..., Path], tmp_path: Path) -> None:
    path = scan("sub-1_T1w", MPRAGE)
    (tmp_path / "OASIS3_MR_json.csv").write_text(OASIS + "1,1,T1w,sub-1_T1w.json,3,2.4,0.003,1,8,\n", encoding="utf-8")
    assert read_acquisition("t1w", path).protocol.values["TR"] == 2300


def test_sidecars_of_a_bids_data_set_are_inherited_and_the_nearest_counts(scan: Callable[..., Path], tmp_path: Path) -> None:
    path = scan("sub-1_ses-2_run-1_T1w", {"InversionTime": 1.1}, folder="sub-1/ses-2/anat")
    (tmp_path / "T1w.json").write_text(json.dumps({**MPRAGE, "InversionTime": 0.8}), encoding="utf-8")
    (tmp_path / "sub-1" / "sub-1_ses-2_T1w.json").write_text(json.dumps({"InversionTime": 0.9, "FlipAngle": 7}), encoding="utf-8")
    for other in ("T2w.json", "acq-fast_T1w.json", "sub-2_T1w.json"):
        (tmp_path / other).write_text(json.dumps({"RepetitionTime": 9}), encoding="utf-8")
    alone = read_acquisition("t1w", path).protocol
    assert (alone.values["TI"], alone.sources["TR"]) == (1100, "default"), "no data set's root, nothing to inherit from"
    (tmp_path / "dataset_description.json").write_text("{}")
    found = read_acquisition("t1w", path).protocol
    assert {name: found.values[name] for name in ("TR", "TI", "FA")} == {"TR": 2300, "TI": 1100, "FA": 7}
    assert found.sources["TI"] == "sidecar T1w.json + sub-1_ses-2_T1w.json + sub-1_ses-2_run-1_T1w.json"


def test_dicom_speaks_for_itself_and_a_sidecar_that_differs_is_told(tmp_path: Path) -> None:
    for name in ("1.dcm", "2.dcm"):
        header = classic(RepetitionTime="2300", EchoTime="2.98", InversionTime="900", FlipAngle="9", ScanningSequence=["GR", "IR"])
        header.save_as(tmp_path / name, enforce_file_format=True)
    for path in (tmp_path / "1.dcm", tmp_path):
        found = read_header(path, tmp_path / "1.dcm")
        assert found is not None and found.source == "DICOM" and found.fields["RepetitionTime"] == 2.3 and not found.notes
    (tmp_path / "1.json").write_text(json.dumps({**MPRAGE, "InversionTime": 1.1, "EchoTime": 0.002981}), encoding="utf-8")
    found = read_header(tmp_path / "1.dcm")
    assert found is not None and found.source == "sidecar 1.json" and found.fields["InversionTime"] == 1.1
    assert found.notes == ("InversionTime is 1.1 s in sidecar 1.json, which is used, but 0.9 s in its DICOM header.",)


def test_the_real_series_is_read_with_its_header_which_states_no_timing(data: Callable[[str], Path]) -> None:
    folder = data("dicom_t1w")
    for path in (folder, min(folder.glob("*.dcm"))):
        found = read_acquisition("t1w", path)
        assert found.volume.image.GetSize()[2] == 32 and set(found.protocol.sources.values()) == {"default"}
        assert found.protocol.notes[0].startswith("Nothing is known about this scan")


def test_a_dicom_series_brings_its_own_protocol(data: Callable[[str], Path], tmp_path: Path) -> None:
    """Copies of real files, with a typical MPRAGE's timing put in."""
    for file in sorted(data("dicom_t1w").glob("*.dcm"))[:8]:
        header = pydicom.dcmread(file)
        header.RepetitionTime, header.EchoTime, header.InversionTime, header.FlipAngle = "2500", "5.7", "900", "8"
        header.MagneticFieldStrength = "3"
        header.save_as(tmp_path / file.name)
    found = read_acquisition("t1w", min(tmp_path.iterdir()))
    assert {name: found.protocol.values[name] for name in ("TR", "TE", "TI", "FA")} == {"TR": 2500, "TE": 5.7, "TI": 900, "FA": 8}
    assert found.protocol.sources["TI"] == "DICOM" and found.field_strength == 3.0


def test_the_index_of_a_folder_is_not_asked_for_the_protocol_of_its_series(tmp_path: Path) -> None:
    """An index (DICOMDIR) whose name sorts before those of the images."""
    first = min(write_series(tmp_path, 1, picture(), **T1W))
    index = pydicom.dcmread(first, stop_before_pixels=True)
    index.SOPClassUID = index.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    for keyword in ("SeriesInstanceUID", "RepetitionTime", "EchoTime", "SeriesDescription", "ScanningSequence"):
        delattr(index, keyword)
    index.save_as(tmp_path / "000DICOMDIR")
    found = read_acquisition("t1w", tmp_path).protocol
    assert found.sequence.name == "se" and found.sources["TR"] == found.sources["TE"] == "DICOM"


def test_notes_of_the_header_come_with_the_input(scan: Callable[..., Path]) -> None:
    flair = {
        "ScanningSequence": "SE\\IR",
        "SeriesDescription": "t2_tirm_dark-fluid",
        "RepetitionTime": 9,
        "EchoTime": 0.09,
        "InversionTime": 2.5,
    }
    for spec in (None, "mprage,TR=2300,TI=900"):
        (note,) = read_acquisition("t1w", scan("a", flair), spec).protocol.notes
        assert "given as T1w, but SeriesDescription 't2_tirm_dark-fluid' indicates FLAIR" in note


# --- contrast agents and other modalities ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    (
        ("scan", {"ContrastBolusAgent": "GADAVIST"}),
        ("scan", {"ContrastBolusIngredient": "GADOLINIUM"}),
        ("scan", {"ContrastBolusIngredient": ["GADOLINIUM"]}),
        ("sub-1_ce-gadolinium_T1w", {}),
    ),
)
def test_a_t1w_after_a_contrast_agent_is_refused_unless_it_is_allowed(scan: Callable[..., Path], name: str, told: dict[str, Any]) -> None:
    path = scan(name, {**MPRAGE, **told})
    for specs in ({}, {"t1w": "mprage,TR=2300,TI=900"}):
        with refused(ImageError, rf"{name}.*after a contrast agent.*Use --allow-contrast-agent to accept it anyway"):
            read_acquisitions({"t1w": path}, EstimateOrder(protocols=specs))
        (forced,) = read_acquisitions({"t1w": path}, EstimateOrder(protocols=specs, allow_contrast_agent=True))
        assert "after a contrast agent" in forced.protocol.notes[0] and "maps are wrong where it went" in forced.protocol.notes[0]


def test_the_command_line_refuses_it_with_the_way_out(
    scan: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scan("scan", {**MPRAGE, "ContrastBolusAgent": "GADAVIST"})
    assert main(["estimate", "--t1w", str(path), "--out", str(tmp_path / "maps")]) == 2
    assert "contrast agent (GADAVIST" in capsys.readouterr().err and not (tmp_path / "maps").exists()
    flat = ["estimate", "--t1w", str(path), "--out", str(tmp_path / "maps"), "--allow-contrast-agent", "--prior", "literature"]
    assert main(flat) == 2 and "contrast agent" not in capsys.readouterr().err, "noise has no brain, but the agent is no obstacle any more"


@pytest.mark.parametrize("told", ({}, {"ContrastBolusAgent": "NONE"}, {"ContrastBolusAgent": ""}, {"ContrastBolusAgent": None}))
def test_no_agent_is_no_agent(scan: Callable[..., Path], told: dict[str, Any]) -> None:
    assert read_acquisition("t1w", scan("sub-1_ce-none_T1w", {**MPRAGE, **told})).protocol.notes == ()


def test_a_flair_after_a_contrast_agent_is_told(scan: Callable[..., Path]) -> None:
    found = read_acquisition("flair", scan("f", {"RepetitionTime": 9, "ContrastBolusAgent": "GADOVIST"}))
    assert "after a contrast agent (GADOVIST" in found.protocol.notes[0]


@pytest.mark.parametrize("modality", ("CT", "PT", "us"))
def test_an_image_of_another_modality_is_refused(scan: Callable[..., Path], modality: str) -> None:
    with pytest.raises(ImageError, match=f"modality is {modality.upper()}. Give an MR image"):
        read_acquisition("t1w", scan("a", {**MPRAGE, "Modality": modality}), "mprage")


# --- field strength -------------------------------------------------------------------------------------------------------------


def test_field_strengths_that_differ_are_refused_unless_one_is_given(scan: Callable[..., Path]) -> None:
    inputs = [read_acquisition("t1w", scan(str(tesla), {**MPRAGE, "MagneticFieldStrength": tesla})) for tesla in (1.494, 2.89, "3")]
    assert field_strength_of(inputs[:1], None) == (1.5, "header")
    assert field_strength_of(inputs, 3.0) == (3.0, "command line")
    with refused(EstimationError, r"state different field strengths \(1\.5, 2\.9, 3\.0 T\)\. Give --field-strength"):
        field_strength_of(inputs, None)
    with pytest.raises(ProtocolError, match="MagneticFieldStrength is 'strong'"):
        read_acquisition("t1w", scan("a", {**MPRAGE, "MagneticFieldStrength": "strong"}))
