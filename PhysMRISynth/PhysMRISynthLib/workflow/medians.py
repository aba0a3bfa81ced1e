"""Tissue medians of an estimate, and whether they are what is published."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..imaging.tissue_maps import PER_CENT, TissueMaps
from ..physics.tissues import PROPERTIES, acceptance_ranges, tissue_table

UNITS = {"PD": "% of water", "T1": "ms", "T2": "ms"}
FROM_LITERATURE = {"csf": ("T2",)}
"""What no usual protocol can tell: T2 of fluid is longer than any echo time. Its value is the prior's."""
_LEAST_VOXELS = 50
_CONTRAST = (1.3, 1.9)
"""Published T1 of cortex over that of white matter (same sources as the ranges)."""

Medians = Mapping[str, Mapping[str, float]]


def tissue_medians(maps: TissueMaps, tissue: np.ndarray, brain: np.ndarray) -> dict[str, dict[str, float]]:
    """Median PD (%), T1 and T2 (ms), their median SDs (``PD_sd`` …) and ``volume_ml`` of each brain tissue that has enough voxels.

    ``tissue`` (z, y, x) holds the row of the tissue table where one tissue is more probable than not, ``brain`` is a mask.
    """
    found = {}
    voxel_ml = float(np.prod(maps.grid.GetSpacing())) / 1000.0
    voxels = {"PD": maps.pd, "T1": maps.t1, "T2": maps.t2}
    for row, entry in enumerate(tissue_table()):
        where = (tissue == row) & brain
        if entry.region == "brain" and where.sum() >= _LEAST_VOXELS:
            medians = {name: round(_scale(name) * float(np.median(voxels[name][where])), 1) for name in PROPERTIES}
            sds = {f"{name}_sd": round(_scale(name) * float(np.median(maps.sd[name][where])), 2) for name in PROPERTIES}
            found[entry.name] = {**medians, **sds, "volume_ml": round(float(where.sum()) * voxel_ml, 1)}
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
    if white and cortex and not _CONTRAST[0] <= cortex / white <= _CONTRAST[1]:
        told.append(
            f"cortex has {cortex / white:.2f} times the T1 of white matter, outside the published {_CONTRAST[0]} to {_CONTRAST[1]}: check "
            "the protocol of the T1w image."
        )
    return told


def _scale(name: str) -> float:
    return PER_CENT if name == "PD" else 1.0
