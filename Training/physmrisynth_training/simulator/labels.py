"""From a label map to tissues: the FreeSurfer-style labels of each tissue of the table."""

from __future__ import annotations

import numpy as np

from PhysMRISynthLib.physics.tissues import tissue_table

VENTRICLES = (4, 43, 5, 44, 14, 15)
"""FreeSurfer's labels of the lateral ventricles with their inferior horns, third and fourth ventricle."""


def tissue_index(labels: np.ndarray) -> np.ndarray:
    """Row of the tissue table for every voxel of an integer label map (any shape); unknown labels count as muscle.

    Returns uint8 of the same shape.
    """
    table = tissue_table()
    names = [tissue.name for tissue in table]
    lookup = np.full(max(int(labels.max()), 1024) + 1, names.index("muscle"), dtype=np.uint8)
    for row, tissue in enumerate(table):
        lookup[list(tissue.labels)] = row
    return lookup[labels]
