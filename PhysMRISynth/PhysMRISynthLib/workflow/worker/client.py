"""The parent's link to the child process; nothing here waits longer than a blink, so that a timer may call it."""

from __future__ import annotations

import atexit
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Protocol, get_args

from ...errors import PhysMRISynthError, Step
from . import exchange
from .jobs import Cancelled, EstimateJob, Event, Failed, FailureKind, Finished, Job, Result, WorkerBusy
from .remaining_time import NETWORK_STAGES, SAMPLE_SECONDS, USUAL_SECONDS, Pace

_log = logging.getLogger(__name__)
_CANCEL_SECONDS = 1.0
_TURN_SECONDS = 0.02
"""How long a poll lets the thread of the files go on: Slicer's event loop keeps Python's lock to itself, and would starve it."""


class Transport(Protocol):
    """Lines to and from a child process, as :class:`~PhysMRISynthLib.workflow.worker.process.ProcessTransport`."""

    @property
    def exit_status(self) -> int | None:
        """None while it runs or lines of it are still to come."""

    def send(self, line: str) -> None:
        """Send one line. Raises OSError when the child has gone."""

    def receive(self) -> list[str]:
        """The lines that have come; does not wait."""

    def kill(self) -> None:
        """End the child at once."""

    def close(self) -> None:
        """End the child."""


class _Run:
    """One job on its way: written on a thread, sent, done by the child, and its result read on a thread."""

    def __init__(self, number: int, kind: str, written: Future[Path], pace: Pace) -> None:
        self.number, self.kind, self.written, self.pace = number, kind, written, pace
        self.sent = False
        self.result: Future[tuple[Result, ...]] | None = None
        self.cancelled_at: float | None = None


class Client:
    """Gives jobs to a child process, one at a time, and tells what becomes of them.

    The child starts with the first job and stays, warm, until :meth:`close`; a new one starts when it was killed or died.
    ``transport_factory`` starts it; ``clock`` tells seconds.
    """

    def __init__(self, transport_factory: Callable[[], Transport], clock: Callable[[], float] = time.monotonic) -> None:
        self._factory, self._clock = transport_factory, clock
        self._transport: Transport | None = None
        self._run: _Run | None = None
        self._count = 0
        self._last: list[Event] = []
        self._files: ThreadPoolExecutor | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._run is not None

    def start(self, job: Job) -> None:
        """Begin a job; returns at once. Raises WorkerBusy while another one is under way."""
        if self.busy:
            raise WorkerBusy("The worker is busy with another job. Wait for its end, or cancel it.")
        if self._files is None:
            self._files = ThreadPoolExecutor(1, thread_name_prefix="PhysMRISynth files")
            atexit.register(self.close)
        kind = "estimate" if isinstance(job, EstimateJob) else "sample"
        pace = Pace(self._clock, _usual_seconds(job))
        self._count, self._last = self._count + 1, []
        self._run = _Run(self._count, kind, self._files.submit(_written, job), pace)

    def poll(self) -> list[Event]:
        """What has happened since the last call, in order; the last of a job is Finished, Cancelled or Failed. Call it every 100 ms."""
        events, self._last = self._last, []
        run = self._run
        if run is None:
            return events
        events += self._cancelling(run, run.cancelled_at) if run.cancelled_at is not None else self._working(run)
        if events and isinstance(events[-1], Finished | Cancelled | Failed):
            self._end(run)
        return events

    def cancel(self) -> None:
        """Ask for the end of the job, if one is under way; :meth:`poll` tells Cancelled within little more than a second."""
        run = self._run
        if run is None or run.cancelled_at is not None:
            return
        run.cancelled_at = self._clock()
        if run.sent:
            self._send({"do": "cancel", "id": run.number})

    def close(self) -> None:
        """End the child and remove all temporary files; a job under way ends with Cancelled. May be called again, and so may start."""
        self._drop()
        if self._files is not None:
            self._files.shutdown()
            self._files = None
            atexit.unregister(self.close)
        if self._run is not None:
            _removed(self._run.written)
            self._run, self._last = None, [Cancelled()]

    def _working(self, run: _Run) -> list[Event]:
        try:
            if not run.sent:
                return self._sent(run) if _soon(run.written) else []
            if run.result is not None:
                return [_finished(run.result.result())] if _soon(run.result) else []
        except Exception as error:
            return [_not_handed_over(error)]
        return self._heard(run)

    def _sent(self, run: _Run) -> list[Event]:
        """Give the child the job, after starting the child where there is none. Raises OSError when the job could not be written."""
        folder = run.written.result()
        if self._transport is not None and self._transport.exit_status is not None:  # it died since the last job
            self._drop()
        try:
            self._transport = self._transport or self._factory()
        except OSError as error:
            _log.warning("The worker could not be started: %r", error)
            return [Failed(f"The worker could not be started ({error.strerror or error}). Reinstall the extension.", "crash")]
        self._send({"do": run.kind, "id": run.number, "folder": str(folder)})
        run.sent = True
        return []

    def _heard(self, run: _Run) -> list[Event]:
        assert self._transport is not None and self._files is not None
        status = self._transport.exit_status  # asked first: a child's last words come before its end
        events: list[Event] = []
        for message in self._messages(run):
            if message["event"] == "progress":
                events.append(run.pace.at(message["stage"], message["fraction"]))
            elif message["event"] == "finished":
                run.result = self._files.submit(exchange.read_results, run.written.result())
                return events
            elif message["event"] == "failed":
                return [*events, Failed(message["message"], message["kind"], message["remedies"])]
            else:
                return [*events, Cancelled()]
        if status is not None:
            self._drop()
            events.append(_died(status))
        return events

    def _cancelling(self, run: _Run, since: float) -> list[Event]:
        """Cancelled once the child has let go of the job, however it ended; a child that does not within a second is killed."""
        if run.sent and run.result is None and self._transport is not None:
            ended = any(message["event"] != "progress" for message in self._messages(run))
            if not ended and self._transport.exit_status is None and self._clock() - since < _CANCEL_SECONDS:
                return []
            if not ended:
                _log.info("The worker did not stop by itself and was killed.")
                self._transport.kill()
                self._transport = None
        return [Cancelled()]

    def _messages(self, run: _Run) -> list[dict[str, Any]]:
        """What the child says of this job; an earlier job's late words and lines that make no sense are left out."""
        assert self._transport is not None
        messages = [_understood(line) for line in self._transport.receive()]
        return [message for message in messages if message is not None and message["id"] == run.number]

    def _send(self, order: dict[str, Any]) -> None:
        assert self._transport is not None
        try:
            self._transport.send(json.dumps(order))
        except OSError as error:  # its exit status will tell
            _log.info("The worker does not listen: %r", error)

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _end(self, run: _Run) -> None:
        """Forget the job; its folder goes as soon as nobody writes into it any more."""
        assert self._files is not None
        self._run = None
        self._files.submit(_removed, run.written)


def _usual_seconds(job: Job) -> dict[str, float]:
    if not isinstance(job, EstimateJob):
        return {stage: seconds * (job.count if stage == "sample heads" else 1) for stage, seconds in SAMPLE_SECONDS.items()}
    without = NETWORK_STAGES if job.order.prior == "literature" else ()
    return {stage: seconds for stage, seconds in USUAL_SECONDS.items() if stage not in without}


def _finished(results: tuple[Result, ...]) -> Finished:
    return Finished(results[0], results[1:])


def _written(job: Job) -> Path:
    folder = exchange.new_folder()
    try:
        exchange.write_job(job, folder)
    except BaseException:
        exchange.remove(folder)
        raise
    return folder


def _soon(work: Future[Any]) -> bool:
    """Whether it is done, after giving it a turn."""
    return bool(wait([work], _TURN_SECONDS).done)


def _removed(written: Future[Path]) -> None:
    if written.exception() is None:
        exchange.remove(written.result())


def _understood(line: str) -> dict[str, Any] | None:
    """A line of the child's as an event with what belongs to it, or None when it is not one."""
    try:
        told = json.loads(line)
        number, event = int(told["id"]), told["event"]
        if event == "progress":
            return {"id": number, "event": event, "stage": str(told["stage"]), "fraction": float(told["fraction"])}
        if event == "failed":
            kind = told["kind"] if told["kind"] in get_args(FailureKind) else "crash"
            remedies = tuple(Step.from_json(step) for step in told.get("remedies", ()))
            return {"id": number, "event": event, "message": str(told["message"]), "kind": kind, "remedies": remedies}
        if event not in ("finished", "cancelled"):
            raise ValueError("no such event")
    except (ValueError, LookupError, TypeError) as error:
        _log.warning("A line of the worker's was ignored (%r): %.200s", error, line)
        return None
    return {"id": number, "event": event}


def _not_handed_over(error: Exception) -> Failed:
    if isinstance(error, MemoryError):
        return Failed("There was not enough memory to hand the images over. Close other programs or data, and start again.", "memory")
    if isinstance(error, OSError):
        reason = f"Images or maps could not be exchanged with the worker ({error.strerror or error})."
        return Failed(f"{reason} Free space in the folder for temporary files.", "input")
    _log.warning("A job or a result could not be exchanged with the worker.", exc_info=error)
    if isinstance(error, PhysMRISynthError):
        return Failed(error.cause, "crash", error.remedies)
    return Failed("Something unexpected went wrong with the worker. The log has the details; please report them.", "crash")


def _died(status: int) -> Failed:
    _log.warning("The worker ended with status %d.", status)
    return Failed(
        "The worker ended unexpectedly; often the system stops a program that needs more memory than there is. "
        "Close other programs or data and start again. The log has the details.",
        "crash",
    )
