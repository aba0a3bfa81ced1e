"""Regions of the brain whose signals no tissue explains: tumours, cavities, haemorrhage, what an operation left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...fitting.head import HeadModel
from ...fitting.mixture import responsibilities, squared_distances
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows, fluid_row
from ...imaging.head.morphology import dilated, opened
from ...imaging.intake.volumes import image_like
from .even_voxels import is_brain
from .head_voxels import HeadVoxels
from .verdict import Cause, Level, Reason

FILE = "unfamiliar.nii.gz"
_WORKING_MM = 2.0
_DISTANCE, _GROWN_TO = 2.0, 1.6
"""SDs (root mean square over the inputs) from the nearest tissue's signals: of what is a region for certain, and of what belongs to a
region that it touches."""
_LIKELY = 0.5
_OPENING_MM, _LEAST_ML = 4.0, 3.0
"""Thinner regions are edges between tissues, smaller ones vessels and lesions that the method knows."""
_EXPECTED = 127
"""Of 255: ventricles and cisterns are thick, and fluid's signals the first that a wrong gain moves away from it."""
_NO_EDGE_MM = 12.0
"""So thick is nothing that holds two tissues: what looks like a mixture throughout is neither of them."""
_DOUBTED, _CUBE_MM, _MOST, _MARGIN_MM = 0.8, 11.0, 0.8, 16.0
"""What a receive field may have been bent to explain: where most voxels of a cube are so many SDs from every tissue; in heads without a
lesion at most 0.64 of them are. What lies around it goes with it, since an edge left in bends the field as its middle did."""
_LARGEST_SHARE = 0.25
"""Of the voxels: where more are far from every tissue, it is the fit that is wrong."""


def unfamiliar_region(
    head: HeadModel, observations: Sequence[Observation], voxels: HeadVoxels, grid: sitk.Image, brain: np.ndarray
) -> np.ndarray:
    """True (z, y, x) in compact regions of the ``brain`` mask (z, y, x) that look like no single tissue of it in all inputs together.

    Measured about every 2 mm. What looks like a mixture of two expected tissues counts only where it is too thick for an edge between
    them: a tumour looks like grey matter with fluid where no FLAIR tells them apart.
    """
    lattice = _Lattice.over(voxels, grid, brain.reshape(-1)[voxels.index])
    seen, fields = lattice.seen(head, observations), lattice.fields(head)
    expected = head.classes.weights(voxels.fractions(lattice.chosen), settled=True)
    strange = responsibilities(head.looks, seen, fields, expected)[-1] > _LIKELY  # no two tissues that are expected there explain it
    away = _distance(head, seen, fields)
    core, whole = (_opened(lattice.image(strange & (away > least)), _OPENING_MM) for least in (_DISTANCE, _GROWN_TO))
    grown = sitk.BinaryReconstructionByDilation(_large(core), whole, 1.0, 0.0)
    thick = lattice.image(~_fluid_expected(voxels, lattice.chosen) & (away > _GROWN_TO))
    return lattice.volume(grown | _large(_opened(thick, _NO_EDGE_MM))) & brain


def apart_from_fields(head: HeadModel, observations: Sequence[Observation], voxels: HeadVoxels, grid: sitk.Image) -> np.ndarray:
    """True (z, y, x) in compact regions that no tissue explains well, and around them: what a receive field was fitted through may be
    explained by a field that is not there. A tumour makes one input brighter as a coil does, and then looks like cortex."""
    from scipy.ndimage import uniform_filter

    lattice = _Lattice.over(voxels, grid, is_brain(voxels))
    away = _distance(head, lattice.seen(head, observations), lattice.fields(head))
    doubted = lattice.image(~_fluid_expected(voxels, lattice.chosen) & (away > _DOUBTED))
    cube = [2 * radius + 1 for radius in _radius(doubted, 0.5 * _CUBE_MM)[::-1]]
    share = uniform_filter(sitk.GetArrayFromImage(doubted), cube, float, mode="nearest")
    grown = dilated(share > _MOST, _radius(doubted, _MARGIN_MM))
    return lattice.volume(image_like(grown.astype(np.uint8), doubted))


def few_enough(left_out: np.ndarray) -> bool:
    """Whether so many of the voxels (N,) can be left out of the fit of fields."""
    return bool(0.0 < left_out.mean() < _LARGEST_SHARE)


@dataclass(frozen=True)
class _Lattice:
    """Every ``steps``-th voxel of a volume of this ``shape``: its ``chosen`` voxels of the head lie at ``places`` (3 arrays)."""

    shape: tuple[int, ...]
    steps: tuple[int, ...]
    spacing: tuple[float, ...]
    chosen: np.ndarray
    places: tuple[np.ndarray, ...]

    @classmethod
    def over(cls, voxels: HeadVoxels, grid: sitk.Image, where: np.ndarray) -> _Lattice:
        """About every 2 mm of the head's voxels (N,) ``where`` that is true."""
        steps = tuple(max(1, round(_WORKING_MM / s)) for s in grid.GetSpacing()[::-1])
        places = np.nonzero(voxels.volume(where)[tuple(slice(None, None, step) for step in steps)])
        in_volume = np.ravel_multi_index([place * step for place, step in zip(places, steps, strict=True)], voxels.shape)
        spacing = tuple(step * s for step, s in zip(steps[::-1], grid.GetSpacing(), strict=True))
        return cls(voxels.shape, steps, spacing, np.searchsorted(voxels.index, in_volume), places)

    @property
    def counts(self) -> list[int]:
        """The lattice's own shape."""
        return [-(-n // step) for n, step in zip(self.shape, self.steps, strict=True)]

    def seen(self, head: HeadModel, observations: Sequence[Observation]) -> list[Observation]:
        """The inputs at the chosen voxels, their equations trusted as far as the head bears them out."""
        return head.adapted([observation.at(self.chosen) for observation in observations])

    def fields(self, head: HeadModel) -> list[np.ndarray]:
        """Receive fields of the inputs at the chosen voxels."""
        axes = [np.arange(n) * width for n, width in zip(self.counts, self.spacing[::-1], strict=True)]
        lines, across = head.basis.factors(head.coefficients, axes)
        logs = (lines.astype(np.float32) @ across.astype(np.float32)).reshape(len(lines), *self.counts)
        return [np.exp(own[self.places]) for own in logs]

    def image(self, mask: np.ndarray) -> sitk.Image:
        """The mask (chosen,) as an image of the lattice."""
        volume = np.zeros(self.counts, dtype=np.uint8)
        volume[self.places] = mask
        image = sitk.GetImageFromArray(volume)
        image.SetSpacing(self.spacing)
        return image

    def volume(self, image: sitk.Image) -> np.ndarray:
        """A mask on the lattice as one of the whole volume, bool (z, y, x)."""
        mask = sitk.GetArrayFromImage(image) > 0
        for axis, step in enumerate(self.steps):
            mask = np.repeat(mask, step, axis=axis)
        return mask[tuple(slice(0, n) for n in self.shape)]


def _fluid_expected(voxels: HeadVoxels, chosen: np.ndarray) -> np.ndarray:
    return voxels.atlas[brain_rows()[fluid_row()], chosen] > _EXPECTED


def _opened(mask: sitk.Image, width_mm: float) -> sitk.Image:
    """What of a mask holds a ball of so many millimetres."""
    core = opened(sitk.GetArrayFromImage(mask) > 0, _radius(mask, 0.5 * width_mm))
    return image_like(core.astype(np.uint8), mask)


def _radius(image: sitk.Image, millimetres: float) -> list[int]:
    """In voxels along each axis."""
    return [max(1, round(millimetres / s)) for s in image.GetSpacing()]


def _large(mask: sitk.Image) -> sitk.Image:
    """The components of a mask that are large enough to count."""
    smallest = max(1, round(1000.0 * _LEAST_ML / float(np.prod(mask.GetSpacing()))))
    return sitk.RelabelComponent(sitk.ConnectedComponent(mask), minimumObjectSize=smallest) > 0


def _distance(head: HeadModel, observations: Sequence[Observation], fields: Sequence[np.ndarray]) -> np.ndarray:
    """How far (SDs) voxels (N,) lie from the signals of the nearest tissue of the brain; 0 where an input has no data."""
    flat = np.stack([o.signal / field for o, field in zip(observations, fields, strict=True)])
    rows = brain_rows()
    nearest = squared_distances(head.looks.means[rows], np.linalg.inv(head.looks.covariances[rows]), flat).min(axis=0)
    covered = np.logical_and.reduce([o.covered for o in observations])
    return np.where(covered, np.sqrt(nearest / len(observations)), 0.0)


def unfamiliar_reasons(region: np.ndarray, grid: sitk.Image) -> Iterator[Reason]:
    """A warning of large regions."""
    volume = float(region.sum()) * float(np.prod(grid.GetSpacing())) / 1000.0
    if volume >= _LEAST_ML:
        text = (
            f"{volume:.0f} ml of the brain look like no tissue that the method knows, as tumours, cavities and haemorrhages do. The values "
            f"there are not to be trusted; {FILE} shows where that is."
        )
        yield Reason(Cause.ANATOMY, Level.CAUTION, text)
