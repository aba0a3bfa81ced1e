"""What a real Slicer does to a panel: reload, scripts that set parameters, views, tables and plots, folders that nobody may write."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from Testing.panel.estimates import FakeClient, addImages, estimated, finish, voxels
from Testing.panel.harness import DrivenPanel


def test_opening_the_module_again_and_again_leaves_nothing_behind(driven: DrivenPanel) -> None:
    first = weakref.ref(driven.parameters)
    for _again in range(3):
        driven.enter()
    assert driven.parameters is first()  # every other one would read all parameters at every change
    slicer.mrmlScene.Clear()
    gc.collect()
    assert first() is None and driven.parameters is not None


@pytest.mark.parametrize(("name", "value"), [("snr", 12.5), ("snr", 33.333), ("fieldStrength", 1.494), ("spacing", 1.2345)])
def test_what_a_script_sets_stays_as_it_is(driven: DrivenPanel, client: FakeClient, name: str, value: float) -> None:
    estimated(driven, client)
    setattr(driven.parameters, name, value)
    driven.settle()
    assert getattr(driven.parameters, name) == value
    driven.enter()
    assert getattr(driven.parameters, name) == value


def test_noise_that_a_script_asks_for_is_rendered(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client)
    driven.choose("presetComboBox", "T1w")
    driven.rest()
    before = voxels(driven.panel.protocol.live.preview.node).copy()
    driven.parameters.noisy = True
    driven.rest()
    noisy = voxels(driven.panel.protocol.live.preview.node).copy()
    assert not np.array_equal(noisy, before)
    driven.parameters.snr = 100.0
    driven.rest()
    quieter = voxels(driven.panel.protocol.live.preview.node)
    assert np.abs(quieter - before).mean() < 0.6 * np.abs(noisy - before).mean()


def test_a_move_of_a_slider_reads_no_file_and_asks_for_no_package(
    driven: DrivenPanel, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimated(driven, client)
    driven.choose("presetComboBox", "T1w")
    driven.rest()
    with monkeypatch.context() as watched:
        watched.setattr(Path, "read_text", lambda *arguments, **named: pytest.fail("a file was read"))
        watched.setattr("importlib.util.find_spec", lambda name: pytest.fail(f"{name} was looked for"))
        for section in driven.panel.sections:
            if section is not driven.panel.protocol:
                watched.setattr(section, "update", lambda: pytest.fail("a section that shows no slider was updated"))
        driven.panel.protocol.rows.row("se", "TE").slider.setValue(300)
    assert driven.panel.protocol.state.values["TE"] != 10.0


@pytest.fixture
def reloadable(driven: DrivenPanel) -> Iterator[DrivenPanel]:
    """The library's modules are put back afterwards: other tests have imported from them."""
    kept = {name: module for name, module in sys.modules.items() if name.startswith("PhysMRISynth")}
    yield driven
    for name in [name for name in sys.modules if name.startswith("PhysMRISynth")]:
        del sys.modules[name]
    sys.modules.update(kept)


def test_reloading_keeps_the_panel_live_and_takes_edits_of_the_library(reloadable: DrivenPanel) -> None:
    driven, before = reloadable, sys.modules["PhysMRISynthLib.panel.panel"]
    driven.widget.onReload()
    assert sys.modules["PhysMRISynthLib.panel.panel"] is not before
    nodes = addImages("t1w", "flair")  # nobody enters the module, which is open
    driven.waitFor(lambda: driven.parameters.t1w is nodes["t1w"])
    assert driven.parameters.flair is nodes["flair"]


def test_the_table_and_the_histogram_are_shown_in_views(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client)
    layout = slicer.app.layoutManager().layout
    driven.click("tableButton")
    table = slicer.mrmlScene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActiveTableID())
    assert table.GetNumberOfRows() > 3 and slicer.app.layoutManager().layout != layout
    layout = slicer.app.layoutManager().layout
    driven.click("histogramT1Button")
    chart = slicer.mrmlScene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActivePlotChartID())
    assert chart.GetNumberOfPlotSeriesNodes() > 1 and slicer.app.layoutManager().layout != layout
    assert driven.message("mapsMessageLabel") == "" and driven.standins.dialogs.shown == []


def test_a_new_head_in_an_empty_scene_fills_the_views(driven: DrivenPanel, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PhysMRISynthLib.panel.sampleSection.present_weights", lambda kind: Path(kind))
    monkeypatch.setattr(driven.panel, "ensureSampling", lambda: True)
    driven.panel.update()
    driven.slicer.views["Red"].GetSliceNode().SetFieldOfView(2500.0, 2500.0, 1.0)
    driven.click("sampleButton")
    finish(driven, client)
    driven.settle(400)
    width = driven.slicer.views["Red"].GetSliceNode().GetFieldOfView()[0]
    assert 150.0 < width < 500.0, "the head is a dot in the view"
    assert (driven.slicer.picture("Red")[..., :3].max(axis=2) > 20).mean() > 0.15
    driven.slicer.views["Red"].GetSliceNode().SetFieldOfView(50.0, 50.0, 1.0)
    driven.choose("presetComboBox", "T2w")  # where something was shown, the user's zoom stays
    assert driven.slicer.views["Red"].GetSliceNode().GetFieldOfView()[0] == 50.0


def test_weights_that_cannot_be_deleted_are_named_with_what_to_do(
    driven: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vae.safetensors"
    path.touch()

    def refuse(*arguments: Any, **named: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("PhysMRISynthLib.panel.advancedSection.present_weights", lambda: (path, "a" * 64) if path.exists() else None)
    monkeypatch.setattr(Path, "unlink", refuse)
    driven.click("weightsDeleteButton")
    assert str(path) in driven.message("estimateWarningLabel") and "Permission denied" in driven.message("estimateWarningLabel")
    assert path.exists() and driven.standins.dialogs.texts("errorDisplay") == []
