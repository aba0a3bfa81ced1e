"""Files that appear completely or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".writing-"
"""Prefix of files and folders that are being written; a killed process may leave one."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``: renamed at the end, removed after an error, so that a kill leaves the old file.

    The name is unique and keeps the suffix. Raises OSError when it cannot be renamed.
    """
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
