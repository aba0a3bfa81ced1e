"""Missing data in an image: NaN, a constant background, and zeros outside the field of view or a resampled image.

Missing data are not dark voxels: fluid in a FLAIR image is dark; a part of the head outside the field of view is missing.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import SimpleITK as sitk

_LEAST_CORNERS = 4
"""Number of the volume's eight corners that must have the background's value."""
_LEAST_SHARE = 0.05
_FAR_FROM_ZERO = 0.05
"""Relative to the image's range: a constant background closer to 0 counts as 0."""
_BLOCK_MM = 4.0
_RADIUS_BLOCKS = 2
"""Zeros that do not contain a ball of this radius are dark tissue (bone, sulci, airways)."""
_BRIGHT_EDGE = 0.6
"""Relative to the median signal: enclosed zeros with brighter neighbours were cut out; dark fluid has an edge of partial volume."""


def constant_background(voxels: np.ndarray) -> tuple[np.ndarray, float] | None:
    """A mask (z, y, x) of a background with one value far from 0, and that value; None if there is none.

    Scanners pad in this way (−2000, 63536), and so does skull stripping (−1024, the minimum, 1000). ``voxels`` are finite.
    """
    corners = [float(voxels[corner]) for corner in product((0, -1), repeat=3)]
    value = max(set(corners), key=corners.count)
    if value == 0.0 or corners.count(value) < _LEAST_CORNERS:
        return None
    alike = voxels == np.float32(value)
    share = float(alike.mean())
    if not _LEAST_SHARE < share < 1.0:
        return None
    others = voxels[~alike][::7]
    low, high = np.percentile(others, (1, 99)) if others.size else (0.0, 0.0)
    if value >= 0.0 and abs(value) < _FAR_FROM_ZERO * max(abs(high), abs(low)):
        return None
    return alike if value < low else touching_faces(alike), value  # below all others it is no tissue either where it is enclosed


def has_no_data(voxels: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray | None:
    """True where the zeros of an image (z, y, x; ``spacing`` in mm in this order) are missing data; None: nowhere.

    These are slices without any signal, thick regions of zeros that reach the image's edge (outside the field of view of a resampled
    image, removed by skull stripping, masked air), and thick regions of zeros inside the head with a bright edge. Enclosed zeros that
    fade into their surroundings are dark tissue: fluid whose noise floor was subtracted.
    """
    dark = voxels == 0.0
    if not dark.any():
        return None
    missing = _empty_slices(dark)
    block = [max(1, round(_BLOCK_MM / s)) for s in spacing]
    size = [-(-n // b) for n, b in zip(dark.shape, block, strict=True)]
    padded = np.pad(dark, [(0, s * b - n) for s, b, n in zip(size, block, dark.shape, strict=True)], mode="edge")
    coarse = np.asarray(padded.reshape(size[0], block[0], size[1], block[1], size[2], block[2]).all(axis=(1, 3, 5)))
    thick = opened(coarse, _RADIUS_BLOCKS)
    outer = touching_faces(thick)
    missing |= _fine(outer, block, dark) & dark
    inner = thick & ~outer
    if inner.any():
        holes = _fine(inner, block, dark) & dark
        if _edge(voxels, holes) > _BRIGHT_EDGE * float(np.median(voxels[voxels > 0.0][::7])):
            missing |= holes
    return missing if missing.any() else None


def touching_faces(mask: np.ndarray) -> np.ndarray:
    """The connected components of a mask (z, y, x) that reach a face of the volume."""
    labels = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8))))
    faces = np.concatenate([labels.take(end, axis).ravel() for axis in range(3) for end in (0, -1)])
    touching = np.zeros(int(labels.max()) + 1, dtype=bool)
    touching[faces] = True
    touching[0] = False
    return touching[labels]


def _empty_slices(dark: np.ndarray) -> np.ndarray:
    """True in lost slices: those without any signal between others with signal."""
    missing = np.zeros(dark.shape, dtype=bool)
    for axis in range(3):
        empty = np.asarray(dark.all(axis=tuple(other for other in range(3) if other != axis)))
        shown = np.flatnonzero(~empty)
        if shown.size:
            empty[: shown[0]] = empty[shown[-1] + 1 :] = False
            np.moveaxis(missing, axis, 0)[empty] = True
    return missing


def opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """The parts of a mask (z, y, x) that hold a ball of a ``radius`` in voxels; edge values are repeated outside the volume."""
    margin = radius + 1
    wide = sitk.GetImageFromArray(np.pad(mask, margin, mode="edge").astype(np.uint8))
    found = sitk.GetArrayFromImage(sitk.BinaryMorphologicalOpening(wide, [radius] * 3)) > 0
    return found[(slice(margin, -margin),) * 3]


def _fine(coarse: np.ndarray, block: list[int], fine: np.ndarray) -> np.ndarray:
    """A mask of blocks, dilated by one block, at the voxels of ``fine``."""
    wide = sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray(coarse.astype(np.uint8)), [1, 1, 1])) > 0
    for axis, count in enumerate(block):
        wide = np.repeat(wide, count, axis=axis)
    return wide[tuple(slice(0, n) for n in fine.shape)]


def _edge(voxels: np.ndarray, holes: np.ndarray) -> float:
    """Median signal next to ``holes``."""
    wide = sitk.GetArrayFromImage(sitk.BinaryDilate(sitk.GetImageFromArray(holes.astype(np.uint8)), [1, 1, 1])) > 0
    around = voxels[wide & ~holes]
    return float(np.median(around)) if around.size else 0.0
