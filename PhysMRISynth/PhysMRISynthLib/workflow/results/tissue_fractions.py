"""How much of each voxel of the brain is white matter, grey matter and fluid, from the maps alone.

Water adds up, and the rates of its parts do so with their water as weight: PD, PD/T1 and PD/T2 of a voxel are the sums of its tissues',
each times its part of the volume. Three equations and parts that add up to 1 determine three tissues; at the brain's surface one of them
may be nothing (bone, dura and air have no signal), so that a voxel there counts by the part of it that is brain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import SimpleITK as sitk

from ...imaging.head.head_volumes import LESION
from ...imaging.head.masks import bounding_box
from ...imaging.head.morphology import with_neighbours
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
_ONE_MORE = 1.0
"""What a further tissue in a voxel with a nucleus must improve, in squares of these: values of nuclei lie near the line between white
matter and cortex, so that noise alone would take parts of them for white matter and cortex."""
_CHUNK = 1 << 17


@dataclass(frozen=True)
class Fractions:
    """``values`` (BRAIN_ROWS, N), float32: how much of each of the N voxels ``where`` (z, y, x) is each tissue. They add up to 1 in the
    brain, at its surface to the part of the voxel that is brain."""

    where: np.ndarray
    values: np.ndarray

    def of(self, row: int) -> np.ndarray:
        """The fraction of one row of the tissue table in every voxel, float32 (z, y, x)."""
        volume = np.zeros(self.where.shape, dtype=np.float32)
        volume[self.where] = self.values[BRAIN_ROWS.index(row)]
        return volume


def tissue_fractions(maps: TissueMaps, tissue: np.ndarray, brain: np.ndarray, field_strength: float) -> Fractions:
    """Fractions at the voxels of the ``brain`` mask, and at those beside it that are neither brain nor a known tissue of the head.

    ``tissue`` (z, y, x) is the row of the tissue table where one is more probable than not (LESION for lesions, else 255): it says where
    the nuclei and the thalamus are, which PD, T1 and T2 cannot tell from other grey matter. Tissue values are the head's own medians.
    """
    known = np.isin(tissue, [row for row in range(len(_NAMES)) if row not in BRAIN_ROWS])
    outside = with_neighbours(brain) & ~brain & maps.mask & ~known
    inside = brain & ~with_neighbours(~brain)
    where = brain | outside
    index = np.flatnonzero(where)
    values = _tissue_values(maps, tissue, field_strength)
    mixtures = _mixtures(tissue, brain, inside, outside).reshape(-1)[index]
    lesion = (tissue.reshape(-1)[index] == LESION) & brain.reshape(-1)[index]
    found = np.zeros((len(BRAIN_ROWS), index.size), dtype=np.float32)
    pd, t1, t2 = (array.reshape(-1)[index] for array in (maps.pd, maps.t1, maps.t2))

    def work(piece: slice) -> None:
        water, r1, r2 = pd[piece].astype(float), 1.0 / np.maximum(t1[piece], 1.0), 1.0 / np.maximum(t2[piece], 1.0)
        amounts, part = np.stack([water, water * r1, water * r2]), found[:, piece]
        for number, mixture in enumerate(_MIXTURES):
            here = (mixtures[piece] == number) & ~lesion[piece]
            part[np.ix_([BRAIN_ROWS.index(row) for row in mixture.rows], here)] = _unmixed(amounts[:, here], values, mixture)
        part[-1] = lesion[piece]

    for_each_chunk(index.size, _CHUNK, work)
    return Fractions(where, found)


def dominant_tissue(tissue: np.ndarray, brain: np.ndarray, fractions: Fractions) -> np.ndarray:
    """``tissue`` (z, y, x) with every voxel of the brain in the row of its greatest fraction."""
    found = tissue.copy()
    found[brain] = np.array(BRAIN_ROWS, dtype=np.uint8)[fractions.values[:, brain[fractions.where]].argmax(axis=0)]
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


@dataclass(frozen=True)
class _Mixture:
    """Tissues (``rows``) that a voxel may hold, with ``nothing`` beside them or not; what ``one_more`` of them must improve."""

    rows: tuple[int, ...]
    nothing: bool = False
    one_more: float = 0.0


_MIXTURES = (
    *(_Mixture((_WHITE, grey, _FLUID), one_more=_ONE_MORE if grey in _NUCLEI else 0.0) for grey in (_CORTEX, *_NUCLEI)),
    _Mixture((_WHITE, _CORTEX, _FLUID), nothing=True),
    _Mixture((_CORTEX, _FLUID), nothing=True),
)
_SURFACE, _OUTSIDE = len(_MIXTURES) - 2, len(_MIXTURES) - 1


def _mixtures(tissue: np.ndarray, brain: np.ndarray, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """The number of the mixture of every voxel (z, y, x): inside the brain its grey matter is that of the nearest voxel of grey matter."""
    found = np.zeros(tissue.shape, dtype=np.uint8)
    box = bounding_box(brain) or ()
    nearest, at = _distance(((tissue == _CORTEX) & brain)[box]), found[box]
    farthest = float(np.sqrt(min(nearest[brain[box]].max(initial=0.0), np.square(tissue.shape).sum())))
    for number, grey in enumerate(_NUCLEI, start=1):
        mask = ((tissue == grey) & brain)[box]
        # farther away than any voxel is from cortex, none is nearer to a nucleus
        part = tuple(slice(max(0, side.start - int(farthest) - 1), side.stop + int(farthest) + 1) for side in bounding_box(mask) or ())
        distance = _distance(mask[part])
        nearer = distance < nearest[part]
        at[part][nearer], nearest[part][nearer] = number, distance[nearer]
    found[brain & ~inside] = _SURFACE
    found[outside] = _OUTSIDE
    return found


def _distance(mask: np.ndarray) -> np.ndarray:
    """Squared distance in voxels to the nearest voxel of a mask; infinite where there is none."""
    if not mask.any():
        return np.full(mask.shape, np.inf, dtype=np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return np.maximum(sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=True, useImageSpacing=False)), 0.0)


def _amounts(tissues: np.ndarray) -> np.ndarray:
    """PD, PD/T1 and PD/T2 (3, n) of tissues (n, [PD, T1, T2])."""
    pd, t1, t2 = tissues.T
    return np.stack([pd, pd / t1, pd / t2])


def _unmixed(amounts: np.ndarray, tissues: np.ndarray, mixture: _Mixture) -> np.ndarray:
    """Least-squares fractions (rows of the mixture, N), not negative, of sum 1 with nothing where that may be, in voxels of ``amounts``
    (3, N): PD, PD/T1, PD/T2. All sets of tissues are tried, since so few have no need of a search."""
    scale = _amounts(tissues[[_WHITE, _CORTEX, _FLUID]]).mean(axis=1, keepdims=True) * np.array(_RELATIVE_SD)[:, None]
    parts, amounts = _amounts(tissues[list(mixture.rows)]) / scale, amounts / scale
    if mixture.nothing:
        parts = np.concatenate([parts, np.zeros((len(parts), 1))], axis=1)
    best, least = np.zeros((parts.shape[1], amounts.shape[1])), np.full(amounts.shape[1], np.inf)
    for some in _sets(parts.shape[1]):
        last = parts[:, some[-1:]]
        inverse = np.linalg.pinv(parts[:, some[:-1]] - last)
        first = inverse @ (amounts - last)
        shares = np.concatenate([first, 1.0 - first.sum(axis=0, keepdims=True)])
        cost = ((parts[:, some] @ shares - amounts) ** 2).sum(axis=0) + mixture.one_more * (len(some) - 1)
        better = (shares >= 0.0).all(axis=0) & (cost < least)
        least[better] = cost[better]
        best[:, better] = 0.0
        best[np.ix_(some, better)] = shares[:, better]
    return best[: len(mixture.rows)]


def _sets(count: int) -> list[Sequence[int]]:
    """Which of the parts a voxel may hold: three at most, as many as there are equations."""
    return [list(some) for size in (3, 2, 1) for some in combinations(range(count), size)]
