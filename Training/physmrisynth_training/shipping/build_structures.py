"""Build the reference of anatomical structures: the most frequent one of each group at each position of the atlas.

Run as ``python -m physmrisynth_training.shipping.build_structures --data DIR --out resources/structures.nii.gz``, where DIR holds
head_labels and people; the label maps are those of :mod:`.build_ventricles`, aligned in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt
from tqdm import tqdm

from PhysMRISynthLib.imaging.head.structures import GROUPS, RIGHT

from ..simulator.labels import CHOROID_PLEXUS, LESIONS
from .build_ventricles import on_grid, placed_labels, shrunk, training_files, ventricle_grid
from .command_line import write_reference

_FROM_HEADS = {5: 4, 44: 4, **dict.fromkeys(CHOROID_PLEXUS, 4), **dict.fromkeys(LESIONS, 2), 530: 85, 512: 126, 509: 133, 506: 134}
"""Structure by label of the label maps, where the numbers differ."""
_STRUCTURES = [number for group in GROUPS.values() for number in group]
_SMOOTH_MM, _LEAST = 2.0, 1e-2


def build_structures(files: Sequence[Path], grid: sitk.Image) -> sitk.Image:
    """The most frequent structure (left number) of each of GROUPS at each voxel of ``grid``, a component for each group, left-right
    symmetric; where there is none, that of the nearest voxel with one. Raises RegistrationError when the brain of a label map cannot be
    aligned with the atlas."""
    totals = {number: np.zeros(grid.GetSize()[::-1], np.float32) for number in _STRUCTURES}
    for file in tqdm(files, desc="label maps", unit="map"):
        numbers, coarse, to_grid = placed_labels(file)
        numbers = _left(numbers)
        for number, total in totals.items():
            amount = sitk.Resample(on_grid(coarse, shrunk(numbers == number)), grid, to_grid, sitk.sitkLinear, 0.0)
            voxels = sitk.GetArrayFromImage(amount)
            total += voxels + voxels[..., ::-1]
    smooth = {n: sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(on_grid(grid, t), _SMOOTH_MM)) for n, t in totals.items()}
    groups = [_most_frequent(np.array(group), np.stack([smooth[number] for number in group])) for group in GROUPS.values()]
    image = sitk.GetImageFromArray(np.stack(groups, axis=-1), isVector=True)
    image.CopyInformation(grid)
    return image


def _left(numbers: np.ndarray) -> np.ndarray:
    """Label numbers as structures of the left side."""
    lookup = np.arange(max(1024, int(numbers.max()) + 1))
    for number, structure in {**{right: left for left, right in RIGHT.items()}, **_FROM_HEADS}.items():
        lookup[number] = structure
    return lookup[numbers]


def _most_frequent(group: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """The structure of a group with the highest of the ``frequencies`` (structures, z, y, x)."""
    nearest = distance_transform_edt(frequencies.max(axis=0) < _LEAST, return_distances=False, return_indices=True)
    return group[frequencies.argmax(axis=0)].astype(np.uint8)[tuple(nearest)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    write_reference(lambda data: build_structures(training_files(data), ventricle_grid()), "head_labels and people", __doc__, arguments)


if __name__ == "__main__":
    main()
