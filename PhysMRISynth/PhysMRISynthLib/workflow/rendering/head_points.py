"""The typical PD, T1 and T2 of each tissue of one head, for solving and designing contrasts for that head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ImageError
from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.contrast import TissuePoint
from ...physics.tissues import Tissue, tissue_table
from ..tissue_values import literature_values
from ..voxel_sample import thinned

LESION = "lesion"
_FLUID = "csf"
_SOUGHT = ("white_matter", "cortex", "deep_grey", "thalamus", _FLUID, "fat", "muscle")
_SEARCH = 1.6
"""Largest ratio between T1 of a head's tissue and the published one."""
_WINDOW = np.log([1.6, 1.2, 2.0])
"""Largest ratios between PD, T1 and T2 of a tissue's voxels and its centre."""
_ROUNDS = 20
_LEAST_VOXELS = 20


def head_points(maps: TissueMaps, report: Mapping[str, Any] | None = None) -> dict[str, TissuePoint]:
    """Tissues by name with values of ``maps``: the medians that the ``report`` (that of the maps if None) lists, else the mode of the
    voxels' T1 next to the published value, else that value itself.

    Where the maps say how much fluid a voxel holds, "csf" is that fluid: what is rendered there, so that a null for it makes it dark. The
    median over voxels that hold some tissue too has a shorter T1.

    "lesion" is a typical white-matter lesion by the tissue table, relative to this head's white matter.
    """
    report = maps.provenance if report is None else report
    strength = float(report.get("field_strength_tesla") or 3.0)
    listed = {**(report.get("outer_medians") or {}), **(report.get("tissue_medians") or {})}
    points = {tissue.name: _point(tissue, listed.get(tissue.name), maps) for tissue in tissue_table(strength) if tissue.name in _SOUGHT}
    if maps.fluid_fraction is not None and maps.fluid is not None:
        points[_FLUID] = TissuePoint(_FLUID, points[_FLUID].title, *maps.fluid, own=True)
    return {**points, LESION: _lesion(points["white_matter"], strength)}


def published_points(field_strength: float) -> dict[str, TissuePoint]:
    """The tissue table's values at a field strength in tesla, as points."""
    points = {tissue.name: _of_theta(tissue, tissue.theta, False) for tissue in tissue_table(field_strength) if tissue.name in _SOUGHT}
    return {**points, LESION: _lesion(points["white_matter"], field_strength)}


def region_point(maps: TissueMaps, region: np.ndarray, name: str) -> TissuePoint:
    """The medians of ``maps`` over a region, a mask (z, y, x). Raises ImageError when no tissue lies in it."""
    inside = region & (maps.pd > 0) & (maps.t1 > 0) & (maps.t2 > 0)
    if not inside.any():
        raise ImageError(f"The region '{name}' holds no tissue of the maps. Draw it inside the head.")
    pd, t1, t2 = (float(np.median(array[inside])) for array in (maps.pd, maps.t1, maps.t2))
    return TissuePoint(name, name, pd, t1, t2, own=True)


def _point(tissue: Tissue, listed: Mapping[str, float] | None, maps: TissueMaps) -> TissuePoint:
    if listed:
        return TissuePoint(tissue.name, tissue.title, listed["PD"] / PER_CENT, listed["T1"], listed["T2"], own=True)
    theta = _mode(_near(maps, tissue), tissue.theta, _ROUNDS if tissue.name != _FLUID else 1)
    return _of_theta(tissue, tissue.theta if theta is None else theta, theta is not None)


def _near(maps: TissueMaps, tissue: Tissue) -> np.ndarray:
    """(log PD, log T1, log T2) of voxels of the head whose T1 is about a tissue's, (3, N)."""
    low, high = np.exp(tissue.theta[1] + np.array([-1.0, 1.0]) * np.log(_SEARCH)).tolist()
    where = thinned(np.flatnonzero(maps.mask & (maps.t1 > low) & (maps.t1 < high) & (maps.pd > 0) & (maps.t2 > 0)))
    return np.log(np.stack([array.reshape(-1)[where] for array in (maps.pd, maps.t1, maps.t2)]).astype(float))


def _mode(sample: np.ndarray, start: np.ndarray, rounds: int) -> np.ndarray | None:
    """The centre at which the medians of the voxels around it stay (mean shift), from ``start`` (3,); None without voxels there.

    One round for fluid: more would drift towards its partial volumes.
    """
    centre = start
    for _ in range(rounds):
        near = (np.abs(sample - centre[:, None]) < _WINDOW[:, None]).all(axis=0)
        if near.sum() < _LEAST_VOXELS:
            return None
        centre = np.median(sample[:, near], axis=1)
    return centre


def _lesion(white: TissuePoint, field_strength: float) -> TissuePoint:
    """The table's lesion, shifted with this head's white matter."""
    theta = literature_values(field_strength).theta
    pd, t1, t2 = np.exp(theta[-1] - theta[[tissue.name for tissue in tissue_table()].index("white_matter")]).tolist()
    return TissuePoint(LESION, "Lesion", white.pd * pd, white.t1 * t1, white.t2 * t2, white.own)


def _of_theta(tissue: Tissue, theta: np.ndarray, own: bool) -> TissuePoint:
    pd, t1, t2 = np.exp(theta).tolist()
    return TissuePoint(tissue.name, tissue.title, pd, t1, t2, own)
