"""Build the ventricle reference: ventricular share of the fluid at each position of the atlas.

Run as ``python -m physmrisynth_training.shipping.build_ventricles --data DIR --out resources/ventricles.nii.gz``, where DIR holds
head_labels and
people; training heads and training people are aligned with the atlas by their brains, as for any head.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm

from PhysMRISynthLib.imaging.head.atlas import place_tissues
from PhysMRISynthLib.physics.tissues import tissue_table

from ..learning.train_vae import TRAINING_HEADS
from ..simulator.anatomy import find_label_maps
from ..simulator.labels import VENTRICLES, tissue_index
from .build_atlas import ORIGIN_LPS, SIZE, SPACING_MM
from .command_line import write_reference

PEOPLE = (1, 2, 4, 5, 8, 11, 13, 16, 20, 22, 26, 28, 32, 35, 38, 43, 44, 50)
"""Training people whose label maps are used besides those of the training heads."""
_FACTOR, _SPACING_MM = 2, 2.0
"""Label maps of 1 mm are used in voxels of 2 mm, which hold several labels as in a scan."""
_SMOOTH_MM, _LEAST = 2.0, 1e-5
_NAMES = [tissue.name for tissue in tissue_table()]
_BRAIN = [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]
_FLUID, _AIR = _NAMES.index("csf"), _NAMES.index("air")


def ventricle_grid() -> sitk.Image:
    """An empty image of 2 mm voxels over the extent of the atlas."""
    grid = sitk.Image([round(n * SPACING_MM / _SPACING_MM) for n in SIZE], sitk.sitkFloat32)
    grid.SetSpacing([_SPACING_MM] * 3)
    grid.SetOrigin([start - (SPACING_MM - _SPACING_MM) / 2.0 for start in ORIGIN_LPS])
    return grid


def training_files(data: Path) -> list[Path]:
    """The label maps of the training heads and people."""
    return [*find_label_maps(data / "head_labels", TRAINING_HEADS), *(data / f"people/person_{n:02d}_labels.nii.gz" for n in PEOPLE)]


def build_ventricles(files: Sequence[Path], grid: sitk.Image) -> sitk.Image:
    """Ventricular share (0 to 255) of the fluid at each voxel of ``grid``, left-right symmetric. Raises RegistrationError when the
    brain of a label map cannot be aligned with the atlas."""
    inside, fluid = (np.zeros(grid.GetSize()[::-1]) for _ in range(2))
    for file in tqdm(files, desc="label maps", unit="map"):
        for total, amount in zip((inside, fluid), _amounts(file, grid), strict=True):
            total += amount + amount[..., ::-1]
    smooth = [sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(on_grid(grid, total), _SMOOTH_MM)) for total in (inside, fluid)]
    share = np.clip(smooth[0] / (smooth[1] + _LEAST), 0.0, 1.0)
    return on_grid(grid, np.round(255.0 * share).astype(np.uint8))


def _amounts(file: Path, grid: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Fractions of ventricle and of fluid in each voxel of ``grid``, from a label map."""
    numbers, coarse, to_grid = placed_labels(file)
    fluid = tissue_index(numbers) == _FLUID
    parts = (shrunk(fluid & np.isin(numbers, VENTRICLES)), shrunk(fluid))
    brought = (sitk.Resample(on_grid(coarse, part), grid, to_grid, sitk.sitkLinear, 0.0) for part in parts)
    ventricular, all_of_it = (sitk.GetArrayFromImage(image) for image in brought)
    return ventricular, all_of_it


def placed_labels(file: Path) -> tuple[np.ndarray, sitk.Image, sitk.Transform]:
    """The numbers (z, y, x) of a label map, an image of voxels twice as wide, and the transform from the atlas to the head.

    Raises RegistrationError when its brain cannot be aligned with the atlas."""
    labels = sitk.DICOMOrient(sitk.ReadImage(str(file)), "LPS")
    numbers = np.round(sitk.GetArrayFromImage(labels)).astype(np.int32)
    rows = tissue_index(numbers)
    parts = np.stack([shrunk(rows == row) for row in _BRAIN])
    coarse = sitk.BinShrink(sitk.Cast(labels, sitk.sitkFloat32), [_FACTOR] * 3)
    picture = np.where(parts.sum(axis=0) > 0.5, np.array(_BRAIN)[parts.argmax(axis=0)], _AIR).astype(np.uint8)
    return numbers, coarse, place_tissues(on_grid(coarse, picture)).to_atlas.GetInverse()


def shrunk(mask: np.ndarray) -> np.ndarray:
    """The share of a mask in voxels twice as wide."""
    z, y, x = (n // _FACTOR for n in mask.shape)
    whole = mask[: z * _FACTOR, : y * _FACTOR, : x * _FACTOR]
    return whole.reshape(z, _FACTOR, y, _FACTOR, x, _FACTOR).mean(axis=(1, 3, 5), dtype=np.float32)


def on_grid(grid: sitk.Image, voxels: np.ndarray) -> sitk.Image:
    """Voxels (z, y, x) as an image on a grid."""
    image = sitk.GetImageFromArray(voxels)
    image.CopyInformation(grid)
    return image


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    write_reference(lambda data: build_ventricles(training_files(data), ventricle_grid()), "head_labels and people", __doc__, arguments)


if __name__ == "__main__":
    main()
