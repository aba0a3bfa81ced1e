"""Heads of two people: one half of each, so that nobody is learned whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from ..errors import RegistrationError
from ..imaging.alignment import smooth_deformation
from ..imaging.atlas import atlas_middle, place_atlas
from ..physics.tissues import tissue_table
from .anatomy import AIR, LabelledHead
from .standard_test import PROTOCOLS

_FIELD_STRENGTH = 3.0
_SMOOTH_MM, _COARSE = 2.0, 4
"""SD of the Gaussian before the deformation is sought, on a grid of so many voxels a side."""
_STIFFNESS, _STEPS = 1.5, 60
"""SD, in positions of that grid, of the Gaussian that each step's displacement is smoothed with; and steps."""
_NOT_SEEN = 255
"""Below the cut through the other's neck."""
_AIR_MM = 60
"""So far a head's image goes on as air, but not below: it is cut to the head."""


@dataclass(frozen=True)
class Person:
    """A head in the atlas: its image in T1w contrast on the coarse grid, and an affine map (4, 4) from its own points (mm) to the atlas."""

    head: LabelledHead
    coarse: np.ndarray
    to_atlas: np.ndarray


@dataclass(frozen=True)
class Halves:
    """Heads (two at least) whose halves are exchanged."""

    people: tuple[Person, ...]

    @classmethod
    def of(cls, heads: Sequence[LabelledHead]) -> Halves:
        """Raises RegistrationError when one of the heads is not found in the atlas."""
        return cls(tuple(person(head) for head in heads))

    def head(self, number: int, rng: np.random.Generator) -> LabelledHead:
        """Head ``number`` with the left or the right half of another, mirrored or not, deformed onto it."""
        own = self.people[number]
        other = self.people[(number + int(rng.integers(1, len(self.people)))) % len(self.people)]
        return joined(own, other, mirror=bool(rng.integers(2)), left=bool(rng.integers(2)))


def joined(own: Person, other: Person, mirror: bool, left: bool) -> LabelledHead:
    """The head of ``own`` whose ``left`` half, or right one, is that of ``other``, mirrored before if ``mirror``, deformed onto it."""
    middle = atlas_middle()
    across = np.diag([-1.0 if mirror else 1.0, 1.0, 1.0, 1.0])
    across[0, 3] = 2.0 * middle if mirror else 0.0
    affine = _transform(np.linalg.inv(other.to_atlas) @ across @ own.to_atlas)
    grid = _image(own.head.tissue)
    whole = _in_air(other.head.tissue)
    there = sitk.GetArrayFromImage(sitk.Resample(whole, grid, _deformed(own, other, affine), sitk.sitkNearestNeighbor, _NOT_SEEN))
    z, y, x = (np.arange(n, dtype=np.float64) for n in own.head.tissue.shape)
    row = own.to_atlas[0]
    beside = row[0] * x + row[1] * y[:, None] + row[2] * z[:, None, None] + row[3] - middle  # to the left where above 0
    chosen = ((beside > 0) == left) & (there != _NOT_SEEN)
    return replace(own.head, name=f"{own.head.name} + {other.head.name}", tissue=np.where(chosen, there, own.head.tissue))


def person(head: LabelledHead) -> Person:
    """A head (without lesions) brought to the atlas. Raises RegistrationError when it is not found there."""
    image = _image(_signals()[head.tissue])
    try:
        to_atlas = place_atlas(image, PROTOCOLS["t1w"], _FIELD_STRENGTH).to_atlas
    except RegistrationError as error:
        raise RegistrationError(f"{head.name}: {error}") from None
    affine = np.eye(4)
    affine[:3, 3] = to_atlas.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        affine[:3, axis] = np.subtract(to_atlas.TransformPoint(tuple(np.eye(3)[axis])), affine[:3, 3])
    smooth = sitk.SmoothingRecursiveGaussian(image, _SMOOTH_MM)
    return Person(head, sitk.GetArrayFromImage(sitk.BinShrink(smooth, [_COARSE] * 3)), affine)


def _signals() -> np.ndarray:
    """T1w signal of each tissue at literature values, 1 for white matter, no more than that: fat would outshine the brain."""
    table = tissue_table(_FIELD_STRENGTH)
    signals = np.abs(PROTOCOLS["t1w"].signal(*np.exp(np.stack([tissue.theta for tissue in table], axis=1))))
    white = signals[[tissue.name for tissue in table].index("white_matter")]
    return np.minimum(signals / white, 1.0).astype(np.float32)


def _deformed(own: Person, other: Person, affine: sitk.Transform) -> sitk.Transform:
    """From points of one head to those of another that look alike, near the ``affine`` way."""
    fixed, moving = _image(own.coarse, _COARSE), _image(other.coarse, _COARSE)
    placed = sitk.Resample(moving, fixed, affine, sitk.sitkLinear, 0.0)
    displacement = smooth_deformation(fixed, placed, _STIFFNESS, _STEPS)
    return sitk.CompositeTransform([affine, sitk.DisplacementFieldTransform(displacement)])


def _transform(matrix: np.ndarray) -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].reshape(-1).tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def _in_air(tissue: np.ndarray) -> sitk.Image:
    padded = np.pad(tissue, ((0, _AIR_MM), (_AIR_MM, _AIR_MM), (_AIR_MM, _AIR_MM)), constant_values=AIR)
    image = _image(padded)
    image.SetOrigin((-_AIR_MM, -_AIR_MM, 0.0))
    return image


def _image(values: np.ndarray, side: int = 1) -> sitk.Image:
    """Of a head (z, y, x) in blocks of ``side`` voxels of 1 mm; its own first voxel is the origin."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([float(side)] * 3)
    image.SetOrigin([(side - 1) / 2.0] * 3)
    return image
