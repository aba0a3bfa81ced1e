"""The files of tissue maps in a folder, and their units: as ``estimate --out`` writes them (ms, %), or as a BIDS derivative (seconds)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import ImageError
from .intake.volumes import Volume, image_like, read_volume

_NAMES = ("PD", "T1", "T2", "PD_sd", "T1_sd", "T2_sd", "mask", "tissues", "fluid_fraction")
_LABELS = {"mask": "desc-head_mask", "tissues": "dseg", "fluid_fraction": "desc-fluid_probseg"}
"""BIDS suffixes of files that are not quantities."""
MAP_FILES = frozenset(f"{name}.nii.gz" for name in _NAMES)
"""File names of maps, their SDs and mask outside BIDS derivatives."""
_FACTORS = {"PD": {"%": 1.0, "percent": 1.0}, "T1": {"s": 1000.0, "ms": 1.0}, "T2": {"s": 1000.0, "ms": 1.0}}
"""Factors from a unit to % of water, or to ms."""
_DEFAULT_UNITS = {"PD": "%", "T1": "s", "T2": "s"}
"""Units of BIDS for relaxation times; for PD, of our own derivatives."""


@dataclass(frozen=True)
class MapFiles:
    """The maps in a ``folder``; ``bids`` is the prefix of a derivative's names (sub-01_ses-a), None for plain names (T1.nii.gz)."""

    folder: Path
    bids: str | None

    def path(self, name: str) -> Path:
        """The file of PD, T1, T2, PD_sd, T1_sd, T2_sd, mask or tissues; it may be absent."""
        if self.bids is None:
            return self.folder / f"{name}.nii.gz"
        quantity, _, sd = name.partition("_")
        suffix = _LABELS.get(name) or f"{'desc-sd_' if sd else ''}{quantity}map"
        return self.folder / f"{self.bids}_{suffix}.nii.gz"

    @property
    def report(self) -> Path:
        """The report of the estimate; it may be absent."""
        return self.folder / ("report.json" if self.bids is None else f"{self.bids}_report.json")

    def paths(self) -> set[Path]:
        """All possible files, including JSON sidecars of a derivative."""
        images = {self.path(name) for name in _NAMES}
        return images | {self.report} | (set() if self.bids is None else {_sidecar(path) for path in images})

    def read(self, name: str) -> Volume:
        """A map or SD in % of water (PD) or ms, the mask, or the tissues. ImageError when it cannot be read, or its unit is unknown."""
        path, quantity = self.path(name), name.partition("_")[0]
        volume = read_volume(path, constant=name in _LABELS or name.endswith("_sd"))
        factor = 1.0 if self.bids is None or name in _LABELS else _factor(path, quantity)
        return volume if factor == 1.0 else replace(volume, image=image_like(volume.voxels * np.float32(factor), volume.image))


def find_map_files(folder: Path) -> MapFiles:
    """The maps in a folder: those with plain names if there are any, else those of a BIDS derivative.

    Raises ImageError when it is not a folder, or a derivative of several visits.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder. Give the folder that an estimate wrote.")
    derived = sorted({name for quantity in _FACTORS for name in _beginnings(folder, f"_{quantity}map.nii.gz")})
    if not derived or any((folder / f"{quantity}.nii.gz").exists() for quantity in _FACTORS):
        _check_not_above(folder)
        return MapFiles(folder, None)
    if len(derived) > 1:
        raise ImageError(f"{folder} holds the maps of {', '.join(derived)}. Give a folder with those of one visit.")
    return MapFiles(folder, derived[0])


def _beginnings(folder: Path, end: str) -> list[str]:
    names = (path.name.removesuffix(end) for path in folder.glob(f"*{end}"))
    return [name for name in names if "_desc-" not in name]


def _check_not_above(folder: Path) -> None:
    """Refuse a data set's, subject's or session's folder in place of the one with the maps."""
    below = sorted({path.parent for levels in ("", "*/", "*/*/") for path in folder.glob(f"{levels}anat/*_T1map.nii.gz")})
    if below and not any((folder / name).exists() for name in MAP_FILES):
        raise ImageError(f"{folder} holds maps in folders of their visits only. Give one of these, such as {below[0]}.")


def _factor(path: Path, quantity: str) -> float:
    """Factor on a derivative's values, from the unit in the JSON file beside it."""
    sidecar = _sidecar(path)
    try:
        stated = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
        unit = stated.get("Units", _DEFAULT_UNITS[quantity])
        return _FACTORS[quantity][unit]
    except (OSError, ValueError, AttributeError) as error:
        raise ImageError(f"{sidecar} is not a readable JSON sidecar ({error}). Restore it.") from error
    except (LookupError, TypeError) as error:
        known = " or ".join(_FACTORS[quantity])
        raise ImageError(f"{sidecar}: {quantity} in units of {unit!r} is not known. Give it in {known}, as Units says.") from error


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")
