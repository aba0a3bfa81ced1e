"""Work on another thread while this one does something else: torch, ITK, NumPy and compression leave the interpreter free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def begun(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Begin ``work`` on another thread. The block gets what waits for its result, or raises its error.

    Leaving the block, by an error too, waits for the end of the work.
    """
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work).result
