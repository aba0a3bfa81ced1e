"""Masks of the head and the brain, good enough for fitting and statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError
from ..intake.volumes import image_like
from .alignment import isotropic
from .morphology import closed, opened

_WORKING_SPACING_MM = 2.0
_SOME_OF_SLICE = 0.05
"""Relative to the mean slice's share of a head: thinner ends (nose, ears) do not count for its size."""
_CUT_OFF = 0.5
"""Relative to the mean slice: the head is cut off if an end slice of the image shows more of it; less is skin and ears."""
_IN_PLANE = np.array([[[0] * 3] * 3, [[0, 1, 0], [1, 1, 1], [0, 1, 0]], [[0] * 3] * 3])
"""Voxels of a plane that share a face are connected, planes are not."""
_BELOW_OTSU = 0.4
"""Otsu's threshold lies between tissue and bright fat; the head begins well below it."""


def head_mask(images: Sequence[sitk.Image], covered: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Mask of the head, bool (z, y, x), from aligned images: bright against air in their mean, holes filled, one piece.

    The mean is over the images that have data at a voxel (``covered`` (z, y, x) of each; None: all have); voxels without data are not head.
    Computed at about 2 mm. Raises ImageError when nothing stands out from the background.
    """
    seen = [np.ones(image.GetSize()[::-1], dtype=bool) for image in images] if covered is None else covered
    count = np.sum(seen, axis=0, dtype=np.float32)
    total = np.sum([_normalised(image) * shown for image, shown in zip(images, seen, strict=True)], axis=0)
    picture = isotropic(image_like(total / np.maximum(count, 1.0), images[0]), _WORKING_SPACING_MM)
    smooth = sitk.DiscreteGaussian(picture, [_WORKING_SPACING_MM**2] * 3)
    otsu = sitk.OtsuThresholdImageFilter()
    otsu.Execute(smooth)
    bright = sitk.GetArrayFromImage(smooth) > _BELOW_OTSU * otsu.GetThreshold()
    filled = filled_in_slices(largest_piece(bright, picture))
    if not 0.01 < filled.mean() < 0.98:
        raise ImageError(f"No head stands out from the background (mask of {100 * filled.mean():.1f} % of the volume). Check the images.")
    coarse = image_like(filled.astype(np.float32), picture)
    fine = sitk.Resample(coarse, images[0], sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return (sitk.GetArrayFromImage(fine) > 0.5) & (count > 0)


def _normalised(image: sitk.Image) -> np.ndarray:
    voxels = np.clip(sitk.GetArrayViewFromImage(image), 0.0, None)
    bright = np.percentile(voxels, 99)
    if bright <= 0:
        raise ImageError("No head stands out from the background: 99 % of the voxels are 0 or less. Check the images.")
    return np.minimum(voxels / bright, 1.0)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds every True of ``mask``, of any number of axes (None: there is none)."""
    box: tuple[slice, ...] = ()
    lines = mask
    for _ in range(mask.ndim):  # one pass over the voxels for the last axis, then over the reduced array
        across = lines.reshape(-1, lines.shape[-1])
        inside = np.flatnonzero(np.logical_or.reduce(across, axis=0))
        if not inside.size:
            return None
        box = (slice(int(inside[0]), int(inside[-1]) + 1), *box)
        lines = np.logical_or.reduce(lines, axis=-1) if lines.ndim > 1 else lines
    return box


def head_size(mask: np.ndarray, grid: sitk.Image) -> tuple[float | None, float | None]:
    """Breadth (left to right) and length (front to back) in mm of a head's ``mask`` (z, y, x); None if the image cuts it off."""
    direction = np.abs(np.reshape(grid.GetDirection(), (3, 3)))
    sizes: list[float | None] = []
    for row in (0, 1):
        axis = 2 - int(direction[row].argmax())
        slices = mask.sum(axis=tuple(other for other in range(3) if other != axis))
        shown = np.flatnonzero(slices > _SOME_OF_SLICE * slices.mean())
        cut = not shown.size or max(slices[0], slices[-1]) > _CUT_OFF * slices.mean()
        sizes.append(None if cut else float((shown[-1] - shown[0] + 1) * grid.GetSpacing()[2 - axis]))
    return sizes[0], sizes[1]


def largest_piece(mask: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """The largest connected component of a mask."""
    labelled = sitk.RelabelComponent(sitk.ConnectedComponent(image_like(mask.astype(np.uint8), grid)), sortByObjectSize=True)
    return sitk.GetArrayFromImage(labelled) == 1


def filled_in_slices(mask: np.ndarray) -> np.ndarray:
    """The mask with holes filled slice by slice along each axis in turn (airways and bone open to the outside in 3-D)."""
    from scipy.ndimage import label

    filled = mask.copy()
    for axis in range(3):
        planes = np.moveaxis(filled, axis, 0)
        pieces, count = label(~planes, _IN_PLANE)
        hole = np.ones(count + 1, dtype=bool)
        hole[0] = False
        for edge in (pieces[:, 0], pieces[:, -1], pieces[:, :, 0], pieces[:, :, -1]):
            hole[edge] = False
        planes |= hole[pieces]
    return filled


def brain_mask(probability: np.ndarray, grid: sitk.Image, radius_mm: float = 2.0) -> np.ndarray:
    """The brain with its fluid, bool (z, y, x), from each voxel's probability of brain: opened, one piece, holes filled."""
    radius = [max(0, round(radius_mm / s)) for s in grid.GetSpacing()]
    likely = probability > 0.5
    box = bounding_box(likely)
    if box is None:
        return likely
    room = [2 * r + 1 for r in radius[::-1]]  # beyond it, nothing can change
    box = tuple(slice(max(0, side.start - more), side.stop + more) for side, more in zip(box, room, strict=True))
    core = opened(likely[box], radius)
    if not core.any():
        return likely
    piece = image_like(likely.astype(np.uint8), grid)[box[::-1]]
    filled = sitk.BinaryFillhole(image_like(closed(largest_piece(core, piece), radius).astype(np.uint8), piece))
    brain = np.zeros_like(likely)
    brain[box] = sitk.GetArrayViewFromImage(filled) > 0
    return brain
