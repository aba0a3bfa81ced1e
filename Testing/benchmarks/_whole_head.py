"""A whole head of known maps from a label map whose path is in the environment's LABELS: none is part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import known_head
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.head.masks import bounding_box

_SEED = 16


def simulated(benchmark: str, shape: tuple[int, int, int] | None = None) -> KnownHead:
    """A head of known maps on the box around it, or on one of this ``shape`` (voxels from left to right, front to back, bottom to top)
    about the box's middle. Ends the program and says why where there is no label map, or one that is too small."""
    path = os.environ.get("LABELS")
    if not path:
        print(f"{benchmark}: left out, since no LABELS (FreeSurfer-style label map of a whole head) is given")
        raise SystemExit(0)
    if not Path(path).is_file():
        raise SystemExit(f"{benchmark}: there is no label map {path}")
    image = sitk.DICOMOrient(sitk.ReadImage(path), "LPS")
    box = bounding_box(sitk.GetArrayViewFromImage(image) > 0)
    assert box is not None
    sides = [slice(side.start, side.stop) for side in box[::-1]]
    if shape is not None:
        if any(count > full for count, full in zip(shape, image.GetSize(), strict=True)):
            raise SystemExit(f"{benchmark}: {path} has {image.GetSize()} voxels, {shape} are needed")
        sides = [_about(side, count, full) for side, count, full in zip(sides, shape, image.GetSize(), strict=True)]
    return known_head(image[tuple(sides)], np.random.default_rng(_SEED))


def _about(side: slice, count: int, full: int) -> slice:
    start = min(max(0, (side.start + side.stop - count) // 2), full - count)
    return slice(start, start + count)
