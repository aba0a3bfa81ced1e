"""Scores of reconstructed slices: similarity of images as in the paper's Table 1, and errors of maps, which the paper could not have."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.physics.tissues import PROPERTIES

from ..similarity import data_range, similarity
from .slices import KnownSlices
from .whole_heads import Reconstruction

WHOLE, BRAIN = "whole slice", "brain"
Record = dict[str, Any]


def image_records(found: Reconstruction, slices: KnownSlices) -> list[Record]:
    """Similarity of each acquired image and its reconstruction, in whole slices and in the brain; ``raw_mse`` and ``raw_mae`` are in the
    files' unit."""
    records = []
    for role, image, target in zip(ROLES, found.images, slices.images, strict=True):
        if np.isnan(image).any() or np.isnan(target).any():
            continue
        level = data_range(target, slices.brain)
        for region, mask in ((WHOLE, np.ones_like(slices.brain)), (BRAIN, slices.brain)):
            score = similarity(image, target, mask, level, _grid(mask))
            raw = {"raw_mse": score.mse * level**2, "raw_mae": score.mae * level}
            records.append({"subject": slices.name, "image": role, "region": region, **asdict(score), **raw})
    return records


def _grid(stack: np.ndarray) -> sitk.Image:
    """A grid on which the planes of a ``stack`` (N, y, x) are axial."""
    return sitk.Image(stack.shape[::-1], sitk.sitkUInt8)


def best_pd_gain(maps: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """The factor on PD that makes half of its errors positive: the median of truth over estimate. Maps are (3, N, y, x)."""
    return float(np.median(truth[0][where] / np.maximum(maps[0][where], 1e-9)))


def map_errors(maps: np.ndarray, slices: KnownSlices) -> dict[str, float]:
    """Median absolute relative error in % of PD, T1 and T2 over brain tissue of a session's slices; PD after the best gain."""
    where, truth = slices.solid, slices.truth
    gains = (best_pd_gain(maps, truth, where), 1.0, 1.0)
    return {
        name: float(100.0 * np.median(np.abs(gain * found[where] / true[where] - 1.0)))
        for name, gain, found, true in zip(PROPERTIES, gains, maps, truth, strict=True)
    }
