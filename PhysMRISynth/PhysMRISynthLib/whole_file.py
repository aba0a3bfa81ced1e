"""Files that appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".writing-"
"""Begins the names of files and folders that are being written; one may be left by a process that was killed."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Another name beside ``path``, to write under: renamed at the end, removed after an error, so that a kill leaves the old file.

    Nobody else has that name, and it keeps the suffix. Raises OSError when it cannot be renamed.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
