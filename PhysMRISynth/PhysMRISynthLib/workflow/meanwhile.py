"""Work on another thread while this one does something else: torch, ITK, NumPy and compression leave the interpreter free."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def begun(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Begin ``work`` on another thread. The block gets what waits for its result, or raises its error.

    Leaving the block, by an error too, waits for the end of the work.
    """
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(work).result
    _give_back_memory()


def _give_back_memory() -> None:
    """Give memory that is free back to the system: glibc keeps some for every thread that had any, together half a gigabyte."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)
