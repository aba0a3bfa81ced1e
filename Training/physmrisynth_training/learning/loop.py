"""The training loop: runs until the end, a time limit or a stop request, then saves everything."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from .progress_log import Watch
from .trainer import Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def train(trainer: Trainer, progress: Callable[[str], None]) -> None:
    """Take steps until the run's end, and save. ``progress`` gets a line now and then, in the first process only."""
    end = trainer.run.steps if trainer.run.steps is not None else trainer.last_step()
    if end is None or trainer.step < end:
        _steps(trainer, end, Watch(trainer, progress) if trainer.fabric.is_global_zero else None)


def _steps(trainer: Trainer, end: int | None, watch: Watch | None) -> None:
    start = saved = time.monotonic()
    before, minutes = trainer.seconds, trainer.run.minutes
    with _stop_signal() as stopped:
        for batch in trainer.batches():
            losses = trainer.learn(batch)
            now = time.monotonic()
            trainer.seconds = before + now - start
            if watch is not None:
                watch.after_step(losses)
            late = minutes is not None and now - start > 60 * minutes
            over = _agreed(trainer.fabric, late or stopped()) or trainer.step == end
            if over or now - saved > 60 * trainer.config.checkpoint_minutes:
                trainer.save()
                saved = now
            if over:
                break
    trainer.fabric.barrier()


def _agreed(fabric: Fabric, request: bool) -> bool:
    """Whether any process has a stop request: all stop together, since others would wait indefinitely."""
    requests = fabric.all_reduce(torch.tensor(float(request), device=fabric.device), reduce_op="sum")
    return float(cast(Tensor, requests)) > 0


def quiet_worker(worker: int) -> None:
    """One thread; stop signals are for the training process, which saves and then ends its workers."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM into a stop request, so that the last step is saved."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGTERM, before)
