"""The brain's voxels that are most likely of one tissue: where every input is locally even."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...fitting.objective import LARGEST_SAMPLE
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows, fluid_row
from ...physics.tissues import tissue_table
from .head_voxels import HeadVoxels

_SHARE = 0.15
"""Of the voxels in which the atlas expects a tissue most, the most even ones."""
_SHARE_OF_FLUID = 0.25
"""Most fluid lies in sulci, next to tissue: where the atlas is surest of it are the ventricles, whose fluid is pure."""
_LEAST = 300
"""Of each tissue, as far as there are."""
_BRAIN, _EXPECTED = 127, 25
"""Of 255: where the atlas expects brain, and where it expects a tissue at all."""
_CORTEX = [tissue.name for tissue in tissue_table()].index("cortex")
_BOUNDARY_SAMPLE = 24_000


def is_brain(voxels: HeadVoxels) -> np.ndarray:
    """True (N,) where the atlas counts the head's voxels to the brain."""
    return np.asarray(voxels.atlas[brain_rows()].sum(axis=0, dtype=np.int32) > _BRAIN)


def brain_voxels(voxels: HeadVoxels) -> np.ndarray:
    """Which of the head's voxels (rows of ``voxels.index``) the atlas counts to the brain."""
    return np.flatnonzero(is_brain(voxels))


def even_voxels(observations: Sequence[Observation], voxels: HeadVoxels, reaches_mm: Sequence[np.ndarray | None]) -> np.ndarray:
    """Which of the head's voxels (rows of ``voxels.index``) serve the head level, the most even first: an order that does not depend on how
    the image lies in memory, so that neither does what is made of every n-th of them.

    Partial volume biases a tissue's mean signal, and differently in inputs of different sharpness. An even voxel is one whose neighbours,
    as far away as the thickest input's slice reaches (``reaches_mm``: half extents (z, y, x) of each input's slice profile, or None),
    look alike in every input. Differences leave the voxel's own noise out, so that the choice does not favour bright or dark noise.
    """
    brain = brain_voxels(voxels)
    if brain.size == 0:
        return brain
    roughness = _roughness(observations, voxels, brain, _steps(reaches_mm, voxels.spacing))
    tissue = voxels.atlas[brain_rows()][:, brain].argmax(axis=0)
    chosen = []
    for row in range(len(brain_rows())):
        members = np.flatnonzero(tissue == row)
        if row == fluid_row():
            members = _surest(members, voxels.atlas[brain_rows()[row], brain[members]])
        count = min(members.size, max(_LEAST, round(_SHARE * members.size)))
        if count:
            chosen.append(members[np.argsort(roughness[members], kind="stable")[:count]])
    found = np.concatenate(chosen)
    found = brain[found[np.argsort(roughness[found], kind="stable")]]
    return found[:: max(1, found.size // LARGEST_SAMPLE)]


def boundary_voxels(observations: Sequence[Observation], voxels: HeadVoxels) -> np.ndarray:
    """Which of the head's voxels (rows of ``voxels.index``) the atlas expects to hold fluid and cortex, and every input covers."""
    fluid, cortex = (voxels.atlas[row] > _EXPECTED for row in (brain_rows()[fluid_row()], _CORTEX))
    brain = brain_voxels(voxels)
    found = brain[(fluid & cortex)[brain] & np.all([o.covered[brain] for o in observations], axis=0)]
    return found[:: max(1, found.size // _BOUNDARY_SAMPLE)]


def _surest(members: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The share of ``members`` that the atlas is surest of."""
    count = max(_LEAST, round(_SHARE_OF_FLUID * members.size))
    return members[np.argsort(-probability.astype(np.int32), kind="stable")[:count]]


def _steps(reaches_mm: Sequence[np.ndarray | None], spacing: tuple[float, float, float]) -> list[list[int]]:
    """Along each axis, at how many voxels' distance neighbours are compared: next to each other, and at the end of a thick slice."""
    farthest = np.max([np.zeros(3), *(r for r in reaches_mm if r is not None)], axis=0)
    return [sorted({1, max(1, round(reach / width))}) for reach, width in zip(farthest, spacing, strict=True)]


def _roughness(observations: Sequence[Observation], voxels: HeadVoxels, brain: np.ndarray, steps: list[list[int]]) -> np.ndarray:
    """Sum of the squared relative differences across each brain voxel, over inputs and axes, per mm²; (brain voxels,)."""
    strides = (voxels.shape[1] * voxels.shape[2], voxels.shape[2], 1)
    place = voxels.index[brain]
    last = int(np.prod(voxels.shape)) - 1
    total = np.zeros(brain.size, dtype=np.float32)
    for observation in observations:
        picture = voxels.volume(np.where(observation.covered, observation.signal, np.float32(0.0))).reshape(-1)
        seen = observation.covered[brain]
        typical = float(np.median(np.abs(observation.signal[brain][seen]))) if seen.any() else 1.0
        for stride, width, distances in zip(strides, voxels.spacing, steps, strict=True):
            for distance in distances:
                ahead = picture[np.minimum(place + distance * stride, last)]
                behind = picture[np.maximum(place - distance * stride, 0)]
                slope = (ahead - behind) / np.float32(2.0 * distance * width * max(typical, 1e-9))
                total += np.where(seen, slope * slope * np.float32(distance**2), np.float32(0.0))
    return total
