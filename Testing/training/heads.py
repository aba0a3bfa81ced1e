"""A toy head: nested boxes of FreeSurfer-like labels, with a left that is not its right."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from physmrisynth_training.simulator.anatomy import BRAIN, LESION, TISSUES, LabelledHead
from physmrisynth_training.simulator.labels import tissue_index

WHITE, CORTEX, CSF, MUSCLE, FAT = (TISSUES.index(name) for name in ("white_matter", "cortex", "csf", "muscle", "fat"))
SHELLS = ((511, 3), (515, 5), (24, 7), (3, 9), (2, 13))
"""Labels from the skin inwards, each with its distance from the border of the map."""


def toy_labels(shape: tuple[int, int, int] = (40, 44, 48)) -> np.ndarray:
    """Skin, bone, fluid, cortex and white matter; a thalamus on one side, a neck of muscle below."""
    labels = np.zeros(shape, dtype=np.int16)
    for label, margin in SHELLS:
        labels[tuple(slice(margin, n - margin) for n in shape)] = label
    z, y, x = (n // 2 for n in shape)
    labels[z - 2 : z + 3, y - 2 : y + 3, x + 2 : x + 6] = 10
    labels[:5, y - 6 : y + 6, x - 6 : x + 8] = 507
    return labels


def training_folder(folder: Path) -> Path:
    """A head to learn from and one of its kind to validate on, as a folder of label maps; returns the folder."""
    write_label_map(folder / "head_labels" / "head_01.nii.gz", toy_labels((64, 66, 68)))
    shutil.copy(folder / "head_labels" / "head_01.nii.gz", folder / "head_labels" / "head_15.nii.gz")
    return folder


def toy_head(shape: tuple[int, int, int] = (40, 44, 48)) -> LabelledHead:
    """The toy head as the simulator takes it."""
    tissue = tissue_index(toy_labels(shape))
    brain = np.argwhere(np.isin(tissue, BRAIN))
    return LabelledHead("toy", tissue, (brain.min(axis=0), brain.max(axis=0) + 1))


def bands(thickness: int = 6, side: int = 16) -> np.ndarray:
    """Every class once, lesions too, in slabs of ``thickness``: (classes · thickness, side, side)."""
    return np.arange(LESION + 1, dtype=np.uint8).repeat(thickness * side * side).reshape(-1, side, side)


def write_label_map(path: Path, labels: np.ndarray, spacing: float = 1.0, orientation: str = "LPS") -> Path:
    """A label map (z, y, x; LPS) as a file whose voxels are stored in another ``orientation``."""
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((spacing,) * 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(image, orientation), str(path))
    return path
