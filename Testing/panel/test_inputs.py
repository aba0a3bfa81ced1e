"""Inputs: chosen by themselves, with the source of every value in view."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import slicer

from Testing.mrml.dicom import classic, database
from Testing.panel.estimates import FakeClient, addImages, estimated, ijkToRas
from Testing.panel.harness import DrivenPanel


def test_images_are_selected_by_their_names(driven: DrivenPanel) -> None:
    nodes = addImages("t1w", "flair")
    driven.enter()
    assert driven.parameters.t1w is nodes["t1w"]
    assert driven.ui.flairSelector.currentNode() is nodes["flair"]
    assert driven.parameters.t2w is None


def test_images_that_are_loaded_while_the_panel_is_open_are_selected_too(driven: DrivenPanel) -> None:
    nodes = addImages("t1w", "flair")
    driven.waitFor(lambda: driven.parameters.t1w is not None)
    assert (driven.parameters.t1w, driven.parameters.flair) == (nodes["t1w"], nodes["flair"])


def test_images_that_are_loaded_while_another_module_is_open_wait(driven: DrivenPanel) -> None:
    driven.widget.exit()
    addImages("t1w")
    driven.settle(500)
    assert driven.parameters.t1w is None


def test_a_choice_of_the_user_is_left_alone(driven: DrivenPanel) -> None:
    nodes = addImages("t1w", "t2w")
    driven.ui.t2wSelector.setCurrentNode(nodes["t2w"])
    driven.enter()
    assert driven.parameters.t1w is None


def test_assumed_values_are_marked(driven: DrivenPanel) -> None:
    addImages("flair")
    driven.enter()
    text = driven.message("flairValuesLabel")
    assert "background-color" in text
    assert "No acquisition parameters found" in text and "Enter values…" in text
    assert "TI\N{NO-BREAK SPACE}2500" in text


def test_values_of_a_sidecar_are_named_so(driven: DrivenPanel, tmp_path: Path) -> None:
    node = addImages("t1w")["t1w"]
    fields = {"RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9, "FlipAngle": 9, "MRAcquisitionType": "3D"}
    (tmp_path / "sub-01_T1w.json").write_text(json.dumps(fields), encoding="utf-8")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(tmp_path / "sub-01_T1w.nii.gz"))
    node.SetAndObserveStorageNodeID(storage.GetID())
    driven.enter()
    assert "sidecar: TR\N{NO-BREAK SPACE}2300" in driven.message("t1wValuesLabel").replace("<br>", "")


def test_values_of_a_dicom_header_are_named_so(driven: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = {"RepetitionTime": 2400, "EchoTime": 3.2, "InversionTime": 1000, "FlipAngle": 8, "MRAcquisitionType": "3D"}
    header = classic(SeriesDescription="t1_mprage_sag", ScanningSequence=["GR", "IR"], SequenceVariant=["SP", "MP"], **timing)
    base = database(tmp_path, header)
    monkeypatch.setattr(slicer, "dicomDatabase", base, raising=False)
    node = addImages("t1w")["t1w"]
    node.SetName("5: series")
    node.SetAttribute("DICOM.instanceUIDs", base.uids)
    driven.enter()
    assert driven.parameters.t1w is node
    told = driven.message("t1wValuesLabel").replace("\N{NO-BREAK SPACE}", " ")
    assert "DICOM: TR 2400 ms, TI 1000 ms, TE 3.2 ms, Flip angle 8°" in told


def test_a_preset_and_a_typed_protocol_replace_the_header(driven: DrivenPanel) -> None:
    addImages("t1w")
    driven.enter()
    driven.choose("t1wProtocolComboBox", "ADNI: T1w MPRAGE")
    assert driven.parameters.t1wProtocol == "adni-t1w"
    assert "preset: TR\N{NO-BREAK SPACE}2300" in driven.message("t1wValuesLabel")
    driven.choose("t1wProtocolComboBox", "Enter values…")
    assert driven.ui.t1wProtocolEdit.text.startswith("mprage,TR=2300")
    driven.ui.t1wProtocolEdit.text = "adni-t1w,TI=1100"
    driven.ui.t1wProtocolEdit.editingFinished.emit()
    assert driven.parameters.t1wProtocol == "adni-t1w,TI=1100"
    assert "entered: TI\N{NO-BREAK SPACE}1100" in driven.message("t1wValuesLabel")
    driven.choose("t1wProtocolComboBox", "From header")
    assert not driven.ui.t1wFormWidget.visible
    assert "No acquisition parameters" in driven.message("t1wValuesLabel")


def test_values_are_entered_in_rows_and_what_is_not_touched_stays_assumed(driven: DrivenPanel, client: FakeClient) -> None:
    addImages("t1w")
    driven.widget.enter()
    assert (driven.ui.t1wLabel.text, driven.ui.applyButton.text) == ("T1w ○", "Estimate with assumed protocols")
    assert "parameters unknown: T1w." in driven.message("estimateReasonLabel")
    driven.choose("t1wProtocolComboBox", "Enter values…")
    driven.choose("t1wSequenceComboBox", "Spin echo")
    assert "Enter those that you know below" in driven.message("t1wValuesLabel")
    rows = driven.panel.inputs.rows[0].form.rows
    rows.row("se", "TE").spinBox.setValue(12.0)
    assert (driven.ui.t1wLabel.text, driven.ui.applyButton.text) == ("T1w ◐", "Estimate tissue maps")
    assert driven.parameters.t1wProtocol == "se,TE=12"
    driven.click("t1wConfirmButton")  # the usual TR, which was shown, is right
    assert driven.ui.t1wLabel.text == "T1w ●"
    assert "Field strength unknown" in driven.message("estimateReasonLabel")
    driven.ui.fieldStrengthSpinBox.value = 1.5
    assert driven.message("estimateReasonLabel") == ""
    assert (driven.ui.t1wProtocolEdit.text, driven.ui.fieldStrengthLabel.text) == ("se,TR=600,TE=12", "Field ●")
    driven.click("applyButton")
    assert client.jobs[0].acquisitions[0].protocol.spec == "se,TR=600,TE=12" and client.jobs[0].order.field_strength == 1.5


def test_values_that_contradict_each_other_are_told_and_can_be_mended(driven: DrivenPanel) -> None:
    addImages("t1w")
    driven.widget.enter()
    driven.choose("t1wProtocolComboBox", "Enter values…")
    rows = driven.panel.inputs.rows[0].form.rows
    rows.row("mprage", "TR").spinBox.setValue(900.0)
    assert "TI must be shorter than TR" in driven.message("t1wValuesLabel") and "Given" not in driven.message("t1wValuesLabel")
    assert [name for name in ("TR", "TI", "TE") if "background-color" in rows.row("mprage", name).label.text] == ["TR", "TI"]
    assert not driven.ui.applyButton.enabled
    rows.row("mprage", "TR").spinBox.setValue(2300.0)
    assert driven.ui.applyButton.enabled and "entered: TR" in driven.message("t1wValuesLabel")
    assert rows.row("mprage", "TI").label.text == "TI"


def test_an_empty_panel_offers_images(driven: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert driven.ui.emptyWidget.visible and not driven.ui.loadSessionButton.visible
    asked: list[str] = []
    sample = ModuleType("SampleData")
    sample.downloadSamples = lambda name: (asked.append(name), addImages("t1w", "flair"))
    monkeypatch.setitem(sys.modules, "SampleData", sample)
    driven.click("sampleDataButton")
    assert asked == ["MS patient, 1.5 T"]
    assert driven.parameters.t1w is not None and driven.parameters.flair is not None
    assert not driven.ui.emptyWidget.visible and driven.ui.loadSessionButton.visible


def test_a_wrong_protocol_is_told_in_place_and_holds_the_estimate(driven: DrivenPanel) -> None:
    addImages("t1w")
    driven.enter()
    driven.parameters.t1wProtocol = "mprage,TR=900,TI=1000"
    assert "TI must be shorter than TR" in driven.message("t1wValuesLabel") and "Given" not in driven.message("t1wValuesLabel")
    assert not driven.ui.applyButton.enabled
    assert "TI must be shorter than TR" in driven.ui.applyButton.toolTip
    assert driven.standins.dialogs.shown == []


def test_a_map_is_no_input(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client)
    for name in ("T1", "T2_sd", "residual_flair", "fit_t1w"):
        node = driven.panel.maps.volume(name)
        driven.parameters.t1w = node
        assert not driven.ui.applyButton.enabled, name
        assert "Select the scan itself" in driven.message("t1wValuesLabel")
        assert node.GetName() in driven.ui.applyButton.toolTip


def test_apply_says_what_is_missing(driven: DrivenPanel) -> None:
    assert not driven.ui.applyButton.enabled
    assert "at least one input" in driven.ui.applyButton.toolTip
    node = addImages("t1w")["t1w"]
    driven.parameters.t1w = node
    assert driven.ui.applyButton.enabled
    driven.parameters.t2w = node
    assert "selected twice" in driven.ui.applyButton.toolTip


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A visit in BIDS, with a sidecar for the T1w image only."""
    import SimpleITK as sitk

    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    image = sitk.GetImageFromArray(np.random.default_rng(0).uniform(1, 9, (12, 12, 12)).astype(np.float32))
    for name in ("T1w", "FLAIR"):
        sitk.WriteImage(image, str(folder / f"sub-01_{name}.nii.gz"))
    fields = {"RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9, "FlipAngle": 9}
    (folder / "sub-01_T1w.json").write_text(json.dumps(fields), encoding="utf-8")
    return tmp_path / "sub-01"


def load(path: str, properties: object = None) -> object:
    """What slicer.util.loadVolume does, with the reader that there is without Slicer's application."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", Path(path).name.partition(".")[0])
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(path)
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        raise RuntimeError(f"cannot read {path}")
    return node


def test_a_session_is_loaded_with_one_dialog(driven: DrivenPanel, session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    monkeypatch.setattr(slicer.util, "loadVolume", load)
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(session))
    driven.click("loadVisitButton")
    assert driven.parameters.t1w.GetName() == "sub-01_T1w"
    assert driven.parameters.flair.GetName() == "sub-01_FLAIR"
    assert "sidecar: TR" in driven.message("t1wValuesLabel")
    assert driven.message("inputsMessageLabel") == ""


def test_a_folder_without_images_is_told_in_place(driven: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: str(tmp_path))
    driven.click("loadSessionButton")
    assert str(tmp_path) in driven.message("inputsMessageLabel")
    assert driven.standins.dialogs.shown == []
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *arguments: "")
    driven.click("loadSessionButton")  # cancelled: nothing changes
    assert str(tmp_path) in driven.message("inputsMessageLabel")


def test_geometry_helper_matches_the_head() -> None:
    assert np.allclose(np.linalg.norm(ijkToRas()[:3, :3], axis=0), 4.0)
