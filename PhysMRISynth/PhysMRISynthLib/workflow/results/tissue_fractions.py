"""How much of each voxel of the brain is white matter, grey matter and fluid, from the maps alone.

Water adds up, and the rates of its parts do so with their water as weight: PD, PD/T1 and PD/T2 of a voxel are the sums of its tissues',
each times its part of the volume. Three equations and parts that add up to 1 determine three tissues.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from ...imaging.head.head_volumes import LESION
from ...imaging.head.tissue_labels import rows_of
from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.tissues import PROPERTIES, tissue_table
from ..chunks import for_each_chunk

_NAMES = [tissue.name for tissue in tissue_table()]
_WHITE, _CORTEX, _FLUID = (_NAMES.index(name) for name in ("white_matter", "cortex", "csf"))
_NUCLEI = tuple(_NAMES.index(name) for name in ("deep_grey", "thalamus"))
BRAIN_ROWS = (*(row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"), LESION)
"""The rows of the fractions: the brain's tissues in the order of the tissue table, then lesions."""
_RELATIVE_SD = (0.03, 0.06, 0.1)
"""How well PD, PD/T1 and PD/T2 of mixtures are known, relative to the tissues' mean."""
_SETS = ((0, 1, 2), (0, 1), (1, 2), (0, 2), (0,), (1,), (2,))
"""Which of three tissues a voxel may hold, from all to one."""
_CHUNK = 1 << 17


def tissue_fractions(maps: TissueMaps, tissue: np.ndarray, brain: np.ndarray, field_strength: float) -> np.ndarray:
    """Fractions (tissues of the brain and lesion, N), float32, at the N voxels of the ``brain`` mask; they add up to 1.

    ``tissue`` (z, y, x) is the row of the tissue table where one is more probable than not (LESION for lesions, else 255): it says where
    the nuclei and the thalamus are, which PD, T1 and T2 cannot tell from other grey matter. Tissue values are the head's own medians.
    """
    index = np.flatnonzero(brain)
    values = _tissue_values(maps, tissue, field_strength)
    grey = _kind_of_grey(tissue, brain).reshape(-1)[index]
    lesion = tissue.reshape(-1)[index] == LESION
    found = np.zeros((len(BRAIN_ROWS), index.size), dtype=np.float32)
    pd, t1, t2 = (array.reshape(-1)[index] for array in (maps.pd, maps.t1, maps.t2))

    def work(piece: slice) -> None:
        water, r1, r2 = pd[piece].astype(float), 1.0 / np.maximum(t1[piece], 1.0), 1.0 / np.maximum(t2[piece], 1.0)
        amounts, part = np.stack([water, water * r1, water * r2]), found[:, piece]
        for kind in (_CORTEX, *_NUCLEI):
            where = (grey[piece] == kind) & ~lesion[piece]
            rows = (_WHITE, kind, _FLUID)
            part[np.ix_([BRAIN_ROWS.index(row) for row in rows], where)] = _unmixed(amounts[:, where], values[list(rows)])
        part[-1] = lesion[piece]

    for_each_chunk(index.size, _CHUNK, work)
    return found


def dominant_tissue(tissue: np.ndarray, brain: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """``tissue`` (z, y, x) with every voxel of the brain in the row of its greatest fraction."""
    found = tissue.copy()
    found[brain] = np.array(BRAIN_ROWS, dtype=np.uint8)[fractions.argmax(axis=0)]
    return found


def brain_of(labels: np.ndarray) -> np.ndarray:
    """The brain mask with its fluid (z, y, x) of a label map that labels every voxel of the brain."""
    return np.isin(rows_of(labels), BRAIN_ROWS)


def values_of_medians(medians: Mapping[str, Mapping[str, float]], field_strength: float) -> np.ndarray:
    """PD (fraction), T1 and T2 (ms) by row of the tissue table, (tissues, 3): ``medians`` (%, ms) where there are, else the table's."""
    values = np.exp(np.stack([tissue.theta for tissue in tissue_table(field_strength)]))
    for row, name in enumerate(_NAMES):
        if name in medians:
            values[row] = [medians[name][p] / (PER_CENT if p == "PD" else 1.0) for p in PROPERTIES]
    return values


def _tissue_values(maps: TissueMaps, tissue: np.ndarray, field_strength: float) -> np.ndarray:
    from ..estimation.tissue_medians import medians_by_tissue

    report = maps.provenance.get("tissue_medians")
    if isinstance(report, Mapping):
        return values_of_medians(report, field_strength)
    arrays = {"PD": (maps.pd, PER_CENT), "T1": (maps.t1, 1.0), "T2": (maps.t2, 1.0)}
    return values_of_medians(medians_by_tissue(arrays, tissue, 1.0), field_strength)


def _kind_of_grey(tissue: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The row of the grey matter that a voxel (z, y, x) may hold: of a nucleus beside nuclei, of the cortex elsewhere."""
    kind = np.full(tissue.shape, _CORTEX, dtype=np.uint8)
    beside_cortex = _grown(tissue == _CORTEX)
    for row in _NUCLEI:
        own = tissue == row
        kind[own | (_grown(own) & brain & ~beside_cortex & (tissue != _FLUID))] = row
    return kind


def _grown(mask: np.ndarray) -> np.ndarray:
    grown = sitk.BinaryDilate(sitk.GetImageFromArray(mask.astype(np.uint8)), [1, 1, 1], sitk.sitkCross)
    return sitk.GetArrayFromImage(grown) > 0


def _unmixed(amounts: np.ndarray, tissues: np.ndarray) -> np.ndarray:
    """Least-squares fractions (3, N), not negative and of sum 1, of three ``tissues`` (3, [PD, T1, T2]) in voxels of ``amounts``
    (3, N): PD, PD/T1, PD/T2. All sets of tissues are tried, since so few have no need of a search."""
    pd, t1, t2 = tissues.T
    parts = np.stack([pd, pd / t1, pd / t2])
    scale = parts.mean(axis=1, keepdims=True) * np.array(_RELATIVE_SD)[:, None]
    parts, amounts = parts / scale, amounts / scale
    best, least = np.zeros_like(amounts), np.full(amounts.shape[1], np.inf)
    for some in _SETS:
        last = parts[:, some[-1:]]
        inverse = np.linalg.pinv(parts[:, some[:-1]] - last)
        first = inverse @ (amounts - last)
        shares = np.concatenate([first, 1.0 - first.sum(axis=0, keepdims=True)])
        cost = ((parts[:, some] @ shares - amounts) ** 2).sum(axis=0)
        better = (shares >= 0.0).all(axis=0) & (cost < least)
        least[better] = cost[better]
        best[:, better] = 0.0
        best[np.ix_(some, better)] = shares[:, better]
    return best
