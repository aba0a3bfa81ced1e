"""The parent's side of the worker, on a child that says what a test wants and a clock that stands still."""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.worker import client as module
from PhysMRISynthLib.workflow.worker import exchange
from PhysMRISynthLib.workflow.worker.client import Client
from PhysMRISynthLib.workflow.worker.jobs import Cancelled, EstimateJob, Event, Failed, Finished, Progress, Result, WorkerBusy
from PhysMRISynthLib.workflow.worker.remaining_time import USUAL_SECONDS, Pace
from Testing.workflow.tiny_worker import tiny_acquisition, tiny_result

JOB = SampleOrder(1)


class FakeChild:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.exit_status: int | None = None
        self.killed = self.closed = 0

    def send(self, line: str) -> None:
        if self.exit_status is not None:
            raise BrokenPipeError
        self.sent.append(json.loads(line))

    def receive(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines

    def kill(self) -> None:
        self.killed += 1

    def close(self) -> None:
        self.closed += 1

    def says(self, event: str, number: int | None = None, **values: object) -> None:
        self.lines.append(json.dumps({"event": event, "id": self.sent[-1]["id"] if number is None else number, **values}))


class Bench:
    """A client, its children so far, and the time."""

    def __init__(self) -> None:
        self.children: list[FakeChild] = []
        self.now = 100.0
        self.refusal: OSError | None = None
        self.client = Client(self._child, lambda: self.now)

    def _child(self) -> FakeChild:
        if self.refusal:
            raise self.refusal
        self.children.append(FakeChild())
        return self.children[-1]

    @property
    def child(self) -> FakeChild:
        return self.children[-1]

    def poll_until(self, ready: Callable[[list[Event]], bool]) -> list[Event]:
        events: list[Event] = []
        limit = time.monotonic() + 10.0
        while not ready(events):
            assert time.monotonic() < limit, events
            events += self.client.poll()
            time.sleep(0.001)
        return events

    def to_the_end(self) -> list[Event]:
        return self.poll_until(lambda events: not self.client.busy)

    def begin(self, job: SampleOrder | EstimateJob = JOB) -> Path:
        """Start a job and wait until the child has it; its folder."""
        before = sum(len(child.sent) for child in self.children)
        self.client.start(job)
        assert self.poll_until(lambda events: sum(len(child.sent) for child in self.children) > before) == []
        return Path(self.child.sent[-1]["folder"])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Whatever a test does, no file is left behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bench = Bench()
    yield bench
    bench.client.close()
    assert list(tmp_path.iterdir()) == []


def test_a_job_from_start_to_result(bench: Bench) -> None:
    folder = bench.begin(EstimateJob([tiny_acquisition()], EstimateOrder(prior="literature")))
    assert bench.client.busy
    assert bench.child.sent == [{"do": "estimate", "id": 1, "folder": str(folder)}]
    read = exchange.read_job(folder)
    assert isinstance(read, EstimateJob) and read.order.prior == "literature"
    bench.child.says("progress", stage="align", fraction=0.5)
    (progress,) = bench.client.poll()
    assert isinstance(progress, Progress) and (progress.stage, progress.fraction) == ("align", 0.5)
    exchange.write_result(tiny_result(5), folder)
    bench.child.says("progress", stage="fit voxels", fraction=1.0)
    bench.child.says("finished")
    events = bench.to_the_end()
    assert [type(event) for event in events] == [Progress, Finished]
    assert isinstance(events[-1], Finished)
    assert (events[-1].result.tissue == 5).all()
    assert bench.client.poll() == []


def test_the_child_stays_warm(bench: Bench) -> None:
    for number in (1, 2, 3):
        folder = bench.begin()
        assert bench.child.sent[-1]["id"] == number
        exchange.write_result(tiny_result(number), folder)
        bench.child.says("finished")
        assert isinstance(bench.to_the_end()[-1], Finished)
    assert len(bench.children) == 1 and bench.child.closed == 0


def test_nothing_starts_before_a_job(bench: Bench) -> None:
    bench.client.cancel()
    assert bench.client.poll() == [] and bench.children == [] and not bench.client.busy


def test_one_job_at_a_time(bench: Bench) -> None:
    bench.begin()
    with pytest.raises(WorkerBusy, match="cancel it"):
        bench.client.start(JOB)
    bench.child.says("failed", message="no", kind="input")
    assert bench.to_the_end() == [Failed("no", "input")]
    bench.begin()


@pytest.mark.parametrize("kind", ["input", "memory", "crash", "missing"])
def test_a_failure_is_told_as_the_child_tells_it(bench: Bench, kind: str) -> None:
    bench.begin()
    bench.child.says("failed", message="Why, and what to do.", kind=kind)
    assert bench.to_the_end() == [Failed("Why, and what to do.", kind)]  # type: ignore[arg-type]


def test_cancel_is_answered(bench: Bench) -> None:
    bench.begin()
    bench.client.cancel()
    bench.client.cancel()
    assert [order["do"] for order in bench.child.sent] == ["sample", "cancel"]
    bench.child.says("progress", stage="align", fraction=0.7)
    bench.now += 0.9
    assert bench.client.poll() == [] and bench.client.busy
    bench.child.says("cancelled")
    assert bench.client.poll() == [Cancelled()]
    assert not bench.client.busy and bench.child.killed == 0
    bench.begin()
    assert len(bench.children) == 1


@pytest.mark.parametrize("last", ["finished", "failed"])
def test_what_was_cancelled_does_not_finish(bench: Bench, last: str) -> None:
    bench.begin()
    bench.client.cancel()
    bench.child.says(last, message="late", kind="input")
    assert bench.client.poll() == [Cancelled()]
    assert bench.child.killed == 0


def test_a_child_that_ignores_cancel_is_killed_and_the_next_job_gets_a_new_one(bench: Bench) -> None:
    bench.begin()
    bench.client.cancel()
    bench.now += 0.95
    assert bench.client.poll() == [] and bench.child.killed == 0
    bench.now += 0.1
    assert bench.client.poll() == [Cancelled()]
    assert bench.child.killed == 1
    bench.begin()
    assert len(bench.children) == 2


def test_a_child_that_dies_while_it_should_stop_has_stopped(bench: Bench) -> None:
    bench.begin()
    bench.client.cancel()
    bench.child.exit_status = -11
    assert bench.client.poll() == [Cancelled()]
    bench.begin()
    assert len(bench.children) == 2


def test_cancel_before_the_child_has_the_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "write_job", lambda job, folder: time.sleep(0.2))
    bench.client.start(JOB)
    bench.client.cancel()
    assert bench.client.poll() == [Cancelled()]
    assert bench.children == []


def test_cancel_while_the_result_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.begin()
    monkeypatch.setattr(exchange, "read_result", lambda folder: time.sleep(0.2))
    bench.child.says("finished")
    assert bench.client.poll() == []
    bench.client.cancel()
    assert bench.client.poll() == [Cancelled()]
    assert bench.child.killed == 0


def test_a_crash_is_told_in_plain_words_and_the_next_job_gets_a_new_child(bench: Bench) -> None:
    bench.begin()
    bench.child.says("progress", stage="align", fraction=0.5)
    bench.child.exit_status = -9
    progress, failure = bench.to_the_end()
    assert isinstance(progress, Progress)
    assert isinstance(failure, Failed) and failure.kind == "crash"
    assert "memory" in failure.message and "start again" in failure.message
    assert not {"-9", "status", "Traceback"} & set(failure.message.split())
    assert bench.child.closed == 1
    bench.begin()
    assert len(bench.children) == 2


def test_a_result_that_came_before_the_end_of_the_child_counts(bench: Bench) -> None:
    folder = bench.begin()
    exchange.write_result(tiny_result(), folder)
    bench.child.says("finished")
    bench.child.exit_status = 1
    assert isinstance(bench.to_the_end()[-1], Finished)
    bench.begin()
    assert len(bench.children) == 2


def test_a_damaged_result_is_a_failure(bench: Bench) -> None:
    bench.begin()
    bench.child.says("finished")
    (failure,) = bench.to_the_end()
    assert isinstance(failure, Failed) and failure.kind == "crash" and "damaged" in failure.message


@pytest.mark.parametrize(
    ("error", "kind"), [(OSError(28, "No space left on device"), "input"), (MemoryError(), "memory"), (TypeError(), "crash")]
)
def test_a_job_that_cannot_be_handed_over_is_a_failure(bench: Bench, error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(job: object, folder: Path) -> None:
        (folder / "half a file").write_bytes(b"1")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "write_job", refuse)
        bench.client.start(JOB)
        (failure,) = bench.to_the_end()
    assert isinstance(failure, Failed) and failure.kind == kind
    assert kind != "input" or "No space left on device" in failure.message
    bench.begin()


def test_a_child_that_cannot_start_is_a_failure(bench: Bench) -> None:
    bench.refusal = FileNotFoundError(2, "No such file")
    bench.client.start(JOB)
    (failure,) = bench.to_the_end()
    assert isinstance(failure, Failed) and failure.kind == "crash" and "could not be started" in failure.message
    bench.refusal = None
    bench.begin()


@pytest.mark.parametrize(
    "line",
    [
        "warning: something", "", "[1]", "null", '{"event": "finished"}', '{"id": 1}', '{"event": "explode", "id": 1}',
        '{"event": "progress", "id": 1}', '{"event": "progress", "id": 1, "stage": "align", "fraction": null}',
        '{"event": "failed", "id": 1}', '{"event": "finished", "id": []}',
    ],
)  # fmt: skip
def test_lines_that_make_no_sense_are_left_out_and_logged(bench: Bench, line: str, caplog: pytest.LogCaptureFixture) -> None:
    bench.begin()
    bench.child.lines.append(line)
    assert bench.client.poll() == [] and bench.client.busy
    assert "ignored" in caplog.text


def test_a_failure_of_no_known_kind_is_a_crash(bench: Bench) -> None:
    bench.begin()
    bench.child.says("failed", message="m", kind="fancy")
    assert bench.to_the_end() == [Failed("m", "crash")]


@pytest.mark.parametrize("event", ["finished", "cancelled", "failed", "progress"])
def test_an_earlier_jobs_late_words_do_not_count(bench: Bench, event: str) -> None:
    bench.begin()
    bench.client.cancel()
    bench.child.says("cancelled")
    assert bench.client.poll() == [Cancelled()]
    folder = bench.begin()
    bench.child.says(event, number=1, message="late", kind="input", stage="align", fraction=0.5)
    assert bench.client.poll() == []
    exchange.write_result(tiny_result(), folder)
    bench.child.says("finished")
    assert [type(event) for event in bench.to_the_end()] == [Finished]


def test_close_ends_everything_and_may_be_called_again(bench: Bench) -> None:
    folder = bench.begin()
    bench.client.close()
    bench.client.close()
    assert bench.child.closed == 1 and not folder.exists() and not bench.client.busy
    assert bench.client.poll() == [Cancelled()]
    assert bench.client.poll() == []
    bench.begin()
    assert len(bench.children) == 2


def test_close_at_exit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Callable[[], None]] = []
    monkeypatch.setattr(module.atexit, "register", registered.append)
    monkeypatch.setattr(module.atexit, "unregister", lambda function: registered.remove(function))
    bench.begin()
    assert registered == [bench.client.close]
    registered[0]()
    assert bench.child.closed == 1 and registered == []


@pytest.mark.skipif(os.name == "nt", reason="usleep is POSIX's")
def test_files_are_exchanged_though_the_event_loop_keeps_pythons_lock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slicer's does: other threads get on only while Python code runs on the main thread."""
    keep_the_lock = ctypes.PyDLL(None).usleep

    def read(folder: Path) -> Result:
        for _ in range(10):
            time.sleep(0.001)  # as reading from a disk, it asks for the lock again
        return tiny_result()

    monkeypatch.setattr(exchange, "read_result", read)
    bench.begin()
    bench.child.says("finished")
    polls = 0
    while bench.client.busy:
        keep_the_lock(30_000)
        bench.client.poll()
        polls += 1
    assert polls <= 5


# --- progress -------------------------------------------------------------------------------------------------------------------


def test_progress_never_goes_back_and_ends_at_the_whole() -> None:
    pace = Pace(lambda: 0.0, dict(USUAL_SECONDS))
    steps = [(stage, fraction) for stage in USUAL_SECONDS for fraction in (0.0, 0.5, 1.0, 0.2)]
    told = [pace.at(*step).overall for step in steps]
    assert told == sorted(told) and told[0] == 0.0 and told[-1] == pytest.approx(1.0)
    assert pace.at("align", 0.0).overall == told[-1]
    assert pace.at("a stage of another version", 0.9).overall == told[-1]


def test_the_time_that_remains_is_learnt_from_the_time_that_passed() -> None:
    now = 0.0
    pace = Pace(lambda: now, {"one": 10.0, "two": 30.0})
    assert pace.at("one", 0.5).remaining_seconds is None
    now = 20.0  # four times slower than usual
    assert pace.at("one", 0.5).remaining_seconds == pytest.approx(140.0)
    now = 160.0
    assert pace.at("two", 1.0).remaining_seconds == pytest.approx(0.0)


def test_the_networks_stages_count_only_where_it_may_run(bench: Bench) -> None:
    overall = {}
    for prior in ("literature", "auto"):
        bench.begin(EstimateJob([tiny_acquisition()], EstimateOrder(prior=prior)))
        bench.child.says("progress", stage="fit voxels", fraction=0.0)
        (progress,) = bench.client.poll()
        overall[prior] = progress.overall  # type: ignore[union-attr]
        bench.child.says("failed", message="", kind="input")
        bench.to_the_end()
    fractions = np.array(list(USUAL_SECONDS.values()))
    assert overall["literature"] < overall["auto"] < 1.0
    assert overall["auto"] == pytest.approx(fractions[: list(USUAL_SECONDS).index("fit voxels")].sum() / fractions.sum())
