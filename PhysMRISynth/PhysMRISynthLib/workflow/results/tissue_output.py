"""The label map of the tissues beside the maps, with its look-up table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ...imaging.head.head_volumes import LESION
from ...imaging.head.tissue_labels import labels_of, labels_table
from ...imaging.intake.volumes import write_image
from ...imaging.tissue_maps import TissueMaps
from .tissue_fractions import dominant_tissue, tissue_fractions

if TYPE_CHECKING:
    from ..estimation.estimate import Estimate

TISSUES = "tissues"
"""How the files of the label map and its table are called where they have no BIDS name."""


def estimated_labels(estimate: Estimate) -> sitk.Image:
    """The label map of an estimate: every voxel of the brain has the tissue of which it holds most, or is a lesion where the network is
    rather sure of one."""
    maps, brain = replace(estimate.maps, provenance={"tissue_medians": estimate.medians}), estimate.brain
    tissue = estimate.tissue.copy()
    if estimate.network is not None:
        lesion = np.zeros(brain.size, dtype=bool)
        lesion[np.flatnonzero(maps.mask)] = estimate.network.fractions[-1] > 127
        tissue[lesion.reshape(brain.shape) & brain] = LESION
    return labels_image(maps, tissue, brain, estimate.head.field_strength)


def labels_image(maps: TissueMaps, tissue: np.ndarray, brain: np.ndarray, field_strength: float) -> sitk.Image:
    """The label map of ``tissue`` (z, y, x; rows of the tissue table, LESION, 255 where none is likelier than not) and a ``brain`` mask."""
    whole = dominant_tissue(tissue, brain, tissue_fractions(maps, tissue, brain, field_strength)) if brain.any() else tissue
    return maps.image(labels_of(whole, brain))


def write_labels(image: sitk.Image, folder: Path, name: str = TISSUES, table: str | None = None) -> None:
    """Write a label map as ``name``.nii.gz and its look-up table (None: that of the tissues) as ``name``.tsv into an existing folder."""
    write_image(image, folder / f"{name}.nii.gz")
    (folder / f"{name}.tsv").write_text(table or labels_table(), encoding="utf-8")
