"""The head's voxels, and the stage that classifies and fits each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import SimpleITK as sitk

from ..fitting.compartments import fit_fluid_shares
from ..fitting.head import HeadModel
from ..fitting.mixture import gaussian_prior, mean_uncertainty, responsibilities
from ..fitting.observation import Observation
from ..fitting.tissue_level import brain_rows, fluid_row
from ..fitting.voxelwise import fit_voxels, predict
from ..imaging.atlas import AtlasPlacement, atlas_on_grid
from ..imaging.slice_profile import SliceProfile
from ..imaging.volumes import image_like
from .chunks import for_each_chunk

NO_TISSUE = 255
"""In place of a row of the tissue table where no tissue is more probable than not."""
_CHUNK = 1 << 15
_ROUNDS = 2
"""Back projections of the thick inputs' residuals."""


@dataclass(frozen=True)
class HeadVoxels:
    """The N voxels of the head: ``index`` into the flattened volume; and, uint8 with 255 = certain, the ``atlas``'s tissue fractions
    (tissues, N) and the ``expected`` ones that the fit starts from: the atlas's too, or a network's with lesions (tissues + 1, N)."""

    index: np.ndarray
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    atlas: np.ndarray
    expected: np.ndarray

    @classmethod
    def inside(cls, mask: np.ndarray, grid: sitk.Image, placement: AtlasPlacement) -> HeadVoxels:
        """The voxels of ``mask`` on ``grid``, with the placed atlas."""
        index = np.flatnonzero(mask)
        spacing = (grid.GetSpacing()[2], grid.GetSpacing()[1], grid.GetSpacing()[0])
        atlas = atlas_on_grid(placement, grid, index)
        return cls(index, mask.shape, spacing, atlas, atlas)

    def positions(self, voxels: np.ndarray | slice) -> np.ndarray:
        """Positions (n, 3) in mm along the grid's axes (z, y, x) of some of the voxels."""
        return (np.stack(np.unravel_index(self.index[voxels], self.shape), axis=1) * self.spacing).astype(np.float32)

    def fractions(self, voxels: np.ndarray | slice) -> np.ndarray:
        """Expected tissue fractions of some of the voxels, float32 (tissues or tissues + 1, n)."""
        return self.expected[:, voxels].astype(np.float32) / np.float32(255.0)

    def volume(self, values: np.ndarray, outside: float = 0.0) -> np.ndarray:
        """A volume (z, y, x) with ``values`` (N,) in the head."""
        volume = np.full(np.prod(self.shape), outside, dtype=values.dtype)
        volume[self.index] = values
        return volume.reshape(self.shape)


@dataclass(frozen=True)
class FittedVoxels:
    """Per voxel of the head: θ (3, N), its SD (3, N), probability of brain, most probable tissue, volume share of fluid, and predicted
    signals (n, N)."""

    theta: np.ndarray
    sd: np.ndarray
    brain: np.ndarray
    tissue: np.ndarray
    fluid: np.ndarray
    predicted: np.ndarray


def fit_all_voxels(
    head: HeadModel, observations: Sequence[Observation], voxels: HeadVoxels, progress: Callable[[float], None] = lambda fraction: None
) -> FittedVoxels:
    """Classify and fit every voxel of the head, in chunks on all cores; memory beyond the results is bounded by the chunk."""
    count = voxels.index.size
    adapted = head.adapted(observations)
    empty = np.empty
    result = FittedVoxels(
        empty((3, count), np.float32), empty((3, count), np.float32), empty(count, np.float32), empty(count, np.uint8),
        empty(count, np.float32), empty((len(adapted), count), np.float32),
    )  # fmt: skip
    shares = head.classes.shares(brain_rows()).astype(np.float32)

    def work(piece: slice) -> None:
        seen = [o.at(piece) for o in adapted]
        fields = head.fields(head.basis.evaluate(voxels.positions(piece)))
        expected = head.classes.weights(voxels.fractions(piece), settled=True)
        assigned = responsibilities(head.looks, seen, fields, expected)
        mean, precision = gaussian_prior(head.classes, assigned)
        gains = [np.float32(g) * f * c for g, f, c in zip(head.gains, fields, head.corrected(assigned), strict=True)]
        theta, covariance = fit_voxels(seen, gains, mean, precision)
        covariance += mean_uncertainty(head.classes, assigned)
        predicted = np.stack([predict(o, theta, g)[0] for o, g in zip(seen, gains, strict=True)])
        fluid = assigned[brain_rows()[fluid_row()]].copy()
        two = fit_fluid_shares(head, seen, fields, expected, assigned)
        theta[:, two.where] += two.probability * (two.theta - theta[:, two.where])
        predicted[:, two.where] += two.probability * (two.predicted - predicted[:, two.where])
        fluid[two.where] += two.probability * two.share
        result.theta[:, piece], result.predicted[:, piece], result.fluid[piece] = theta, predicted, fluid
        result.sd[:, piece] = np.sqrt(covariance[[0, 3, 5]])
        pure = assigned[: head.classes.pure]
        result.brain[piece] = shares @ assigned
        result.tissue[piece] = np.where(pure.max(axis=0) > 0.5, pure.argmax(axis=0), NO_TISSUE)

    for_each_chunk(count, _CHUNK, work, progress)
    return result


def fit_with_profiles(
    head: HeadModel,
    observations: Sequence[Observation],
    profiles: Sequence[SliceProfile | None],
    voxels: HeadVoxels,
    grid: sitk.Image,
    progress: Callable[[float], None] = lambda fraction: None,
) -> FittedVoxels:
    """:func:`fit_all_voxels` where some inputs average over slices much thicker than the grid's (``profiles``; None: they do not).

    Iterated back projection: what a thick input shows beyond the average of its prediction over the slice is added to the prediction,
    and that is fitted as the thin image. Its fixed point is the fit of the averages themselves. The predicted signals of the result
    are averaged as the inputs are.
    """
    rounds = _ROUNDS if any(profiles) else 0
    fitted = fit_all_voxels(head, observations, voxels, partial(_told, progress, 0, rounds + 1))
    for k in range(rounds):
        seen = _averaged(fitted.predicted, profiles, voxels, grid)
        thin = [
            o if profile is None else _back_projected(o, local, mean)
            for o, profile, local, mean in zip(observations, profiles, fitted.predicted, seen, strict=True)
        ]
        fitted = fit_all_voxels(head, thin, voxels, partial(_told, progress, k + 1, rounds + 1))
    return replace(fitted, predicted=_averaged(fitted.predicted, profiles, voxels, grid)) if rounds else fitted


def _told(progress: Callable[[float], None], number: int, total: int, done: float) -> None:
    progress((number + done) / total)


def _averaged(predicted: np.ndarray, profiles: Sequence[SliceProfile | None], voxels: HeadVoxels, grid: sitk.Image) -> np.ndarray:
    """Predicted signals (n, N) as the inputs' slice profiles and interpolation show them."""
    seen = predicted.copy()
    for row, profile in enumerate(profiles):
        if profile is not None:
            seen[row] = profile.observed(image_like(voxels.volume(predicted[row]), grid)).reshape(-1)[voxels.index]
    return seen


def _back_projected(observation: Observation, local: np.ndarray, mean: np.ndarray) -> Observation:
    """A thick input made thin: the prediction ``local`` to each voxel, and what the slice shows beyond its ``mean``."""
    return replace(observation, signal=local + observation.signal - mean, structure=local - mean)
