"""Anatomical structures in FreeSurfer's numbers, from a head's tissues and the usual place of each structure in the atlas.

Tissue classes do not tell cerebellum from cerebrum, or putamen from caudate. Where the atlas lies over the head, each voxel gets the
structure that its tissue belongs to most often at that place, on the side of the atlas's midline where it lies.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import SimpleITK as sitk

from ...physics.tissues import tissue_table
from ...resource_files import RESOURCES
from ..intake.volumes import image_like
from .atlas import AtlasPlacement, atlas_middle
from .head_volumes import LESION

_FILE = RESOURCES / "structures.nii.gz"
"""By group of structures, the most frequent one (number of the left side) at each place; see ``shipping/build_structures.py``."""
GROUPS = {
    "white_matter": (2, 7, 16, 28, 85, 126), "cortex": (3, 8, 17, 18), "deep_grey": (11, 12, 13, 26), "ventricles": (4, 14, 15),
    "mucosa": (133, 134),
}  # fmt: skip
"""Structures (left side) of each tissue that has several, and of the fluid in the ventricles."""
_SINGLE = {"thalamus": 10, "csf": 24, "blood": 30, "muscle": 123, "fat": 167, "marrow": 165, "bone": 165, "lesion": 99, "air": 0}
RIGHT = {2: 41, 3: 42, 4: 43, 7: 46, 8: 47, 10: 49, 11: 50, 12: 51, 13: 52, 17: 53, 18: 54, 26: 58, 28: 60, 30: 62}
"""Number of the right side by that of the left, for structures with sides."""
NAMES = {
    2: "Cerebral-White-Matter", 3: "Cerebral-Cortex", 4: "Lateral-Ventricle", 7: "Cerebellum-White-Matter", 8: "Cerebellum-Cortex",
    10: "Thalamus", 11: "Caudate", 12: "Putamen", 13: "Pallidum", 14: "3rd-Ventricle", 15: "4th-Ventricle", 16: "Brain-Stem",
    17: "Hippocampus", 18: "Amygdala", 24: "CSF", 26: "Accumbens-area", 28: "VentralDC", 30: "vessel", 85: "Optic-Chiasm", 99: "Lesion",
    123: "Muscle", 126: "Spinal-Cord", 133: "Nasal-Structures", 134: "Globe", 165: "Skull", 167: "Scalp",
}  # fmt: skip
"""Names of FreeSurfer's colour table, those with sides without Left and Right."""


def structure_labels(tissue: np.ndarray, ventricles: np.ndarray, placement: AtlasPlacement, grid: sitk.Image) -> np.ndarray:
    """FreeSurfer's numbers (z, y, x; uint8) of a head with the atlas placed on it.

    ``tissue`` holds rows of the tissue table, and LESION; ``ventricles`` is the mask of the fluid in these; both (z, y, x) on ``grid``.
    """
    rows = {entry.name: tissue == row for row, entry in enumerate(tissue_table())} | {"lesion": tissue == LESION}
    found = np.zeros(tissue.shape, np.uint8)
    for name, number in _SINGLE.items():
        found[rows[name]] = number
    for component, name in enumerate(GROUPS):
        where = rows["csf"] & ventricles if name == "ventricles" else rows[name]
        places = sitk.Resample(_component(component), grid, placement.to_atlas, sitk.sitkNearestNeighbor, GROUPS[name][0])
        found[where] = sitk.GetArrayViewFromImage(places)[where]
    lookup = np.arange(256, dtype=np.uint8)
    lookup[list(RIGHT)] = list(RIGHT.values())
    return np.where(_is_right(placement, grid), lookup[found], found)


def structures_table() -> str:
    """The look-up table of the label map, tab-separated with the columns that BIDS requires in a dseg.tsv."""
    return "index\tname\n" + "".join(f"{index}\t{name}\n" for index, name in sorted(structure_names().items()))


def structure_names() -> dict[int, str]:
    """FreeSurfer's name of every number that a label map may hold."""
    left = {number: f"Left-{NAMES[number]}" for number in RIGHT}
    right = {other: f"Right-{NAMES[number]}" for number, other in RIGHT.items()}
    return NAMES | left | right


def places(group: str) -> sitk.Image:
    """The most frequent structure (number of the left side) of one of GROUPS at each place of the atlas."""
    return _component(list(GROUPS).index(group))


@cache
def _component(number: int) -> sitk.Image:
    return sitk.VectorIndexSelectionCast(sitk.ReadImage(str(_FILE)), number)


def _is_right(placement: AtlasPlacement, grid: sitk.Image) -> np.ndarray:
    """True (z, y, x) on the right of the atlas's midline, whose x grows to the left."""
    atlas = _component(0)
    side = image_like(np.broadcast_to(np.arange(atlas.GetSize()[0], dtype=np.float32), atlas.GetSize()[::-1]), atlas)
    placed = sitk.Resample(side, grid, placement.to_atlas, sitk.sitkLinear, 0.0, useNearestNeighborExtrapolator=True)
    return sitk.GetArrayViewFromImage(placed) < side.TransformPhysicalPointToContinuousIndex((atlas_middle(), 0.0, 0.0))[0]
