"""What people's tissues share at a place of the atlas: thalamus is brighter in T1w images at its side, putamen at its inner border.

Measured in people's T1w images, with what they do not share in :mod:`~PhysMRISynthLib.workflow.tissue_texture`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import SimpleITK as sitk

from ...imaging.head.atlas import AtlasPlacement
from ...imaging.head.masks import bounding_box
from ...imaging.tissue_maps import TissueMaps
from ...resource_files import RESOURCES
from ..tissue_texture import LEAST_FRACTION, MEASURED, PLACE_UNIT, ROWS, response

_FILE = RESOURCES / "texture.nii.gz"


def with_place_texture(maps: TissueMaps, fractions: np.ndarray, placement: AtlasPlacement) -> TissueMaps:
    """``maps`` with PD, T1 and T2 as usual at each place of a tissue, by ``fractions`` of tissues (classes, z, y, x) and the atlas's place.

    The mean of a tissue's logarithms stays."""
    pd, t1, t2 = maps.pd.copy(), maps.t1.copy(), maps.t2.copy()
    for component, (name, row) in enumerate(zip(MEASURED, ROWS, strict=True)):
        present = maps.mask & (fractions[row] > LEAST_FRACTION)
        box = bounding_box(present)
        if box is None:
            continue
        inside = present[box]
        share = fractions[row][present].astype(np.float32)
        signal = _signal(component, box, placement)[inside]
        logs = share * (signal - np.average(signal, weights=share))
        for values, change in zip((pd, t1, t2), response(name), strict=True):
            values[present] *= np.exp(np.float32(change) * logs)
    return replace(maps, pd=pd, t1=t1, t2=np.minimum(t1, t2))


def _signal(component: int, box: tuple[slice, ...], placement: AtlasPlacement) -> np.ndarray:
    """Log signal (z, y, x) of one of MEASURED in a box of the grid of 1 mm on which the atlas was placed."""
    grid = sitk.Image([side.stop - side.start for side in reversed(box)], sitk.sitkUInt8)
    grid.SetOrigin([float(side.start) for side in reversed(box)])
    placed = sitk.Resample(_place(component), grid, placement.to_atlas, sitk.sitkLinear, 0.0)
    return np.float32(PLACE_UNIT) * sitk.GetArrayFromImage(placed)


@cache
def _place(component: int) -> sitk.Image:
    return sitk.VectorIndexSelectionCast(sitk.ReadImage(str(_FILE)), component, sitk.sitkFloat32)
