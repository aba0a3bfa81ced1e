"""A row of the table of faults, and running the command line on it."""

from __future__ import annotations

import hashlib
import os
import resource
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from PhysMRISynthLib.cli import main
from Testing.faults.scans import Make, nothing

_NOBODY = 65534


@dataclass(frozen=True)
class Fault:
    """``make`` puts the bad input into a folder, ``before`` into the output's place what is there already.

    ``command`` holds {here} and {out} for the two. ``told`` is a regular expression of the message on standard error. ``code`` is 2 for
    what is refused; 0 for what can be used, with the warning ``told``, and then ``written`` are the names in the output's place.
    ``during`` surrounds the run.
    """

    name: str
    make: Make
    command: str
    told: str
    code: int = 2
    before: Make = nothing
    written: frozenset[str] = field(default_factory=frozenset)
    during: Callable[[], AbstractContextManager[None]] = nullcontext

    def run(self, here: Path, out: Path) -> int:
        """The exit code of the command."""
        arguments = [part.format(here=here, out=out) for part in shlex.split(self.command)]
        with self.during():
            try:
                return main(arguments)
            except SystemExit as end:  # argparse's way to refuse an option
                return end.code if isinstance(end.code, int) else 1


def listing(folder: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its content; folders and what is no file with their kind."""
    found = {}
    for path in sorted(folder.rglob("*")):
        ordinary = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest() if ordinary else f"{path.lstat().st_mode:o}"
    return found


@contextmanager
def full_disk(room: int = 20_000) -> Iterator[None]:
    """No file may grow beyond so many bytes: writing fails in the middle, in C as in Python."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def without_privileges() -> Iterator[None]:
    """Permissions count, also where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def private(*names: str) -> Make:
    """Nobody may read these files and folders."""

    def make(here: Path) -> None:
        for name in names:
            (here / name).chmod(0)

    return make


def read_only(place: Path) -> None:
    """The place may be read but not written."""
    place.chmod(0o555)


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """All temporary files go there, so that what is left of them is seen."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
