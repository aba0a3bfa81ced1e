"""A head with known maps, and the errors of an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...physics.tissues import BRAIN_TISSUE, PROPERTIES, tissue_table
from ..tissue_maps import TissueMaps


@dataclass(frozen=True)
class KnownHead:
    """A head of known maps: ``tissue`` (z, y, x) is the row of the tissue table of every voxel (255: of several tissues)."""

    maps: TissueMaps
    tissue: np.ndarray

    def brain_tissue(self) -> np.ndarray:
        """Where white matter, cortex, deep grey or thalamus is."""
        names = [t.name for t in tissue_table()]
        return np.isin(self.tissue, [names.index(name) for name in BRAIN_TISSUE])


def _pairs(estimate: TissueMaps, truth: TissueMaps) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return dict(zip(PROPERTIES, ((estimate.pd, truth.pd), (estimate.t1, truth.t1), (estimate.t2, truth.t2)), strict=True))


def map_errors(estimate: TissueMaps, truth: KnownHead) -> dict[str, dict[str, float]]:
    """Median absolute relative error in % of PD, T1 and T2 per tissue, and over all ``brain`` tissue (CSF apart)."""
    names = [t.name for t in tissue_table()]
    groups = {name: truth.tissue == names.index(name) for name in (*BRAIN_TISSUE, "csf")} | {"brain": truth.brain_tissue()}
    return {
        group: {
            p: float(100 * np.median(np.abs(found[where] / true[where] - 1.0))) for p, (found, true) in _pairs(estimate, truth.maps).items()
        }
        for group, where in groups.items()
        if where.any()
    }


def standard_scores(estimate: TissueMaps, truth: KnownHead) -> np.ndarray:
    """Errors in units of the estimate's SD, of PD, T1 and T2 at the voxels of brain tissue: (3, N)."""
    brain = truth.brain_tissue()
    pairs = _pairs(estimate, truth.maps).items()
    return np.stack([np.abs(found[brain] - true[brain]) / estimate.sd[p][brain] for p, (found, true) in pairs])


def coverage(estimate: TissueMaps, truth: KnownHead) -> dict[str, float]:
    """Per cent of brain-tissue voxels whose truth lies within one SD of the estimate (68 % if the SDs are right)."""
    return dict(zip(PROPERTIES, (100 * (standard_scores(estimate, truth) <= 1).mean(axis=1)).tolist(), strict=True))
