"""Looking at the maps: slice views, colour, legend, table and histogram."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer

from Testing.panel.estimates import FakeClient, estimated
from Testing.panel.harness import NARROWEST, DrivenPanel, importedFromPanel


@pytest.fixture
def ready(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    estimated(driven, client)
    driven.ui.mapsCollapsibleButton.collapsed = False
    return driven


def background(driven: DrivenPanel) -> str:
    return driven.slicer.views["Red"].GetSliceCompositeNode().GetBackgroundVolumeID()


def test_every_map_can_be_shown_and_a_slider_brings_the_contrast_back(ready: DrivenPanel) -> None:
    for text, quantity in (("T1", "T1"), ("T2: uncertainty (SD)", "T2_sd"), ("FLAIR: residual (%)", "residual_flair")):
        ready.choose("quantityComboBox", text)
        assert ready.parameters.quantity == quantity
        assert background(ready) == ready.panel.maps.volume(quantity).GetID()
    ready.slide("flair", "TE", 0.5)
    ready.rest()
    assert background(ready) == ready.panel.protocol.live.preview.node.GetID()
    assert ready.ui.quantityComboBox.currentText == "Synthetic contrast"


def test_colour_and_legend_are_those_of_the_shown_map(ready: DrivenPanel) -> None:
    ready.choose("quantityComboBox", "Synthetic contrast")
    assert not ready.ui.colorCheckBox.enabled
    ready.choose("quantityComboBox", "T1")
    assert ready.ui.colorCheckBox.checked
    display = ready.panel.maps.volume("T1").GetDisplayNode()
    coloured = display.GetColorNodeID()
    ready.click("colorCheckBox")
    assert display.GetColorNodeID() != coloured
    ready.click("colorCheckBox")
    assert display.GetColorNodeID() == coloured
    shown = ready.ui.legendCheckBox.checked
    ready.click("legendCheckBox")
    ready.choose("quantityComboBox", "T2")
    ready.choose("quantityComboBox", "T1")
    assert ready.ui.legendCheckBox.checked is not shown


def test_statistics_stand_beside_the_published_ranges(ready: DrivenPanel) -> None:
    ready.click("valuesButton")
    told = ready.message("statisticsLabel")
    white = told[told.index("White matter") : told.index("Cortical")]
    assert ">950<" in white and "±" not in told
    assert "750–1100" in white
    assert "Inversion recovery, RRSG 2024" in white and "822, 841 (783–908)" in white
    assert "background-color" not in told
    fluid = told[told.index("Fluid in the brain mask") :]
    assert "measured" in fluid[fluid.index("3000–6000") :]


def test_a_value_out_of_range_is_marked() -> None:
    html = importedFromPanel("statisticsText").statisticsHtml
    told = {"PD": 70.0, "T1": 1500.0, "T2": 80.0, "PD_sd": 1.0, "T1_sd": 20.0, "T2_sd": 3.0, "volume_ml": 400.0}
    report = {"tissue_medians": {"white_matter": told}, "published_ranges": {"white_matter": {"T1": [750, 1100], "T2": [60, 90]}}}
    assert html(report).count("background-color") == 1
    assert "&nbsp;1500&nbsp;" in html(report)
    assert "uncertainty of a single voxel (SD) is in Table" in html(report)
    assert html({}) == ""


def test_the_table_is_of_the_maps_as_they_are_now(ready: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts: list[int] = []
    manager = SimpleNamespace(layout=3, setLayout=layouts.append)
    tables = SimpleNamespace(logic=lambda: SimpleNamespace(GetLayoutWithTable=lambda layout: layout + 100))
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager)
    monkeypatch.setattr(slicer.app, "applicationLogic", lambda: ready.slicer.application, raising=False)
    monkeypatch.setattr(slicer.modules, "tables", tables, raising=False)
    slicer.util.arrayFromVolume(ready.panel.maps.volume("T1"))[:] *= 2.0
    ready.click("tableButton")
    assert layouts == [103]
    table = slicer.mrmlScene.GetNodeByID(ready.slicer.application.GetSelectionNode().GetActiveTableID())
    assert table.GetTable().GetColumnByName("T1 (ms)").GetVariantValue(0).ToDouble() == pytest.approx(1900.0, rel=0.01)


def test_histograms_are_shown_in_a_plot_view(ready: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    plots = SimpleNamespace(logic=lambda: SimpleNamespace(ShowChartInLayout=shown.append))
    monkeypatch.setattr(slicer.modules, "plots", plots, raising=False)
    ready.click("histogramT1Button")
    ready.click("histogramT2Button")
    assert [node.GetClassName() for node in shown] == ["vtkMRMLPlotChartNode"] * 2
    assert shown[0] is not shown[1]


def answering(monkeypatch: pytest.MonkeyPatch, *folders: Path | str) -> list[str]:
    """Let the folder dialogs give these folders in turn; the titles that were shown."""
    import qt

    answers, titles = iter(folders), []
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda parent, title: (titles.append(title), str(next(answers)))[1])
    return titles


@pytest.fixture
def exporting(ready: DrivenPanel) -> DrivenPanel:
    """The panel with the form of the export open."""
    assert not ready.ui.exportWidget.visible
    ready.click("exportDicomButton")
    assert ready.ui.exportWidget.visible and not ready.ui.exportWriteButton.enabled, "there is no folder yet"
    return ready


def test_maps_and_contrasts_are_exported_for_an_anonymous_patient(
    exporting: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, tmp_path)
    exporting.click("exportFolderButton")
    exporting.parameters.contrasts = "synthetic-t1w"
    exporting.click("exportTickedCheckBox")
    exporting.click("exportWriteButton")
    told = exporting.message("mapsMessageLabel").replace("\N{ZERO WIDTH SPACE}", "")
    assert f"files in {tmp_path}. Not for diagnosis." in told
    assert exporting.picture(NARROWEST).width() == NARROWEST, "a long path does not make the panel wider"
    assert {"PD.dcm", "T1_sd.dcm", "flair_0001.dcm", "se_0001.dcm", "report.json"} <= {file.name for file in tmp_path.iterdir()}
    assert exporting.standins.dialogs.shown == []


def test_an_earlier_export_is_replaced_only_where_that_is_ticked(
    exporting: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").touch()
    answering(monkeypatch, tmp_path)
    exporting.click("exportFolderButton")
    exporting.click("exportWriteButton")
    assert "not empty" in exporting.message("mapsMessageLabel") and [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    exporting.click("exportReplaceCheckBox")
    exporting.click("exportPresentCheckBox")  # the maps alone
    exporting.click("exportWriteButton")
    names = {file.name for file in tmp_path.iterdir()}
    assert {"mine.txt", "PD.dcm"} <= names and "flair_0001.dcm" not in names


def test_the_images_whose_patient_it_gets_are_chosen_once(exporting: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = answering(monkeypatch, "", tmp_path / "source", tmp_path / "out")
    exporting.choose("exportPatientComboBox", "That of DICOM images…")  # given up
    assert exporting.ui.exportPatientComboBox.currentText == "Anonymous"
    exporting.choose("exportPatientComboBox", "That of DICOM images…")
    assert exporting.ui.exportPatientComboBox.currentText == "That of the images in source"
    exporting.click("exportFolderButton")
    exporting.click("exportWriteButton")
    assert "source is not a folder" in exporting.message("mapsMessageLabel") and not (tmp_path / "out").exists()
    assert len(titles) == 3 and exporting.standins.dialogs.texts("errorDisplay") == []
    exporting.parameters.maps = None
    exporting.settle()
    assert exporting.ui.exportPatientComboBox.currentText == "Anonymous", "other maps may be another patient's"
