"""Heads of two people: one half of each, so that nobody is learned whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import RegistrationError
from PhysMRISynthLib.imaging.head.alignment import smooth_deformation
from PhysMRISynthLib.imaging.head.atlas import atlas_middle, place_tissues, tissue_picture

from .anatomy import AIR, LabelledHead

JOINING = 2
"""Version of how halves are joined, for whoever keeps the result."""
JOINT = " + "
"""Between the names of the two people of a head."""
_STIFFNESS = 1.5
"""SD, in positions of the grid that a deformation is sought on, of the Gaussian that each step's displacement is smoothed with."""
_COARSE, _COARSE_STEPS = 4, 60
_FINE, _FINE_STEPS = 2, 30
"""Sides (mm) of those grids, and steps. Images are smoothed with half a side's SD before."""
_NEAR_MIDDLE_MM, _FARTHEST_MM = 12.0, 28.0
"""How far from the middle the fine deformation counts (SD of its Gaussian weight), and is sought: what lies in the middle must fit, the
rest of the half stays the other's."""
_NOT_SEEN = 255
"""Below the cut through the other's neck."""
_AIR_MM = 60
"""So far a head's image goes on as air, but not below: it is cut to the head."""


@dataclass(frozen=True)
class Person:
    """A head in the atlas: its image in T1w contrast in blocks of 4 mm, ``coarse``, and of 2 mm, ``fine`` (z, y, x; float32), and an affine
    map (4, 4) from its own points (mm) to the atlas."""

    head: LabelledHead
    coarse: np.ndarray
    fine: np.ndarray
    to_atlas: np.ndarray

    def beside_middle(self, shape: tuple[int, ...], side: int = 1) -> np.ndarray:
        """How far (mm, above 0 to the left) from the atlas's middle the voxels (z, y, x) of a grid lie, whose blocks have so many mm a
        side."""
        z, y, x = (np.arange(n, dtype=np.float64) * side + (side - 1) / 2.0 for n in shape)
        row = self.to_atlas[0]
        return row[0] * x + row[1] * y[:, None] + row[2] * z[:, None, None] + row[3] - atlas_middle()


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
    chosen = ((own.beside_middle(there.shape) > 0) == left) & (there != _NOT_SEEN)
    return replace(own.head, name=own.head.name + JOINT + other.head.name, tissue=np.where(chosen, there, own.head.tissue))


def person(head: LabelledHead) -> Person:
    """A head (without lesions) brought to the atlas. Raises RegistrationError when it is not found there."""
    tissue = _image(head.tissue)
    try:
        to_atlas = place_tissues(tissue).to_atlas
    except RegistrationError as error:
        raise RegistrationError(f"{head.name}: {error}") from None
    affine = np.eye(4)
    affine[:3, 3] = to_atlas.TransformPoint((0.0, 0.0, 0.0))
    for axis in range(3):
        affine[:3, axis] = np.subtract(to_atlas.TransformPoint(tuple(np.eye(3)[axis])), affine[:3, 3])
    picture = tissue_picture(tissue)
    coarse, fine = (sitk.BinShrink(sitk.SmoothingRecursiveGaussian(picture, side / 2.0), [side] * 3) for side in (_COARSE, _FINE))
    return Person(head, sitk.GetArrayFromImage(coarse), sitk.GetArrayFromImage(fine), affine)


def _deformed(own: Person, other: Person, affine: sitk.Transform) -> sitk.Transform:
    """From points of one head to those of another that look alike, near the ``affine`` way; closely in the middle, where they will meet."""
    coarse = sitk.CompositeTransform([affine])
    coarse.AddTransform(_deformation(_image(own.coarse, _COARSE), _image(other.coarse, _COARSE), coarse, _COARSE_STEPS))
    beside = own.beside_middle(own.fine.shape, _FINE)
    near = np.flatnonzero((np.abs(beside) < _FARTHEST_MM).any(axis=(0, 1)))
    columns = slice(int(near[0]), int(near[-1]) + 1)
    weight = np.exp(-0.5 * (beside[..., columns] / _NEAR_MIDDLE_MM) ** 2)
    deformation = _deformation(_image(own.fine, _FINE)[columns], _image(other.fine, _FINE), coarse, _FINE_STEPS, weight)
    return sitk.CompositeTransform([coarse, deformation])


def _deformation(
    fixed: sitk.Image, moving: sitk.Image, near: sitk.Transform, steps: int, weight: np.ndarray | None = None
) -> sitk.DisplacementFieldTransform:
    """Where, on the way ``near`` to it, the ``moving`` image looks like the ``fixed`` one; as far as the ``weight`` (z, y, x) says."""
    displacement = smooth_deformation(fixed, sitk.Resample(moving, fixed, near, sitk.sitkLinear, 0.0), _STIFFNESS, steps)
    if weight is not None:
        weighted = sitk.GetImageFromArray(sitk.GetArrayViewFromImage(displacement) * weight[..., None], isVector=True)
        weighted.CopyInformation(displacement)
        displacement = weighted
    return sitk.DisplacementFieldTransform(displacement)


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
