"""Contrasts for the head at hand: solved presets, own protocols, design, comparison, and what the views must say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from PhysMRISynthLib.mrml.annotation import syntheticText
from PhysMRISynthLib.mrml.curvePlot import updateCurve, voxelAt
from PhysMRISynthLib.mrml.volumes import newVolume
from PhysMRISynthLib.physics.own_presets import EQUATIONS
from PhysMRISynthLib.physics.presets import OWN_PRESETS, load_presets
from PhysMRISynthLib.physics.sequences import OWN_SEQUENCES
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.panel.estimates import FakeClient, addImages, finish, voxels
from Testing.panel.harness import DrivenPanel


@pytest.fixture(autouse=True)
def nothing_own() -> Iterator[None]:
    yield
    for known in (OWN_PRESETS, OWN_SEQUENCES, EQUATIONS):
        known.clear()


@pytest.fixture
def ready(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    """The panel after an estimate at 1.5 T."""
    head = small_head(1.5)
    addImages("t1w", "flair", known=head)
    driven.widget.enter()
    driven.click("applyButton")
    finish(driven, client, known=head, fieldStrength=1.5)
    driven.ui.designCollapsibleButton.collapsed = False
    driven.settle()
    return driven


def click(driven: DrivenPanel, preset: str) -> None:
    driven.panel.protocol.buttons[f"synthetic-{preset}"].click()
    driven.rest()


def median(driven: DrivenPanel, label: int) -> float:
    """Of the preview over a tissue of the maps."""
    image = voxels(driven.panel.protocol.live.preview.node)
    return float(np.median(image[voxels(driven.panel.maps.volume("tissue")) == label]))


def background(driven: DrivenPanel, view: str = "Red") -> Any:
    return slicer.mrmlScene.GetNodeByID(driven.slicer.views[view].GetSliceCompositeNode().GetBackgroundVolumeID())


def test_a_click_on_dir_nulls_the_white_matter_and_the_fluid_of_this_head(ready: DrivenPanel) -> None:
    click(ready, "dir")
    white, cortex, fluid = (median(ready, label) for label in (1, 2, 5))
    assert max(white, fluid) < 0.05 * cortex
    values = ready.panel.protocol.state.values
    assert values["TI2"] < 0.8 * load_presets()["synthetic-dir"].protocol.values["TI2"]
    note = ready.message("presetNoteLabel")
    assert "for this head" in note and "White matter T1 665\N{NO-BREAK SPACE}ms" in note
    assert "Textbook values (3 T): DIR · TR 11000 TE 25 TI1 3869 TI2 627" in ready.ui.presetNoteLabel.toolTip
    assert "white matter\N{NO-BREAK SPACE}0.0" in ready.message("signalsLabel")


def test_presets_of_another_field_strength_say_so(ready: DrivenPanel) -> None:
    listed = [ready.ui.presetComboBox.itemText(i) for i in range(ready.ui.presetComboBox.count)]
    assert {"ADNI: T1w MPRAGE (3 T)", "IXI: T2w TSE", "DIR", "T1w"} <= set(listed)
    assert listed.index("DIR") < listed.index("As acquired: FLAIR") < listed.index("OASIS-3: FLAIR, TE 91 (3 T)")
    ready.choose("presetComboBox", "ADNI: T1w MPRAGE (3 T)")
    assert "a protocol for 3 T, and these maps are of 1.5 T" in ready.message("presetNoteLabel")
    ready.choose("presetComboBox", "T1w")
    assert ready.message("presetNoteLabel") == ""


def test_other_maps_get_times_of_their_own(ready: DrivenPanel, client: FakeClient) -> None:
    click(ready, "dir")
    before = dict(ready.panel.protocol.state.values)
    ready.click("applyButton")
    finish(ready, client, known=small_head(3.0))
    assert ready.parameters.preset == "synthetic-dir"
    assert ready.panel.protocol.state.values["TI2"] > 1.2 * before["TI2"]


def test_the_protocol_of_an_acquired_image_is_one_of_the_presets(ready: DrivenPanel) -> None:
    ready.choose("presetComboBox", "As acquired: FLAIR")
    assert ready.panel.protocol.state.values == dict(load_presets()["oasis3-flair"].protocol.values)
    assert ready.ui.presetComboBox.currentText == "As acquired: FLAIR"


def test_own_protocols_are_named_starred_and_shared(ready: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    ready.choose("presetComboBox", "As acquired: FLAIR")
    ready.click("favouriteButton")
    ready.click("favouriteSaveButton")
    assert "Give the protocol a name" in ready.message("protocolMessageLabel")
    ready.ui.favouriteEdit.text = "Our FLAIR"
    ready.click("favouriteSaveButton")
    assert ready.ui.presetComboBox.currentText == "Our FLAIR" and ready.ui.favouriteButton.text == "★"
    file = tmp_path / "mine.json"
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *arguments: str(file))
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *arguments: str(file))
    ready.panel.protocol.favourites.saveFile()
    ready.click("favouriteButton")  # once more: forget it
    assert ready.ui.presetComboBox.findText("Our FLAIR") < 0 and ready.ui.favouriteButton.text == "☆"
    ready.panel.protocol.favourites.loadFile()
    assert ready.ui.presetComboBox.findText("Our FLAIR") > 0
    ready.choose("presetComboBox", "Our FLAIR")
    assert ready.panel.protocol.state.values == dict(load_presets()["oasis3-flair"].protocol.values)


def test_an_equation_of_ones_own_is_a_sequence(ready: DrivenPanel) -> None:
    ready.panel.protocol.favourites.writeEquation()
    ready.ui.equationNameEdit.text, ready.ui.equationEdit.text = "Mine", "PD * open('x')"
    ready.click("equationUseButton")
    assert "not allowed in an equation" in ready.message("protocolMessageLabel")
    ready.ui.equationEdit.text = "PD * (1 - exp(-TR/T1)) * exp(-TE/T2)"
    ready.click("equationUseButton")
    ready.rest()
    maps = ready.panel.maps.tissueMaps()
    v = ready.panel.protocol.state.values
    inside = maps.mask & (maps.t1 > 0) & (maps.t2 > 0)
    expected = 1000 * maps.pd[inside] * (1 - np.exp(-v["TR"] / maps.t1[inside])) * np.exp(-v["TE"] / maps.t2[inside])
    np.testing.assert_allclose(voxels(ready.panel.protocol.live.preview.node)[inside], expected, rtol=1e-3, atol=1e-2)
    assert ready.ui.sequenceComboBox.currentText == "Mine"


def test_null_and_maximise_by_clicks(ready: DrivenPanel) -> None:
    click(ready, "t1w")  # a spin echo cannot null: a sequence that can is taken
    ready.choose("nullFirstComboBox", "Cortical grey matter")
    ready.click("nullButton")
    assert ready.ui.sequenceComboBox.currentText == "Double inversion recovery"
    ready.rest()
    assert max(median(ready, 2), median(ready, 5)) < 0.05 * median(ready, 1)
    click(ready, "flair")
    ready.ui.maxTrSpinBox.value, ready.ui.darkSpinBox.value = 9000.0, 10.0
    ready.click("maximiseButton")
    assert "Contrast of lesion and white matter" in ready.message("designMessageLabel")
    assert ready.panel.protocol.state.values["TR"] <= 9000.0
    assert median(ready, 5) < 0.15 * median(ready, 2)
    longest = ready.panel.protocol.state.values["TR"]
    ready.click("perTimeCheckBox")
    ready.click("maximiseButton")
    assert ready.panel.protocol.state.values["TR"] < longest, "what takes long counts for less"
    ready.ui.leastSignalSpinBox.value = 90.0
    ready.click("maximiseButton")
    assert "within these limits" in ready.message("designMessageLabel")


def test_a_segment_of_the_scene_is_a_tissue_to_null_or_to_see(ready: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lesion that somebody has drawn: its medians are those of the maps inside."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    monkeypatch.setattr(slicer.modules, "segmentations", SimpleNamespace(logic=lambda: logic), raising=False)
    lesion = np.zeros_like(voxels(ready.panel.maps.volume("tissue")), dtype=np.uint8)
    white = np.argwhere(voxels(ready.panel.maps.volume("tissue")) == 1)
    places = tuple(white[len(white) // 2 : len(white) // 2 + 60].T)
    lesion[places] = 1
    for name, value in (("T1", 1400.0), ("T2", 140.0)):
        voxels(ready.panel.maps.volume(name))[places] = value
        slicer.util.arrayFromVolumeModified(ready.panel.maps.volume(name))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    labels = newVolume("Plaque", lesion, ready.panel.maps.volume("T1"), label=True)
    logic.ImportLabelmapToSegmentationNode(labels, segmentation)
    segmentation.GetSegmentation().GetNthSegment(0).SetName("Plaque")
    ready.panel.design.update()
    ready.choose("nullFirstComboBox", "Plaque")
    ready.choose("nullSecondComboBox", "none")
    ready.click("nullButton")
    ready.rest()
    assert ready.message("designMessageLabel") == ""
    assert abs(float(np.median(voxels(ready.panel.protocol.live.preview.node)[places]))) < 0.05 * abs(median(ready, 1))
    ready.choose("maximiseFirstComboBox", "Plaque")
    ready.choose("maximiseSecondComboBox", "White matter")
    ready.click("maximiseButton")
    assert "Contrast of plaque and white matter" in ready.message("designMessageLabel")
    slicer.mrmlScene.RemoveNode(segmentation)
    ready.click("nullButton")
    assert "not in the scene any more" in ready.message("designMessageLabel") and ready.standins.dialogs.shown == []


def test_what_cannot_be_designed_is_told_in_place(ready: DrivenPanel) -> None:
    ready.choose("maximiseFirstComboBox", "White matter")
    ready.click("maximiseButton")
    assert "the same PD, T1 and T2" in ready.message("designMessageLabel")
    assert ready.standins.dialogs.shown == []


def test_the_curve_follows_the_cursor_and_marks_the_present_value(ready: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    plots = SimpleNamespace(logic=lambda: SimpleNamespace(ShowChartInLayout=shown.append))
    monkeypatch.setattr(slicer.modules, "plots", plots, raising=False)
    crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode") or slicer.mrmlScene.AddNewNodeByClass("vtkMRMLCrosshairNode")
    click(ready, "flair")
    ready.click("curveButton")
    (chart,) = shown
    before = chart.GetNumberOfPlotSeriesNodes()
    head = voxels(ready.panel.maps.volume("mask")) > 0
    k, j, i = np.argwhere(head)[head.sum() // 2].tolist()
    matrix = vtk.vtkMatrix4x4()
    ready.panel.maps.volume("T1").GetIJKToRASMatrix(matrix)
    crosshair.SetCursorPositionRAS(matrix.MultiplyPoint([i, j, k, 1.0])[:3])
    ready.settle(150)
    assert chart.GetNumberOfPlotSeriesNodes() == before + 3  # the voxel and one SD on both sides
    series = [chart.GetNthPlotSeriesNode(n) for n in range(chart.GetNumberOfPlotSeriesNodes())]
    table = series[0].GetTableNode().GetTable()
    present = table.GetColumnByName("present value TI").GetVariantValue(0).ToDouble()
    assert present == ready.panel.protocol.state.values["TI"]
    fluid = table.GetColumnByName("Cerebrospinal fluid")
    times = table.GetColumnByName("TI")
    signal = {times.GetVariantValue(n).ToDouble(): fluid.GetVariantValue(n).ToDouble() for n in range(times.GetNumberOfTuples())}
    assert abs(min(signal, key=lambda time: signal[time]) - present) < 100.0  # fluid is nulled where the mark is
    nodes = ready.slicer.node_count()
    for step in range(5):
        crosshair.SetCursorPositionRAS(matrix.MultiplyPoint([i, j, k - step, 1.0])[:3])
        ready.settle(60)
    assert ready.slicer.node_count() == nodes
    ready.click("curveButton")
    assert ready.panel.design._observed is None


def test_a_curve_is_fast_enough_to_follow_the_cursor(ready: DrivenPanel) -> None:
    import time

    maps, section = ready.panel.maps, ready.panel.protocol
    points, protocol = section.points, section.state.protocol()
    voxel = voxelAt(maps, (0.0, -18.0, 15.0))
    start = time.perf_counter()
    for _ in range(10):
        updateCurve(maps, protocol, "TI", 6000.0, points, voxel)
    assert time.perf_counter() - start < 1.0, "10 a second"


def test_b_is_an_acquired_image_a_contrast_or_a_saved_volume(ready: DrivenPanel) -> None:
    click(ready, "dir")
    ready.choose("compareComboBox", "Acquired FLAIR")
    ready.click("compareButton")
    assert background(ready) is ready.parameters.flair
    assert not ready.ui.parametersWidget.enabled and "sub-01_FLAIR" in ready.message("compareLabel")
    ready.click("compareButton")
    assert background(ready) is ready.panel.protocol.live.preview.node and ready.ui.parametersWidget.enabled
    ready.click("setBButton")
    click(ready, "t1w")
    ready.click("compareButton")
    assert "B: DIR" in ready.message("compareLabel")
    assert ready.panel.protocol.live.preview.node.GetAttribute("PhysMRISynth.Protocol").startswith("dir,")
    ready.click("compareButton")
    assert ready.panel.protocol.live.preview.node.GetAttribute("PhysMRISynth.Protocol").startswith("se,")
    ready.click("keepButton")
    assert "synthetic se" in ready.ui.compareComboBox.itemText(ready.ui.compareComboBox.count - 1)


def test_side_by_side_shows_both_and_goes_back(ready: DrivenPanel) -> None:
    click(ready, "dir")
    right = ready.slicer.views["Yellow"]
    before = slicer.util.arrayFromVTKMatrix(right.GetSliceNode().GetSliceToRAS())
    nodes = ready.slicer.node_count()
    ready.click("setBButton")
    click(ready, "flair")
    ready.click("sideBySideButton")
    assert background(ready, "Red") is ready.panel.protocol.live.preview.node
    shown = background(ready, "Yellow")
    assert shown is not ready.panel.protocol.live.preview.node and shown.GetAttribute("PhysMRISynth.Protocol").startswith("dir,")
    left = slicer.util.arrayFromVTKMatrix(ready.slicer.views["Red"].GetSliceNode().GetSliceToRAS())
    np.testing.assert_array_equal(slicer.util.arrayFromVTKMatrix(right.GetSliceNode().GetSliceToRAS()), left)
    ready.slide("flair", "TI", 0.5)
    ready.rest()
    assert background(ready, "Yellow") is shown, "moving a slider leaves B alone"
    ready.click("sideBySideButton")
    np.testing.assert_array_equal(slicer.util.arrayFromVTKMatrix(right.GetSliceNode().GetSliceToRAS()), before)
    assert ready.slicer.node_count() == nodes and slicer.mrmlScene.GetNodeByID(shown.GetID() or "") is None


class Window:
    """A slice view with a renderer, as a layout manager hands it out."""

    def __init__(self, logic: Any) -> None:
        self.logic, self.renderers = logic, vtk.vtkRendererCollection()
        self.renderers.AddItem(vtk.vtkRenderer())
        self.window = SimpleNamespace(GetRenderers=lambda: self.renderers)  # a real one wants a screen

    def mrmlSliceCompositeNode(self) -> Any:
        return self.logic.GetSliceCompositeNode()

    def sliceView(self) -> Any:
        return SimpleNamespace(renderWindow=lambda: self.window, scheduleRender=lambda: None)

    def text(self) -> str:
        actors = self.renderers.GetFirstRenderer().GetActors2D()
        return "".join(actors.GetItemAsObject(n).GetInput() or "" for n in range(actors.GetNumberOfItems()))


def test_every_view_of_a_rendering_says_that_it_is_synthetic(ready: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = {name: Window(logic) for name, logic in ready.slicer.views.items()}
    names, layouts = {"sliceViewNames": lambda: list(windows), "sliceWidget": windows.__getitem__}, []
    manager = SimpleNamespace(**names, layout=3, setLayout=layouts.append)
    monkeypatch.setattr(slicer.app, "layoutManager", lambda: manager)
    click(ready, "dir")
    values = ready.panel.protocol.state.values
    wanted = f"SYNTHETIC · DIR · TR 11000 TE 25 TI1 {values['TI1']:.0f} TI2 {values['TI2']:.0f} · not for diagnosis"
    assert {window.text() for window in windows.values()} == {wanted}
    ready.slide("dir", "TE", 0.5)
    ready.rest()
    assert windows["Red"].text() != wanted and "SYNTHETIC · DIR" in windows["Red"].text()
    ready.choose("quantityComboBox", "T1")
    assert {window.text() for window in windows.values()} == {""}
    click(ready, "flair")
    ready.click("setBButton")
    ready.click("sideBySideButton")
    assert windows["Yellow"].text().startswith("B: SYNTHETIC · FLAIR")
    windows["Red"].mrmlSliceCompositeNode().SetBackgroundVolumeID(ready.parameters.flair.GetID())  # by another module
    assert windows["Red"].text() == ""
    ready.click("sideBySideButton")
    assert layouts == [slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView, 3]


def test_a_rendering_over_a_scan_is_named_too(ready: DrivenPanel) -> None:
    click(ready, "flair")
    composite = ready.slicer.views["Red"].GetSliceCompositeNode()
    composite.SetForegroundVolumeID(composite.GetBackgroundVolumeID())
    composite.SetBackgroundVolumeID(ready.parameters.flair.GetID())
    composite.SetForegroundOpacity(0.0)
    assert syntheticText(composite, slicer.mrmlScene) == ""
    composite.SetForegroundOpacity(0.5)
    assert "SYNTHETIC" in syntheticText(composite, slicer.mrmlScene)


def test_show_a_dir_of_this_patient_and_say_whether_to_trust_t1(driven: DrivenPanel, client: FakeClient) -> None:
    """The task of the usability review, by clicks alone."""
    assert driven.ui.emptyWidget.visible  # an empty panel offers images
    addImages("t1w", "t2w", "flair", known=small_head(1.5))
    driven.waitFor(lambda: driven.parameters.t1w is not None)
    assert "assumed protocols" in driven.ui.applyButton.text  # what it will be worth is said before the click
    for role, preset in (("t1w", "OASIS-3: T1w MPRAGE, TR 2400"), ("t2w", "OASIS-3: T2w SPACE"), ("flair", "OASIS-3: FLAIR, TE 91")):
        driven.choose(f"{role}ProtocolComboBox", preset)
    driven.ui.fieldStrengthSpinBox.value = 1.5
    assert driven.ui.applyButton.text == "Estimate tissue maps" and driven.message("estimateReasonLabel") == ""
    driven.click("applyButton")
    finish(driven, client, roles=("t1w", "t2w", "flair"), known=small_head(1.5), fieldStrength=1.5)
    assert background(driven) is driven.panel.maps.volume("T1")
    verdict = driven.message("verdictLabel")
    assert "Good." in verdict and "White matter T1 665\N{NO-BREAK SPACE}ms (median)" in verdict
    assert driven.bottomOf("verdictFrame") < 300, "without scrolling"
    click(driven, "dir")
    assert background(driven) is driven.panel.protocol.live.preview.node
    assert max(median(driven, 1), median(driven, 5)) < 0.05 * median(driven, 2)
    assert "for this head" in driven.message("presetNoteLabel")
    assert driven.bottomOf("parametersWidget", 400) < 900, "the sliders are seen without scrolling"
