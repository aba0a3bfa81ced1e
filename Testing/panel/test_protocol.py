"""Under the user's finger: the slice views show what the equation says, and every step can be taken back."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.rendering.render import render_arrays
from Testing.panel.estimates import FakeClient, estimated, voxels
from Testing.panel.harness import DrivenPanel


@pytest.fixture
def ready(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    """The panel after an estimate, with the first preset in view instead of T1."""
    estimated(driven, client)
    driven.panel.protocol.render()
    driven.settle()
    return driven


def equation(driven: DrivenPanel, protocol: Protocol) -> np.ndarray:
    """The image (z, y, x) that the maps in the scene give, computed apart from the panel."""
    maps = driven.panel.maps.tissueMaps()
    return np.float32(1000.0 if protocol.sequence.uses_pd else 1.0) * render_arrays(protocol, maps.pd, maps.t1, maps.t2)


def preview(driven: DrivenPanel) -> np.ndarray:
    return voxels(driven.panel.protocol.live.preview.node)


def rest(driven: DrivenPanel) -> None:
    """Wait until a slider counts as resting."""
    driven.rest()


def shownAndExpected(driven: DrivenPanel, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey values of the axial view's pixels that lie near a voxel's centre, as shown and as ``image`` gives with the window set."""
    node = driven.panel.protocol.live.preview.node
    display = node.GetDisplayNode()
    display.InterpolateOff()
    view = driven.slicer.views["Red"]
    toIjk, rasToIjk = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(rasToIjk)
    vtk.vtkMatrix4x4.Multiply4x4(rasToIjk, view.GetSliceNode().GetXYToRAS(), toIjk)
    matrix = slicer.util.arrayFromVTKMatrix(toIjk)
    shown = driven.slicer.picture("Red")[::-1, :, 0].astype(float)
    y, x = np.mgrid[: shown.shape[0], : shown.shape[1]]
    ijk = np.einsum("ab,b...->a...", matrix, np.stack([x, y, np.zeros_like(x), np.ones_like(x)]).astype(float))[:3]
    nearest = np.rint(ijk).astype(int)
    inside = np.all((nearest >= 0) & (nearest < np.array(image.shape[::-1])[:, None, None]), axis=0)
    near = inside & np.all(np.abs(ijk - nearest)[:2] < 0.3, axis=0)
    i, j, k = nearest[:, near]
    low = display.GetLevel() - display.GetWindow() / 2
    return shown[near], np.clip((image[k, j, i] - low) / display.GetWindow(), 0, 1) * 255


def test_moving_a_slider_changes_the_shown_pixels_as_the_equation_says(ready: DrivenPanel) -> None:
    inversion = ready.slide("flair", "TI", 0.25)
    ready.settle(60)
    assert ready.parameters.preset == ""
    protocol = load_presets()["synthetic-flair"].protocol.changed("test", TI=inversion)
    ready.slicer.show(ready.panel.protocol.live.preview.node)
    rest(ready)
    image = equation(ready, protocol)
    shown, expected = shownAndExpected(ready, image)
    assert expected.std() > 20
    assert np.abs(shown - expected).max() <= 1.5


def test_only_what_is_shown_is_rendered_while_a_slider_moves(ready: DrivenPanel) -> None:
    before = preview(ready).copy()
    ready.slide("flair", "TE", 0.7)
    ready.settle(60)
    moving = preview(ready)
    changed = np.argwhere(moving != before)
    assert len(changed)
    assert len(changed) < 0.3 * before.size
    rest(ready)
    np.testing.assert_array_equal(preview(ready), equation(ready, ready.panel.protocol.state.protocol()))


def test_the_window_stays_while_sliders_move_and_fits_a_new_preset(ready: DrivenPanel) -> None:
    display = ready.panel.protocol.live.preview.node.GetDisplayNode()
    display.SetWindowLevel(500.0, 300.0)
    ready.slide("flair", "TE", 0.8)
    rest(ready)
    assert (display.GetWindow(), display.GetLevel()) == (500.0, 300.0)
    ready.choose("presetComboBox", "T1w")
    assert (display.GetWindow(), display.GetLevel()) != (500.0, 300.0)


def test_without_live_preview_only_rest_renders(ready: DrivenPanel) -> None:
    ready.click("liveCheckBox")
    before = preview(ready).copy()
    ready.slide("flair", "TE", 0.7)
    ready.settle(60)
    np.testing.assert_array_equal(preview(ready), before)
    rest(ready)
    assert not np.array_equal(preview(ready), before)


def test_contradicting_values_are_told_and_the_last_picture_stays(ready: DrivenPanel) -> None:
    before = preview(ready).copy()
    ready.panel.protocol.rows.row("flair", "TR").spinBox.setValue(2000)
    rest(ready)
    told = ready.message("protocolMessageLabel")
    assert told.startswith("TI must be shorter than TR") and "Given" not in told and told.endswith("still show the contrast before.")
    labels = {name: ready.panel.protocol.rows.row("flair", name).label for name in ("TR", "TE", "TI")}
    assert [name for name, label in labels.items() if "background-color" in label.text] == ["TR", "TI"]
    assert not ready.ui.keepButton.enabled and "contradict" in ready.ui.keepButton.toolTip and not ready.ui.setBButton.enabled
    np.testing.assert_array_equal(preview(ready), before)
    assert not ready.panel.protocol.live.preview.node.GetAttribute("PhysMRISynth.Protocol").startswith("flair,TR=2000,")
    ready.panel.protocol.rows.row("flair", "TR").spinBox.setValue(9000)
    rest(ready)
    assert ready.message("protocolMessageLabel") == "" and [label.text for label in labels.values()] == ["TR", "TE", "TI"]
    assert ready.ui.keepButton.enabled
    assert not np.array_equal(preview(ready), before)


def test_a_sequence_brings_its_parameters_and_a_preset_its_values(ready: DrivenPanel) -> None:
    ready.choose("sequenceComboBox", "Balanced SSFP")
    assert ready.panel.protocol.state.values == {"TR": 5.0, "TE": 2.5, "FA": 40.0}
    ready.choose("presetComboBox", "ADNI: T1w MPRAGE")
    assert ready.ui.sequenceComboBox.currentText == "MPRAGE (exact, with readout train)"
    assert ready.panel.protocol.rows.row("mprage", "TE").spinBox.value == 2.98
    np.testing.assert_array_equal(preview(ready), equation(ready, load_presets()["adni-t1w"].protocol))


def test_undo_redo_and_compare(ready: DrivenPanel) -> None:
    ready.slide("flair", "TI", 0.25)
    rest(ready)
    changed = ready.panel.protocol.state
    ready.click("undoButton")
    assert ready.parameters.preset == "synthetic-flair"
    np.testing.assert_array_equal(preview(ready), equation(ready, load_presets()["synthetic-flair"].protocol))
    ready.click("redoButton")
    assert ready.panel.protocol.state == changed
    present = preview(ready).copy()
    ready.click("compareButton")
    assert "TI 2795" in ready.message("compareLabel")
    np.testing.assert_array_equal(preview(ready), equation(ready, load_presets()["synthetic-flair"].protocol))
    assert ready.panel.protocol.state == changed
    ready.click("compareButton")
    np.testing.assert_array_equal(preview(ready), present)
    assert ready.message("compareLabel") == ""


def test_comparing_keeps_the_windows_of_both(ready: DrivenPanel) -> None:
    display = ready.panel.protocol.live.preview.node.GetDisplayNode()
    display.SetWindowLevel(700.0, 350.0)
    ready.choose("presetComboBox", "T1w")
    display.SetWindowLevel(500.0, 300.0)
    ready.click("compareButton")
    assert (display.GetWindow(), display.GetLevel()) == (700.0, 350.0)
    ready.click("compareButton")
    assert (display.GetWindow(), display.GetLevel()) == (500.0, 300.0)


def test_comparing_while_a_map_is_shown_says_that_the_contrast_is_back(ready: DrivenPanel) -> None:
    ready.slide("flair", "TI", 0.25)
    rest(ready)
    ready.choose("quantityComboBox", "T1")
    ready.click("compareButton")
    assert ready.ui.quantityComboBox.currentText == "Synthetic contrast"


def test_one_drag_is_one_step_back(ready: DrivenPanel) -> None:
    for fraction in (0.2, 0.3, 0.4, 0.5):
        ready.slide("flair", "TI", fraction)
        ready.settle(20)
    rest(ready)
    ready.click("undoButton")
    assert ready.parameters.preset == "synthetic-flair"
    assert not ready.ui.undoButton.enabled


def test_keep_makes_a_volume_that_stays(ready: DrivenPanel) -> None:
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    ready.click("keepButton")
    (kept,) = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetID() not in before]
    image = voxels(kept).copy()
    assert kept.GetName() in ready.message("keptLabel")
    assert kept.GetAttribute("PhysMRISynth.Protocol") == load_presets()["synthetic-flair"].protocol.spec
    ready.slide("flair", "TI", 0.1)
    rest(ready)
    np.testing.assert_array_equal(voxels(kept), image)
    np.testing.assert_array_equal(image, equation(ready, load_presets()["synthetic-flair"].protocol))


def test_noise_is_added_and_repeatable(ready: DrivenPanel) -> None:
    clean = preview(ready).copy()
    ready.click("noisyCheckBox")
    rest(ready)
    noisy = preview(ready).copy()
    assert not np.array_equal(noisy, clean)
    ready.ui.snrSpinBox.value = 10.0
    rest(ready)
    assert (preview(ready) - clean).std() > 2 * (noisy - clean).std()
    ready.ui.snrSpinBox.value = 30.0
    rest(ready)
    np.testing.assert_array_equal(preview(ready), noisy)


def test_slider_moves_leave_no_nodes_behind(ready: DrivenPanel) -> None:
    before = ready.slicer.node_count()
    for move in range(100):
        ready.slide("flair", "TE", (move % 17) / 20)
        ready.settle(12)
    rest(ready)
    assert ready.slicer.node_count() == before


def test_a_map_that_was_removed_is_told_in_place(ready: DrivenPanel) -> None:
    slicer.mrmlScene.RemoveNode(ready.panel.maps.volume("T1"))
    maps = ready.parameters.maps
    ready.parameters.maps = None
    ready.parameters.maps = maps
    for fraction in (0.5, 0.6):
        ready.slide("flair", "TE", fraction)
        rest(ready)
    assert "T1" in ready.message("protocolMessageLabel")
    assert not ready.ui.keepButton.enabled
