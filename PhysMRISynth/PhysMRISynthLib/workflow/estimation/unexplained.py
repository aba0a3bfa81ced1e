"""Voxels that no tissue explains are fitted as what may be anything, and have the SDs of that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...fitting.head import HeadModel
from ...fitting.observation import Observation
from ...fitting.voxelwise import fit_voxels, predict
from ...imaging.tissue_maps import TissueMaps
from ...physics.tissues import PROPERTIES
from ..chunks import for_each_chunk
from .head_voxels import NO_TISSUE, FittedVoxels, HeadVoxels

_ANYTHING = np.log([0.85, 1800.0, 200.0])
_SPREAD, _CORRELATION = np.array([0.15, 0.5, 0.9]), 0.5
"""Of PD, T1 (ms) and T2 (ms): two log-SDs reach from white matter to fluid, and past tumours, oedema and cavities; what has more water
relaxes more slowly."""
_OF_LESIONS = np.float32(2.0)
_CHUNK = 1 << 15
_UPPER = ([0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2])


def fit_unexplained(
    head: HeadModel, observations: Sequence[Observation], voxels: HeadVoxels, fitted: FittedVoxels, region: np.ndarray
) -> FittedVoxels:
    """The fitted voxels, with those of a ``region`` (z, y, x) fitted anew: not as the nearest tissue, which would be sure of the wrong
    values, but as anything that a brain may hold."""
    where = np.flatnonzero(region.reshape(-1)[voxels.index])
    if not where.size:
        return fitted
    new = replace(fitted, **{name: getattr(fitted, name).copy() for name in ("theta", "sd", "predicted", "tissue", "fluid")})
    new.tissue[where], new.fluid[where] = NO_TISSUE, 0.0

    def work(piece: slice) -> None:
        some = where[piece]
        seen = head.adapted([observation.at(some) for observation in observations])
        fields = head.fields(head.basis.evaluate(voxels.positions(some)))
        corrected = head.gains * np.exp(head.corrections[-1])
        gains = [np.float32(gain) * field for gain, field in zip(corrected, fields, strict=True)]
        prior = np.linalg.inv(np.outer(_SPREAD, _SPREAD) * (_CORRELATION + (1.0 - _CORRELATION) * np.eye(3)))
        theta, covariance = fit_voxels(seen, gains, _everywhere(_ANYTHING, some.size), _everywhere(prior[_UPPER], some.size))
        covariance += head.classes.extra[-1][_UPPER][:, None]  # the gains' uncertainty, as it reaches lesions
        new.theta[:, some], new.sd[:, some] = theta, np.sqrt(covariance[[0, 3, 5]])
        new.predicted[:, some] = np.stack([predict(o, theta, gain)[0] for o, gain in zip(seen, gains, strict=True)])

    for_each_chunk(where.size, _CHUNK, work)
    return new


def _everywhere(values: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(values[:, None], count, axis=1).astype(np.float32)


def widened(maps: TissueMaps, head: HeadModel) -> TissueMaps:
    """The maps with SDs twice those of the class for lesions: maps that are not to be used may be off by more than a factor of two, as a
    newborn's are (T1 up to 2.3)."""
    least = _OF_LESIONS * np.sqrt(np.diag(head.classes.covariances[-1])).astype(np.float32)
    values = dict(zip(PROPERTIES, (maps.pd, maps.t1, maps.t2), strict=True))
    sd = {name: np.maximum(maps.sd[name], share * values[name]) for name, share in zip(PROPERTIES, least, strict=True)}
    return replace(maps, sd=sd)
