"""Estimating: the button's two meanings, progress, result and warnings in place, and what happens when the scene changes meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import slicer

from PhysMRISynthLib.mrml.headers import HEADER
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from PhysMRISynthLib.workflow.worker.jobs import Cancelled, Failed, Progress
from Testing.mrml.scene import scalar_volume
from Testing.panel.estimates import NAMES, FakeClient, addImages, estimated, finish, head, ijkToRas
from Testing.panel.harness import DrivenPanel, drivenPanel, importedFromPanel


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
    assert running.message("estimateStageLabel") == "Fitting each voxel … about 42 s left"


def test_the_result_is_selected_shown_and_told(running: DrivenPanel, client: FakeClient) -> None:
    finish(running, client, warnings=("flair: the train length is assumed.",))
    assert running.ui.applyButton.text == "Estimate with assumed protocols"  # of the images, which have no headers
    assert running.parameters.maps is not None
    assert running.ui.mapsSelector.currentNode() is running.parameters.maps
    told = running.message("verdictLabel")
    assert "Use with caution." in told and "FLAIR: the train length is assumed." in told
    assert "White matter T1 950\N{NO-BREAK SPACE}ms" in told and "±" not in told
    assert running.message("detailsLabel") == ""
    running.click("detailsButton")
    assert "38 s" in running.message("detailsLabel") and "T1w 1.0\N{NO-BREAK SPACE}%, FLAIR 2.0\N{NO-BREAK SPACE}%" in running.message(
        "detailsLabel"
    )
    assert running.standins.dialogs.shown == []
    shown = running.slicer.views["Red"].GetSliceCompositeNode().GetBackgroundVolumeID()
    assert shown == running.panel.maps.volume("T1").GetID()


def test_an_estimate_folds_what_is_done(running: DrivenPanel, client: FakeClient) -> None:
    finish(running, client)
    assert running.ui.inputsCollapsibleButton.collapsed and running.ui.estimateCollapsibleButton.collapsed
    assert running.ui.inputsCollapsibleButton.text == "Inputs: T1w ○ · T2w none · FLAIR ○"
    running.ui.inputsCollapsibleButton.collapsed = False
    assert running.ui.inputsCollapsibleButton.text == "Inputs"


def test_the_verdict_has_its_reasons_below_their_causes() -> None:
    text = importedFromPanel("verdictText")
    reasons = [
        {"cause": "protocol", "level": "do_not_use", "text": "Nothing is known.", "image": "t2w"},
        {"cause": "fit", "level": "caution", "text": "Poor fit of t1w.", "image": None},
        {"cause": "images", "level": "good", "text": "Slices overlap.", "image": "flair"},
    ]
    report = {"verdict": "do_not_use", "reasons": reasons}
    assert re.sub("<[^>]+>", "", text.verdictHtml(report)) == "&nbsp;✖ Do not use.&nbsp; T2w: Nothing is known."
    details = text.detailsHtml(report)
    order = [details.index(part) for part in ("Images", "FLAIR: Slices", "Protocols", "T2w: Nothing", "Fit", "Poor fit of T1w")]
    assert order == sorted(order) and text.detailsCount(report) == 3
    assert text.verdictHtml({}) == ""


@pytest.mark.parametrize(("source", "shown"), [("default", "ms (protocol assumed)"), ("sidecar", "ms (median)")])
def test_assumed_protocols_are_said_with_every_number(source: str, shown: str) -> None:
    text, table = importedFromPanel("verdictText"), importedFromPanel("statisticsText")
    medians = {"white_matter": {"PD": 70.0, "T1": 950.0, "T2": 80.0, "volume_ml": 400.0}}
    inputs = {"t1w": {"protocol": {"parameters": {"TR": {"value": 2400.0, "source": source}}}}}
    report = {"verdict": "caution", "reasons": [], "tissue_medians": medians, "inputs": inputs}
    assert f"950\N{NO-BREAK SPACE}{shown}" in text.verdictHtml(report)
    assert ("Protocol assumed" in table.statisticsHtml(report)) is (source == "default")


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
    assert running.message("estimateStageLabel").startswith("Fitting each voxel")


def test_the_log_tells_stages_result_and_warnings(running: DrivenPanel, client: FakeClient) -> None:
    client.told = [Progress("align", 0.0, 0.1, None), Progress("align", 0.5, 0.2, None), Progress("fit voxels", 0.5, 0.7, 42.0)]
    running.settle(150)
    finish(running, client, warnings=("flair: the train length is assumed.",))
    log = running.ui.logTextEdit.plainText
    assert log.count("align") == 1
    assert log.index("t1w: mprage") < log.index("align") < log.index("fit voxels") < log.index("Use with caution")
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
    running.click("showLogButton")
    assert running.ui.logTextEdit.visible and "out of memory" in running.ui.logTextEdit.plainText
    running.click("applyButton")
    assert not running.ui.showLogButton.visible
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
    driven.choose("priorComboBox", "Atlas only")
    driven.choose("flairProtocolComboBox", "OASIS-3: FLAIR, TE 91")
    driven.ui.fieldStrengthSpinBox.value = 1.5
    driven.ui.spacingSpinBox.value = 2.0
    driven.click("applyButton")
    (job,) = client.jobs
    asked = job.order
    assert (asked.register, asked.reference, asked.prior, asked.field_strength, asked.spacing_mm) == (True, "flair", "literature", 1.5, 2.0)
    assert job.acquisitions[1].protocol.sources["TI"] == "preset oasis3-flair"


def test_maps_have_the_references_voxels_unless_asked_otherwise(running: DrivenPanel, client: FakeClient) -> None:
    assert client.jobs[0].order.spacing_mm is None
    assert running.ui.spacingSpinBox.text == "As the reference"


def test_a_t1w_after_a_contrast_agent_is_taken_where_that_is_allowed(driven: DrivenPanel, client: FakeClient) -> None:
    node = addImages("t1w")["t1w"]
    node.SetAttribute(HEADER, json.dumps({"source": "sidecar", "fields": {"ContrastBolusAgent": "GADAVIST"}}))
    driven.parameters.t1w = node
    driven.click("applyButton")
    assert client.jobs == []
    assert "Tick 'Allow contrast agent' under 'Advanced' to accept it anyway" in driven.message("estimateWarningLabel")
    driven.click("allowContrastAgentCheckBox")
    driven.click("applyButton")
    assert "contrast agent" in client.jobs[0].acquisitions[0].protocol.notes[0]


def test_the_verdict_follows_the_selected_maps(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client)
    maps = driven.parameters.maps
    driven.parameters.maps = None
    assert not driven.ui.verdictFrame.visible
    driven.parameters.maps = maps
    assert driven.ui.verdictFrame.visible and "Good." in driven.message("verdictLabel")


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
    real.choose("priorComboBox", "Atlas only")
    real.click("applyButton")
    real.waitFor(lambda: not real.panel.estimate.running, seconds=240)
    assert real.parameters.maps is not None, real.message("estimateWarningLabel")
    maps = real.panel.maps.tissueMaps()
    white = head().tissue == 1
    assert "White matter T1" in real.message("verdictLabel")
    assert abs(float(maps.t1[white & maps.mask].mean()) / float(head().maps.t1[white].mean()) - 1.0) < 0.15


def test_weights_of_ones_own_training_are_chosen_and_used(driven: DrivenPanel, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    import qt

    answers = iter(("/runs/vae.safetensors", ""))
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *arguments: next(answers))
    driven.click("weightsFileButton")
    driven.click("weightsFileButton")  # cancelled: nothing changes
    assert driven.ui.weightsFileEdit.text == driven.parameters.weights == "/runs/vae.safetensors"
    addImages("t1w", "flair")
    driven.enter()
    driven.click("applyButton")
    assert client.jobs[0].order.weights == "/runs/vae.safetensors"
