"""The places of a fault: what is given, where results go, and where temporary files would be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def places() -> Iterator[dict[str, Path]]:
    """Folders ``here``, ``out`` and ``rest`` that anybody may enter (pytest's own are closed to a process without privileges)."""
    root = Path(tempfile.mkdtemp(prefix="faults-"))
    root.chmod(0o755)
    folders = {name: root / name for name in ("here", "out", "rest")}
    for folder in folders.values():
        folder.mkdir()
        folder.chmod(0o777)
    yield folders
    for folder in folders.values():
        folder.chmod(0o777)
    shutil.rmtree(root)
