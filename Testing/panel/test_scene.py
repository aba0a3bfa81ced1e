"""A saved scene comes back as it was left: choices, sliders, links and voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import slicer

from Testing.panel.estimates import FakeClient, estimated, voxels
from Testing.panel.harness import DrivenPanel


def test_a_scene_that_is_saved_and_loaded_is_the_same(driven: DrivenPanel, client: FakeClient, tmp_path: Path) -> None:
    estimated(driven, client)
    driven.choose("presetComboBox", "T1w")
    moved = driven.slide("se", "TE", 0.3)
    driven.rest()
    driven.click("noisyCheckBox")
    driven.click("keepButton")
    driven.choose("registerComboBox", "Always")
    driven.parameters.flairProtocol = "oasis3-flair,TI=2400"
    driven.panel.sample.rows.field("brain_volume").setValue(1250.0)
    driven.ui.sampleGuidanceSpinBox.value = 1.5
    before = state(driven)
    assert before["target"] == 1250.0 and before["sampleGuidance"] == 1.5
    assert before["TE"] == moved != 10.0  # the preset's
    bundle = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(bundle))
    slicer.mrmlScene.Clear()
    assert driven.parameters.maps is None
    assert slicer.mrmlScene.ReadFromMRB(str(bundle))
    driven.settle(400)
    after = state(driven)
    assert after.keys() == before.keys()
    for name in before:
        np.testing.assert_equal(after[name], before[name], err_msg=name)
    driven.slide("se", "TE", 0.5)
    driven.rest()
    assert driven.message("protocolMessageLabel") == ""


def state(driven: DrivenPanel) -> dict[str, object]:
    """What the user sees and has: choices, widgets, volumes."""
    parameters, ui = driven.parameters, driven.ui
    names = [name for name in type(parameters).allParameters if name not in ("t1w", "t2w", "flair", "maps")]
    chosen = {name: getattr(parameters, name) for name in names}
    linked = {name: getattr(parameters, name).GetName() for name in ("t1w", "flair", "maps")}
    shown = {
        "TE": driven.panel.protocol.rows.row("se", "TE").spinBox.value,
        "registration": ui.registerComboBox.currentText,
        "verdict": driven.message("verdictLabel"),
        "flair": driven.message("flairValuesLabel"),
        "target": driven.panel.sample.rows.field("brain_volume").value,
    }
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return {**chosen, **linked, **shown, **{f"voxels of {node.GetName()}": voxels(node).copy() for node in nodes}}
