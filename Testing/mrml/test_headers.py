"""Protocols and roles of nodes: what was typed, DICOM, sidecars and defaults, each value with its source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import slicer

from PhysMRISynthLib.errors import ImageError, ProtocolError
from PhysMRISynthLib.mrml.headers import acquisitionFromNode, defaultInputs, inputProtocol, roleOf
from Testing.mrml.dicom import Database, classic, database, enhanced
from Testing.mrml.results import map_nodes
from Testing.mrml.scene import HeadlessSlicer, scalar_volume

MPRAGE = {
    "RepetitionTime": 2300, "EchoTime": 2.98, "InversionTime": 900, "FlipAngle": 9, "MagneticFieldStrength": 3, "EchoTrainLength": 1,
    "ScanningSequence": ["GR", "IR"], "SequenceVariant": ["SK", "SP", "MP"], "SequenceName": "*tfl3d1_ns", "MRAcquisitionType": "3D",
    "SeriesDescription": "t1_mprage_sag", "ProtocolName": "t1_mprage_sag",
}  # fmt: skip


def scan(name: str = "scan", spacing: float = 8.0) -> Any:
    voxels = np.random.default_rng(0).uniform(0, 500, (8, 9, 10)).astype(np.int16)
    return scalar_volume(voxels, np.diag([spacing, 8.0, 8.0, 1.0]), name)


@pytest.fixture
def from_dicom(headless: HeadlessSlicer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A volume node that was loaded from the files of a database."""

    def load(held: Database, name: str = "scan") -> Any:
        monkeypatch.setattr(slicer, "dicomDatabase", held, raising=False)
        node = scan(name)
        node.SetAttribute("DICOM.instanceUIDs", held.uids)
        return node

    return load


def test_a_classic_header_gives_every_value_with_its_source(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    node = from_dicom(database(tmp_path, classic(**MPRAGE)))
    found = inputProtocol(node, "t1w")
    assert found.protocol.sequence.name == "mprage"
    assert {name: found.protocol.values[name] for name in ("TR", "TE", "TI", "FA")} == {"TR": 2300, "TE": 2.98, "TI": 900, "FA": 9}
    assert {found.protocol.sources[name] for name in ("TR", "TE", "TI", "FA")} == {"DICOM"}
    assert set(found.protocol.assumed) == {"ESP=7.1 ms", "N=176"}
    assert found.fields is not None and found.fields["EchoTrainLength"] == 1 and found.fields["ScanningSequence"] == "GR\\IR"
    assert acquisitionFromNode(node, "t1w").field_strength == 3.0


def test_an_enhanced_header_is_read_from_its_groups(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    header = enhanced(
        {
            "MRTimingAndRelatedParametersSequence": {"RepetitionTime": 8000.0, "FlipAngle": 90.0, "RFEchoTrainLength": 30},
            "MRModifierSequence": {"InversionRecovery": "YES", "InversionTimes": 2400.0},
        },
        {"MREchoSequence": {"EffectiveEchoTime": 120.0}},
        EchoPulseSequence="SPIN", PulseSequenceName="TIR", MRAcquisitionType="2D", MagneticFieldStrength=1.5, ProtocolName="FLAIR",
        RepetitionTime=1.0,  # what a converter left at the top does not count
    )  # fmt: skip
    node = from_dicom(database(tmp_path, header))
    found = inputProtocol(node, "flair").protocol
    assert {name: found.values[name] for name in ("TR", "TE", "TI")} == {"TR": 8000, "TE": 120, "TI": 2400}
    assert {found.sources[name] for name in ("TR", "TE", "TI")} == {"DICOM"}
    assert acquisitionFromNode(node, "flair").field_strength == 1.5 and roleOf(node) == "flair"


def test_an_enhanced_file_that_is_gone_leaves_a_default_that_says_so(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    node = from_dicom(database(tmp_path, enhanced({}, {}, ProtocolName="FLAIR")))
    (tmp_path / "0.dcm").unlink()
    found = inputProtocol(node, "flair").protocol
    assert set(found.sources.values()) == {"default"} and "Nothing is known" in found.notes[0]


def test_the_real_series_has_a_role_and_no_timing(from_dicom: Callable[..., Any], data: Callable[[str], Path]) -> None:
    """Its converter wrote no TR, TE, TI and flip angle: they must not appear out of nowhere."""
    node = from_dicom(Database(sorted(data("dicom_t1w").glob("*.dcm"))))
    assert roleOf(node) == "t1w"
    assert set(inputProtocol(node, "t1w").protocol.sources.values()) == {"default"}


def test_the_real_series_with_a_typical_timing(from_dicom: Callable[..., Any], data: Callable[[str], Path], tmp_path: Path) -> None:
    """Copies of the same files, with a typical MPRAGE's timing put in: read through Slicer's interface, it is DICOM's."""
    for file in sorted(data("dicom_t1w").glob("*.dcm"))[:3]:
        header = pydicom.dcmread(file)
        header.RepetitionTime, header.EchoTime, header.InversionTime, header.FlipAngle = "2500", "5.7", "900", "8"
        header.save_as(tmp_path / file.name)
    node = from_dicom(Database(sorted(tmp_path.glob("*.dcm"))))
    found = inputProtocol(node, "t1w").protocol
    assert {name: found.values[name] for name in ("TR", "TE", "TI", "FA")} == {"TR": 2500, "TE": 5.7, "TI": 900, "FA": 8}
    assert {found.sources[name] for name in ("TR", "TE", "TI", "FA")} == {"DICOM"}


def test_of_several_inversion_times_the_first_counts(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    header = enhanced({"MRModifierSequence": {"InversionTimes": [900.0, 2500.0]}}, {}, SeriesDescription="t1_mpr")
    found = inputProtocol(from_dicom(database(tmp_path, header)), "t1w").protocol
    assert (found.values["TI"], found.sources["TI"]) == (900.0, "DICOM")


@pytest.mark.parametrize("agent", ["GADAVIST", "MAGNEVIST 10 ml", "yes"])
def test_a_t1w_after_contrast_agent_is_refused(from_dicom: Callable[..., Any], tmp_path: Path, agent: str) -> None:
    node = from_dicom(database(tmp_path, classic(**MPRAGE, ContrastBolusAgent=agent)))
    with pytest.raises(ImageError, match=f"'scan' was taken after a contrast agent .{agent}.*Allow a contrast agent to use it anyway"):
        acquisitionFromNode(node, "t1w")
    assert roleOf(node) is None
    assert "maps are wrong where it went" in acquisitionFromNode(node, "t1w", allowContrastAgent=True).protocol.notes[0]


def test_an_enhanced_header_names_its_contrast_agent(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    header = enhanced({"MRTimingAndRelatedParametersSequence": {"RepetitionTime": 2300.0}}, {}, SeriesDescription="T1")
    header.ContrastBolusAgentSequence = [pydicom.Dataset()]
    with pytest.raises(ImageError, match="contrast agent"):
        acquisitionFromNode(from_dicom(database(tmp_path, header)), "t1w")


@pytest.mark.parametrize("name", ["T1", "T2_sd", "mask", "tissue"])
def test_our_own_maps_are_no_scans(headless: HeadlessSlicer, name: str) -> None:
    with pytest.raises(ImageError, match="is a computed image"):
        acquisitionFromNode(map_nodes(headless.scene).volume(name), "t1w", "oasis3-t1w")


@pytest.mark.parametrize("agent", ["", "NONE", "no"])
def test_no_agent_is_no_agent(from_dicom: Callable[..., Any], tmp_path: Path, agent: str) -> None:
    node = from_dicom(database(tmp_path, classic(**MPRAGE, ContrastBolusAgent=agent)))
    assert acquisitionFromNode(node, "t1w").name == "t1w" and roleOf(node) == "t1w"


def test_pulse_to_pulse_repetition_without_inversion_time_is_refused_by_name_without_words_of_the_command_line(
    from_dicom: Callable[..., Any], tmp_path: Path
) -> None:
    node = from_dicom(database(tmp_path, classic(**{**MPRAGE, "RepetitionTime": 8.2, "InversionTime": None})))
    with pytest.raises(ProtocolError, match=r"'scan': DICOM: a repetition time of 8\.2 ms") as caught:
        inputProtocol(node, "t1w")
    assert "command line" not in str(caught.value) and "Give the protocol." in str(caught.value)


def test_numbers_that_are_none_are_left_out(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    values = {key: value for key, value in MPRAGE.items() if key not in ("InversionTime", "EchoTrainLength")}
    found = inputProtocol(from_dicom(database(tmp_path, classic(**values))), "t1w").protocol
    assert found.sources["TI"].startswith("assumed") and found.sources["TR"] == "DICOM"


def test_a_nominal_echo_time_is_not_taken_at_its_word(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    header = classic(
        RepetitionTime=3200, EchoTime=409, FlipAngle=120, MRAcquisitionType="3D", ScanningSequence="SE", SequenceName="*spc_200ns",
        SeriesDescription="t2_space_sag",
    )  # fmt: skip
    made = acquisitionFromNode(from_dicom(database(tmp_path, header)), "t2w")
    assert made.conventional_echo_time == 409.0 and made.protocol.sequence.name == "space"


def with_file(folder: Path, name: str, sidecar: dict | str | None) -> Any:
    node = scan(name)
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetFileName(str(folder / f"{name}.nii.gz"))
    if sidecar is not None:
        (folder / f"{name}.json").write_text(sidecar if isinstance(sidecar, str) else json.dumps(sidecar), encoding="utf-8")
    return node


def test_a_sidecar_beside_the_file_is_read_in_seconds(headless: HeadlessSlicer, tmp_path: Path) -> None:
    node = with_file(tmp_path, "sub-1_T2w", {"RepetitionTime": 4.5, "EchoTime": 0.1, "MagneticFieldStrength": 1.5})
    found = inputProtocol(node, "t2w").protocol
    assert (found.values["TR"], found.values["TE"]) == (4500.0, 100.0)
    assert found.sources["TR"] == "sidecar sub-1_T2w.json"
    assert acquisitionFromNode(node, "t2w").field_strength == 1.5


def test_a_sidecar_is_remembered_when_the_scene_is_saved_as_one_file(headless: HeadlessSlicer, tmp_path: Path) -> None:
    told = {"RepetitionTime": 4.5, "EchoTime": 0.1, "MagneticFieldStrength": 1.5, "SeriesDescription": "t2; größer: 50 %"}
    node = with_file(tmp_path, "sub-1_T2w", {**told, "PatientName": "Doe"})
    before = inputProtocol(node, "t2w")
    assert headless.scene.WriteToMRB(str(tmp_path / "visit.mrb"))
    headless.scene.Clear(0)
    (tmp_path / "sub-1_T2w.json").unlink()
    assert headless.scene.ReadFromMRB(str(tmp_path / "visit.mrb"))
    (back,) = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    after = inputProtocol(back, "t2w")
    assert after.protocol.values == before.protocol.values and after.protocol.sources == before.protocol.sources
    assert after.fields == told and after.protocol.sources["TR"] == "sidecar sub-1_T2w.json"
    assert acquisitionFromNode(back, "t2w").field_strength == 1.5
    assert "Doe" not in back.GetAttribute("PhysMRISynth.Header"), "who was scanned stays out of the scene"
    back.SetAttribute("PhysMRISynth.Header", "damaged")
    assert set(inputProtocol(back, "t2w").protocol.sources.values()) == {"default"}


def test_a_corrected_sidecar_counts_more_than_what_was_remembered(headless: HeadlessSlicer, tmp_path: Path) -> None:
    node = with_file(tmp_path, "sub-1_T2w", {"RepetitionTime": 4.5, "EchoTime": 0.1})
    assert inputProtocol(node, "t2w").protocol.values["TR"] == 4500.0
    (tmp_path / "sub-1_T2w.json").write_text(json.dumps({"RepetitionTime": 5.0, "EchoTime": 0.1}), encoding="utf-8")
    assert inputProtocol(node, "t2w").protocol.values["TR"] == 5000.0


def test_a_tirm_is_flair_or_not_by_its_timing(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    tirm = {"RepetitionTime": 9000, "EchoTime": 90, "ScanningSequence": ["SE", "IR"], "SeriesDescription": "t2_tirm_tra"}
    for folder, inversion, role in (("flair", 2500, "flair"), ("stir", 160, "t2w")):
        (tmp_path / folder).mkdir()
        assert roleOf(from_dicom(database(tmp_path / folder, classic(**tirm, InversionTime=inversion)))) == role
    node = with_file(tmp_path, "t2_tirm_sag", {"RepetitionTime": 9.0, "EchoTime": 0.09, "InversionTime": 2.5, "ScanningSequence": "SE"})
    assert roleOf(node) == "flair" and roleOf(scan("t2_tirm_cor")) == "t2w"


def test_dicom_without_timing_gives_way_to_a_sidecar(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    held = database(tmp_path, classic(SeriesDescription="anat"))
    from_dicom(held)
    node = with_file(tmp_path, "anat", {"RepetitionTime": 2.0, "InversionTime": 0.9})
    node.SetAttribute("DICOM.instanceUIDs", held.uids)
    assert inputProtocol(node, "t1w").protocol.sources["TI"] == "sidecar anat.json"


def test_a_sidecar_that_contradicts_dicom_is_told(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    held = database(tmp_path, classic(**MPRAGE))
    from_dicom(held)
    node = with_file(tmp_path, "anat", {"RepetitionTime": 2.3, "InversionTime": 1.1})
    node.SetAttribute("DICOM.instanceUIDs", held.uids)
    found = inputProtocol(node, "t1w").protocol
    assert found.values["TI"] == 900
    assert found.notes == ("InversionTime is 0.9 s in the DICOM header, which is used, but 1.1 s in sidecar anat.json.",)


def test_the_wrong_file_is_told_whether_its_protocol_is_read_or_typed(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    node = from_dicom(database(tmp_path, classic(SeriesDescription="t2_tse_tra", RepetitionTime=4500, EchoTime=100, ScanningSequence="SE")))
    for typed in (None, "se,TR=600,TE=15"):
        (note,) = inputProtocol(node, "t1w", typed).protocol.notes
        assert "given as T1w, but SeriesDescription 't2_tse_tra' indicates T2w" in note


def test_what_is_typed_goes_first_then_our_own_rendering(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    node = from_dicom(database(tmp_path, classic(**MPRAGE)))
    node.SetAttribute("PhysMRISynth.Protocol", "se,TR=600,TE=15")
    assert inputProtocol(node, "t1w").protocol.spec == "se,TR=600,TE=15"
    typed = inputProtocol(node, "t1w", "mprage,TR=2000,TI=900")
    assert (typed.protocol.sources["TR"], typed.protocol.values["TR"], typed.protocol.sources["TE"]) == ("typed", 2000.0, "default")
    assert typed.fields is not None and typed.fields["MagneticFieldStrength"] == 3.0, "the header still tells the field strength"
    preset = inputProtocol(node, "flair", "synthetic-flair,TR=8000").protocol
    assert preset.sources["TR"] == "typed" and preset.sources["TE"] == "preset synthetic-flair"
    with pytest.raises(ProtocolError, match=r"'scan'.*nonsense"):
        inputProtocol(node, "t1w", "nonsense,TR=1")


def test_nothing_known_is_a_default_that_says_so(headless: HeadlessSlicer, tmp_path: Path) -> None:
    for node in (scan(), with_file(tmp_path, "alone", None)):
        found = inputProtocol(node, "flair")
        assert found.fields is None and set(found.protocol.sources.values()) == {"default"}
        assert "Nothing is known" in found.protocol.notes[0]
    with pytest.raises(ProtocolError, match=r"'bad': .*bad\.json is not a readable JSON sidecar"):
        inputProtocol(with_file(tmp_path, "bad", "{"), "t1w")


def test_roles_by_header_before_name(from_dicom: Callable[..., Any], tmp_path: Path) -> None:
    timing = {key: value for key, value in MPRAGE.items() if key not in ("SeriesDescription", "ProtocolName")}
    assert roleOf(from_dicom(database(tmp_path, classic(**timing)), "series 4")) == "t1w"
    renamed = classic(**{**MPRAGE, "SeriesDescription": "t2_tse"})  # timing decides where a name contradicts it
    assert roleOf(from_dicom(database(tmp_path, renamed), "T2w")) == "t1w"
    assert roleOf(from_dicom(database(tmp_path, classic(**{**MPRAGE, "SeriesDescription": "localizer"})), "T1w")) is None
    assert roleOf(from_dicom(database(tmp_path, classic(**MPRAGE)), "T1w_seg")) is None


def test_the_best_inputs_are_picked(headless: HeadlessSlicer, tmp_path: Path) -> None:
    scan("T1w localizer")
    coarse, known = scan("T1w thick", 9.0), with_file(tmp_path, "T1w", {"RepetitionTime": 2.4, "InversionTime": 1.0})
    fine = scan("FLAIR fine", 7.5)
    scan("FLAIR thick", 9.0)
    with_file(tmp_path, "T2w", "{ damaged")
    headless.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T2w without voxels")
    hidden = scan("T2 better", 4.0)
    hidden.HideFromEditorsOn()
    found = defaultInputs(headless.scene)
    assert (found["t1w"], found["flair"]) == (known, fine) and found["t1w"] is not coarse
    assert found["t2w"].GetName() == "T2w"


def test_maps_and_renderings_are_never_picked(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    names = {role: node.GetName() for role, node in defaultInputs(headless.scene).items()}
    assert names == {"t1w": "visit 1 t1w", "flair": "visit 1 flair"}
    assert roleOf(maps.volume("T1")) is None and roleOf(maps.volume("fit_t1w")) is None
