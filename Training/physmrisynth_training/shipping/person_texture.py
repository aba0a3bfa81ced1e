"""What is left of a person's T1w image inside tissues: log intensity without receive field and without each structure's median.

The receive field is a polynomial of the fourth degree in space, fitted to the log intensity of cerebral white matter and continued into the
other tissues. Voxels near another structure hold several, so only cores count.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.head.structures import RIGHT

STRUCTURES = {"white_matter": (2,), "deep_grey": (11, 12, 13), "thalamus": (10,)}
"""Structures (numbers of the left side) that a tissue is measured in. Cortex is too thin: its cores vary by 18 %, mostly partial volume."""
_WHITE, _WHITE_MARGIN_MM, _MARGIN_MM = 2, 3.0, 2.0
"""Least distance of a core from the outermost voxels of the structure."""
_DEGREE, _THINNED, _ROUNDS, _OUTLIER = 4, 5, 3, 4.0
_REACH_MM = 80.0
_DARKEST = 2.0


@dataclass(frozen=True)
class Residual:
    """Log intensities about the median of a structure's core: ``values`` (n,) at the ``voxels`` (n, 3; z, y, x), without outliers, such as
    vessels and wrong labels."""

    voxels: np.ndarray
    values: np.ndarray


def residuals(numbers: np.ndarray, intensities: np.ndarray) -> dict[int, Residual]:
    """By structure, from a label map and a T1w image, both (z, y, x), 1 mm."""
    left = numbers.copy()
    for number, other in RIGHT.items():
        left[numbers == other] = number
    logs = np.log(np.maximum(intensities, _DARKEST)).astype(np.float32)
    structures = [number for group in STRUCTURES.values() for number in group]
    cores = {number: _core(left == number, _WHITE_MARGIN_MM if number == _WHITE else _MARGIN_MM) for number in structures}
    field = _receive_field(cores[_WHITE], logs)
    return {number: _residual(core, logs, field) for number, core in cores.items() if len(core)}


def read_t1w(labels: Path) -> np.ndarray:
    """The T1w image beside a person's label map, (z, y, x), axes to the left, the back and the top."""
    image = sitk.ReadImage(str(labels).replace("_labels", "_t1w"), sitk.sitkFloat32)
    return sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))


def _core(mask: np.ndarray, margin: float) -> np.ndarray:
    """Voxels (n, 3) of a mask that lie at least ``margin`` (mm) inside its outermost voxels."""
    box = bounding_box(mask)
    if box is None:
        return np.empty((0, 3), dtype=int)
    image = sitk.GetImageFromArray(np.pad(mask[box], 1).astype(np.uint8))
    depth = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False))
    return np.argwhere(depth >= margin) + [side.start - 1 for side in box]


def _powers(voxels: np.ndarray) -> np.ndarray:
    """(n, terms) of the polynomial at voxels (n, 3)."""
    at = (voxels.astype(np.float32) - 100.0) / _REACH_MM
    powers = [at**power for power in range(_DEGREE + 1)]
    terms = [term for term in product(range(_DEGREE + 1), repeat=3) if sum(term) <= _DEGREE]
    return np.stack([powers[i][:, 0] * powers[j][:, 1] * powers[k][:, 2] for i, j, k in terms], axis=1)


def _receive_field(core: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Coefficients (terms,) that fit white matter, without its outliers."""
    voxels = core[::_THINNED]
    terms, values = _powers(voxels).astype(float), logs[tuple(voxels.T)]
    kept = np.ones(len(values), dtype=bool)
    for _ in range(_ROUNDS):
        found = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        kept = _usual(values - terms @ found)
    return found.astype(np.float32)


def _usual(values: np.ndarray) -> np.ndarray:
    """Which values are no outliers."""
    distance = np.abs(values - np.median(values))
    return distance < _OUTLIER * 1.4826 * np.median(distance)


def _residual(core: np.ndarray, logs: np.ndarray, field: np.ndarray) -> Residual:
    values = logs[tuple(core.T)] - _powers(core) @ field
    kept = _usual(values)
    return Residual(core[kept].astype(np.int16), (values - np.median(values))[kept].astype(np.float32))
