"""The tissue table: literature values of PD, T1 and T2 per tissue and field strength, with their spread and sources."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..errors import ProtocolError
from ..resource_files import RESOURCES

_TABLE = RESOURCES / "tissues.json"
PROPERTIES = ("PD", "T1", "T2")
BRAIN_TISSUE = ("white_matter", "cortex", "deep_grey", "thalamus")
"""The tissues over which map errors are stated (cerebrospinal fluid apart)."""

ACCEPTANCE_3T: dict[str, dict[str, tuple[float, float]]] = {
    "white_matter": {"PD": (62, 75), "T1": (750, 1100), "T2": (60, 90)},
    "cortex": {"PD": (75, 88), "T1": (1150, 1800), "T2": (75, 115)},
    "csf": {"PD": (90, 110), "T1": (3000, 6000), "T2": (500, 4000)},
}
"""Ranges (%, ms) of group means at 3 T across published methods (sources: the table's references)."""

ACCEPTANCE_1_5T: dict[str, dict[str, tuple[float, float]]] = {
    "white_matter": {"PD": (62, 75), "T1": (500, 900), "T2": (60, 90)},
    "cortex": {"PD": (75, 88), "T1": (850, 1250), "T2": (75, 115)},
    "csf": {"PD": (90, 110), "T1": (2500, 6000), "T2": (300, 4000)},
}


@dataclass(frozen=True)
class Tissue:
    """One row of the table: ``theta`` = (log PD, log T1/ms, log T2/ms), and log-SDs of the same order, all of shape (3,)."""

    name: str
    title: str
    region: str
    labels: tuple[int, ...]
    theta: np.ndarray
    between_heads: np.ndarray
    within_head: np.ndarray
    sources: tuple[str, ...]


@cache
def tissue_table(field_strength: float = 3.0) -> tuple[Tissue, ...]:
    """The table's column for a field strength in tesla: 1.5 serves up to 2.2 T, 3.0 above.

    Raises ProtocolError outside 1 to 4 T, where the table has no values.
    """
    if not 1.0 <= field_strength <= 4.0:
        raise ProtocolError(f"No tissue values for {field_strength:g} T: use a field strength between 1 and 4 T.")
    column, table = _column(field_strength), _read()
    return tuple(_tissue(row, column, table["references"]) for row in table["tissues"])


def _column(field_strength: float) -> str:
    return "1.5" if field_strength < 2.2 else "3.0"


@cache
def _read() -> dict:
    return json.loads(_TABLE.read_text(encoding="utf-8"))


def _tissue(row: dict, column: str, references: dict[str, str]) -> Tissue:
    values = row["values"][column]

    def vector(source: dict) -> np.ndarray:
        return np.array([source[p] for p in PROPERTIES], dtype=float)

    return Tissue(
        name=row["name"],
        title=row["title"],
        region=row["region"],
        labels=tuple(row["labels"]),
        theta=np.log(vector(values)),
        between_heads=vector(row["between_heads"]) / 100.0,
        within_head=vector(row["within_head"]) / 100.0,
        sources=tuple(references[key] for key in values["sources"]),
    )


@dataclass(frozen=True)
class PublishedValue:
    """Published values of a ``quantity`` of a tissue at a ``place`` (%, ms) by one ``method``: group ``medians``, and ``limits`` of
    80 % of the maps where known."""

    method: str
    tissue: str
    quantity: str
    place: str
    medians: tuple[float, ...]
    limits: tuple[float, float] | None
    source: str

    @property
    def text(self) -> str:
        """``822, 841 (783–908)``."""
        medians = ", ".join(f"{median:g}" for median in self.medians)
        return medians if self.limits is None else f"{medians} ({self.limits[0]:g}–{self.limits[1]:g})"


@cache
def published_by_method(field_strength: float) -> tuple[PublishedValue, ...]:
    """Measured values by method, if there are any at a field strength in tesla: T1 varies as much between methods as between tissues."""
    column = _column(field_strength)
    rows = [row for row in _read()["published"] if row["field_strength"] == column]
    return tuple(
        PublishedValue(row["method"], tissue, quantity, found["place"], tuple(found["medians"]), _pair(found["range"]), row["source"])
        for row in rows
        for tissue, values in row["tissues"].items()
        for quantity, found in values.items()
    )


def _pair(limits: list[float] | None) -> tuple[float, float] | None:
    return None if limits is None else (limits[0], limits[1])


def acceptance_ranges(field_strength: float) -> dict[str, dict[str, tuple[float, float]]]:
    """Published ranges of group means (PD %, T1 ms, T2 ms) of white matter, cortex and CSF at a field strength in tesla."""
    return ACCEPTANCE_1_5T if field_strength < 2.2 else ACCEPTANCE_3T
