"""A whole head of known maps from a label map that is given on the command line: none is part of this repository."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PhysMRISynthLib.imaging.known_head import KnownHead
from PhysMRISynthLib.imaging.masks import bounding_box
from PhysMRISynthLib.training.standard_test import known_head

_SEED = 16


def labels_given(benchmark: str) -> Path:
    """The label map LABELS.nii.gz. Says so and ends the program, as done, where none is given."""
    if len(sys.argv) != 2:
        print(f"{benchmark}: left out, since no LABELS.nii.gz (FreeSurfer-style label map of a whole head) is given")
        raise SystemExit(0)
    return Path(sys.argv[1])


def simulated(labels: Path, shape: tuple[int, int, int] | None = None) -> KnownHead:
    """A head of known maps on the box around it, or on one of this ``shape`` (voxels along the file's axes) from its top."""
    image = sitk.ReadImage(str(labels))
    box = bounding_box(sitk.GetArrayViewFromImage(image) > 0)
    assert box is not None
    sides = [slice(side.start, side.stop) for side in box[::-1]]
    if shape is not None:
        sides = [_from_the_middle(side, count, full) for side, count, full in zip(sides, shape, image.GetSize(), strict=True)]
    return known_head(image[tuple(sides)], np.random.default_rng(_SEED))


def _from_the_middle(side: slice, count: int, full: int) -> slice:
    start = min(max(0, (side.start + side.stop - count) // 2), full - count)
    return slice(start, start + count)
