"""From tissue fractions to PD, T1 and T2: values sampled for one head, partial volumes and texture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..imaging.tissue_maps import TissueMaps
from ..physics.tissues import PROPERTIES, tissue_table
from .chunks import for_each_chunk
from .tissue_texture import ROWS, measured_logs, unmeasured_noise

_AIR = [tissue.name for tissue in tissue_table()].index("air")
_WHITE = [tissue.name for tissue in tissue_table()].index("white_matter")
_LESION_WITHIN = (0.05, 0.12, 0.2)
_LESION_T1 = (1.15, 1.8)
"""T1 of lesions over that of white matter; PD and T2 follow it."""
_LESION_SLOPE = np.array([0.35, 1.0, 1.6])
_BOUNDS = ((0.0, 1.1), (50.0, 6000.0), (5.0, 4000.0))
"""PD (fraction of water), T1 and T2 (ms)."""
_CHUNK = 1 << 17


@dataclass(frozen=True)
class TissueValues:
    """Values of a head's tissues (the table's rows, then lesions): ``theta`` = (log PD, log T1/ms, log T2/ms) and its log-SD between
    positions, ``within``, both (classes, 3)."""

    theta: np.ndarray
    within: np.ndarray

    def report(self) -> dict[str, dict[str, float]]:
        """PD (% of water), T1 and T2 (ms) by tissue, as JSON values."""
        names = [*(tissue.name for tissue in tissue_table()), "lesion"]
        scaled = np.exp(self.theta) * [100.0, 1.0, 1.0]
        rows = (dict(zip(PROPERTIES, np.round(row, 2).tolist(), strict=True)) for row in scaled)
        return dict(zip(names, rows, strict=True))


def literature_values(field_strength: float) -> TissueValues:
    """Literature values without texture: their images show anatomy alone."""
    theta = np.stack([tissue.theta for tissue in tissue_table(field_strength)])
    lesion = theta[_WHITE] + _LESION_SLOPE * np.log(_LESION_T1).mean()
    theta = np.concatenate([theta, lesion[None]])
    return TissueValues(theta, np.zeros_like(theta))


def sampled_values(field_strength: float, rng: np.random.Generator) -> TissueValues:
    """Values of one head, sampled around each tissue's literature value at ``field_strength`` (tesla) with its spread between heads."""
    table = tissue_table(field_strength)
    theta = np.stack([tissue.theta + rng.normal(0.0, tissue.between_heads) for tissue in table])
    lesion = theta[_WHITE] + _LESION_SLOPE * rng.uniform(*np.log(_LESION_T1))
    within = np.stack([*(tissue.within_head for tissue in table), _LESION_WITHIN])
    return TissueValues(np.concatenate([theta, lesion[None]]), within)


def maps_of(
    probabilities: np.ndarray, values: TissueValues, rng: np.random.Generator, progress: Callable[[float], None] = lambda fraction: None
) -> TissueMaps:
    """Maps of 1 mm, (z, y, x) towards superior, posterior, left, from the fractions of tissues (classes, z, y, x) in every voxel.

    Proton density is an amount of water, so a voxel's is the sum over its tissues. The signal of a mixture initially decays and recovers
    at the mean of the tissues' rates, weighted by their water: so 1/T1 and 1/T2 are averaged with PD as weight, and air, which has
    no water, does not change the times at the skin. Texture is that of :mod:`.tissue_texture`. In air, and outside the largest connected
    piece, everything is exactly 0.
    """
    shape = probabilities.shape[1:]
    mask = _head(probabilities[_AIR])
    texture, noise = measured_logs(probabilities, mask, values.within, rng), unmeasured_noise(mask, rng)
    found = np.zeros((3, mask.size), dtype=np.float32)
    flat, inside = probabilities.reshape(len(probabilities), -1), np.flatnonzero(mask)
    pd, t1, t2 = np.exp(values.theta).T
    spreads = values.within.copy()
    spreads[ROWS] = 0.0
    weights = np.concatenate([[pd, pd / t1, pd / t2], spreads.T]).astype(np.float32)

    def work(piece: slice) -> None:
        voxels = inside[piece]
        water, r1, r2, *spread = weights @ flat[:, voxels]
        mixed = np.stack([water, water / r1, water / r2]) * np.exp(np.stack(spread) * noise[:, piece] + texture[:, piece])
        for row, (low, high) in enumerate(_BOUNDS):
            found[row, voxels] = np.clip(mixed[row], low, high)
        found[2, voxels] = np.minimum(found[2, voxels], found[1, voxels])  # no tissue's T2 exceeds its T1

    for_each_chunk(inside.size, _CHUNK, work, progress)
    pd_map, t1_map, t2_map = found.reshape(3, *shape)
    return TissueMaps(pd_map, t1_map, t2_map, mask, _grid(shape))


def _head(air: np.ndarray) -> np.ndarray:
    """The largest connected piece of voxels with more tissue than air, a mask (z, y, x)."""
    patches = sitk.ConnectedComponent(sitk.GetImageFromArray((air < 0.5).astype(np.uint8)))
    return sitk.GetArrayFromImage(sitk.RelabelComponent(patches, sortByObjectSize=True)) == 1


def _grid(shape: tuple[int, ...]) -> sitk.Image:
    """1 mm, axes to the left, the back and the top, the middle at the origin."""
    grid = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkUInt8)
    grid.SetOrigin([-(n - 1) / 2.0 for n in shape[::-1]])
    return grid
