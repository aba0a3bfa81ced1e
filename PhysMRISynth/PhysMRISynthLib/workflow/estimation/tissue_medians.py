"""Tissue medians of an estimate, and whether they are what is published."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.tissues import PROPERTIES, acceptance_ranges, tissue_table
from ..voxel_sample import thinned

UNITS = {"PD": "% of water", "T1": "ms", "T2": "ms"}
FROM_LITERATURE = {"csf": ("T2",)}
"""What no usual protocol can tell: T2 of fluid is longer than any echo time. Its value is the prior's."""
_LEAST_VOXELS = 50
_OUTER = ("fat", "muscle")
_NONE = np.uint8(255)
_CONTRAST = (1.3, 1.9)
"""Published T1 of cortex over that of white matter (same sources as the ranges)."""

Medians = Mapping[str, Mapping[str, float]]


def tissue_medians(maps: TissueMaps, tissue: np.ndarray, brain: np.ndarray) -> dict[str, dict[str, float]]:
    """Median PD (%), T1 and T2 (ms), their median SDs (``PD_sd`` …) and ``volume_ml`` of each brain tissue that has enough voxels.

    ``tissue`` (z, y, x) holds the row of the tissue table where one tissue is more probable than not, ``brain`` is a mask.
    """
    values = {"PD": maps.pd, "T1": maps.t1, "T2": maps.t2, **{f"{name}_sd": maps.sd[name] for name in PROPERTIES}}
    scaled = {name: (array, PER_CENT if name.startswith("PD") else 1.0) for name, array in values.items()}
    voxel_ml = float(np.prod(maps.grid.GetSpacing())) / 1000.0
    return medians_by_tissue(scaled, np.where(brain, tissue, _NONE), voxel_ml)


def outer_medians(maps: TissueMaps, tissue: np.ndarray) -> dict[str, dict[str, float]]:
    """Median PD (%), T1 and T2 (ms) of the tissues around the brain that a contrast may suppress (fat) or be measured by (muscle)."""
    found = {}
    for row, entry in enumerate(tissue_table()):
        where = thinned(np.flatnonzero(tissue == row)) if entry.name in _OUTER else np.zeros(0, int)
        if where.size >= _LEAST_VOXELS:
            values = (("PD", maps.pd, PER_CENT), ("T1", maps.t1, 1.0), ("T2", maps.t2, 1.0))
            found[entry.name] = {name: round(scale * float(np.median(array.reshape(-1)[where])), 1) for name, array, scale in values}
    return found


def medians_by_tissue(
    values: Mapping[str, tuple[np.ndarray, float]], tissue: np.ndarray, voxel_ml: float, most: int | None = None
) -> dict[str, dict[str, float]]:
    """As :func:`tissue_medians`, of ``values`` by what they are called, each with its factor to % or ms.

    ``tissue`` marks the tissues of the brain only there. With ``most``, medians are those of so many voxels of each tissue.
    """
    found = {}
    for row, entry in enumerate(tissue_table()):
        where = np.flatnonzero(tissue == row) if entry.region == "brain" else np.zeros(0, int)
        if where.size < _LEAST_VOXELS:
            continue
        some = where if most is None else thinned(where, most)
        medians = {name: scale * float(np.median(array.reshape(-1)[some])) for name, (array, scale) in values.items()}
        rounded = {name: round(value, 2 if name.endswith("_sd") else 1) for name, value in medians.items()}
        found[entry.name] = {**rounded, "volume_ml": round(float(where.size) * voxel_ml, 1)}
    return found


def implausible_medians(medians: Medians, field_strength: float) -> list[str]:
    """A warning for every tissue median that lies outside the published ranges of group means."""
    told = []
    for tissue, ranges in acceptance_ranges(field_strength).items():
        for name, (low, high) in ranges.items():
            value = medians.get(tissue, {}).get(name)
            if value is not None and not low <= value <= high:
                place = f"{tissue.replace('_', ' ')} {name} of {value:g} {UNITS[name]}"
                told.append(f"{place} lies outside the published {low:g} to {high:g}: check protocols, field strength and orientation.")
    white, cortex = (medians.get(tissue, {}).get("T1") for tissue in ("white_matter", "cortex"))
    doubt = 1.0 + _relative_sd(medians, "cortex", "T1") if cortex else 1.0
    if white and cortex and not _CONTRAST[0] / doubt <= cortex / white <= _CONTRAST[1] * doubt:
        told.append(
            f"cortex has {cortex / white:.2f} times the T1 of white matter, outside the published {_CONTRAST[0]} to {_CONTRAST[1]}: check "
            "the protocol of the T1w image."
        )
    return told


def _relative_sd(medians: Medians, tissue: str, name: str) -> float:
    """SD of a tissue's median over the median (0 where it is not known)."""
    row = medians[tissue]
    return row.get(f"{name}_sd", 0.0) / row[name]
