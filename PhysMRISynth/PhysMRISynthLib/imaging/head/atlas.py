"""Alignment of the tissue atlas with a head: prior tissue fractions at each position.

The atlas is the mean of label maps of 15 adults in MNI space (``shipping/build_atlas.py``). The signal equation renders it in the
contrast of the image, and an affine transform aligns it, with and without the tissue outside the brain, so that
skull-stripped images can be aligned too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import SimpleITK as sitk

from ...errors import RegistrationError
from ...physics.protocol import Protocol
from ...physics.tissues import tissue_table
from ...resource_files import RESOURCES
from ..intake.volumes import image_like
from .alignment import isotropic, mutual_information_method

_TISSUE_PROTOCOL = Protocol.of("mprage", "tissue picture", TR=2400, TI=1000, TE=3.16, FA=8, ESP=7.6, N=176)
_TISSUE_FIELD_STRENGTH = 3.0
_FILE = RESOURCES / "atlas.nii.gz"
_WORKING_SPACING_MM = 4.0
_STARTS_MM = (-30.0, 0.0, 30.0)
Turn = tuple[float, float, float]
_UPRIGHT: Turn = (0.0, 0.0, 0.0)
_TURNS: tuple[Turn, ...] = (
    (35.0, 0.0, 0.0), (-35.0, 0.0, 0.0), (0.0, 30.0, 0.0), (0.0, -30.0, 0.0), (0.0, 0.0, 40.0), (0.0, 0.0, -40.0)
)  # fmt: skip
"""Degrees about x (nodding), y (rolling) and z (turning), for heads tilted in the scanner."""
_NODS = 2
"""Number of nods, the most frequent turns, at the start of the list."""
LEAST_LIKENESS, _SURE_LIKENESS = 0.5, 0.67
"""Below the first the atlas is misplaced; above the second a nodded start does not improve the alignment."""
_FACES: tuple[Turn, ...] = ((0.0, 0.0, 0.0), (90.0, 0.0, 0.0), (180.0, 0.0, 0.0), (-90.0, 0.0, 0.0), (0.0, 90.0, 0.0), (0.0, -90.0, 0.0))
_OTHER_ORIENTATIONS: tuple[Turn, ...] = tuple((x, y, z) for x, y, _ in _FACES for z in (0.0, 90.0, 180.0, -90.0))[1:]
"""All turns by right angles: of images whose axes were exchanged or reversed. The atlas is symmetric, so that mirroring makes no more."""
_TRIED_ORIENTATIONS = 4
"""Those among them that are most alike before they are aligned."""
_SURE_ORIENTATION, _LIKER, _OTHER_WAY_DEGREES = 0.8, 0.03, 45.0
"""Likeness above which no skull-stripped brain lies the wrong way; how much more likeness, and how far from the placement at hand, tells
another orientation. Extracted brains of people have 0.85 or more as they lie, and at most 0.77 in any wrong orientation."""
_BRIGHT, _LEAST_VOXELS = 0.2, 100
_NOT_FOUND = "The head could not be found in the image. Check that it shows a head and that its orientation is right."
_LEAST_SCALE, _GREATEST_SCALE, _LEAST_VOLUME_RATIO = 0.75, 1.5, 0.8
"""Size of the template over that of the head, along any direction and by volume; the template is larger than most adult brains."""


@cache
def _atlas_image() -> sitk.Image:
    return sitk.ReadImage(str(_FILE))


@cache
def _brain_image() -> sitk.Image:
    return image_like(atlas_brain().astype(np.float32), _atlas_image())


@dataclass(frozen=True)
class AtlasPlacement:
    """``to_atlas`` maps points of the head (LPS, mm) to the atlas; ``skull_stripped`` says whether the variant without skull fitted better.

    ``likeness``: correlation of the image with the atlas in its contrast, the mean of the values over the head and inside the brain.
    Adult heads have 0.57 or more; heads upside down, on their side or mostly outside the image, and newborns, at
    most 0.45. ``turned``: a skull-stripped brain, whose surface alone gives 0.6, fits better the other way round.
    """

    to_atlas: sitk.Transform
    skull_stripped: bool
    similarity: float
    likeness: float = 1.0
    turned: bool = False

    @property
    def known(self) -> bool:
        """Whether the brain lies where the atlas was placed."""
        return self.likeness >= LEAST_LIKENESS and not self.turned


def expected_picture(protocol: Protocol, field_strength: float, brain_only: bool) -> sitk.Image:
    """The atlas in the contrast of a protocol, at literature values."""
    table = tissue_table(field_strength)
    theta = np.stack([tissue.theta for tissue in table], axis=1)
    signals = np.abs(protocol.signal(*np.exp(theta)))
    shown = np.array([tissue.region == "brain" or not brain_only for tissue in table])
    fractions = sitk.GetArrayFromImage(_atlas_image()).astype(np.float32) / 255.0
    return image_like((fractions @ (signals * shown)).astype(np.float32), _atlas_image())


def place_atlas(
    image: sitk.Image,
    protocol: Protocol,
    field_strength: float,
    progress: Callable[[float], None] = lambda fraction: None,
    upright: bool = False,
) -> AtlasPlacement:
    """Align the atlas with a head's image of known protocol by mutual information, from several starts; starts for tilted heads are
    skipped if the head is known to be ``upright``.

    ``progress`` gets the fraction done. Raises RegistrationError when the image is empty or no start leads to an overlap.
    """
    fixed = isotropic(image, _WORKING_SPACING_MM)
    if not sitk.GetArrayViewFromImage(fixed).any():  # no centre of mass
        raise RegistrationError(_NOT_FOUND)
    pictures = {brain_only: expected_picture(protocol, field_strength, brain_only) for brain_only in (False, True)}
    starts = [(shift, _UPRIGHT) for shift in _STARTS_MM]
    found = _best(fixed, pictures, starts, lambda candidate: candidate.similarity, lambda done: progress(0.5 * done))
    # a tilted head, or one whose neck and shoulders shift the centre of mass down
    if not upright and (found is None or found.likeness < _SURE_LIKENESS):
        lost = found is None or found.likeness < LEAST_LIKENESS
        turns = _TURNS if lost else _TURNS[:_NODS]
        likely = pictures if found is None or lost else {found.skull_stripped: pictures[found.skull_stripped]}
        found = max((c for c in (found, _tilted(fixed, likely, turns, progress)) if c is not None), key=lambda c: c.likeness, default=None)
    if found is None:
        raise RegistrationError(_NOT_FOUND)
    if not upright and found.skull_stripped and LEAST_LIKENESS <= found.likeness < _SURE_ORIENTATION:
        found = _oriented(fixed, found, pictures[True])
    return found


def _oriented(fixed: sitk.Image, found: AtlasPlacement, brain: sitk.Image) -> AtlasPlacement:
    """The placement of a skull-stripped brain, and whether it lies the other way round; a better one that is not turned instead."""
    alike = {turn: _judged(fixed, brain, True, 0.0, _start(fixed, brain, 0.0, turn)).likeness for turn in _OTHER_ORIENTATIONS}
    starts = [(0.0, turn) for turn in sorted(alike, key=lambda turn: -alike[turn])[:_TRIED_ORIENTATIONS]]
    other = _best(fixed, {True: brain}, starts, lambda candidate: candidate.likeness, lambda done: None)
    if other is None or other.likeness < found.likeness + _LIKER:
        return found
    return replace(found, turned=True) if _angle(found.to_atlas, other.to_atlas) > _OTHER_WAY_DEGREES else other


def _angle(one: sitk.Transform, other: sitk.Transform) -> float:
    """Degrees between the rotations in two affine transforms."""
    turns = []
    for transform in (one, other):
        u, _, vt = np.linalg.svd(np.reshape(sitk.AffineTransform(transform).GetMatrix(), (3, 3)))
        turns.append(u @ vt)
    cosine = (np.trace(turns[0].T @ turns[1]) - 1.0) / 2.0
    return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _tilted(
    fixed: sitk.Image, pictures: Mapping[bool, sitk.Image], turns: Sequence[Turn], progress: Callable[[float], None]
) -> AtlasPlacement | None:
    crown = _crown(fixed, next(iter(pictures.values())))
    starts = [(crown, turn) for turn in (_UPRIGHT, *turns)]
    return _best(fixed, pictures, starts, lambda candidate: candidate.likeness, lambda done: progress(0.5 + 0.5 * done))


def _best(
    fixed: sitk.Image,
    pictures: Mapping[bool, sitk.Image],
    starts: list[tuple[float, Turn]],
    judged: Callable[[AtlasPlacement], float],
    progress: Callable[[float], None],
) -> AtlasPlacement | None:
    """The best placement, refined, from ``starts`` (shift along the head's axis in mm, turn in degrees) of the variants in ``pictures``
    (True: brain only)."""
    candidates = []
    tried = list(product(pictures.items(), starts))
    for number, ((brain_only, moving), (shift, turn)) in enumerate(tried):
        progress(number / (len(tried) + 1))
        found = _aligned(fixed, moving, _start(fixed, moving, shift, turn), shrink=(3,), smooth=(6.0,))
        if found is not None and _plausible(found[1]):
            candidates.append(_judged(fixed, moving, brain_only, *found))
    if not candidates:
        return None
    best = max(candidates, key=judged)
    moving = pictures[best.skull_stripped]
    refined = _aligned(fixed, moving, sitk.AffineTransform(best.to_atlas), shrink=(2, 1), smooth=(4.0, 0.0))
    return _judged(fixed, moving, best.skull_stripped, *refined) if refined is not None and _plausible(refined[1]) else best


def _judged(fixed: sitk.Image, moving: sitk.Image, brain_only: bool, metric: float, to_atlas: sitk.AffineTransform) -> AtlasPlacement:
    """A placement with its likeness."""
    seen = np.maximum(sitk.GetArrayViewFromImage(fixed), 0.0)
    expected = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, to_atlas, sitk.sitkLinear, 0.0))
    brain = sitk.GetArrayFromImage(sitk.Resample(_brain_image(), fixed, to_atlas, sitk.sitkLinear, -1.0))
    likeness = 0.5 * (_correlation(seen, expected, brain >= 0.0) + _correlation(seen, expected, brain > 0.5))
    return AtlasPlacement(to_atlas, brain_only, -metric, likeness)


def _correlation(seen: np.ndarray, expected: np.ndarray, where: np.ndarray) -> float:
    """Correlation of two pictures, each clipped at its 99th percentile; 0 if one is constant."""
    if np.count_nonzero(where) < _LEAST_VOXELS:
        return 0.0
    a, b = (np.minimum(values, np.percentile(values[values > 0.0], 99) if (values > 0.0).any() else 0.0) for values in (seen, expected))
    a, b = a[where], b[where]
    spread = min(a.std() / max(abs(a).max(), 1e-30), b.std() / max(abs(b).max(), 1e-30)) if a.size else 0.0
    return float(np.corrcoef(a, b)[0, 1]) if spread > 1e-6 else 0.0  # constant but for rounding


def place_tissues(tissue: sitk.Image, progress: Callable[[float], None] = lambda fraction: None) -> AtlasPlacement:
    """Align the atlas with a map of rows of the tissue table (rows beyond it, such as lesions, count as white matter); see
    :func:`place_atlas`, also for errors."""
    return place_atlas(tissue_picture(tissue), _TISSUE_PROTOCOL, _TISSUE_FIELD_STRENGTH, progress, upright=True)


def tissue_picture(tissue: sitk.Image) -> sitk.Image:
    """A map of rows of the tissue table in T1w contrast at literature values, clipped at white matter (1), since fat would outshine the
    brain."""
    table = tissue_table(_TISSUE_FIELD_STRENGTH)
    signals = np.abs(_TISSUE_PROTOCOL.signal(*np.exp(np.stack([entry.theta for entry in table], axis=1))))
    white = [entry.name for entry in table].index("white_matter")
    rows = sitk.GetArrayViewFromImage(tissue)
    shown = np.minimum(signals / signals[white], 1.0).astype(np.float32)
    return image_like(shown[np.where(rows < len(table), rows, white)], tissue)


def _plausible(to_atlas: sitk.AffineTransform) -> bool:
    """Whether size and shape are those of a head: the scale excludes a brain stretched over a whole head."""
    scales = np.linalg.svd(np.reshape(to_atlas.GetMatrix(), (3, 3)), compute_uv=False)
    return bool(scales.min() > _LEAST_SCALE and scales.max() < _GREATEST_SCALE and scales.prod() > _LEAST_VOLUME_RATIO)


def _start(fixed: sitk.Image, moving: sitk.Image, shift_mm: float, turn: Turn) -> sitk.AffineTransform:
    """Centres of mass aligned, rotated by some degrees about x, y, z, then shifted along the head's axis (images show more or less of the
    neck)."""
    moments = sitk.CenteredTransformInitializerFilter.MOMENTS
    centred = sitk.AffineTransform(sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), moments))
    euler = sitk.Euler3DTransform()
    euler.SetRotation(*np.deg2rad(turn).tolist())
    centred.SetMatrix(euler.GetMatrix())
    centred.SetTranslation(np.add(centred.GetTranslation(), (0.0, 0.0, shift_mm)).tolist())
    return centred


def _crown(fixed: sitk.Image, moving: sitk.Image) -> float:
    """The shift (mm) along the head's axis that aligns the highest bright points, after aligning the centres of mass."""
    heights = []
    for image in (fixed, moving):
        voxels = sitk.GetArrayFromImage(image)
        index = np.argwhere(voxels > _BRIGHT * np.percentile(voxels[voxels > 0.0], 99))[:, ::-1]
        z = np.array(image.GetOrigin())[2] + (index * image.GetSpacing()) @ np.reshape(image.GetDirection(), (3, 3))[2]
        weights = voxels[tuple(index[:, ::-1].T)]
        heights.append(float(np.percentile(z, 99.5) - np.average(z, weights=weights)))
    return heights[1] - heights[0]


def _aligned(
    fixed: sitk.Image, moving: sitk.Image, start: sitk.AffineTransform, shrink: tuple[int, ...], smooth: tuple[float, ...]
) -> tuple[float, sitk.AffineTransform] | None:
    method = mutual_information_method(shrink, smooth)
    method.SetMetricSamplingStrategy(method.NONE)
    transform = sitk.AffineTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:  # too few samples map inside the atlas
        return None
    return method.GetMetricValue(), transform


def atlas_on_grid(placement: AtlasPlacement, grid: sitk.Image, voxels: np.ndarray) -> np.ndarray:
    """Tissue fractions expected at ``voxels`` (N indices into the flattened ``grid``): uint8 (tissues, N), 255 = certain; air outside."""
    table = tissue_table()
    fractions = np.empty((len(table), voxels.size), dtype=np.uint8)
    for row, tissue in enumerate(table):
        outside = 255 if tissue.region == "air" else 0
        component = sitk.VectorIndexSelectionCast(_atlas_image(), row)
        moved = sitk.Resample(component, grid, placement.to_atlas, sitk.sitkLinear, outside, sitk.sitkUInt8)
        fractions[row] = sitk.GetArrayViewFromImage(moved).reshape(-1)[voxels]
    return fractions


def brain_outside(placement: AtlasPlacement, grid: sitk.Image, shown: np.ndarray | None = None) -> float:
    """Share (0 to 1) of the aligned atlas's brain outside ``grid``, or where the image has no data (``shown``, z, y, x; None: all data)."""
    atlas = _atlas_image()
    shown = np.ones(grid.GetSize()[::-1], dtype=bool) if shown is None else shown
    inside = sitk.Resample(image_like(shown.astype(np.uint8), grid), atlas, placement.to_atlas.GetInverse(), sitk.sitkNearestNeighbor, 0)
    brain = atlas_brain()
    return float(brain[sitk.GetArrayViewFromImage(inside) == 0].sum() / brain.sum())


def atlas_brain() -> np.ndarray:
    """Probability (0 to 1) of brain and its fluid at each position of the atlas (z, y, x), which is left-right symmetric."""
    rows = [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]
    return np.asarray(sitk.GetArrayViewFromImage(_atlas_image())[..., rows].sum(axis=-1, dtype=np.float64)) / 255.0


def atlas_middle() -> float:
    """Position of the atlas's plane of symmetry from right to left (mm, LPS)."""
    atlas = _atlas_image()
    return float(atlas.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2.0 for n in atlas.GetSize()])[0])


def in_atlas(image: sitk.Image, to_atlas: sitk.Transform) -> np.ndarray:
    """An image resampled to the atlas's grid (z, y, x), float32; 0 outside the image."""
    return sitk.GetArrayFromImage(sitk.Resample(image, _atlas_image(), to_atlas.GetInverse(), sitk.sitkLinear, 0.0, sitk.sitkFloat32))
