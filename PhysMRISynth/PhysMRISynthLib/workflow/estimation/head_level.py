"""The head level of one head: which of its voxels speak for gains, fields and tissue values, and the fit to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...errors import EstimationError
from ...fitting.boundary import Boundary
from ...fitting.head import HeadModel, fit_head
from ...fitting.observation import Observation
from ...fitting.tissue_level import TissueLevel
from ...imaging.head.slice_profile import SliceProfile
from ..compute import Compute
from .aligned_head import AlignedHead
from .even_voxels import boundary_voxels, brain_voxels, even_voxels, is_brain
from .head_voxels import HeadVoxels
from .unfamiliar import apart_from_fields, few_enough, unfamiliar_region

_LEAST_BRAIN = 1000
_REFITS = 2
"""Fits without what fields may have been bent to explain: the first shows how far that reaches."""
_FARTHEST = 3.0
"""SDs by which such a fit may move a tissue's values."""


def fit_head_level(
    head: AlignedHead,
    observations: Sequence[Observation],
    profiles: Sequence[SliceProfile | None],
    expected: Callable[[], HeadVoxels],
    progress: Callable[[float], None],
    compute: Compute,
) -> HeadModel:
    """Fit the head level on voxels of the brain that every input shows to be even.

    The atlas alone says which tissue is expected: a network's certainty takes voxels of several tissues in (in a phantom of blurred tissues
    it doubled the misfit), and what it knows of single voxels serves those. Regions that fields may have been bent to explain are left out
    in a second fit, which counts if they then look like no tissue; else there was nothing but a field, which is best fitted with them.
    It does not count where it is another solution: what is left may determine the tissues' values less than the whole did. Only this is
    judged by the ``expected`` tissues, which a network may still be at work on.
    """
    voxels = head.voxels
    likely = brain_voxels(voxels)
    if likely.size < _LEAST_BRAIN:
        raise EstimationError("No brain was found in the images. Check that they show a head and that their orientation is right.")
    for observation in observations:
        if observation.covered[likely].sum() < min(_LEAST_BRAIN, likely.size // 2):
            raise EstimationError(f"{observation.name} does not show the brain. Check that the inputs are of the same patient and region.")
    sample = even_voxels(observations, voxels, [None if p is None else p.half_extent(head.grid) for p in profiles])
    doubtful = {a.name: a.conventional_echo_time for a in head.acquisitions if a.conventional_echo_time is not None}
    thick = any(p is not None for p in profiles)  # then the inputs do not show the same mixtures
    edges = None if thick else boundary_voxels(observations, voxels)

    def fitted(left_out: np.ndarray, progress: Callable[[float], None]) -> HeadModel:
        seen, positions, atlas = _sampled(observations, voxels, sample[~left_out[sample]])
        boundary = None if edges is None else Boundary(*_sampled(observations, voxels, edges[~left_out[edges]]))
        return compute.at_once(lambda move: fit_head(seen, positions, atlas, head.field_strength, doubtful, progress, move, boundary))

    left_out = np.zeros(voxels.index.size, dtype=bool)
    model = first = fitted(left_out, progress)
    for _ in range(_REFITS):
        more = left_out | apart_from_fields(model, observations, voxels, head.grid).reshape(-1)[voxels.index]
        if not few_enough(more[likely]) or np.array_equal(more, left_out):
            break
        left_out = more
        model = fitted(left_out, lambda done: None)
        if not _are_near(model.level, first.level):
            return first
    if not left_out.any():
        return first
    unfamiliar = unfamiliar_region(model, observations, expected(), head.grid, voxels.volume(is_brain(voxels) & left_out))
    return model if unfamiliar.any() else first


def _are_near(level: TissueLevel, first: TissueLevel) -> bool:
    """Whether no tissue value lies farther from that of the ``first`` fit than this one left open."""
    sd = np.sqrt(np.diag(first.covariance))[: first.theta.size].reshape(first.theta.shape)
    return bool((np.abs(level.theta - first.theta) < _FARTHEST * sd).all())


def _sampled(
    observations: Sequence[Observation], voxels: HeadVoxels, sample: np.ndarray
) -> tuple[list[Observation], np.ndarray, np.ndarray]:
    """The inputs, the positions (n, 3) and the atlas's fractions (tissues, n) at some of the voxels."""
    return [o.at(sample) for o in observations], voxels.positions(sample), voxels.atlas[:, sample] / np.float32(255.0)
