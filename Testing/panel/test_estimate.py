"""Estimating: the button's two meanings, progress, result and warnings in place, and what happens when the scene changes meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import slicer
from mrml.scene import scalar_volume
from panel.estimates import NAMES, FakeClient, addImages, estimated, finish, head, ijkToRas
from panel.harness import DrivenPanel, drivenPanel, importedFromPanel
from PhysMRISynthLib.mrml.headers import HEADER
from PhysMRISynthLib.workflow.simulate import simulate
from PhysMRISynthLib.workflow.worker.jobs import Cancelled, Failed, Progress


@pytest.fixture
def running(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    """The panel with an estimate of T1w and FLAIR under way."""
    addImages("t1w", "flair")
    driven.enter()
    driven.click("applyButton")
    return driven


def test_apply_starts_the_worker_and_turns_into_cancel(running: DrivenPanel, client: FakeClient) -> None:
    (job,) = client.jobs
    assert [acquisition.name for acquisition in job.acquisitions] == ["t1w", "flair"]
    assert running.ui.applyButton.text == "Cancel"
    assert running.ui.applyButton.enabled
    assert running.panel.estimate.timer.interval <= 100


def test_progress_shows_stage_and_remaining_time(running: DrivenPanel, client: FakeClient) -> None:
    client.told.append(Progress("fit voxels", 0.5, 0.7, 42.0))
    running.waitFor(lambda: running.ui.estimateProgressBar.value == 700)
    assert running.message("estimateStageLabel") == "Fit voxels … about 42 s left"


def test_the_result_is_selected_shown_and_told(running: DrivenPanel, client: FakeClient) -> None:
    finish(running, client, warnings=("flair: the train length is assumed.",))
    assert running.ui.applyButton.text == "Estimate tissue maps"
    assert running.parameters.maps is not None
    assert running.ui.mapsSelector.currentNode() is running.parameters.maps
    told = running.message("estimateResultLabel")
    assert "38 s" in told
    assert "worst residual 2.0 % (FLAIR)" in told
    assert "suits the method (0.42, limit 1)" in told
    assert "white matter T1 950 ± 48 ms" in told
    assert "the train length is assumed" in running.message("estimateWarningLabel")
    assert running.standins.dialogs.shown == []
    shown = running.slicer.views["Red"].GetSliceCompositeNode().GetBackgroundVolumeID()
    assert shown == running.panel.protocol.live.preview.node.GetID()


def test_inputs_that_the_method_is_not_for_are_told_in_the_result() -> None:
    text = importedFromPanel("runText").resultText({"applicability": {"score": 1.4}})
    assert "does not suit the method (1.40, limit 1)" in text


def test_news_that_come_after_cancel_do_not_hide_it(running: DrivenPanel, client: FakeClient) -> None:
    running.ui.applyButton.click()
    client.told = [Progress("fit voxels", 0.5, 0.7, 42.0)]
    running.waitFor(lambda: running.ui.estimateProgressBar.value == 700)
    assert running.message("estimateStageLabel") == "Cancelling …"
    client.told = [Cancelled()]
    running.waitFor(lambda: not running.panel.estimate.running)
    running.click("applyButton")
    client.told = [Progress("fit voxels", 0.1, 0.1, 42.0)]
    running.waitFor(lambda: running.ui.estimateProgressBar.value == 100)
    assert running.message("estimateStageLabel").startswith("Fit voxels")


def test_the_log_tells_stages_result_and_warnings(running: DrivenPanel, client: FakeClient) -> None:
    client.told = [Progress("align", 0.0, 0.1, None), Progress("align", 0.5, 0.2, None), Progress("fit voxels", 0.5, 0.7, 42.0)]
    running.settle(150)
    finish(running, client, warnings=("flair: the train length is assumed.",))
    log = running.ui.logTextEdit.plainText
    assert log.count("align") == 1
    assert log.index("t1w: mprage") < log.index("align") < log.index("fit voxels") < log.index("worst residual")
    assert "flair: the train length is assumed." in log


def test_cancel_leaves_everything_as_it_was(running: DrivenPanel, client: FakeClient) -> None:
    before = running.slicer.node_count()
    running.click("applyButton")
    assert client.cancels
    running.waitFor(lambda: not running.panel.estimate.running)
    assert "Cancelled" in running.message("estimateResultLabel")
    assert running.parameters.maps is None
    assert running.slicer.node_count() == before
    running.click("applyButton")
    assert len(client.jobs) == 2


def test_removing_an_input_meanwhile_does_no_harm(running: DrivenPanel, client: FakeClient) -> None:
    slicer.mrmlScene.RemoveNode(running.parameters.t1w)
    running.settle()
    assert running.ui.applyButton.text == "Cancel"
    finish(running, client)
    assert running.parameters.maps is not None
    assert running.parameters.t1w is None


def test_closing_the_scene_meanwhile_drops_the_result_and_says_so(running: DrivenPanel, client: FakeClient) -> None:
    slicer.mrmlScene.Clear()
    assert client.cancels
    running.waitFor(lambda: not running.panel.estimate.running)
    assert "scene was closed" in running.message("estimateWarningLabel")
    assert running.parameters is not None
    assert running.parameters.maps is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_a_failure_is_told_in_place(running: DrivenPanel, client: FakeClient) -> None:
    client.told.append(Failed("The worker ran out of memory. Close other programs.", "memory"))
    running.waitFor(lambda: not running.panel.estimate.running)
    assert "out of memory" in running.message("estimateWarningLabel")
    assert running.ui.applyButton.enabled
    assert running.standins.dialogs.shown == []


def test_inputs_that_cannot_be_used_are_told_before_the_worker_starts(driven: DrivenPanel, client: FakeClient) -> None:
    node = addImages("t1w")["t1w"]
    slicer.util.arrayFromVolume(node)[:] = 7.0
    driven.enter()
    driven.click("applyButton")
    assert client.jobs == []
    assert NAMES["t1w"] in driven.message("estimateWarningLabel")
    assert not driven.panel.estimate.running


def test_choices_reach_the_job(driven: DrivenPanel, client: FakeClient) -> None:
    addImages("t1w", "flair")
    driven.enter()
    driven.choose("registerComboBox", "Always")
    driven.choose("referenceComboBox", "FLAIR")
    driven.choose("priorComboBox", "Literature")
    driven.choose("flairProtocolComboBox", "OASIS-3: FLAIR")
    driven.ui.fieldStrengthSpinBox.value = 1.5
    driven.ui.spacingSpinBox.value = 2.0
    driven.click("applyButton")
    (job,) = client.jobs
    assert (job.register, job.reference, job.prior, job.field_strength, job.spacing_mm) == (True, "flair", "literature", 1.5, 2.0)
    assert job.acquisitions[1].protocol.sources["TI"] == "preset oasis3-flair"


def test_maps_have_the_references_voxels_unless_asked_otherwise(running: DrivenPanel, client: FakeClient) -> None:
    assert client.jobs[0].spacing_mm is None
    assert running.ui.spacingSpinBox.text == "As the reference"


def test_a_t1w_after_a_contrast_agent_is_taken_where_that_is_allowed(driven: DrivenPanel, client: FakeClient) -> None:
    node = addImages("t1w")["t1w"]
    node.SetAttribute(HEADER, json.dumps({"source": "sidecar", "fields": {"ContrastBolusAgent": "GADAVIST"}}))
    driven.parameters.t1w = node
    driven.click("applyButton")
    assert client.jobs == []
    assert "'Allow contrast agent' takes it nevertheless" in driven.message("estimateWarningLabel")
    driven.click("allowContrastAgentCheckBox")
    driven.click("applyButton")
    assert "contrast agent" in client.jobs[0].acquisitions[0].protocol.notes[0]


def test_the_result_line_follows_the_selected_maps(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client)
    maps = driven.parameters.maps
    driven.parameters.maps = None
    assert driven.message("estimateResultLabel") == ""
    driven.parameters.maps = maps
    assert "38 s" in driven.message("estimateResultLabel")


@pytest.fixture
def real() -> Iterator[DrivenPanel]:
    """The panel with its own worker."""
    with drivenPanel() as panel:
        yield panel


@pytest.mark.slow
def test_a_real_estimate_of_a_small_head(real: DrivenPanel) -> None:
    from PhysMRISynthLib.physics.presets import load_presets

    protocols = {role: load_presets()[f"oasis3-{role}"].protocol for role in ("t1w", "t2w", "flair")}
    for role, image in simulate(head().maps, protocols, 60.0, 0.1, 0).items():
        scalar_volume(image, ijkToRas(), NAMES[role])
    real.enter()
    for role in protocols:
        setattr(real.parameters, f"{role}Protocol", f"oasis3-{role}")
    real.choose("priorComboBox", "Literature")
    real.click("applyButton")
    real.waitFor(lambda: not real.panel.estimate.running, seconds=240)
    assert real.parameters.maps is not None, real.message("estimateWarningLabel")
    maps = real.panel.maps.tissueMaps()
    white = head().tissue == 1
    assert "worst residual" in real.message("estimateResultLabel")
    assert abs(float(maps.t1[white & maps.mask].mean()) / float(head().maps.t1[white].mean()) - 1.0) < 0.15
