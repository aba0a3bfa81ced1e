"""Inputs that no scanner made: a segmentation in place of a scan, one scan in two places, processed intensities; maps without values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import SimpleITK as sitk

from ...errors import EstimationError
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.intensities import HIGHEST, Finding, begun_again, cut_off, fills_range, processed
from ...imaging.intake.volumes import image_like, same_grid
from ...imaging.tissue_maps import TissueMaps
from ...physics.protocol import Protocol
from ...physics.tissues import tissue_table
from .aligned_head import AlignedHead
from .even_voxels import is_brain
from .verdict import Cause, Level, Reason

_PIECEWISE = 0.3
"""Share of voxels that equal the next one: noise leaves a scan of whole numbers a few hundredths, small lesions leave a mask 0.6."""
_FEW_LABELS, _MOST_LABELS = 60, 300
_SOLID = 0.2
"""Share of voxels that equal all their neighbours: a denoised scan of eight bits has up to 0.1, a segmentation 0.3 and more."""


def check_inputs(acquisitions: Sequence[Acquisition]) -> None:
    """Raise EstimationError for a segmentation or mask, and for two inputs that are the same image."""
    for a in acquisitions:
        if _is_segmentation(a.volume.voxels):
            raise EstimationError(f"{a.name} is a segmentation or a mask. Give the scan that it was made from.")
    for one, other in combinations(acquisitions, 2):
        if same_grid(one.volume.image, other.volume.image) and np.array_equal(one.volume.voxels, other.volume.voxels):
            raise EstimationError(f"{one.name} and {other.name} are the same image. Give each contrast its own, or leave one out.")


def check_intensities(acquisitions: Sequence[Acquisition]) -> tuple[Reason, ...]:
    """What was done to the intensities of magnitude images. Raises EstimationError where nothing can be fitted to them."""
    reasons = []
    for a in _magnitudes(acquisitions):
        finding = processed(a.volume.voxels, a.volume.missing)
        if finding is not None and finding.hopeless:
            raise EstimationError(f"{a.name}: {finding.text}")
        reasons += [] if finding is None else [_reason(finding, a.name)]
    return tuple(reasons)


def check_brain_intensities(
    acquisitions: Sequence[Acquisition], observations: Sequence[Observation], brain: np.ndarray
) -> Iterator[Reason]:
    """What was cut off of the intensities in the ``brain`` (N,) of the magnitude images."""
    magnitudes = {a.name: a for a in _magnitudes(acquisitions)}
    for observation in observations:
        if observation.name not in magnitudes:
            continue
        highest = float(magnitudes[observation.name].volume.voxels.max())
        shown = brain & (observation.covered | (observation.signal >= HIGHEST * highest))  # what was cut off counts as not covered
        if shown.any():
            finding = cut_off(observation.signal[shown], highest)
            if finding is not None:
                yield _reason(finding, observation.name)


def check_wrapped(head: AlignedHead) -> Iterator[Reason]:
    """Which magnitude images hold numbers that were too large for their unsigned type, where the place of the brain is known."""
    brain = head.voxels.volume(is_brain(head.voxels))
    for a in _magnitudes(head.acquisitions) if head.placement.known else []:
        levels = fills_range(a.volume.voxels)
        if levels is None or _cortex_is_brightest(a.protocol, head.field_strength):
            continue
        back, mask = head.alignments[a.name].to_image.GetInverse(), image_like(brain.astype(np.uint8), head.grid)
        own = sitk.GetArrayFromImage(sitk.Resample(mask, a.volume.image, back, sitk.sitkNearestNeighbor, 0)) > 0
        finding = begun_again(a.volume.voxels, levels, own)
        if finding is not None:
            yield _reason(finding, a.name)


def _cortex_is_brightest(protocol: Protocol, field_strength: float) -> bool:
    """Whether the brain's brightest tissue lies beside its darkest in the image, as in a FLAIR."""
    tissues = [tissue_table(field_strength)[row] for row in brain_rows()]
    signals = np.abs(protocol.signal(*np.exp(np.stack([tissue.theta for tissue in tissues], axis=1))))
    return tissues[int(signals.argmax())].name not in ("white_matter", "csf")


def _magnitudes(acquisitions: Sequence[Acquisition]) -> list[Acquisition]:
    return [a for a in acquisitions if a.protocol.sequence.uses_pd and not a.protocol.sequence.signed]


def _reason(finding: Finding, name: str) -> Reason:
    return Reason(Cause.IMAGES, Level.DO_NOT_USE if finding.severe else Level.CAUTION, finding.text, name)


def check_maps(maps: TissueMaps) -> None:
    """Raise EstimationError where a map or its SD has no finite value somewhere in the head."""
    bad = np.zeros(maps.mask.shape, dtype=bool)
    for voxels in (maps.pd, maps.t1, maps.t2, *maps.sd.values()):
        bad |= ~np.isfinite(voxels)
    share = float((bad & maps.mask).sum()) / max(1, int(maps.mask.sum()))
    if share > 0.0:
        raise EstimationError(
            f"The fit found no values in {100 * share:.3g} % of the head. Look at the inputs for parts that are empty or of another scale, "
            "and leave out the input that has them."
        )


def _is_segmentation(voxels: np.ndarray) -> bool:
    """Whether an image (z, y, x) consists of patches of a few whole numbers.

    So may a scan of eight bits that was denoised seem along one axis; but its patches are not solid.
    """
    here, following = voxels[..., :-1], voxels[..., 1:]
    shown = here != 0
    if not shown.any() or not np.array_equal(voxels, np.rint(voxels)):
        return False
    alike = float(np.mean(here[shown] == following[shown])) > _PIECEWISE
    labels = np.unique(here[shown]).size
    return alike and (labels <= _FEW_LABELS or (labels <= _MOST_LABELS and _solid(voxels) > _SOLID))


def _solid(voxels: np.ndarray) -> float:
    """Share of the voxels with signal that equal their neighbours on all sides."""
    same = np.ones(tuple(n - 2 for n in voxels.shape), dtype=bool)
    middle = voxels[1:-1, 1:-1, 1:-1]
    for axis in range(3):
        for start in (0, 2):
            other = [slice(1, -1)] * 3
            other[axis] = slice(start, start + same.shape[axis])
            same &= voxels[tuple(other)] == middle
    return float(same[middle != 0].mean()) if (middle != 0).any() else 0.0
