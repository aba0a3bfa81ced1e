"""A small head of known maps, made from the package's atlas: for self-tests and quick trials."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ...imaging.head.atlas import AtlasPlacement, atlas_on_grid
from ...imaging.head.known_head import KnownHead
from ...imaging.tissue_maps import TissueMaps
from ...physics.tissues import tissue_table

_SIZE, _SPACING_MM = (50, 60, 50), 4.0
_CENTRE_LPS_MM = (0.0, 18.0, 15.0)
"""Centre of the atlas's head."""


def small_head(field_strength: float = 3.0) -> KnownHead:
    """A head at 4 mm whose every voxel is one tissue at its literature value (``field_strength`` in tesla); not from a person's scan."""
    grid = sitk.Image(_SIZE, sitk.sitkFloat32)
    grid.SetSpacing([_SPACING_MM] * 3)
    grid.SetOrigin([centre - _SPACING_MM * (size - 1) / 2 for centre, size in zip(_CENTRE_LPS_MM, _SIZE, strict=True)])
    fractions = atlas_on_grid(AtlasPlacement(sitk.Transform(), False, 1.0), grid, np.arange(grid.GetNumberOfPixels()))
    tissue = fractions.argmax(axis=0).astype(np.uint8).reshape(_SIZE[::-1])
    table = tissue_table(field_strength)
    pd, t1, t2 = np.exp(np.stack([entry.theta for entry in table]))[tissue].astype(np.float32).transpose(3, 0, 1, 2)
    mask = tissue != [entry.name for entry in table].index("air")
    pd, t1, t2 = (np.where(mask, values, np.float32(0.0)) for values in (pd, t1, t2))
    return KnownHead(TissueMaps(pd, t1, t2, mask, grid, provenance={"source": "atlas at literature values"}), tissue)
