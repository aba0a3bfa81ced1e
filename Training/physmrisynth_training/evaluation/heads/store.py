"""Measured heads, kept in a folder, so that a comparison with one more group measures that group alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.whole_file import whole_file

from .folders import HeadFile
from .form import Form, form_of
from .looks import Looks, images_of, looks_of

_VERSION = 1
"""Of the measures: stored ones of another version are measured again."""


@dataclass(frozen=True)
class Measured:
    """A head's ``form`` and ``looks``; its ``known`` numbers by the names of CONDITIONS; for a sample, its number of attempts ``draws``."""

    name: str
    form: Form
    looks: Looks
    known: Mapping[str, float]
    draws: int = 1

    @property
    def aligned(self) -> np.ndarray | None:
        """The brain in the atlas (None: not found there)."""
        return self.form.aligned

    def number(self, name: str) -> float:
        """One of the form's numbers (NaN: not measured)."""
        return self.form.numbers.get(name, float("nan"))


Images = Mapping[str, np.ndarray]
Made = tuple[np.ndarray, Images | None, int]
"""A head's tissue (z, y, x), its images by contrast (None: of the tissue), and its attempts."""


@dataclass(frozen=True)
class Store:
    """Measured heads in a ``folder`` (None: none are kept) by a key that tells what was measured."""

    folder: Path | None

    def head(self, head: HeadFile) -> Measured:
        """A head of a file. Raises ImageError when it cannot be read."""
        found = self.measured(f"file-{head.sha256[:20]}", head.name, lambda: (head.tissue(), None, 1))
        return replace(found, name=head.name, known=head.numbers)

    def measured(self, key: str, name: str, make: Callable[[], Made], form: Form | None = None) -> Measured:
        """The head of a ``key``; ``make`` makes it; ``form`` if it is known."""
        path = None if self.folder is None else self.folder / f"{key}-v{_VERSION}.npz"
        if path is not None and path.is_file():
            return _read(path, name)
        tissue, images, draws = make()
        found = Measured(name, form or form_of(tissue), looks_of(images_of(tissue) if images is None else images, tissue), {}, draws)
        if path is not None:
            _write(path, found)
        return found


def _write(path: Path, head: Measured) -> None:
    stated = {"numbers": head.form.numbers, "sharpness": dict(head.looks.sharpness), "draws": head.draws}
    arrays: dict[str, Any] = {"features": head.looks.features, "brains": head.looks.brains}
    arrays |= {f"portrait{number}": plane for number, plane in enumerate(head.looks.portrait)}
    arrays |= {} if head.form.aligned is None else {"aligned": head.form.aligned}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, stated=np.array(json.dumps(stated)), **arrays)


def _read(path: Path, name: str) -> Measured:
    with np.load(path, allow_pickle=False) as file:
        stated = json.loads(str(file["stated"]))
        portrait = tuple(file[f"portrait{number}"] for number in range(3))
        looks = Looks(file["features"], stated["sharpness"], file["brains"], portrait)
        return Measured(name, Form(stated["numbers"], file.get("aligned")), looks, {}, int(stated["draws"]))
