"""Hemisphere mixing: heads with one hemisphere of another person, so that no training head is one person's."""

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
"""Version of the mixing, for caches of its results."""
JOINT = " + "
"""Separator of the names of a head's two people."""
_STIFFNESS = 1.5
"""SD, in positions of the deformation's grid, of the Gaussian that smooths each step's displacement."""
_COARSE, _COARSE_STEPS = 4, 60
_FINE, _FINE_STEPS = 2, 30
"""Spacing (mm) of these grids, and steps. Images are first smoothed with an SD of half a spacing."""
NEAR_MIDDLE_MM, _FARTHEST_MM = 12.0, 28.0
"""Width of the fine deformation around the midline (SD of its Gaussian weight), and its range: structures at the midline must match, the
rest of the hemisphere keeps the other person's shape."""
_NOT_SEEN = 255
"""Label below the cut through the other person's neck."""
_AIR_MM = 60
"""Padding of a head's image with air, except below, since images are cropped to the head."""


@dataclass(frozen=True)
class Person:
    """A head in the atlas: its image in T1w contrast in blocks of 4 mm, ``coarse``, and of 2 mm, ``fine`` (z, y, x; float32), and an affine
    map (4, 4) from its own points (mm) to the atlas."""

    head: LabelledHead
    coarse: np.ndarray
    fine: np.ndarray
    to_atlas: np.ndarray

    def beside_middle(self, shape: tuple[int, ...], side: int = 1) -> np.ndarray:
        """Signed distance (mm, positive to the left) from the atlas's midline of the voxels (z, y, x) of a grid with ``side`` mm
        spacing."""
        z, y, x = (np.arange(n, dtype=np.float64) * side + (side - 1) / 2.0 for n in shape)
        row = self.to_atlas[0]
        return row[0] * x + row[1] * y[:, None] + row[2] * z[:, None, None] + row[3] - atlas_middle()


@dataclass(frozen=True)
class Halves:
    """Heads (at least two) for hemisphere mixing."""

    people: tuple[Person, ...]

    @classmethod
    def of(cls, heads: Sequence[LabelledHead]) -> Halves:
        """Prepare ``heads``. Raises RegistrationError when one of them cannot be aligned with the atlas."""
        return cls(tuple(person(head) for head in heads))

    def head(self, number: int, rng: np.random.Generator) -> LabelledHead:
        """Head ``number`` with the left or right hemisphere of another, mirrored or not, deformed to match."""
        own = self.people[number]
        other = self.people[(number + int(rng.integers(1, len(self.people)))) % len(self.people)]
        return joined(own, other, mirror=bool(rng.integers(2)), left=bool(rng.integers(2)))


def joined(own: Person, other: Person, mirror: bool, left: bool, near_middle_mm: float = NEAR_MIDDLE_MM) -> LabelledHead:
    """The head of ``own`` with the ``left`` (or right) hemisphere of ``other``, mirrored first if ``mirror``, deformed to match, finely
    within about ``near_middle_mm`` of the midline."""
    middle = atlas_middle()
    across = np.diag([-1.0 if mirror else 1.0, 1.0, 1.0, 1.0])
    across[0, 3] = 2.0 * middle if mirror else 0.0
    affine = _transform(np.linalg.inv(other.to_atlas) @ across @ own.to_atlas)
    grid = head_image(own.head.tissue)
    whole = _in_air(other.head.tissue)
    deformed = _deformed(own, other, affine, near_middle_mm)
    there = sitk.GetArrayFromImage(sitk.Resample(whole, grid, deformed, sitk.sitkNearestNeighbor, _NOT_SEEN))
    chosen = ((own.beside_middle(there.shape) > 0) == left) & (there != _NOT_SEEN)
    return replace(own.head, name=own.head.name + JOINT + other.head.name, tissue=np.where(chosen, there, own.head.tissue))


def person(head: LabelledHead) -> Person:
    """A head (without lesions) aligned with the atlas. Raises RegistrationError when that fails."""
    tissue = head_image(head.tissue)
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


def _deformed(own: Person, other: Person, affine: sitk.Transform, near_middle_mm: float) -> sitk.Transform:
    """Map from points of one head to corresponding points of another, near the ``affine`` map; accurate at the midline, where they meet."""
    coarse = sitk.CompositeTransform([affine])
    coarse.AddTransform(deformation(head_image(own.coarse, _COARSE), head_image(other.coarse, _COARSE), coarse, _COARSE_STEPS))
    beside = own.beside_middle(own.fine.shape, _FINE)
    near = np.flatnonzero((np.abs(beside) < _FARTHEST_MM).any(axis=(0, 1)))
    columns = slice(int(near[0]), int(near[-1]) + 1)
    weight = np.exp(-0.5 * (beside[..., columns] / near_middle_mm) ** 2)
    finer = deformation(head_image(own.fine, _FINE)[columns], head_image(other.fine, _FINE), coarse, _FINE_STEPS, weight)
    return sitk.CompositeTransform([coarse, finer])


def deformation(
    fixed: sitk.Image, moving: sitk.Image, near: sitk.Transform, steps: int, weight: np.ndarray | None = None, beyond: float = 0.0
) -> sitk.DisplacementFieldTransform:
    """Deformation, after the map ``near``, that makes the ``moving`` image (``beyond`` outside) match the ``fixed`` one, scaled by
    ``weight`` (z, y, x)."""
    displacement = smooth_deformation(fixed, sitk.Resample(moving, fixed, near, sitk.sitkLinear, beyond), _STIFFNESS, steps)
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
    image = head_image(padded)
    image.SetOrigin((-_AIR_MM, -_AIR_MM, 0.0))
    return image


def head_image(values: np.ndarray, side: int = 1) -> sitk.Image:
    """An image of a head (z, y, x) in blocks of ``side`` voxels of 1 mm, with the head's first voxel as origin."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([float(side)] * 3)
    image.SetOrigin([(side - 1) / 2.0] * 3)
    return image
