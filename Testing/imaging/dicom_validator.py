"""The validator of DICOM files, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def violations(path: Path) -> list[str]:
    """The errors that dciodvfy finds; the test is skipped where that program is absent."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is absent, so the written DICOM is not validated; install Debian's dicom3tools")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
