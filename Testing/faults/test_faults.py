"""Every row of the table of faults: a message with cause and next step, the exit code, and nothing left behind or lost."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from Testing.faults.fault import Fault, listing, temporary_files_in
from Testing.faults.table import TABLE

_LONGEST_SECONDS = 60
_LEAST_ROWS = 60


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raise TimeoutError when something waits for ever, for example for a pipe."""

    def ring(_number: int, _frame: object) -> None:
        raise TimeoutError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_the_table_is_long_and_names_each_fault_once() -> None:
    assert len(TABLE) >= _LEAST_ROWS
    assert len({fault.name for fault in TABLE}) == len(TABLE)


@pytest.mark.parametrize("fault", TABLE, ids=lambda fault: fault.name)
def test_a_fault_is_told_and_leaves_nothing_behind(fault: Fault, places: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    here, out, rest = places["here"], places["out"], places["rest"]
    fault.make(here)
    fault.before(out)
    given, before = listing(here), listing(out)
    with temporary_files_in(rest), no_longer_than(_LONGEST_SECONDS):
        code = fault.run(here, out)
    message = capfd.readouterr().err
    assert code == fault.code, message
    assert re.search(fault.told, message, re.DOTALL), message
    assert "Traceback" not in message and "Error:" not in message
    after = listing(out)
    assert {name: kind for name, kind in after.items() if name in before} == before
    assert set(after) - set(before) == fault.written
    assert listing(here) == given
    assert not [name for name in listing(rest) if not name.startswith("torchinductor")]  # torch's own, once a process
