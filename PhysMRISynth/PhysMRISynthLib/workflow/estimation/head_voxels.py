"""The head's voxels, and the stage that classifies and fits each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import SimpleITK as sitk

from ...fitting.compartments import fit_fluid_shares, mixed_with_fluid
from ...fitting.head import HeadModel
from ...fitting.mixture import gaussian_prior, mean_uncertainty, responsibilities
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows, fluid_row
from ...fitting.voxelwise import fit_voxels, predict
from ...imaging.head.atlas import AtlasPlacement, atlas_on_grid
from ...imaging.head.slice_profile import SliceProfile
from ...imaging.intake.volumes import image_like
from ...physics.arrays import Array, Move, columns, like, namespace, on_host
from ...physics.dual import exp, sqrt
from ..compute import Compute

NO_TISSUE = 255
"""In place of a row of the tissue table where no tissue is more probable than not."""
_CHUNK = 1 << 15
_FIRST_PART = 0.9
"""Of the time goes into all voxels as one compartment."""
_NUMPY = Compute()
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
    head: HeadModel,
    observations: Sequence[Observation],
    voxels: HeadVoxels,
    progress: Callable[[float], None] = lambda fraction: None,
    compute: Compute = _NUMPY,
) -> FittedVoxels:
    """Classify and fit every voxel of the head, in chunks; memory beyond the results is bounded by the chunk."""
    count = voxels.index.size
    adapted = head.adapted(observations)
    empty = np.empty
    result = FittedVoxels(
        empty((3, count), np.float32), empty((3, count), np.float32), empty(count, np.float32), empty(count, np.uint8),
        empty(count, np.float32), empty((len(adapted), count), np.float32),
    )  # fmt: skip
    shares = head.classes.shares(brain_rows())
    candidates: dict[int, tuple[np.ndarray, ...]] = {}

    def work(piece: slice, move: Move) -> None:
        seen = [o.at(piece).moved(move) for o in adapted]
        fields = _fields(head, voxels, piece, move)
        expected = head.classes.weights(move(voxels.fractions(piece)), settled=True)
        assigned = responsibilities(head.looks, seen, fields, expected)
        mean, precision = gaussian_prior(head.classes, assigned)
        gains = [float(g) * f * c for g, f, c in zip(head.gains, fields, head.corrected(assigned), strict=True)]
        theta, covariance = fit_voxels(seen, gains, mean, precision)
        covariance += mean_uncertainty(head.classes, assigned)
        result.theta[:, piece] = on_host(theta)
        result.sd[:, piece] = on_host(sqrt(covariance[[0, 3, 5]]))
        for row, observation, gain in zip(result.predicted, seen, gains, strict=True):
            row[piece] = on_host(predict(observation, theta, gain)[0])
        result.fluid[piece] = on_host(assigned[brain_rows()[fluid_row()]])
        result.brain[piece] = on_host(like(shares, assigned) @ assigned)
        pure, xp = assigned[: head.classes.pure], namespace(assigned)
        result.tissue[piece] = on_host(xp.where(xp.amax(pure, 0) > 0.5, pure.argmax(0), NO_TISSUE))
        where, mixed = mixed_with_fluid(head, expected, assigned)
        candidates[piece.start] = where + piece.start, mixed, on_host(fields[:, where])

    compute.for_each_chunk(count, _CHUNK, work, lambda done: progress(_FIRST_PART * done))
    if candidates:
        parts = zip(*(candidates[start] for start in sorted(candidates)), strict=True)
        where, mixed, fields = (np.concatenate(part, axis=-1) for part in parts)
        _split_fluid(head, adapted, result, where, mixed, fields, compute)
    progress(1.0)
    return result


def _split_fluid(
    head: HeadModel, adapted: Sequence[Observation], result: FittedVoxels, where: np.ndarray, mixed: np.ndarray, fields: np.ndarray,
    compute: Compute,
) -> None:  # fmt: skip
    """Fit the voxels ``where`` tissue and fluid may be together, under their classes' probabilities ``mixed``, and put them into the
    ``result`` as far as these go."""

    def work(piece: slice, move: Move) -> None:
        at = where[piece]
        two = fit_fluid_shares(head, [o.at(at).moved(move) for o in adapted], move(fields[:, piece]), move(mixed[:, piece]))
        probability = on_host(two.probability)
        for values, own in zip((*result.theta, *result.predicted), (*on_host(two.theta), *on_host(two.predicted)), strict=True):
            values[at] += probability * (own - values[at])
        result.fluid[at] += probability * on_host(two.share)

    compute.for_each_chunk(where.size, _CHUNK, work)


def _fields(head: HeadModel, voxels: HeadVoxels, piece: slice, move: Move) -> Array:
    """Receive fields (n, N) of the inputs at consecutive voxels, from the planes that hold these."""
    index, plane = voxels.index[piece], voxels.shape[1] * voxels.shape[2]
    first, last = index[0] // plane, index[-1] // plane + 1
    down, *in_plane = (np.arange(size) * width for size, width in zip(voxels.shape, voxels.spacing, strict=True))
    lines, across = head.basis.factors(head.coefficients, [down[first:last], *in_plane])
    logs = move(lines.astype(np.float32)) @ move(across.astype(np.float32))
    return exp(columns(logs.reshape(len(lines), -1), move(index - first * plane)))


def fit_with_profiles(
    head: HeadModel,
    observations: Sequence[Observation],
    profiles: Sequence[SliceProfile | None],
    voxels: HeadVoxels,
    grid: sitk.Image,
    progress: Callable[[float], None] = lambda fraction: None,
    compute: Compute = _NUMPY,
) -> FittedVoxels:
    """:func:`fit_all_voxels` where some inputs average over slices much thicker than the grid's (``profiles``; None: they do not).

    Iterated back projection: what a thick input shows beyond the average of its prediction over the slice is added to the prediction,
    and that is fitted as the thin image. Its fixed point is the fit of the averages themselves. The predicted signals of the result
    are averaged as the inputs are.
    """
    rounds = _ROUNDS if any(profiles) else 0
    fitted = fit_all_voxels(head, observations, voxels, partial(_told, progress, 0, rounds + 1), compute)
    for k in range(rounds):
        seen = _averaged(fitted.predicted, profiles, voxels, grid)
        thin = [
            o if profile is None else _back_projected(o, local, mean)
            for o, profile, local, mean in zip(observations, profiles, fitted.predicted, seen, strict=True)
        ]
        fitted = fit_all_voxels(head, thin, voxels, partial(_told, progress, k + 1, rounds + 1), compute)
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
