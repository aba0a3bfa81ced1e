"""The lower part of the panel: regions and volumes, two visits, several contrasts and sweeps, measured maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import slicer
from PySide6 import QtCore, QtWidgets

from PhysMRISynthLib.mrml.volumes import newVolumeOnGrid
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.mrml.results import visit_nodes
from Testing.panel.estimates import FakeClient, estimated
from Testing.panel.harness import DrivenPanel

SECTIONS = ("regions", "visits", "contrasts", "measured")


def opened(driven: DrivenPanel) -> DrivenPanel:
    for name in SECTIONS:
        getattr(driven.ui, f"{name}CollapsibleButton").collapsed = False
    return driven


@pytest.fixture
def ready(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    estimated(driven, client)
    return opened(driven)


def tick(driven: DrivenPanel, *titles: str) -> None:
    widget = driven.ui.contrastsListWidget
    for row in range(widget.count):
        if widget.item(row).text() in titles:
            widget.item(row).setCheckState(QtCore.Qt.CheckState.Checked)
    driven.settle()


def test_nothing_can_be_done_without_maps(driven: DrivenPanel) -> None:
    opened(driven)
    buttons = (
        "tissueSegmentation", "measureRegions", "measureVolumes", "compareVisits", "visitsSide", "makeContrasts", "contrastsDatabase",
        "sweep", "sweepPlay", "sweepFilm", "importMeasured",
    )  # fmt: skip
    assert [name for name in buttons if getattr(driven.ui, f"{name}Button").enabled] == []


def test_tissues_are_segmented_and_measured(ready: DrivenPanel) -> None:
    assert not ready.ui.measureRegionsButton.enabled
    ready.click("tissueSegmentationButton")
    assert ready.parameters.regions.IsA("vtkMRMLSegmentationNode")
    ready.click("measureRegionsButton")
    assert "uncertainty is that of each mean" in ready.message("regionsMessageLabel")
    ready.click("measureVolumesButton")
    assert "Volumes in the table" in ready.message("regionsMessageLabel")


def test_an_empty_segmentation_is_told(ready: DrivenPanel) -> None:
    ready.parameters.regions = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    ready.click("measureRegionsButton")
    assert "'drawn' has no segment. Draw one" in ready.message("regionsMessageLabel")


def test_two_visits_are_compared_and_shown_side_by_side(ready: DrivenPanel) -> None:
    first, second = visit_nodes(slicer.mrmlScene, 1), visit_nodes(slicer.mrmlScene, 2, lesion=True)
    ready.parameters.earlierMaps, ready.parameters.laterMaps = first.node, first.node
    ready.settle()
    assert not ready.ui.compareVisitsButton.enabled
    ready.parameters.laterMaps = second.node
    ready.settle()
    ready.click("compareVisitsButton")
    told = ready.message("visitsMessageLabel")
    assert "Spots of change: 1" in told and "Not for diagnosis" in told
    red = ready.slicer.views["Red"].GetSliceCompositeNode()
    assert slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID()).GetAttribute("PhysMRISynth.Quantity") == "z_T1"
    ready.choose("visitsShowComboBox", "T2: later minus earlier")
    assert slicer.mrmlScene.GetNodeByID(red.GetBackgroundVolumeID()).GetAttribute("PhysMRISynth.Quantity") == "difference_T2"
    ready.click("visitsSideButton")
    yellow = ready.slicer.views["Yellow"].GetSliceCompositeNode()
    shown = [slicer.mrmlScene.GetNodeByID(view.GetBackgroundVolumeID()).GetName() for view in (red, yellow)]
    assert shown[0] != shown[1] and all("halfway" in name for name in shown) and yellow.GetLinkedControl()
    ready.click("visitsSideButton")
    assert not yellow.GetLinkedControl()


def test_ticked_contrasts_are_made_together(ready: DrivenPanel) -> None:
    assert not ready.ui.makeContrastsButton.enabled
    tick(ready, "FLAIR", "DIR")
    assert set(ready.parameters.contrasts.split(",")) == {"synthetic-flair", "synthetic-dir"}
    ready.click("makeContrastsButton")
    assert "2 volumes" in ready.message("contrastsMessageLabel")
    ready.click("contrastsDatabaseButton")
    assert "DICOM database is not open" in ready.message("contrastsMessageLabel")


def test_contrasts_are_made_with_scanner_effects_which_the_scene_keeps(ready: DrivenPanel) -> None:
    tick(ready, "FLAIR")
    assert ready.ui.effectsCollapsibleButton.collapsed and ready.ui.effectsCollapsibleButton.text == "Scanner effects"
    ready.ui.sliceThicknessSpinBox.value, ready.ui.motionSpinBox.value = 6.0, 0.5
    ready.settle()
    assert (ready.parameters.sliceThickness, ready.parameters.motion) == (6.0, 0.5)
    assert ready.ui.effectsCollapsibleButton.text == "Scanner effects: slices 6 mm axial, motion 0.5 mm"
    ready.click("makeContrastsButton")
    assert "slices 6 mm axial, motion 0.5 mm" in ready.message("contrastsMessageLabel")
    ready.ui.sliceThicknessSpinBox.value = 0.5
    ready.settle()
    ready.click("makeContrastsButton")
    assert "thinner than the voxels of the maps" in ready.message("contrastsMessageLabel")


def test_a_parameter_is_swept_played_and_saved(ready: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slicer.mrmlScene.RegisterNodeClass(slicer.vtkMRMLSequenceBrowserNode())
    ready.choose("sweepParameterComboBox", "TE")
    ready.ui.sweepFramesSpinBox.value = 3
    ready.click("sweepButton")
    browser = ready.panel.uses[2].browser
    assert browser.GetMasterSequenceNode().GetNumberOfDataNodes() == 3
    ready.click("sweepPlayButton")
    assert browser.GetPlaybackActive()
    ready.click("sweepPlayButton")
    assert not browser.GetPlaybackActive()
    monkeypatch.setattr(QtWidgets.QFileDialog, "getSaveFileName", staticmethod(lambda *given: str(tmp_path / "te.gif")))
    ready.click("sweepFilmButton")
    assert (tmp_path / "te.gif").read_bytes().startswith(b"GIF")


def test_measured_maps_are_taken_with_their_unit(driven: DrivenPanel) -> None:
    opened(driven)
    maps = small_head().maps
    node = newVolumeOnGrid("mp2rage", np.where(maps.mask, maps.t1 / 1000, 0).astype(np.float32), maps.grid, slicer.mrmlScene)
    driven.parameters.measuredT1 = node
    driven.settle()
    driven.click("importMeasuredButton")
    assert "does not tell the unit of T1" in driven.message("measuredMessageLabel")
    driven.choose("measuredT1UnitComboBox", "s")
    driven.click("importMeasuredButton")
    assert "T1 was taken as s" in driven.message("measuredMessageLabel") and "not measured" in driven.message("measuredMessageLabel")
    assert driven.panel.maps is not None and "measured in mp2rage" in driven.panel.maps.node.GetName()
