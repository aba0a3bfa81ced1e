"""The module's logic on a real scene, with a worker that answers as the test says: what scripts and the panel rely on."""

from __future__ import annotations

import gc
import importlib
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
import vtk

from PhysMRISynthLib.errors import ImageError, PhysMRISynthError, Remedy, Step
from PhysMRISynthLib.mrml.estimation import WorkerRun
from PhysMRISynthLib.mrml.headers import HEADER
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.worker.jobs import Cancelled, EstimateJob, Failed, Finished, Progress
from Testing.mrml.scene import linear_transform, scalar_volume
from Testing.mrml.sessions import visit, volumes
from Testing.panel.estimates import FakeClient, addImages, ijkToRas, result
from Testing.standins import Standins


class SlowClient(FakeClient):
    """Tells one event a poll, as a worker does in the course of time; ``between`` is called before each."""

    def __init__(self, *events: Any) -> None:
        super().__init__()
        self.events, self.between = list(events), lambda: None

    def poll(self) -> list[Any]:
        self.between()
        self.told += [self.events.pop(0)] if self.events else []
        return super().poll()


def waiting(*events: Any) -> tuple[Any, SlowClient]:
    """A logic with a worker that tells these events, and that worker."""
    slow = SlowClient(*events)
    return importlib.import_module("PhysMRISynth").PhysMRISynthLogic(slow), slow


def ended(logic: Any) -> list[Any]:
    """Poll to the end of the run, as the panel's timer does; what it tells, without progress."""
    told = []
    while logic.busy:
        told += logic.poll()
    return [event for event in told if not isinstance(event, Progress)]


# --- estimating -----------------------------------------------------------------------------------------------------------------


def test_waiting_returns_the_maps_and_keeps_slicer_responsive(standins: Standins) -> None:
    logic, _slow = waiting(Progress("align", 0.5, 0.1, None), Progress("fit voxels", 0.5, 0.9, 3.0), Finished(result()))
    told: list[tuple[str, float]] = []
    node = logic.estimateTissueMaps(**addImages("t1w", "flair"), progress=lambda stage, done: told.append((stage, done)))
    maps = TissueMapNodes.wrap(node)
    assert [step for step in told if step[0] != "make the volumes"] == [("align", 0.1), ("fit voxels", 0.9)]
    assert [done for _, done in told] == sorted(done for _, done in told) and standins.app.eventsProcessed >= 3
    assert np.array_equal(slicer.util.arrayFromVolume(maps.volume("T1")), result().maps.t1)
    assert node.GetNodeReference("input_t1w").GetName() == "sub-01_T1w" and not logic.busy


def test_polling_tells_the_end_after_the_maps_are_there(logic: Any, client: FakeClient) -> None:
    told: list[Any] = []
    assert logic.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False, finished=told.append) is None
    assert logic.busy and logic.poll() == []
    client.told = [Progress("align", 1.0, 0.3, None), Finished(result(("t1w",)))]
    (event,) = ended(logic)
    assert isinstance(event, Finished)
    (node,) = told
    assert TissueMapNodes.wrap(node).volume("T1") is not None and logic.poll() == []


def test_arrays_that_are_in_the_scene_are_not_kept_twice(logic: Any, client: FakeClient) -> None:
    logic.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False)
    client.told = [Finished(result(("t1w",)))]
    received = weakref.ref(client.told[0])
    ended(logic)
    gc.collect()
    assert TissueMapNodes.all(slicer.mrmlScene) and received() is None


def test_what_was_asked_reaches_the_worker(logic: Any, client: FakeClient) -> None:
    nodes = addImages("t1w", "flair")
    protocols = {"t1w": "oasis3-t1w", "flair": "flair,TR=9000,TE=90,TI=2500"}
    options = {"reference": "flair", "register": False, "fieldStrength": 1.5, "prior": "literature", "device": "cpu", "spacing": 1.5}
    logic.estimateTissueMaps(**nodes, protocols=protocols, waitForCompletion=False, **options)
    (job,) = client.jobs
    assert isinstance(job, EstimateJob)
    assert job.order == EstimateOrder(protocols, 1.5, "flair", False, "literature", "cpu", 1.5)
    assert [(a.name, a.protocol.values) for a in job.acquisitions] == [
        ("t1w", protocol_from_spec("oasis3-t1w").values),
        ("flair", protocol_from_spec(protocols["flair"]).values),
    ]


def test_a_t1w_after_a_contrast_agent_needs_permission(logic: Any, client: FakeClient) -> None:
    nodes = addImages("t1w")
    nodes["t1w"].SetAttribute(HEADER, json.dumps({"source": "sidecar", "fields": {"ContrastBolusAgent": "GADAVIST"}}))
    with pytest.raises(ImageError, match="contrast agent"):
        logic.estimateTissueMaps(**nodes, waitForCompletion=False)
    logic.estimateTissueMaps(**nodes, waitForCompletion=False, allowContrastAgent=True)
    assert "contrast agent" in client.jobs[0].acquisitions[0].protocol.notes[0]


def test_field_strength_comes_from_headers_else_it_is_assumed_and_told(logic: Any, client: FakeClient, tmp_path: Path) -> None:
    nodes = addImages("t1w")
    logic.estimateTissueMaps(**nodes, waitForCompletion=False)
    client.told = [Finished(result(("t1w",)))]
    ended(logic)
    (maps,) = TissueMapNodes.all(slicer.mrmlScene)
    assert client.jobs[0].order.field_strength == 3.0 and "3 T is assumed" in maps.report["warnings"][0]
    loaded = logic.loadSession(visit(tmp_path, t1w={"MagneticFieldStrength": 1.5}))
    logic.estimateTissueMaps(**loaded, fieldStrength=0.0, waitForCompletion=False)  # 0: as the panel says "from header"
    assert client.jobs[1].order.field_strength == 1.5


def test_headers_that_disagree_are_told_without_words_of_the_command_line(logic: Any, tmp_path: Path) -> None:
    loaded = logic.loadSession(visit(tmp_path, t1w={"MagneticFieldStrength": 1.5}, t2w={"MagneticFieldStrength": 3.0}))
    with pytest.raises(PhysMRISynthError, match=r"1\.5, 3\.0 T") as caught:
        logic.estimateTissueMaps(**loaded, waitForCompletion=False)
    assert "--" not in str(caught.value) and not logic.busy


@pytest.mark.parametrize(
    ("given", "options", "cause"),
    [
        ((), {}, "No input"),
        (("t1w",), {"protocols": {"flair": "flair"}}, "protocol is given for flair, but no image"),
        (("t1w",), {"protocols": {"t1w": "mprage,TR=1"}}, "sub-01_T1w"),
        (("t1w",), {"protocols": {"pd": "se"}}, "'pd' is no input"),
        (("t1w",), {"reference": "flair"}, "flair"),
    ],
)
def test_input_that_cannot_be_used_is_refused_at_once(
    logic: Any, client: FakeClient, given: tuple[str, ...], options: dict[str, Any], cause: str
) -> None:
    nodes = addImages(*given)
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(PhysMRISynthError, match=cause):
        logic.estimateTissueMaps(**nodes, **options)
    assert not client.jobs and not logic.busy and slicer.mrmlScene.GetNumberOfNodes() == before


def test_one_volume_cannot_be_two_inputs(logic: Any) -> None:
    node = addImages("t1w")["t1w"]
    with pytest.raises(PhysMRISynthError, match="two inputs"):
        logic.estimateTissueMaps(t1w=node, t2w=node)


def test_an_empty_volume_is_named(logic: Any) -> None:
    node = scalar_volume(np.zeros((20, 20, 20), np.float32), np.diag([4.0, 4.0, 4.0, 1.0]), "blank")
    with pytest.raises(ImageError, match="blank"):
        logic.estimateTissueMaps(t1w=node)


def test_one_estimate_at_a_time(logic: Any, client: FakeClient) -> None:
    nodes = addImages("t1w")
    logic.estimateTissueMaps(**nodes, waitForCompletion=False)
    for start in (lambda: logic.estimateTissueMaps(**nodes), lambda: logic.sampleTissueMaps()):
        with pytest.raises(PhysMRISynthError, match="running"):
            start()
    assert len(client.jobs) == 1


def test_a_worker_that_fails_says_why(standins: Standins) -> None:
    logic, _slow = waiting(Failed("No network weights are installed.", "missing", (Step(Remedy.USE_LITERATURE_PRIOR),)))
    with pytest.raises(PhysMRISynthError, match=r"installed\. Use prior='literature'"):
        logic.estimateTissueMaps(**addImages("t1w"), prior="network")
    assert volumes() == ["sub-01_T1w"] and not logic.busy


def test_cancelling_leaves_the_scene_as_it_was(standins: Standins) -> None:
    logic, slow = waiting(Progress("align", 0.5, 0.1, None))
    slow.between = lambda: None if slow.events or slow.cancels else logic.cancel()  # a click while the script waits
    nodes = addImages("t1w")
    before = slicer.mrmlScene.GetNumberOfNodes()
    assert logic.estimateTissueMaps(**nodes) is None
    assert slicer.mrmlScene.GetNumberOfNodes() == before and not logic.busy


def test_sampling_is_the_workers_word(standins: Standins) -> None:
    logic, slow = waiting(Failed("New heads cannot be drawn.", "missing"))
    with pytest.raises(PhysMRISynthError, match="cannot be drawn"):
        logic.sampleTissueMaps(seed=4, count=2, steps=7, condition={"lesion_load": 3.0})
    assert slow.jobs == [SampleOrder(4, count=2, steps=7, condition={"lesion_load": 3.0})]


def test_a_script_asks_which_conditions_weights_know(logic: Any, client: FakeClient, tmp_path: Path) -> None:
    found = logic.sampleConditions()
    assert {"brain_volume", "ventricle_share", "lesion_load"} <= set(found) and found["brain_volume"].unit == "ml"
    assert 0.0 < found["brain_volume"].least < found["brain_volume"].greatest
    with pytest.raises(PhysMRISynthError, match="no network weights at"):
        logic.sampleConditions(tmp_path / "mine.safetensors")
    logic.sampleTissueMaps(seed=4, guidance=1.5, condition={"age": 70.0}, weights="mine.safetensors", waitForCompletion=False)
    assert client.jobs == [SampleOrder(4, guidance=1.5, condition={"age": 70.0}, weights="mine.safetensors")]


def test_the_head_of_a_reports_attempt_can_be_sampled_again(logic: Any, client: FakeClient) -> None:
    logic.sampleTissueMaps(seed=4, attempt=3, attempts=1, fieldStrength=1.5, renewal=0.5, precision="32-true", waitForCompletion=False)
    assert client.jobs == [SampleOrder(4, attempt=3, attempts=1, field_strength=1.5, renewal=0.5, precision="32-true")]


# --- what users do meanwhile ----------------------------------------------------------------------------------------------------


def test_editing_an_input_meanwhile_changes_nothing(logic: Any, client: FakeClient) -> None:
    node = addImages("t1w")["t1w"]
    before = slicer.util.arrayFromVolume(node).copy()
    logic.estimateTissueMaps(t1w=node, waitForCompletion=False)
    slicer.util.arrayFromVolume(node)[:] = 0
    assert np.array_equal(client.jobs[0].acquisitions[0].volume.voxels, before)


def test_moving_an_input_meanwhile_leaves_the_maps_where_it_was(logic: Any, client: FakeClient) -> None:
    node = addImages("t1w")["t1w"]
    logic.estimateTissueMaps(t1w=node, waitForCompletion=False)
    node.SetAndObserveTransformNodeID(linear_transform(np.diag([1.0, 1.0, 1.0, 1.0]) + np.eye(4, k=3) * 20).GetID())
    client.told = [Finished(result(("t1w",)))]
    ended(logic)
    found = TissueMapNodes.all(slicer.mrmlScene)[0].volume("T1")
    matrix = vtk.vtkMatrix4x4()
    found.GetIJKToRASMatrix(matrix)
    assert found.GetParentTransformNode() is None and np.allclose(slicer.util.arrayFromVTKMatrix(matrix), ijkToRas())


def test_removing_an_input_meanwhile_is_harmless(logic: Any, client: FakeClient) -> None:
    nodes = addImages("t1w", "flair")
    logic.estimateTissueMaps(**nodes, waitForCompletion=False)
    slicer.mrmlScene.RemoveNode(nodes.pop("t1w"))  # the reference, of all
    client.told = [Finished(result())]
    assert isinstance(ended(logic)[-1], Finished)
    (maps,) = TissueMapNodes.all(slicer.mrmlScene)
    assert maps.node.GetNodeReferenceID("input_t1w") is None and maps.node.GetNodeReference("input_flair") is nodes["flair"]
    assert maps.volume("T1").GetName().startswith("sub-01_T1w")
    assert np.array_equal(slicer.util.arrayFromVolume(maps.volume("T2")), result().maps.t2)


@pytest.mark.parametrize("late", [False, True], ids=["cancelled", "finished meanwhile"])
def test_closing_the_scene_meanwhile_drops_the_result_and_says_so(logic: Any, client: FakeClient, late: bool) -> None:
    told: list[Any] = []
    logic.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False, finished=told.append)
    if late:
        client.told = [Finished(result(("t1w",)))]
    slicer.mrmlScene.Clear()
    assert client.cancels
    (event,) = [event for event in logic.poll() if not isinstance(event, Progress)]
    assert isinstance(event, Failed) and "scene was closed" in event.message
    assert not told and not volumes() and not logic.busy
    logic.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False)  # and everything can begin again
    assert logic.busy


def test_closing_the_scene_under_a_waiting_script_ends_it(standins: Standins) -> None:
    logic, slow = waiting(Progress("align", 0.5, 0.1, None))
    slow.between = lambda: None if slow.events or slow.cancels else slicer.mrmlScene.Clear()
    with pytest.raises(PhysMRISynthError, match="scene was closed"):
        logic.estimateTissueMaps(**addImages("t1w"))


def test_closing_the_logic_ends_the_run_for_good(logic: Any, client: FakeClient) -> None:
    logic.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False)
    logic.close()
    slicer.mrmlScene.Clear()
    assert client.closed and not client.cancels and not logic.busy and logic.poll() == []
    logic.close()


def test_closing_the_logic_under_a_waiting_script_ends_it(standins: Standins) -> None:
    logic, slow = waiting(Progress("align", 0.5, 0.1, None))

    def reload() -> None:  # the user reloads the module
        if not slow.events and not slow.closed:
            logic.close()
            slow.told.append(Cancelled())  # as the real client does

    slow.between = reload
    assert logic.estimateTissueMaps(**addImages("t1w")) is None and slow.closed


def test_maps_that_do_not_fit_into_memory_leave_nothing(logic: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    logic.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False)

    def full(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(TissueMapNodes, "addVolume", full)
    client.told = [Finished(result(("t1w",)))]
    (event,) = ended(logic)
    assert isinstance(event, Failed) and event.kind == "memory" and not logic.busy
    assert not TissueMapNodes.all(slicer.mrmlScene)


def test_maps_that_cannot_be_shown_end_the_run_in_plain_words(
    logic: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logic.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False)

    def broken(*arguments: Any) -> None:
        raise TypeError("internals")

    monkeypatch.setattr(TissueMapNodes, "addVolume", broken)
    client.told = [Finished(result(("t1w",)))]
    (event,) = ended(logic)
    assert isinstance(event, Failed) and event.kind == "crash" and "internals" not in event.message and not logic.busy
    assert "internals" in caplog.text and not TissueMapNodes.all(slicer.mrmlScene)


@pytest.fixture
def _making(logic: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logic in the middle of making nodes, one volume a poll, of which the first is there."""
    monkeypatch.setattr(WorkerRun, "turnSeconds", 0.0)
    nodes = addImages("t1w", "flair")
    logic.estimateTissueMaps(**nodes, waitForCompletion=False)
    client.told = [Progress("hand over the maps", 0.0, 0.99, None), Finished(result())]
    logic.poll()


@pytest.mark.usefixtures("_making")
def test_nodes_are_made_one_volume_a_poll(logic: Any) -> None:
    told = []
    for number in range(2, 5):
        told += logic.poll()
        assert len(volumes()) == 2 + number and logic.busy, "one more than at the last poll"
    assert [event.stage for event in told] == ["make the volumes"] * 3
    assert [event.overall for event in told] == sorted(event.overall for event in told) and told[0].overall > 0.99
    assert not TissueMapNodes.all(slicer.mrmlScene), "nobody is offered what is not complete"
    (event,) = ended(logic)
    assert isinstance(event, Finished) and len(TissueMapNodes.all(slicer.mrmlScene)) == 1


def inScene() -> list[str]:
    """The IDs of all nodes but the colour tables, which are made once."""
    nodes = (slicer.mrmlScene.GetNthNode(index) for index in range(slicer.mrmlScene.GetNumberOfNodes()))
    return sorted(node.GetID() for node in nodes if not node.IsA("vtkMRMLColorNode"))


def test_cancelling_while_nodes_are_made_leaves_none(logic: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerRun, "turnSeconds", 0.0)
    finished: list[Any] = []
    logic.estimateTissueMaps(**addImages("t1w", "flair"), waitForCompletion=False, finished=finished.append)
    slicer.mrmlScene.GetSubjectHierarchyNode()  # every Slicer has one
    before = inScene()
    client.told = [Finished(result())]
    for _ in range(9):
        logic.poll()
    assert len(inScene()) > len(before) + 9
    logic.cancel()
    assert [type(event) for event in logic.poll()] == [Cancelled] and not logic.busy and not finished
    assert inScene() == before


@pytest.mark.usefixtures("_making")
def test_closing_the_scene_while_nodes_are_made_leaves_none(logic: Any) -> None:
    slicer.mrmlScene.Clear()
    (event,) = ended(logic)
    assert isinstance(event, Failed) and "scene was closed" in event.message and not volumes() and not logic.busy


@pytest.mark.usefixtures("_making")
def test_removing_the_maps_while_they_are_made_ends_the_run(logic: Any) -> None:
    logic.poll()
    slicer.mrmlScene.RemoveNode(slicer.mrmlScene.GetFirstNodeByName("Tissue maps of sub-01_T1w"))
    (event,) = ended(logic)
    assert isinstance(event, Failed) and "removed" in event.message and volumes() == ["sub-01_FLAIR", "sub-01_T1w"]


def test_every_sampled_head_gets_its_nodes(logic: Any, client: FakeClient) -> None:
    logic.sampleTissueMaps(seed=4, count=2, waitForCompletion=False)
    drawn = replace(result(("t1w",)), fits={}, residuals={})
    heads = [replace(drawn, report={"sampled": {"seed": seed}, "warnings": []}) for seed in (4, 5)]
    client.told = [Finished(heads[0], (heads[1],))]
    (event,) = ended(logic)
    assert isinstance(event, Finished)
    names = [maps.node.GetName() for maps in TissueMapNodes.all(slicer.mrmlScene)]
    assert names == ["Tissue maps of sampled head, seed 4", "Tissue maps of sampled head, seed 5"]


def test_cancelling_at_a_second_head_leaves_not_even_the_first(logic: Any, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WorkerRun, "turnSeconds", 0.0)
    logic.sampleTissueMaps(seed=4, count=2, waitForCompletion=False)
    drawn = replace(result(("t1w",)), fits={}, residuals={}, report={"sampled": {"seed": 4}, "warnings": []})
    client.told = [Finished(drawn, (drawn,))]
    while not TissueMapNodes.all(slicer.mrmlScene):
        logic.poll()
    logic.cancel()
    assert [type(event) for event in ended(logic)] == [Cancelled] and not volumes() and not TissueMapNodes.all(slicer.mrmlScene)


def test_a_logic_that_a_script_forgets_takes_its_worker_along(standins: Standins, client: FakeClient) -> None:
    forgotten = importlib.import_module("PhysMRISynth").PhysMRISynthLogic(client)
    forgotten.estimateTissueMaps(**addImages("t1w"), waitForCompletion=False)
    client.told = [Finished(result(("t1w",)))]
    ended(forgotten)
    assert not client.closed
    del forgotten
    gc.collect()
    assert client.closed
