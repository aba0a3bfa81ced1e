"""An estimate from nodes to nodes: copies of the inputs go to the worker, its result becomes nodes of the scene it was asked for."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import slicer
import slicer.util

from ..errors import EstimationError, ImageError, PhysMRISynthError, speaking
from ..headers.dicom_header import is_dicom
from ..headers.roles import ROLES
from ..imaging.intake.acquisition import Acquisition
from ..workflow.estimation.estimate import reference_of
from ..workflow.estimation.inputs import field_strength_of
from ..workflow.estimation.order import USUAL, EstimateOrder
from ..workflow.worker.client import Client
from ..workflow.worker.jobs import Cancelled, EstimateJob, Event, Failed, Finished, Job, Progress, Result
from ..workflow.worker.process import ProcessTransport, worker_command
from .dicomSeries import loadSeries
from .headers import acquisitionFromNode
from .mapNodes import TissueMapNodes
from .remedies import SCRIPT

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.05
_MAKING = "make the volumes"
_SCENE_CLOSED = "The scene was closed while the worker was busy, so that its result was dropped. Load the images and start again."


@dataclass(frozen=True)
class Inputs:
    """What is estimated from: nodes by role (t1w, t2w, flair), and what is ordered of them."""

    nodes: Mapping[str, Any]
    order: EstimateOrder = USUAL

    def __post_init__(self) -> None:
        if not self.nodes:
            raise EstimationError("No input: choose at least one of T1w, T2w and FLAIR.")
        unknown = sorted({*self.nodes, *self.order.protocols} - set(ROLES))
        if unknown:
            raise EstimationError(f"'{unknown[0]}' is no input. Use {', '.join(ROLES)}.")
        alone = sorted(set(self.order.protocols) - set(self.nodes))
        if alone:
            raise EstimationError(f"A protocol is given for {alone[0]}, but no image. Choose the image too, or leave the protocol out.")
        if len({node.GetID() for node in self.nodes.values()}) < len(self.nodes):
            raise EstimationError("One volume is chosen for two inputs. Choose another one, or leave one of them empty.")

    def acquisitions(self) -> list[Acquisition]:
        """Copies of the images with their protocols. Raises a PhysMRISynthError that names the node."""
        return [
            acquisitionFromNode(self.nodes[role], role, self.order.protocols.get(role) or None, self.order.allow_contrast_agent)
            for role in ROLES
            if role in self.nodes
        ]


@speaking(SCRIPT)
def estimateJob(inputs: Inputs) -> tuple[EstimateJob, list[str]]:
    """The worker's task, and what the user must be told about it. Raises a PhysMRISynthError that names the node."""
    acquisitions, order = inputs.acquisitions(), inputs.order
    reference_of(acquisitions, order.reference)
    strength, source = field_strength_of(acquisitions, order.field_strength)
    told = [f"No header states the field strength: {strength:g} T is assumed."] if source == "assumed" else []
    return EstimateJob(acquisitions, replace(order, field_strength=strength)), told


class WorkerRun:
    """One job of the worker for the present scene: ``busy`` while it runs; then ``mapsNode`` or ``failure``, or neither when cancelled.

    The job holds copies, so that inputs may be edited or removed meanwhile. A scene that closes cancels the job. The nodes of the result
    are made a few at each poll, all or none.
    """

    turnSeconds = 0.03
    """How long a poll goes on to the next volume; one takes up to some hundredths of a second."""

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
        self._making: tuple[Finished, Generator[float, None, None]] | None = None
        self._maps: list[TissueMapNodes] = []
        self._givenUp, self._overall = False, 0.0
        client.start(job)
        closing = weakref.WeakMethod(self._onSceneStartClose)  # the scene must not keep the run, nor call one that is half collected

        def onSceneStartClose(caller: Any, event: str) -> None:
            if method := closing():
                method()

        tag = self._scene.AddObserver(slicer.vtkMRMLScene.StartCloseEvent, onSceneStartClose)
        self._letSceneGo = weakref.finalize(self, self._scene.RemoveObserver, tag)  # in time, when both are garbage together

    def poll(self) -> list[Event]:
        """The worker's news in order; when Finished is among them, the maps are in the scene."""
        events: list[Event] = []
        for event in () if self._making else self._client.poll():
            if isinstance(event, Finished) and not self._sceneClosed:
                self._making = event, self._steps(event.result, *event.others)
            elif self.busy:
                events.append(self._settled(event))
        return [*events, self._made(*self._making)] if self._making else events

    @speaking(SCRIPT)
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
            raise EstimationError(self.failure.message, *self.failure.remedies)
        return self.mapsNode

    def cancel(self) -> None:
        """Ask the worker to stop; poll tells when it has."""
        if self._making:
            self._givenUp = True
        elif self.busy:
            self._client.cancel()

    def _onSceneStartClose(self) -> None:
        self._sceneClosed = True
        self._inputNodes.clear()
        self.cancel()

    def _settled(self, event: Event) -> Event:
        """The event as the user meets it, after its consequences."""
        if isinstance(event, Progress):
            self._overall = event.overall
            return event
        if self._sceneClosed:
            _log.warning(_SCENE_CLOSED)
            event = Failed(_SCENE_CLOSED, "input")
        self.busy = False
        self.failure = event if isinstance(event, Failed) else None
        self._letSceneGo()
        if self.mapsNode is not None and self._finished is not None:
            self._finished(self.mapsNode)
        return event

    def _made(self, event: Finished, steps: Generator[float, None, None]) -> Event:
        """Make some more nodes of the result, and tell how far they are."""
        try:
            fraction = None if self._sceneClosed or self._givenUp else _advanced(steps, self.turnSeconds)
        except MemoryError:
            ended: Event = Failed("There is not enough memory for the maps. Close other data and estimate again.", "memory")
        except PhysMRISynthError as error:
            ended = Failed(error.cause, "input", error.remedies)
        except Exception:
            _log.exception("The maps could not be put into the scene.")
            ended = Failed("The maps could not be put into the scene. The log has the details; please report them.", "crash")
        else:
            if fraction is not None:
                return Progress(_MAKING, fraction, self._overall + (1.0 - self._overall) * fraction, None)
            ended = Cancelled() if self._sceneClosed or self._givenUp else event
        self._making = None
        steps.close()  # those that are not done take back what they made
        self.mapsNode = self._maps[0].node if self._maps else None
        return self._settled(ended)

    def _steps(self, *results: Result) -> Generator[float, None, None]:
        """Of the nodes of every head, which come into ``_maps``; not a method, so that no circle is left for the garbage collector."""
        told = [replace(result, report=self._told(result.report)) for result in results]
        present = {role: node for role, node in self._inputNodes.items() if self._scene.IsNodePresent(node)}
        return _nodesOf(told, dict(self._inputNodes), present, self._scene, self._maps)

    def _told(self, report: dict[str, Any]) -> dict[str, Any]:
        """The report with what the user must know besides."""
        return {**report, "warnings": [*self._notes, *report.get("warnings", ())]}


def _nodesOf(
    results: Sequence[Result], inputs: Mapping[str, Any], present: Mapping[str, Any], scene: Any, made: list[TissueMapNodes]
) -> Generator[float, None, None]:
    """Make the nodes of the results, all or none, some at a step. Tells the fractions done; ``inputs`` by role, some still ``present``."""
    try:
        for number, result in enumerate(results):
            sampled = result.report.get("sampled")
            name = f"Tissue maps of sampled head, seed {sampled['seed']}" if sampled else None
            reference = inputs.get(result.report.get("reference", ""))
            maps, steps = TissueMapNodes.making(result, reference, present, scene, name)
            made.append(maps)
            for fraction in steps:
                yield (number + fraction) / len(results)
    except BaseException:
        while made:
            made.pop().remove()
        raise


def _advanced(steps: Iterator[float], seconds: float) -> float | None:
    """Take steps for some ``seconds``; the fraction that is done, or None at the end."""
    end = time.monotonic() + seconds
    for fraction in steps:
        if time.monotonic() >= end:
            return fraction
    return None


def newClient() -> Client:
    """A link to the worker, on Slicer's own Python where there is one."""
    return Client(lambda: ProcessTransport(worker_command()))


def loadVolumes(files: Mapping[str, Path]) -> dict[str, Any]:
    """Load volume files, or DICOM series by one of their files, by role into the scene, all or none.

    Raises ImageError that names the file that cannot be read.
    """
    nodes: dict[str, Any] = {}
    for role, path in files.items():
        try:
            nodes[role] = loadSeries(path) if is_dicom(path) else slicer.util.loadVolume(str(path))
        except (RuntimeError, ImageError) as error:
            for node in nodes.values():
                _removeLoaded(node)
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"{path} cannot be read as a volume. Check that the file is complete, or convert it again.") from error
    return nodes


def _removeLoaded(node: Any) -> None:
    """Take a volume out of the scene with what loading it brought along."""
    displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    for gone in (*displays, node.GetStorageNode(), node):
        if gone is not None:
            slicer.mrmlScene.RemoveNode(gone)
