"""Checkpoints of a training run, written completely or not at all."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.whole_file import whole_file


def save_atomically(state: dict[str, Any], path: Path) -> None:
    """Write under another name, then rename: a kill in between leaves the old checkpoint. Raises PhysMRISynthError or OSError when it
    cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_file(path) as temporary:
            torch.save(state, temporary)
    except RuntimeError as error:  # torch's error for a full disk
        raise PhysMRISynthError(f"The checkpoint {path} could not be written. Check free space and permissions.") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of :func:`save_atomically` (tensors and plain values only). Raises PhysMRISynthError when it cannot be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise PhysMRISynthError(f"The checkpoint {path} cannot be read ({type(error).__name__}). Delete it to restart.") from None


class CsvLog:
    """A CSV file written row by row; the first column is the step.

    A resumed run continues after ``step``: rows of later steps, lost by a kill, are removed; earlier ones stay, also under new columns.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], step: int = 0) -> None:
        self.path, self.columns = path, columns
        path.parent.mkdir(parents=True, exist_ok=True)
        before = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []
        kept = [[row.get(column, "") for column in columns] for row in before if int(row[columns[0]]) <= step]
        with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *kept])

    def row(self, **values: float) -> None:
        """Append one row; columns without a value stay empty."""
        self._append([f"{values[column]:.6g}" if column in values else "" for column in self.columns])

    def _append(self, cells: Sequence[str]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(cells)
