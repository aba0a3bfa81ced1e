"""Continuous integration: the DICOM validator is installed where that is possible, and the tests run in any case."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / ".ci" / "run"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="continuous integration runs this script on Linux and macOS only")


def calls(folder: Path, user: int = 0, apt: int | None = 0, validator: bool = False) -> list[str]:
    """What the script calls, as ``user``, where apt-get ends with a status (None: there is none) and the validator is there or not."""
    record = folder / "calls"
    programs = {"python3": f'echo "python3 $*" >> {record}', "id": f"echo {user}", "timeout": 'shift; "$@"'}
    if apt is not None:
        programs["apt-get"] = f'echo "apt-get $*" >> {record}; exit {apt}'
    if validator:
        programs["dciodvfy"] = ":"
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    for name in ("bash", "dirname"):
        (folder / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run([folder / "bash", RUN], env={"PATH": str(folder)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("not be validated" in done.stderr) == bool(apt)
    return record.read_text().splitlines()


def test_the_validator_is_installed_where_that_is_possible(tmp_path: Path) -> None:
    update, install, tests = calls(tmp_path)
    assert "update" in update and install.endswith("install dicom3tools") and tests == "python3 dev.py test"


def test_the_tests_run_where_the_validator_cannot_be_installed(tmp_path: Path) -> None:
    assert calls(tmp_path, apt=100)[-1] == "python3 dev.py test"


@pytest.mark.parametrize("without", [{"user": 1000}, {"apt": None}, {"validator": True}])
def test_nothing_is_installed_by_others_than_root_without_apt_or_twice(without: dict[str, int], tmp_path: Path) -> None:
    assert calls(tmp_path, **without) == ["python3 dev.py test"]
