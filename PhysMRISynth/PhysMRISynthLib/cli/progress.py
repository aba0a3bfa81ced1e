"""Progress bars on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Bar:
    """One progress bar a stage, on a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._stage = ""

    def __call__(self, stage: str, fraction: float) -> None:
        """Show the stage and the fraction of it that is done."""
        from tqdm import tqdm

        if stage != self._stage:
            self.close()
            self._stage = stage
            self._bar = tqdm(total=100, desc=stage, leave=False, disable=None, bar_format="{desc}: {bar} {n:.0f} % [{elapsed}]")
        self._bar.update(100 * fraction - self._bar.n)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def progress_bar() -> Iterator[Bar]:
    """A bar that is gone at the end, whatever happens."""
    bar = Bar()
    try:
        yield bar
    finally:
        bar.close()
