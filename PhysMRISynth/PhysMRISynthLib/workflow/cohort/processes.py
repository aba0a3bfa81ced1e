"""The visits of a cohort in processes of their own, on this machine or a dask cluster's; a process that dies costs only its visit."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import SimpleITK as sitk
from threadpoolctl import threadpool_limits

from ...errors import EstimationError, Remedy
from .visit import FAILED, Row, Task, clear_unfinished, estimate_visit

_JOIN_SECONDS = 10.0
_DIED = "Its process was killed{}, perhaps for want of memory. Run fewer jobs at a time, or give it more memory, and start again."
_NO_WORKER = "No worker of the cluster was left to do it. Start workers and run again."


@dataclass(frozen=True)
class Patience:
    """How many seconds a batch waits.

    Attributes
    ----------
    connect
        For a cluster's scheduler to answer.
    look
        Between two looks at the cluster.
    workers
        For a cluster without any worker: one that was lost comes back within seconds, if it does.
    table
        For another run to write the table, longer than any needs: a lock that is older was left by one that was killed.
    """

    connect: float = 20.0
    look: float = 5.0
    workers: float = 120.0
    table: float = 10.0


PATIENT = Patience()
"""What a batch waits if nothing else is said."""


def in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[Row]:
    """The rows of the visits as they are done, ``jobs`` at a time, each in a process with its share of the cores.

    A process for each visit, not a pool: one that is killed would break a pool, which cannot say whose visit that was.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    waiting, running = deque(tasks), dict[Any, tuple[Task, Any]]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(sender, task, threads), daemon=True)
                process.start()
                sender.close()  # the process' own end is the only one now: its death is an end of file
                running[receiver] = task, process
            for ready in wait(list(running)):
                yield _row(ready, *running.pop(ready))
    finally:
        for _task, process in running.values():
            process.kill()


def _row(receiver: Any, task: Task, process: Any) -> Row:
    try:
        row: Row | None = receiver.recv()
    except (EOFError, OSError):
        row = None
    receiver.close()
    process.join(_JOIN_SECONDS)
    if process.is_alive():
        process.kill()
    if row is not None:
        return row
    code = process.exitcode or 0
    clear_unfinished(task)
    return task.row(FAILED, _DIED.format(f" (signal {-code})" if code < 0 else f" (exit code {code})"))


def _work(sender: Connection, task: Task, threads: int) -> None:
    """In the process of a visit."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_threads(threads)
    sender.send(estimate_visit(task))


def _end_with_parent() -> None:
    """A process whose parent was killed would go on alone, beside those of the run that resumes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _limit_threads(count: int) -> None:
    """ITK's, our own (which ask ITK), BLAS' and, since it is loaded later, torch's."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(count)
    threadpool_limits(count)
    os.environ["OMP_NUM_THREADS"] = str(count)


def on_cluster(tasks: Sequence[Task], address: str, patience: Patience) -> Iterator[Row]:
    """The rows of the visits as the workers of the dask scheduler at ``address`` have done them; one thread for each visit.

    Raises EstimationError when dask is not installed or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise EstimationError(
            "A cluster needs the Python packages dask and distributed.",
            Remedy.INSTALL(packages="dask and distributed", extra="cluster"),
            Remedy.LEAVE_SCHEDULER_OUT,
        ) from error
    try:
        client = Client(address, timeout=patience.connect)
    except (OSError, ValueError, ImportError) as error:
        raise EstimationError(
            f"No dask scheduler answers at {address} ({error}). Check the address, for example tcp://host:8786."
        ) from error
    with client:
        yield from _collected(client, tasks, patience)


def _collected(client: Any, tasks: Sequence[Task], patience: Patience) -> Iterator[Row]:
    """Rows in the order in which visits are done; those of the rest once the cluster is gone.

    Dask blames a dead worker on every visit that was in its queue. Those that are blamed are done again, one at a time, when the others
    are done: who then has no other visit in its queue is itself the cause.
    """
    blamed = deque[Task]()
    yield from _submitted(client, tasks, patience, blamed)
    while blamed:
        yield from _submitted(client, [blamed.popleft()], patience)


def _submitted(client: Any, tasks: Sequence[Task], patience: Patience, blamed: deque[Task] | None = None) -> Iterator[Row]:
    """The rows of visits that the cluster does together, without those that go to ``blamed``."""
    from distributed import CancelledError, KilledWorker, wait

    waiting = {client.submit(_on_worker, task, key=f"{task.visit.name}-{uuid.uuid4().hex}", pure=False): task for task in tasks}
    seen = time.monotonic()
    while waiting:
        try:
            done = wait(list(waiting), timeout=patience.look, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        except (CancelledError, OSError):  # the scheduler is gone
            break
        for future in done:
            task = waiting.pop(future)
            if blamed is not None and isinstance(future.exception(), KilledWorker):
                blamed.append(task)
            else:
                yield _result(future, task)
        if done or _has_workers(client):
            seen = time.monotonic()
        elif time.monotonic() - seen > patience.workers:
            break
    yield from (task.row(FAILED, _NO_WORKER) for task in waiting.values())


def _on_worker(task: Task) -> Row:
    _limit_threads(1)
    return estimate_visit(task)


def _result(future: Any, task: Task) -> Row:
    error = future.exception()
    if error is None:
        return future.result()
    clear_unfinished(task)
    return task.row(FAILED, f"Its worker was lost or failed ({error}). Run again.")


def _has_workers(client: Any) -> bool:
    try:
        return bool(client.scheduler_info()["workers"])
    except (OSError, RuntimeError, LookupError):
        return False
