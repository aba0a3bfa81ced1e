"""Build the midline reference: frequency of joined hemispheres at each position of the midline in label maps of people.

Run as ``python -m physmrisynth_training.shipping.build_midline --data DIR --out resources/midline.nii.gz``, where DIR holds head_labels;
the training heads are aligned with the atlas like any head (``imaging/head/atlas.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from PhysMRISynthLib.imaging.head.atlas import atlas_middle, place_tissues
from PhysMRISynthLib.imaging.head.midline import about_middle, joined

from ..learning.train_vae import TRAINING_HEADS
from ..simulator.anatomy import LabelledHead, find_label_maps, read_labelled_head
from .build_atlas import ORIGIN_LPS, SIZE, SPACING_MM
from .command_line import write_reference


def midline_grid() -> sitk.Image:
    """An empty image on the midline (one plane of 1 mm voxels, x to the left) of the atlas."""
    sides = [1, *(round(n * SPACING_MM) for n in SIZE[1:])]
    grid = sitk.Image(sides, sitk.sitkUInt8)
    grid.SetOrigin([atlas_middle(), *(start - SPACING_MM / 2.0 + 0.5 for start in ORIGIN_LPS[1:])])
    return grid


def build_midline(heads: Sequence[LabelledHead], grid: sitk.Image) -> sitk.Image:
    """Frequency (0 to 255) of joined hemispheres of ``heads`` at each voxel of the midline's ``grid``. Raises RegistrationError when one
    cannot be aligned with the atlas."""
    total = np.zeros(grid.GetSize()[:0:-1])
    for head in tqdm(heads, desc="heads", unit="head"):
        tissue = sitk.GetImageFromArray(head.tissue)
        total += joined(about_middle(tissue, place_tissues(tissue).to_atlas, grid))
    shares = sitk.GetImageFromArray(np.round(255.0 * total / len(heads)).astype(np.uint8)[..., None])
    shares.CopyInformation(grid)
    return shares


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    write_reference(lambda data: build_midline(training_heads(data), midline_grid()), "head_labels", __doc__, arguments)


def training_heads(data: Path) -> list[LabelledHead]:
    """The heads of the trainings in a folder that holds head_labels."""
    return [read_labelled_head(path) for path in find_label_maps(data / "head_labels", TRAINING_HEADS)]


if __name__ == "__main__":
    main()
