"""An estimate from nodes to nodes: copies of the inputs go to the worker, its result becomes nodes of the scene it was asked for."""

from __future__ import annotations

import logging
import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import slicer
import slicer.util

from ..errors import EstimationError, ImageError, PhysMRISynthError
from ..imaging.acquisition import Acquisition
from ..workflow.estimate import reference_of
from ..workflow.inputs import ROLES, field_strength_of
from ..workflow.worker.client import Client
from ..workflow.worker.jobs import EstimateJob, Event, Failed, Finished, Job, Progress
from ..workflow.worker.process import ProcessTransport, worker_command
from .headers import acquisitionFromNode
from .mapNodes import TissueMapNodes

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.05
_SCENE_CLOSED = "The scene was closed while the worker was busy, so that its result was dropped. Load the images and start again."


@dataclass(frozen=True)
class Inputs:
    """What is estimated from: nodes by role (t1w, t2w, flair) and, by role too, protocols that were typed instead of read."""

    nodes: Mapping[str, Any]
    protocols: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.nodes:
            raise EstimationError("No input: choose at least one of T1w, T2w and FLAIR.")
        unknown = sorted({*self.nodes, *self.protocols} - set(ROLES))
        if unknown:
            raise EstimationError(f"'{unknown[0]}' is no input. Use {', '.join(ROLES)}.")
        alone = sorted(set(self.protocols) - set(self.nodes))
        if alone:
            raise EstimationError(f"A protocol is given for {alone[0]}, but no image. Choose the image too, or leave the protocol out.")
        if len({node.GetID() for node in self.nodes.values()}) < len(self.nodes):
            raise EstimationError("One volume is chosen for two inputs. Choose another one, or leave one of them empty.")

    def acquisitions(self) -> list[Acquisition]:
        """Copies of the images with their protocols. Raises a PhysMRISynthError that names the node."""
        return [acquisitionFromNode(self.nodes[role], role, self.protocols.get(role) or None) for role in ROLES if role in self.nodes]


def estimateJob(
    acquisitions: Sequence[Acquisition], reference: str | None, register: bool | None, fieldStrength: float | None, prior: str, device: str
) -> tuple[EstimateJob, list[str]]:
    """The worker's task, and what the user must be told about it. ``fieldStrength`` None or 0: from the headers, else 3 T."""
    try:
        reference_of(acquisitions, reference)
        strength, source = field_strength_of(acquisitions, fieldStrength or None)
    except EstimationError as error:
        raise EstimationError(withoutOptions(str(error))) from error
    told = [] if not source.startswith("assumed") else [f"No header states the field strength: {strength:g} T is assumed."]
    return EstimateJob(acquisitions, reference, register, strength, prior, device), told


def withoutOptions(text: str) -> str:
    """A message of the library without the dashes of its command line's options: "use --prior literature" as "use prior literature"."""
    return re.sub(r"--(?:no-)?([a-z]+(?:-[a-z]+)*)", lambda option: option[1].replace("-", " "), text)


class WorkerRun:
    """One job of the worker for the present scene: ``busy`` while it runs; then ``mapsNode`` or ``failure``, or neither when cancelled.

    The job holds copies, so that inputs may be edited or removed meanwhile. A scene that closes cancels the job.
    """

    def __init__(
        self,
        client: Client,
        job: Job,
        inputNodes: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
        finished: Callable[[Any], None] | None = None,
    ) -> None:
        """Start the job. ``notes`` go before the report's warnings; ``finished`` is called with the text node of the maps.

        Raises WorkerBusy when another job runs.
        """
        self.busy = True
        self.failure: Failed | None = None
        self.mapsNode: Any = None
        self._client, self._notes, self._finished = client, list(notes), finished
        self._inputNodes = dict(inputNodes or {})
        self._scene, self._sceneClosed = slicer.mrmlScene, False
        client.start(job)
        closing = weakref.WeakMethod(self._onSceneStartClose)  # the scene must not keep the run, nor call one that is half collected

        def onSceneStartClose(caller: Any, event: str) -> None:
            if method := closing():
                method()

        self._observer = self._scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, onSceneStartClose)

    def poll(self) -> list[Event]:
        """The worker's news in order; when Finished is among them, the maps are in the scene."""
        return [self._settled(event) for event in self._client.poll() if self.busy]

    def wait(self, progress: Callable[[str, float], None] | None = None) -> Any:
        """Poll to the end and return the text node of the maps, or None when cancelled; Slicer stays responsive.

        ``progress`` is told the stage and the fraction of the whole that is done. Raises EstimationError with the worker's reason.
        """
        while self.busy:
            for event in self.poll():
                if isinstance(event, Progress) and progress is not None:
                    progress(event.stage, event.overall)
            if hasattr(slicer, "app"):
                slicer.app.processEvents()
            time.sleep(_POLL_SECONDS)
        if self.failure is not None:
            raise EstimationError(self.failure.message)
        return self.mapsNode

    def cancel(self) -> None:
        """Ask the worker to stop; poll tells when it has."""
        if self.busy:
            self._client.cancel()

    def _onSceneStartClose(self) -> None:
        self._sceneClosed = True
        self._inputNodes.clear()
        self.cancel()

    def _settled(self, event: Event) -> Event:
        """The event as the user meets it, after its consequences."""
        if isinstance(event, Progress):
            return event
        if self._sceneClosed:
            _log.warning(_SCENE_CLOSED)
            event = Failed(_SCENE_CLOSED, "input")
        elif isinstance(event, Failed):
            event = replace(event, message=withoutOptions(event.message))
        elif isinstance(event, Finished):
            event = self._withNodes(event)
        self.busy = False
        self.failure = event if isinstance(event, Failed) else None
        self._scene.RemoveObserver(self._observer)
        if self.mapsNode is not None and self._finished is not None:
            self._finished(self.mapsNode)
        return event

    def _withNodes(self, event: Finished) -> Finished | Failed:
        result = event.result
        told = {"warnings": [withoutOptions(text) for text in (*self._notes, *result.report.get("warnings", ()))]}
        result = replace(result, report={**result.report, **told})
        reference = self._inputNodes.get(result.report.get("reference", ""))
        present = {role: node for role, node in self._inputNodes.items() if self._scene.IsNodePresent(node)}
        try:
            self.mapsNode = TissueMapNodes.create(result, reference, present, self._scene).node
        except MemoryError:
            return Failed("There is not enough memory for the maps. Close other data and estimate again.", "memory")
        except PhysMRISynthError as error:
            return Failed(str(error), "input")
        except Exception:
            _log.exception("The maps could not be put into the scene.")
            return Failed("The maps could not be put into the scene. The log has the details; please report them.", "crash")
        return event


def newClient() -> Client:
    """A link to the worker, on Slicer's own Python where there is one."""
    return Client(lambda: ProcessTransport(worker_command()))


def loadVolumes(files: Mapping[str, Path]) -> dict[str, Any]:
    """Load volume files by role into the scene, all or none. Raises ImageError that names the file that cannot be read."""
    nodes: dict[str, Any] = {}
    for role, path in files.items():
        try:
            nodes[role] = slicer.util.loadVolume(str(path))
        except RuntimeError as error:
            for node in nodes.values():
                slicer.mrmlScene.RemoveNode(node)
            raise ImageError(f"{path} cannot be read as a volume. Check that the file is complete, or convert it again.") from error
    return nodes
