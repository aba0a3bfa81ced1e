"""Progress: a bar a stage on a terminal, a line a stage in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Bar:
    """One progress bar a stage on a terminal; elsewhere a plain line a stage with the time since the start."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""
        self._start = time.monotonic()

    def __call__(self, stage: str, fraction: float) -> None:
        """Show the stage and the fraction of it that is done."""
        if stage != self._stage:
            self.close()
            self._stage = stage
            if not sys.stderr.isatty():
                print(f"[{time.monotonic() - self._start:4.0f} s] {stage}", file=sys.stderr, flush=True)
                return
            from tqdm import tqdm

            self._bar = tqdm(total=100, desc=stage, leave=False, disable=None, bar_format="{desc}: {bar} {n:.0f} % [{elapsed}]")
        if self._bar is not None:
            self._bar.update(100 * fraction - self._bar.n)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar that is gone at the end, whatever happens."""
    bar = Bar()
    try:
        yield bar
    finally:
        bar.close()
