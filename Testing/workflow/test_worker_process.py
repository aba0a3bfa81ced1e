"""The worker with real processes: a tiny child that behaves as told, and the real one on a small head."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from PhysMRISynthLib.errors import EstimationError, ProtocolError, WeightsError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.worker import child as child_module
from PhysMRISynthLib.workflow.worker.client import Client
from PhysMRISynthLib.workflow.worker.jobs import Cancelled, EstimateJob, Event, Failed, Finished, Job, Progress
from PhysMRISynthLib.workflow.worker.process import ProcessTransport, worker_command
from PhysMRISynthLib.workflow.worker.remaining_time import USUAL_SECONDS
from Testing.workflow.tiny_worker import COMMAND, STAGES, job


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def children() -> list[psutil.Process]:
    """Of this process, but Python's own tracker of shared memory, which earlier tests may have started."""
    return [child for child in psutil.Process().children() if "multiprocessing.resource_tracker" not in " ".join(child.cmdline())]


@pytest.fixture(scope="module")
def shared_client() -> Iterator[Client]:
    """One for all tests, as starting a child takes most of their time; no process is left behind."""
    client = Client(lambda: ProcessTransport(COMMAND))
    yield client
    client.close()
    wait_until(lambda: not children(), "a child is left")


@pytest.fixture
def client(shared_client: Client, files: Path) -> Iterator[Client]:
    """A client of tiny children, warm or not; no file is left behind."""
    yield shared_client
    assert not shared_client.busy
    wait_until(lambda: not list(files.iterdir()), "files are left")


def wait_until(ready: Callable[[], bool], otherwise: str, seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < limit, otherwise
        time.sleep(0.01)


def events_of(client: Client, until: Callable[[list[Event]], bool] | None = None, seconds: float = 60.0) -> list[Event]:
    """What is told until a condition holds, or until the job's end."""
    events: list[Event] = []

    def ready() -> bool:
        events.extend(client.poll())
        return until(events) if until else not client.busy

    wait_until(ready, f"told so far: {events}", seconds)
    return events


def run(client: Client, what: Job) -> list[Event]:
    client.start(what)
    return events_of(client)


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def pid_of(client: Client) -> int:
    assert isinstance(client._transport, ProcessTransport)
    return client._transport._process.pid


def test_a_job_is_done_and_the_child_stays_for_the_next(client: Client) -> None:
    *progress, end = run(client, job("finish"))
    assert [p.stage for p in progress if isinstance(p, Progress)] == list(STAGES)
    assert isinstance(end, Finished) and end.result.maps.pd.dtype == np.float32
    pid = pid_of(client)
    assert isinstance(run(client, job("finish"))[-1], Finished)
    assert pid_of(client) == pid


def test_cancel_is_obeyed_at_the_next_progress_and_the_child_stays(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.start(job("listen"))
    events_of(client, until=lambda events: bool(events))
    pid, asked = pid_of(client), time.monotonic()
    client.cancel()
    assert events_of(client)[-1] == Cancelled()
    assert time.monotonic() - asked < 1.0
    assert isinstance(run(client, job("finish"))[-1], Finished)
    assert pid_of(client) == pid
    assert "failed" not in caplog.text


def test_a_child_deep_in_work_is_killed_and_replaced(client: Client) -> None:
    client.start(job("sleep"))
    events_of(client, until=lambda events: bool(events))
    pid, asked = pid_of(client), time.monotonic()
    client.cancel()
    assert events_of(client)[-1] == Cancelled()
    assert time.monotonic() - asked < 2.0
    assert not psutil.pid_exists(pid)
    assert isinstance(run(client, job("finish"))[-1], Finished)


@pytest.mark.parametrize(
    ("behaviour", "kind", "words"),
    [
        ("die", "crash", "ended unexpectedly"),
        ("fault", "crash", "ended unexpectedly"),
        ("exhaust", "memory", "not enough memory"),
        ("miss", "missing", "'nowhere_to_be_found'"),
        ("err", "crash", "unexpected"),
    ],
)
def test_every_end_is_told_in_plain_words_and_work_goes_on(
    client: Client, behaviour: str, kind: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        end = run(client, job(behaviour))[-1]
        assert isinstance(end, Failed) and end.kind == kind and words in end.message
        assert "Traceback" not in end.message and "secret" not in end.message
        if behaviour in ("fault", "err", "exhaust"):  # what developers need is in the log
            wait_until(lambda: "tiny_worker.py" in caplog.text, caplog.text)
    assert isinstance(run(client, job("finish"))[-1], Finished)


def test_what_libraries_print_does_not_reach_the_protocol(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert isinstance(run(client, job("chatter"))[-1], Finished)
        wait_until(lambda: "spoofed" in caplog.text and "written below Python" in caplog.text, caplog.text)
    assert "ignored" not in caplog.text


def test_libraries_do_not_find_the_workers_orders_at_the_standard_input(client: Client) -> None:
    """On Windows, NumPy could not even be imported where a thread reads the standard input."""
    assert isinstance(run(client, job("look"))[-1], Finished)


def test_a_program_that_is_not_the_worker_is_a_crash(files: Path) -> None:
    client = Client(lambda: ProcessTransport([sys.executable, "-c", "print('hello')"]))
    end = run(client, job("finish"))[-1]
    assert isinstance(end, Failed) and end.kind == "crash"
    client.close()


def test_a_file_called_like_a_module_in_the_current_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slicer's current folder is the one that the user started it from."""
    for name in ("queue", "logging", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    client = Client(lambda: ProcessTransport(worker_command()))
    try:
        (told,) = [event for event in run(client, EstimateJob([], EstimateOrder(prior="literature"))) if isinstance(event, Failed)]
    finally:
        client.close()
    assert told.kind == "input", told.message


def test_close_in_the_middle_of_work_takes_no_second(client: Client) -> None:
    client.start(job("sleep"))
    events_of(client, until=lambda events: bool(events))
    pid, start = pid_of(client), time.monotonic()
    client.close()
    assert time.monotonic() - start < 1.0
    assert not psutil.pid_exists(pid)


def test_a_program_that_does_not_listen_is_ended() -> None:
    deaf = [sys.executable, "-c", "import time; time.sleep(60)"]
    start, transport = time.monotonic(), ProcessTransport(deaf)
    transport.kill()
    assert time.monotonic() - start < 0.9  # without waiting for it to go by itself
    transport = ProcessTransport(deaf)
    assert transport.exit_status is None
    transport.close()
    assert transport.exit_status not in (None, 0)


@pytest.mark.parametrize("end", [ProcessTransport.kill, ProcessTransport.close])
def test_what_a_launcher_started_ends_with_it(end: Callable[[ProcessTransport], None]) -> None:
    """Slicer's ``PythonSlicer`` starts the Python proper, which need not listen."""
    deaf = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    transport = ProcessTransport([sys.executable, "-c", "import subprocess, sys; subprocess.call(sys.argv[1:])", *deaf])
    wait_until(lambda: bool(transport.receive()), "nothing was launched")
    (python,) = psutil.Process(transport._process.pid).children()
    end(transport)
    wait_until(lambda: has_ended(python.pid), "what was launched lives on", 2.0)
    assert transport.exit_status is not None


_PARENT = """
import sys, time
from PhysMRISynthLib.workflow.worker.client import Client
from PhysMRISynthLib.workflow.worker.process import ProcessTransport
from Testing.workflow.tiny_worker import COMMAND, job
client = Client(lambda: ProcessTransport(COMMAND))
client.start(job(sys.argv[1]))
while not client.poll():
    time.sleep(0.01)
print(client._transport._process.pid, flush=True)
time.sleep(float(sys.argv[2]))
"""


def _parent(behaviour: str, files: Path, seconds: float) -> tuple[subprocess.Popen[str], int]:
    """A program that has a child at work, and the child's number; it lives for ``seconds``."""
    folders = os.pathsep.join(str(Path(__file__).parents[n] / part) for n, part in ((1, ""), (2, "PhysMRISynth")))
    environment = {**os.environ, "PYTHONPATH": folders, "TMPDIR": str(files), "TEMP": str(files)}
    command = [sys.executable, "-c", _PARENT, behaviour, str(seconds)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("behaviour", ["sleep", "listen"])
def test_no_child_and_no_file_outlives_a_killed_parent(behaviour: str, files: Path) -> None:
    parent, child = _parent(behaviour, files, 60.0)
    with parent:
        assert psutil.pid_exists(child) and list(files.iterdir())
        parent.kill()
    wait_until(lambda: has_ended(child), "an orphan is left", 5.0)
    assert list(files.iterdir()) == []


def test_no_child_and_no_file_outlives_a_program_that_forgets_to_close(files: Path) -> None:
    parent, child = _parent("sleep", files, 0.0)
    with parent:
        assert parent.wait(10.0) == 0
    assert not psutil.pid_exists(child)
    assert list(files.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for single processes")
def test_ctrl_c_in_the_terminal_is_not_the_childs(client: Client) -> None:
    client.start(job("listen"))
    events_of(client, until=lambda events: bool(events))
    os.kill(pid_of(client), signal.SIGINT)
    time.sleep(0.3)
    assert client.poll() == [] and client.busy
    client.cancel()
    assert events_of(client)[-1] == Cancelled()


# --- the real child -------------------------------------------------------------------------------------------------------------


def test_the_command_is_this_python_and_slicers_where_the_program_is_slicer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_command() == [sys.executable, "-P", "-m", "PhysMRISynthLib.workflow.worker.child"]
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/Slicer/bin/{name}")
    assert worker_command()[0] == "/opt/Slicer/bin/PythonSlicer"


@pytest.fixture(scope="module")
def acquisitions() -> list[Acquisition]:
    head, protocols = small_head(), {"t1w": Protocol.of("mprage"), "t2w": Protocol.of("tse")}
    images = simulate(head.maps, protocols, snr=60.0, field=0.1, seed=1)
    return [Acquisition(name, volume_from_image(head.maps.image(v)), protocols[name]) for name, v in images.items()]


def test_estimates_and_failures_of_the_real_child(acquisitions: list[Acquisition], files: Path) -> None:
    """One child for all of it, as starting it takes seconds."""
    client = Client(lambda: ProcessTransport(worker_command()))
    *progress, end = run(client, EstimateJob(acquisitions, EstimateOrder(prior="literature")))
    assert isinstance(end, Finished), end
    here = estimate_tissue_maps(acquisitions, EstimateOrder(prior="literature"))
    np.testing.assert_allclose(end.result.maps.t1, here.maps.t1, rtol=1e-3)
    np.testing.assert_array_equal(end.result.brain, here.brain)
    assert end.result.report["reference"] == "t1w" and json.loads(json.dumps(end.result.report)) == end.result.report
    fit, residual = end.result.fits["t2w"], end.result.residuals["t2w"]
    inside = end.result.maps.mask
    np.testing.assert_allclose((fit + residual)[inside], acquisitions[1].volume.voxels[inside], rtol=1e-4, atol=1e-3)
    assert (residual[~inside] == 0).all()
    told = [event for event in progress if isinstance(event, Progress)]
    assert {event.stage for event in told} <= set(USUAL_SECONDS) and {*here.seconds} <= {event.stage for event in told}
    assert [event.overall for event in told] == sorted(event.overall for event in told)
    pid = pid_of(client)

    refused = run(client, EstimateJob(acquisitions, EstimateOrder(reference="flair", prior="literature")))[-1]
    assert isinstance(refused, Failed) and refused.kind == "input" and "not among the inputs" in refused.message
    refused = run(client, EstimateJob(acquisitions[:1] * 2, EstimateOrder(prior="literature")))[-1]
    assert isinstance(refused, Failed) and refused.kind == "input" and "Give each contrast its own" in refused.message
    refused = run(client, SampleOrder(0, condition={"age": 70.0}))[-1]
    assert isinstance(refused, Failed) and refused.kind == "input" and "no condition age" in refused.message
    assert pid_of(client) == pid
    client.close()
    assert list(files.iterdir()) == []


class _Weights:
    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256


def test_weights_stay_warm_until_others_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed, loaded = ["a"], []

    def usable(prior: str) -> _Weights:
        loaded.append(installed[0])
        return _Weights(installed[0])

    monkeypatch.setattr("PhysMRISynthLib.workflow.estimation.network_prior.usable_weights", usable)
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.shipped_weights", lambda kind="vae": (Path("w"), installed[0]))
    handler = child_module.EstimateHandler()
    assert handler._usable_weights("literature") is None
    assert handler._usable_weights("auto") is handler._usable_weights("network")
    installed[0] = "b"
    assert handler._usable_weights("auto").sha256 == "b"  # type: ignore[union-attr]
    assert loaded == ["a", "b"]


def test_a_users_own_weights_are_not_replaced_by_the_installed_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[object] = []
    installed = _Weights("a")
    monkeypatch.setattr("PhysMRISynthLib.workflow.estimation.network_prior.usable_weights", lambda prior: installed)
    monkeypatch.setattr(
        "PhysMRISynthLib.workflow.estimation.estimate.estimate_tissue_maps", lambda inputs, order, report, weights: given.append(weights)
    )
    monkeypatch.setattr("PhysMRISynthLib.workflow.worker.job_results.result_of", lambda estimate: None)
    monkeypatch.setattr("PhysMRISynthLib.workflow.worker.exchange.write_result", lambda result, folder: None)
    handler = child_module.EstimateHandler()
    for order in (EstimateOrder(), EstimateOrder(weights="mine.safetensors")):
        monkeypatch.setattr("PhysMRISynthLib.workflow.worker.exchange.read_job", lambda folder, order=order: EstimateJob((), order))
        handler(tmp_path, lambda *progress: None)
    assert given == [installed, None]  # without weights an estimate reads those that its order names


def test_a_users_own_sampling_model_is_not_replaced_by_the_installed_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: list[object] = []
    handler = child_module.SampleHandler()
    monkeypatch.setattr(handler, "_usable_sampler", lambda: "installed")
    monkeypatch.setattr("PhysMRISynthLib.workflow.sampling.sample.sampler_of", lambda order: order.weights)
    monkeypatch.setattr("PhysMRISynthLib.workflow.sampling.sample.sampled_heads", lambda sampler, *others: given.append(sampler) or ())
    for order in (SampleOrder(), SampleOrder(weights="mine.safetensors")):
        monkeypatch.setattr("PhysMRISynthLib.workflow.worker.exchange.read_job", lambda folder, order=order: order)
        handler(tmp_path, lambda *progress: None)
    assert given == ["installed", "mine.safetensors"]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (MemoryError(), "memory", "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "memory", "not enough memory"),
        (RuntimeError("itk::ERROR: Failed to allocate memory for image."), "memory", "not enough memory"),
        (EstimationError("Cause. Remedy."), "input", "Cause. Remedy."),
        (ProtocolError("Cause. Remedy."), "input", "Cause. Remedy."),
        (WeightsError("Cause. Remedy."), "missing", "Cause. Remedy."),
        (ModuleNotFoundError("No module named 'threadpoolctl.x'", name="threadpoolctl.x"), "missing", "'threadpoolctl'"),
        (ImportError("DLL load failed"), "missing", "package"),
        (OSError(28, "No space left on device"), "input", "No space left on device"),
        (ZeroDivisionError("internals"), "crash", "please report"),
        (SystemExit(1), "crash", "please report"),
    ],
)
def test_failures_in_plain_words(error: BaseException, kind: str, words: str) -> None:
    message, told = child_module.failure_of(error)
    assert told == kind and words in message and "internals" not in message and "Tried" not in message
