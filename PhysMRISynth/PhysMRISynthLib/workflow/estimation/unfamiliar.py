"""Regions of the brain whose signals no tissue explains: tumours, cavities, haemorrhage, what an operation left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import SimpleITK as sitk

from ...fitting.head import HeadModel
from ...fitting.mixture import responsibilities, squared_distances
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows
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
_NO_EDGE_MM = 12.0
"""So thick is nothing that holds two tissues: what looks like a mixture throughout is neither of them."""


def unfamiliar_region(
    head: HeadModel, observations: Sequence[Observation], voxels: HeadVoxels, grid: sitk.Image, brain: np.ndarray
) -> np.ndarray:
    """True (z, y, x) in compact regions of the ``brain`` mask (z, y, x) that look like no single tissue of it in all inputs together.

    Measured about every 2 mm. What looks like a mixture of two expected tissues counts only where it is too thick for an edge between
    them: a tumour looks like grey matter with fluid where no FLAIR tells them apart.
    """
    steps = [max(1, round(_WORKING_MM / s)) for s in grid.GetSpacing()[::-1]]
    places = np.unravel_index(voxels.index, voxels.shape)
    chosen = np.flatnonzero(np.logical_and.reduce([place % step == 0 for place, step in zip(places, steps, strict=True)]))
    chosen = chosen[brain.reshape(-1)[voxels.index[chosen]]]
    spacing = [step * s for step, s in zip(steps[::-1], grid.GetSpacing(), strict=True)]

    def coarse(values: np.ndarray) -> sitk.Image:
        volume = np.zeros([-(-n // step) for n, step in zip(voxels.shape, steps, strict=True)], dtype=np.float32)
        volume[tuple(place[chosen] // step for place, step in zip(places, steps, strict=True))] = values
        image = sitk.GetImageFromArray(volume)
        image.SetSpacing(spacing)
        return image

    from_tissues, strange = _distance(head, observations, voxels, chosen)
    away, anyhow = coarse(np.where(strange, from_tissues, 0.0)), coarse(from_tissues)
    core, whole = (_opened(away > least, _OPENING_MM) for least in (_DISTANCE, _GROWN_TO))
    grown = sitk.BinaryReconstructionByDilation(_large(core), whole, 1.0, 0.0)
    kept = sitk.GetArrayFromImage(grown | _large(_opened(anyhow > _DISTANCE, _NO_EDGE_MM))) > 0
    for axis, step in enumerate(steps):
        kept = np.repeat(kept, step, axis=axis)
    return kept[tuple(slice(0, n) for n in voxels.shape)] & brain


def _opened(mask: sitk.Image, width_mm: float) -> sitk.Image:
    """What of a mask holds a ball of so many millimetres."""
    return sitk.BinaryMorphologicalOpening(mask, [max(1, round(0.5 * width_mm / s)) for s in mask.GetSpacing()])


def _large(mask: sitk.Image) -> sitk.Image:
    """The components of a mask that are large enough to count."""
    smallest = max(1, round(1000.0 * _LEAST_ML / float(np.prod(mask.GetSpacing()))))
    return sitk.RelabelComponent(sitk.ConnectedComponent(mask), minimumObjectSize=smallest) > 0


def _distance(
    head: HeadModel, observations: Sequence[Observation], voxels: HeadVoxels, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far (SDs) voxels lie from the signals of the nearest tissue of the brain (0 where an input has no data), and where no two
    tissues that are expected there explain them."""
    adapted = head.adapted([observation.at(chosen) for observation in observations])
    fields = head.fields(head.basis.evaluate(voxels.positions(chosen)))
    flat = np.stack([o.signal / field for o, field in zip(adapted, fields, strict=True)])
    rows = brain_rows()
    nearest = squared_distances(head.looks.means[rows], np.linalg.inv(head.looks.covariances[rows]), flat).min(axis=0)
    covered = np.logical_and.reduce([o.covered for o in adapted])
    expected = head.classes.weights(voxels.fractions(chosen), settled=True)
    strange = responsibilities(head.looks, adapted, fields, expected)[-1] > _LIKELY
    return np.where(covered, np.sqrt(nearest / len(adapted)), 0.0), strange


def unfamiliar_reasons(region: np.ndarray, grid: sitk.Image) -> Iterator[Reason]:
    """A warning of large regions."""
    volume = float(region.sum()) * float(np.prod(grid.GetSpacing())) / 1000.0
    if volume >= _LEAST_ML:
        text = (
            f"{volume:.0f} ml of the brain look like no tissue that the method knows, as tumours, cavities and haemorrhages do. The values "
            f"there are not to be trusted; {FILE} shows where that is."
        )
        yield Reason(Cause.ANATOMY, Level.CAUTION, text)
