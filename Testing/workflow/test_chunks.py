"""Work in chunks: every voxel once, errors come through, progress only grows."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PhysMRISynthLib.workflow.chunks import chunks, for_each_chunk


@given(st.integers(0, 500), st.integers(1, 200))
def test_every_voxel_belongs_to_one_chunk(count: int, size: int) -> None:
    seen = [i for piece in chunks(count, size) for i in range(piece.start, piece.stop)]
    assert seen == list(range(count))
    assert all(piece.stop - piece.start <= size for piece in chunks(count, size))


@pytest.mark.parametrize("count", [0, 1, 100, 1001])
def test_work_is_done_once_everywhere(count: int) -> None:
    done = np.zeros(count, dtype=int)

    def work(piece: slice) -> None:
        done[piece] += 1

    for_each_chunk(count, 100, work)
    assert (done == 1).all()


@pytest.mark.parametrize("count", [100, 5000])
def test_an_exception_reaches_the_caller(count: int) -> None:
    def work(piece: slice) -> None:
        raise ZeroDivisionError(f"chunk {piece.start}")

    with pytest.raises(ZeroDivisionError, match="chunk"):
        for_each_chunk(count, 100, work)


@pytest.mark.parametrize("count", [100, 5000])
def test_progress_grows_to_one_on_the_callers_thread(count: int) -> None:
    told: list[float] = []
    threads = set()

    def progress(fraction: float) -> None:
        told.append(fraction)
        threads.add(threading.get_ident())

    for_each_chunk(count, 100, lambda piece: None, progress)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("size", [10, 1000])
def test_a_caller_who_cancels_ends_the_work(size: int) -> None:
    started = []

    def work(piece: slice) -> None:
        started.append(piece)
        time.sleep(0.002)

    def progress(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        for_each_chunk(1000, size, work, progress)
    assert len(started) < 50
