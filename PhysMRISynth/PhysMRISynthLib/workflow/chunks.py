"""Work over many voxels in cache-sized chunks on all cores (NumPy releases the interpreter lock in large operations)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

import SimpleITK as sitk


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices that cover ``count`` voxels, ``size`` at a time."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def for_each_chunk(count: int, size: int, work: Callable[[slice], None], progress: Callable[[float], None] = lambda fraction: None) -> None:
    """Call ``work`` with every chunk, on as many threads as ITK uses (the cores, or this process' share of them).

    ``progress`` gets the fraction done, from this thread.

    An exception of either stops the work and reaches the caller.
    """
    pieces = list(chunks(count, size))
    threads = min(len(pieces), sitk.ProcessObject.GetGlobalDefaultNumberOfThreads())
    if threads <= 1:
        for done, piece in enumerate(pieces, start=1):
            work(piece)
            progress(done / len(pieces))
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(work, piece) for piece in pieces]
        try:
            for done, future in enumerate(as_completed(waiting), start=1):
                future.result()
                progress(done / len(pieces))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
