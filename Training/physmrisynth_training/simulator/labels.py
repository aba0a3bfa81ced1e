"""From a label map to tissues: the FreeSurfer-style labels of each tissue of the table."""

from __future__ import annotations

import numpy as np

from PhysMRISynthLib.physics.tissues import tissue_table

CHOROID_PLEXUS = (136, 163, 137, 164)
"""In the lateral ventricles (57 % of its border is their fluid) and their inferior horns: counts as fluid, as in maps without it."""
VENTRICLES = (4, 43, 5, 44, 14, 15, *CHOROID_PLEXUS)
"""FreeSurfer's labels of the lateral ventricles with their inferior horns, third and fourth ventricle; and what lies inside."""
LESIONS = (25, 57)
"""Left and right, mostly rims and caps of the lateral ventricles: 71 % of their border is white matter, as which they count, 26 % fluid."""


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
