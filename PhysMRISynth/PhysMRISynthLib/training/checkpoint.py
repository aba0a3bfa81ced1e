"""Checkpoints of a training run, written whole or not at all."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch

from ..errors import PhysMRISynthError


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write under another name, then rename: a kill in between leaves the old checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`save_atomically` wrote (tensors and plain values only). Raises PhysMRISynthError when it cannot be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise PhysMRISynthError(f"The checkpoint {path} cannot be read ({type(error).__name__}). Delete it to start anew.") from None


class CsvLog:
    """A CSV file that grows by a row at a time; rows of a resumed run follow those before."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, columns
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            self._append(columns)

    def row(self, **values: float) -> None:
        """Append one row; columns without a value stay empty."""
        self._append(tuple(f"{values[c]:.6g}" if c in values else "" for c in self.columns))

    def _append(self, cells: tuple[str, ...]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(cells)
