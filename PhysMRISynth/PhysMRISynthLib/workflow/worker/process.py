"""The child process and the pipes to it."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)
_PACKAGES = Path(__file__).parents[3]
"""The folder that holds the package PhysMRISynthLib."""
_PATIENCE_SECONDS = 1.0
_NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""Windows would open a console."""


def worker_command() -> list[str]:
    """What starts the child, on this program's Python: Slicer's ``PythonSlicer`` inside of Slicer."""
    python = sys.executable
    if "python" not in Path(python or "").name.lower():  # the program is not Python itself but has Python in it
        python = shutil.which("PythonSlicer") or python
    return [python, "-P", "-m", f"{__package__}.child"]  # -P: a file such as queue.py in the current folder is not imported


class ProcessTransport:
    """Lines to and from a process that runs ``command``, without a shell; what it writes to its standard error is logged.

    Raises OSError when the process cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        paths = [str(_PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            creationflags=_NO_WINDOW,
            start_new_session=True,  # a group of its own, which ends as one (not on Windows)
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=_read, args=(pipe, take), daemon=True)
            for pipe, take in ((self._process.stdout, self._lines.put), (self._process.stderr, _log_line))
        ]
        for reader in self._readers:
            reader.start()

    def send(self, line: str) -> None:
        """Send one line. Raises OSError when the process has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def receive(self) -> list[str]:
        """The lines that have come since the last call; does not wait."""
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        return lines

    @property
    def exit_status(self) -> int | None:
        """None while the process runs or lines of it are still to come; negative: the signal that ended it."""
        return None if self._readers[0].is_alive() else self._process.poll()

    def kill(self) -> None:
        """End the process at once."""
        self._kill_all()
        self.close()

    def close(self) -> None:
        """End the process, which stops when its standard input ends; kill it when it does not."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has gone, and what was not flushed with it
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill_all()
            with contextlib.suppress(subprocess.TimeoutExpired):  # what hangs in a driver cannot even be killed
                self._process.wait(_PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(_PATIENCE_SECONDS)

    def _kill_all(self) -> None:
        """PythonSlicer is a launcher: the Python proper, which it started, would outlive it."""
        if self.exit_status is not None:
            return
        if os.name == "nt":
            command = ["taskkill", "/F", "/T", "/PID", str(self._process.pid)]
            subprocess.run(command, capture_output=True, creationflags=_NO_WINDOW, check=False)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()


def _read(pipe: IO[str], take: Callable[[str], None]) -> None:
    with pipe:
        for line in pipe:
            take(line.rstrip("\n"))


def _log_line(line: str) -> None:
    _log.info("worker: %s", line)
