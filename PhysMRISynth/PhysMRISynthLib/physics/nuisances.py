"""Deviations of scanners from the prescription: imperfect inversions, wrong flip angles, T2*, magnetization transfer.

No header states these, and three images of one head cannot separate them from its tissues. Prior knowledge belongs to the sequence:
a mean and a small SD, with a source. The fit marginalises over them; none is a free parameter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..resource_files import RESOURCES
from .protocol import Protocol

_FILE = RESOURCES / "nuisances.json"
MAGNETIZATION_TRANSFER = "magnetization_transfer"
"""The nuisance that is not an argument of an equation: it reduces each tissue's signal in proportion to its bound pool."""
T2_STAR = "t2_star_ratio"


@dataclass(frozen=True)
class Nuisance:
    """One nuisance of one sequence: its ``name``, ``title``, ``mean`` and ``sd``, and their source."""

    name: str
    title: str
    mean: float
    sd: float
    source: str


def nuisances_of(protocol: Protocol) -> tuple[Nuisance, ...]:
    """The nuisances of a protocol's sequence, without those whose value the protocol states."""
    return tuple(nuisance for nuisance in _nuisances(protocol.sequence.name) if nuisance.name not in protocol.values)


def contrast_doubt(protocol: Protocol) -> float:
    """Relative SD by which the signals of single tissues stray from a gradient echo's equation: T2*/T2 differs among tissues."""
    if not any(nuisance.name == T2_STAR for nuisance in _nuisances(protocol.sequence.name)):
        return 0.0
    return protocol.values["TE"] * _knowledge()["t2_star_of_tissues"]["sd_per_s"] / 1000.0


@cache
def _nuisances(sequence: str) -> tuple[Nuisance, ...]:
    found = []
    for row in _knowledge()["nuisances"]:
        if sequence in row["sequences"]:
            mean, sd = row["sequences"][sequence]
            found.append(Nuisance(row["name"], row["title"], mean, sd, row["source"]))
    return tuple(found)


def bound_pool(tissues: Sequence[str]) -> np.ndarray:
    """Bound pool of ``tissues`` (names of the table) relative to white matter; 0 where unknown."""
    known = _knowledge()["bound_pool"]["tissues"]
    return np.array([known.get(tissue, 0.0) for tissue in tissues])


@cache
def _knowledge() -> dict:
    return json.loads(_FILE.read_text(encoding="utf-8"))
