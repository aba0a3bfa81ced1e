"""Tissues as numbers in a label map, with names and SNOMED CT codes for other programs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...physics.tissues import tissue_table
from .head_volumes import LESION

_STRUCTURE = ("91723000", "Anatomical Structure")
_TISSUE = ("85756007", "Tissue")
_SUBSTANCE = ("91720002", "Body Substance")
_ABNORMAL = ("49755003", "Morphologically Abnormal Structure")
_CODES = {
    "white_matter": (_STRUCTURE, ("389080008", "White matter of brain and spinal cord")),
    "cortex": (_STRUCTURE, ("40146001", "Cerebral cortex")),
    "deep_grey": (_STRUCTURE, ("389081007", "Gray matter")),
    "thalamus": (_STRUCTURE, ("42695009", "Thalamus")),
    "csf": (_SUBSTANCE, ("65216001", "Cerebrospinal fluid")),
    "blood": (_STRUCTURE, ("59820001", "Blood vessel")),
    "muscle": (_TISSUE, ("71616004", "Muscle")),
    "mucosa": (_TISSUE, ("85756007", "Tissue")),
    "fat": (_TISSUE, ("55603005", "Fat")),
    "marrow": (_TISSUE, ("14016003", "Bone marrow")),
    "bone": (_STRUCTURE, ("272673000", "Bone")),
    "lesion": (_ABNORMAL, ("52988006", "Lesion")),
}
"""SNOMED CT category and type, (code, meaning) each, as in PS3.16 of the DICOM standard."""
_WITHOUT_LABEL = "air"


@dataclass(frozen=True)
class TissueLabel:
    """``index`` in label maps; ``category`` and ``code`` of SNOMED CT, (code, meaning) each."""

    index: int
    name: str
    title: str
    category: tuple[str, str]
    code: tuple[str, str]


def tissue_labels() -> tuple[TissueLabel, ...]:
    """The labels: the tissue table's row n has the index n + 1, lesions come last; air is 0."""
    rows = [(row + 1, entry.name, entry.title) for row, entry in enumerate(tissue_table()) if entry.name != _WITHOUT_LABEL]
    return tuple(TissueLabel(index, name, title, *_CODES[name]) for index, name, title in (*rows, (LESION + 1, "lesion", "Lesion")))


def labels_of(tissue: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """The label map (uint8) of rows of the tissue table (255: none), with LESION for lesions; brain tissue outside the ``brain`` mask and
    air are 0. Arrays (z, y, x)."""
    lookup = np.zeros(256, dtype=np.uint8)
    inside = np.zeros(256, dtype=bool)
    in_brain = {entry.name for entry in tissue_table() if entry.region == "brain"} | {"lesion"}
    for label in tissue_labels():
        lookup[label.index - 1] = label.index
        inside[label.index - 1] = label.name in in_brain
    return np.where(inside[tissue] & ~brain, np.uint8(0), lookup[tissue])


def rows_of(labels: np.ndarray) -> np.ndarray:
    """Rows of the tissue table (uint8; LESION for lesions, 255: none) of a label map."""
    return labels - np.uint8(1)  # 0 becomes 255


def labels_table() -> str:
    """The look-up table of the label map, tab-separated with the columns that BIDS requires in a dseg.tsv."""
    lines = ["index\tname\tabbreviation\tcode", *(f"{e.index}\t{e.title}\t{e.name}\tSCT:{e.code[0]}" for e in tissue_labels())]
    return "\n".join(lines) + "\n"
