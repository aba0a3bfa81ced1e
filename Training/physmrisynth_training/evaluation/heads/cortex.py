"""Measures of the cerebral cortex in a map of tissues: thickness, surface, and islands of fluid in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement
from PhysMRISynthLib.imaging.head.head_volumes import PARENCHYMA
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.head.structures import RIGHT, structure_labels
from PhysMRISynthLib.imaging.intake.volumes import image_like

from ...simulator.anatomy import TISSUES

_WHITE, _CORTEX, _FLUID = (TISSUES.index(name) for name in ("white_matter", "cortex", "csf"))
_CEREBRAL = 3
_THICKEST_MM = 5.0
_FACES_OF_AREA = 2.0 / 3.0
"""Area of a surface over that of the voxels' faces along it, on average over its directions."""
_ISLAND_ML = 0.1
_MARGIN = 8


def cortex_measures(tissue: np.ndarray, placement: AtlasPlacement | None, grid: sitk.Image) -> dict[str, float]:
    """Of a head (z, y, x; 1 mm) with the atlas placed on it: thickness (mm), white_surface (cm²), islands and islands_ml.

    Thickness is the mean, over the voxels of cerebral cortex, of the distance to white matter plus that to the nearest voxel that is not
    brain tissue, at most 5 mm: in a sulcus that is closed it is that of both banks. The white surface is that between white matter and
    cerebral cortex. Islands are pieces of fluid of at most 0.1 ml that touch cortex with half of their faces or more. Without a placement
    the first two are missing.
    """
    box = bounding_box(np.isin(tissue, PARENCHYMA))
    assert box is not None
    cut = tuple(slice(max(side.start - _MARGIN, 0), side.stop + _MARGIN) for side in box)
    piece = tissue[cut]
    sizes = island_sizes(piece)
    found = {"islands": float(len(sizes)), "islands_ml": float(sizes.sum()) / 1000.0}
    if placement is None:
        return found
    structures = structure_labels(tissue, np.zeros(tissue.shape, bool), placement, image_like(tissue, grid))[cut]
    cerebral = np.isin(structures, (_CEREBRAL, RIGHT[_CEREBRAL]))
    return found | {"thickness": thickness(cerebral, piece), "white_surface": surface(cerebral, piece == _WHITE) / 100.0}


def thickness(cortex: np.ndarray, tissue: np.ndarray) -> float:
    """Mean (mm) in a mask of cortex in a map of tissues (z, y, x; 1 mm): see :func:`cortex_measures`."""
    inner, outer = (_distance(mask)[cortex] for mask in (tissue == _WHITE, ~np.isin(tissue, PARENCHYMA)))
    return float(np.minimum(inner + outer - 1.0, _THICKEST_MM).mean())  # from centre to centre; borders lie half a voxel nearer


def _distance(mask: np.ndarray) -> np.ndarray:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    return np.asarray(sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False)))


def surface(one: np.ndarray, other: np.ndarray) -> float:
    """Area (mm²) where two masks (z, y, x; 1 mm) touch."""
    return _FACES_OF_AREA * sum(int((a & b).sum()) for first, second in ((one, other), (other, one)) for a, b in _pairs(first, second))


def _pairs(one: np.ndarray, other: np.ndarray) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Every voxel and its neighbour above, along each axis."""
    before, after = (
        [np.take(mask, range(*ends), axis=axis) for axis, ends in _ends(mask, first)] for mask, first in ((one, 0), (other, 1))
    )
    return list(zip(before, after, strict=True))


def _ends(mask: np.ndarray, first: int) -> list[tuple[int, tuple[int, int]]]:
    return [(axis, (first, n - 1 + first)) for axis, n in enumerate(mask.shape)]


def island_sizes(tissue: np.ndarray) -> np.ndarray:
    """Voxels of each island of fluid in the cortex of a map of tissues (z, y, x; 1 mm): see :func:`cortex_measures`."""
    pieces, count = ndimage.label(tissue == _FLUID)
    sizes = np.bincount(pieces.reshape(-1), minlength=count + 1)
    small = (sizes <= _ISLAND_ML * 1000.0) & (np.arange(count + 1) > 0)
    if not small.any():
        return np.zeros(0, dtype=int)
    faces = np.zeros((2, count + 1))
    for one, two in ((pieces, tissue), (pieces[::-1, ::-1, ::-1], tissue[::-1, ::-1, ::-1])):
        for here, beside in _pairs(one, two):
            border = small[here] & (beside != _FLUID)
            faces[0] += np.bincount(here[border], minlength=count + 1)
            faces[1] += np.bincount(here[border & (beside == _CORTEX)], minlength=count + 1)
    return np.asarray(sizes[small & (2.0 * faces[1] >= faces[0])])
