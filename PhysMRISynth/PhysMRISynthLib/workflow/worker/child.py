"""The child process: takes jobs from its standard input, one line of JSON each, and tells on its standard output what becomes of them.

In: ``{"do": "estimate" | "sample", "id": N, "folder": PATH}`` and ``{"do": "cancel", "id": N}``. Out: ``{"event": "progress", "id": N,
"stage": …, "fraction": …}``, and at the end one of ``finished``, ``cancelled`` and ``failed`` (with ``message`` and ``kind``). It ends
when its input does, whatever it is doing, so that it never outlives its parent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ...errors import PhysMRISynthError, WeightsError

if TYPE_CHECKING:
    from ...network.diffusion_weights import SamplerWeights
    from ...network.weights import Weights
    from ..sampling.sample import Sampler
    from .jobs import FailureKind

_log = logging.getLogger(__name__)
_LEAST_STEP = 0.01
_ATTEMPTS = 3
"""To remove a folder into which a job may be writing meanwhile."""
_OUT_OF_MEMORY = ("out of memory", "bad_alloc", "failed to allocate")
"""How torch and ITK say it."""
Report = Callable[[str, float], None]
"""Callback ``(stage, fraction_done)``; does not return when the job is cancelled."""
Handler = Callable[[Path, Report], None]
"""Does the job that is described in a folder and leaves the result there."""


class _Cancelled(BaseException):
    """Unwinds a job; not an Exception, which libraries may catch."""


class EstimateHandler:
    """Estimates tissue maps; the network's weights stay loaded from one job to the next."""

    def __init__(self) -> None:
        self._weights: Weights | None = None

    def __call__(self, folder: Path, report: Report) -> None:
        """Raises a PhysMRISynthError that names cause and remedy."""
        report("read the images", 0.0)
        from ..estimation.estimate import estimate_tissue_maps
        from .exchange import read_job, write_result
        from .job_results import result_of
        from .jobs import EstimateJob

        job = read_job(folder)
        assert isinstance(job, EstimateJob)
        report("load the network", 0.0)
        installed = None if job.order.weights else self._usable_weights(job.order.prior)  # a user's own file is read for each estimate
        estimate = estimate_tissue_maps(job.acquisitions, job.order, report, installed)
        report("hand over the maps", 0.0)
        write_result(result_of(estimate), folder)

    def _usable_weights(self, prior: str) -> Weights | None:
        """The weights that are installed now; loaded anew only when they are others than last time."""
        from ..estimation.network_prior import usable_weights

        if prior == "literature":
            return None
        if self._weights is None or not _still_installed(self._weights):
            self._weights = usable_weights(prior)
        return self._weights


def _still_installed(weights: Weights | SamplerWeights, kind: str = "vae") -> bool:
    from ...network.manifest import shipped_weights

    shipped = shipped_weights(kind)
    return shipped is not None and shipped[1] == weights.sha256


class SampleHandler:
    """Samples heads; the sampling model stays loaded from one job to the next."""

    def __init__(self) -> None:
        self._sampler: Sampler | None = None

    def __call__(self, folder: Path, report: Report) -> None:
        """Raises a PhysMRISynthError that names cause and remedy."""
        report("load the network", 0.0)
        from ..sampling.order import SampleOrder
        from ..sampling.sample import STAGE, sampled_heads, sampler_of
        from .exchange import read_job, write_result
        from .job_results import result_of_sample

        order = read_job(folder)
        assert isinstance(order, SampleOrder)
        sampler = sampler_of(order) if order.weights else self._usable_sampler()  # a user's own file is read for each job
        for number, head in enumerate(sampled_heads(sampler, order, partial(report, STAGE))):
            write_result(result_of_sample(head), folder, number)
        report("hand over the maps", 0.0)

    def _usable_sampler(self) -> Sampler:
        """The sampling model that is installed now; loaded anew only when it is another than last time."""
        from ..sampling.sample import installed_sampler

        kept = self._sampler
        if kept is None or not (_still_installed(kept.decoder) and _still_installed(kept.model, "sampler")):
            self._sampler = None  # two at once would not fit small machines
            kept = self._sampler = installed_sampler()
        return kept


def main(handlers: Mapping[str, Handler] | None = None) -> None:
    """Serve until the standard input ends; ``handlers`` by what a job asks for."""
    source, channel = _private_pipes()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the parent, which ends us
    Child(channel, handlers or {"estimate": EstimateHandler(), "sample": SampleHandler()}).serve(source)


def _private_pipes() -> tuple[IO[bytes], IO[str]]:
    """What were the standard input and output; from here on libraries find nothing to read, and print to the standard error.

    Windows makes whoever looks at a pipe wait while somebody else reads it: NumPy's libraries look at the standard input when they are
    loaded, and would hang (github.com/numpy/numpy/issues/24290).
    """
    source, channel = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w", encoding="utf-8", newline="\n")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, channel


class Child:
    """Does one job after the other, while a thread listens."""

    def __init__(self, channel: IO[str], handlers: Mapping[str, Handler]) -> None:
        self._channel, self._handlers = channel, handlers
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._folder: Path | None = None

    def serve(self, source: IO[bytes]) -> None:
        """Take orders from ``source``; does not return."""
        threading.Thread(target=self._listen, args=(source,), daemon=True).start()
        while True:
            self._do(self._orders.get())

    def _listen(self, source: IO[bytes]) -> None:
        for line in source:
            try:
                order = json.loads(line)
                if order["do"] == "cancel":
                    self._cancelled.add(int(order["id"]))
                else:
                    self._orders.put({"do": order["do"], "id": int(order["id"]), "folder": Path(order["folder"])})
            except (ValueError, LookupError, TypeError) as error:
                _log.warning("An order that makes no sense was ignored (%r).", error)
        self._leave()

    def _leave(self) -> None:
        """The parent has gone, or wants us to: leave nothing behind, not even a job in the middle of its work."""
        folder = self._folder
        if folder is not None:
            for _ in range(_ATTEMPTS):
                shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    def _do(self, order: Mapping[str, Any]) -> None:
        number, self._folder = order["id"], order["folder"]
        try:
            self._handlers[order["do"]](self._folder, self._reporter(number))
        except _Cancelled:
            self._tell("cancelled", number)
        except BaseException as error:
            message, kind = failure_of(error)
            remedies = error.remedies if isinstance(error, PhysMRISynthError) else ()
            _log.warning("The job failed: %r", error, exc_info=kind != "input")
            self._tell("failed", number, message=message, kind=kind, remedies=[step.as_json() for step in remedies])
        else:
            self._tell("finished", number)
        self._folder = None

    def _reporter(self, number: int) -> Report:
        last: tuple[str, float] = ("", 0.0)

        def report(stage: str, fraction: float) -> None:
            nonlocal last
            if number in self._cancelled:
                raise _Cancelled
            if stage != last[0] or fraction - last[1] >= _LEAST_STEP:
                last = stage, fraction
                self._tell("progress", number, stage=stage, fraction=float(fraction))

        return report

    def _tell(self, event: str, number: int, **values: object) -> None:
        with contextlib.suppress(OSError):  # the parent has gone: the listening thread will end us
            self._channel.write(json.dumps({"event": event, "id": number, **values}) + "\n")
            self._channel.flush()


def failure_of(error: BaseException) -> tuple[str, FailureKind]:
    """The cause of an exception in a user's words, and its kind; nothing technical, which is in the log."""
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY):
        return "There was not enough memory. Close other programs or data, or choose the CPU as device or the literature prior.", "memory"
    if isinstance(error, PhysMRISynthError):
        return error.cause, "missing" if isinstance(error, WeightsError) else "input"
    if isinstance(error, ImportError):
        package = (error.name or "").partition(".")[0]
        named = f"the Python package '{package}'" if package else "a Python package"
        return f"This needs {named}, which is not installed or is damaged. Install it, and start again.", "missing"
    if isinstance(error, OSError):
        return f"A file could not be read or written ({error.strerror or error}). Check free space and permissions.", "input"
    return f"Something unexpected went wrong ({type(error).__name__}). The log has the details; please report them.", "crash"


if __name__ == "__main__":
    main()
