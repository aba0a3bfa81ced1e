"""The tissues of maps that were measured, not estimated: the atlas brought to the head, weighed with how well each tissue's values fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...imaging.head.atlas import atlas_on_grid, place_atlas
from ...imaging.head.masks import brain_mask
from ...imaging.tissue_maps import TissueMaps
from ...physics.protocol import Protocol
from ...physics.tissues import PROPERTIES, tissue_table
from ..rendering.render import render_arrays

_PROTOCOL = Protocol.of("mprage", "tissues of measured maps", TR=2400, TI=1000, TE=3.16, FA=8, ESP=7.6, N=176)
_METHOD_SD = 0.1
"""Of log values: methods differ by so much from the literature's (docs/measured-maps.md)."""
_LEAST_EXPECTED = 1e-3
_SURE = 0.5


def measured_tissues(maps: TissueMaps, measured: Sequence[str], field_strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the tissue table (uint8 (z, y, x); 255 where none is likelier than not) and the brain mask of ``maps``.

    ``measured`` are those of PD, T1 and T2 that tell tissues: not what was filled. Raises RegistrationError when the head is not found.
    """
    picture = np.where(maps.mask, render_arrays(_PROTOCOL, maps.pd, maps.t1, maps.t2), np.float32(0))
    placed = place_atlas(maps.image(picture.astype(np.float32)), _PROTOCOL, field_strength)
    where = np.flatnonzero(maps.mask)
    weights = atlas_on_grid(placed, maps.grid, where).astype(np.float32) / np.float32(255) + np.float32(_LEAST_EXPECTED)
    values = {"PD": maps.pd, "T1": maps.t1, "T2": maps.t2}
    columns = [PROPERTIES.index(name) for name in measured]
    theta = np.log(np.maximum(np.stack([values[name].reshape(-1)[where] for name in measured]), np.float32(1e-3)))
    for row, entry in enumerate(tissue_table(field_strength)):
        sd = np.sqrt(entry.between_heads**2 + entry.within_head**2 + _METHOD_SD**2)[columns, None]
        distance = (theta - entry.theta[columns, None]) / sd
        weights[row] *= np.exp(-0.5 * (distance**2).sum(axis=0)) / np.prod(sd)
    weights /= np.maximum(weights.sum(axis=0), np.float32(1e-30))
    tissue = np.full(maps.mask.shape, 255, dtype=np.uint8)
    tissue.reshape(-1)[where] = np.where(weights.max(axis=0) > _SURE, weights.argmax(axis=0), 255)
    rows = [row for row, entry in enumerate(tissue_table()) if entry.region == "brain"]
    inside = np.zeros(maps.mask.shape, dtype=np.float32)
    inside.reshape(-1)[where] = weights[rows].sum(axis=0)
    return tissue, brain_mask(inside, maps.grid)
