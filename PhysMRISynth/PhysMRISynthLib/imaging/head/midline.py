"""Midline check of a head: separate hemispheres, a corpus callosum between the fissure and the ventricles, and an open third
ventricle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import SimpleITK as sitk

from ...physics.tissues import tissue_table
from ...resource_files import RESOURCES
from .head_volumes import PARENCHYMA

MOST_JOINED_MM2, LEAST_OPEN = 60.0, 0.6
"""Label maps of 15 people (leave-one-out reference) have at most 47 mm² and at least 0.63; two more people, 15 mm² and 0.84.
Cropped as synthetic heads are, and aligned by what is left, 3 of 14 exceed these limits: they are strict."""
_FILE = RESOURCES / "midline.nii.gz"
"""Frequency (0 to 255) of joined hemispheres at each place of the midline, from label maps of people; see ``shipping/build_midline.py``."""
_WIDE_MM, _NARROW_MM, _INNER_MM = 6, 3, 1
"""Distances to both sides of the middle over which brain tissue must extend to count as joining the hemispheres, as callosum or as closing
the third ventricle, and white matter within the first: a fissure is seldom straight, a callosum seldom thick at its ends."""
_REACH_MM = 16
"""Distance from the atlas's middle within which brain is examined."""
_CENTRE_MM, _EXTENT_MM = (30.0, 5.0), (45.0, 75.0)
"""Centre (height, depth) and extent of the region that locates the middle."""
_STEPS_MM, _SWEEPS = (4.0, 2.0, 1.0, 0.5), 2
_NEAR_MM, _SELDOM = 2, 1.5 / 14.0
"""Hemispheres count as apart where at most one label map (less than this share) is joined within this distance."""
_CEREBRUM_MM = -20.0
"""Height in the atlas below which lie brain stem and cerebellum."""
_LEVELS_MM = range(6, 19, 2)
"""Heights at which the callosum's ends are searched: in label maps of 17 people they are at 16 mm or lower."""
_FISSURE_MM, _TOP_MM, _ENDS_MM, _BETWEEN_MM = 45.0, 60.0, (-60.0, 70.0), (-35.0, 45.0)
"""Height of the fissure, and upper limit of the search; from front to back the range of the search, and of the callosum's
ends."""
_THIRD_HEIGHTS_MM, _THIRD_DEPTHS_MM = (-12.0, 6.0), (-4.0, 24.0)
"""Usual position of the third ventricle, bottom to top and front to back."""
_LEAST_WIDTH_MM = 20
"""Least extent, from front to back, of the opening between the callosum's ends."""
_NAMES = [tissue.name for tissue in tissue_table()]
_INNER = tuple(row for row in PARENCHYMA if row != _NAMES.index("cortex"))


@dataclass(frozen=True)
class Midline:
    """``joined_mm2``: largest area, in the atlas, where the hemispheres are joined but people's are not; ``callosum``: whether one
    separates the ventricles from the fissure above them; ``third_ventricle``: share (0 to 1) of its place that is open."""

    joined_mm2: float
    callosum: bool
    third_ventricle: float

    @property
    def flaws(self) -> tuple[str, ...]:
        """Violations of the limits from label maps of people, the worst first."""
        found = {
            "the fissure between the hemispheres reaches a ventricle": not self.callosum,
            f"the hemispheres are joined over {self.joined_mm2:.0f} mm² (limit {MOST_JOINED_MM2:.0f})": self.joined_mm2 > MOST_JOINED_MM2,
            f"only {self.third_ventricle:.0%} of the third ventricle is open (limit {LEAST_OPEN:.0%})": self.third_ventricle < LEAST_OPEN,
        }
        return tuple(text for text, holds in found.items() if holds)

    @property
    def whole(self) -> bool:
        """Whether it has no flaws."""
        return not self.flaws

    @property
    def flaw_rank(self) -> tuple[int, float]:
        """Sort key: smaller is better."""
        return len(self.flaws), self.joined_mm2


def midline_of(tissue: sitk.Image, to_atlas: sitk.Transform) -> Midline:
    """Midline of a map (x to the left, y to the back, z up) of rows of the tissue table (LESION: lesions); ``to_atlas`` maps its points
    (mm) to the atlas. Outside the map there is no brain: in a head that is cut there, the third ventricle counts as open."""
    rows = about_middle(tissue, to_atlas, _reference())
    closed = _across(rows, PARENCHYMA, _NARROW_MM)
    return Midline(_largest(joined(rows) & _apart()), _parted(closed), _open(closed))


def joined(rows: np.ndarray) -> np.ndarray:
    """Mask (z, y), from :func:`about_middle`'s result, where brain tissue connects the hemispheres and is white matter (or deep grey) in
    the middle: cortex often touches cortex across the fissure."""
    return _across(rows, PARENCHYMA, _WIDE_MM) & _across(rows, _INNER, _INNER_MM)


def _across(rows: np.ndarray, tissues: Sequence[int], reach_mm: int) -> np.ndarray:
    middle = rows.shape[-1] // 2
    return np.asarray(np.isin(rows[..., middle - reach_mm : middle + reach_mm + 1], tissues).all(axis=-1))


def about_middle(tissue: sitk.Image, to_atlas: sitk.Transform, midline: sitk.Image) -> np.ndarray:
    """Tissue (rows of the table; z, y, x; 1 mm) around a head's own midline surface.

    (z, y) are the positions of the atlas's ``midline``, an upright image of one voxel of 1 mm from side to side. A head's midline is seldom
    a plane: the surface of second order near the atlas's that crosses the least brain tissue above brain stem and cerebellum is used.
    """
    slab = sitk.Image([2 * _REACH_MM + 1, *midline.GetSize()[1:]], sitk.sitkUInt8)
    slab.SetOrigin([midline.GetOrigin()[0] - _REACH_MM, *midline.GetOrigin()[1:]])
    rows = sitk.GetArrayFromImage(sitk.Resample(tissue, slab, to_atlas.GetInverse(), sitk.sitkNearestNeighbor, _NAMES.index("air")))
    z, y = np.meshgrid(*(midline.GetOrigin()[axis] + np.arange(midline.GetSize()[axis]) for axis in (2, 1)), indexing="ij")
    columns = _middle(np.isin(rows, PARENCHYMA), z, y)[..., None] + np.arange(-_WIDE_MM, _WIDE_MM + 1)
    return np.take_along_axis(rows, columns, axis=-1)


def _middle(brain: np.ndarray, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Column of a slab of ``brain`` (z, y, x) with the head's middle at each position (``z``, ``y``; mm), by coordinate descent over the
    surface's coefficients."""
    down, back = (z - _CENTRE_MM[0]) / _EXTENT_MM[0], (y - _CENTRE_MM[1]) / _EXTENT_MM[1]
    terms = np.stack([np.ones_like(z), back, down, back * back, down * down, back * down], axis=-1)
    seen = (np.abs(down) < 1.0) & (np.abs(back) < 1.0)
    shown, looked = terms[seen], brain[seen]
    rows, farthest = np.arange(len(looked)), _REACH_MM - _WIDE_MM

    def surface(terms: np.ndarray, bends: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(terms @ bends), -farthest, farthest).astype(np.int64) + _REACH_MM

    def crossed(bends: np.ndarray) -> float:
        columns = surface(shown, bends)
        return float(sum(looked[rows, columns + beside].mean() for beside in (-1, 0, 1)))

    best = np.zeros(terms.shape[-1])
    for step in _STEPS_MM:
        for _ in range(_SWEEPS):
            for change in step * np.concatenate([np.eye(len(best)), -np.eye(len(best))]):
                best = min(best, best + change, key=crossed)
    return surface(terms, best)


@cache
def _reference() -> sitk.Image:
    return sitk.ReadImage(str(_FILE))


@cache
def _apart() -> np.ndarray:
    near = sitk.GrayscaleDilate(sitk.GetImageFromArray(sitk.GetArrayViewFromImage(_reference())[..., 0]), [_NEAR_MM] * 2, sitk.sitkBox)
    seldom = sitk.GetArrayFromImage(near) < 255.0 * _SELDOM
    return np.asarray(seldom & (_heights() > _CEREBRUM_MM))


def _heights() -> np.ndarray:
    """Of the midline's rows (z, 1), mm."""
    return _reference().GetOrigin()[2] + np.arange(_reference().GetSize()[2], dtype=np.float64)[:, None]


def _depths() -> np.ndarray:
    """Of the midline's columns (1, y) from front to back, mm."""
    return _reference().GetOrigin()[1] + np.arange(_reference().GetSize()[1], dtype=np.float64)[None]


def _parts(mask: np.ndarray) -> np.ndarray:
    """Labels of connected components (z, y), the largest first, 0 outside."""
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)))
    return sitk.GetArrayFromImage(sitk.RelabelComponent(parts))


def _largest(mask: np.ndarray) -> float:
    return float((_parts(mask) == 1).sum())


def _open(joined: np.ndarray) -> float:
    (bottom, top), (front, back) = _THIRD_HEIGHTS_MM, _THIRD_DEPTHS_MM
    return float(1.0 - joined[(_heights() > bottom) & (_heights() < top) & (_depths() > front) & (_depths() < back)].mean())


def _parted(joined: np.ndarray) -> bool:
    """Whether, at some level, an opening between the ends of an arch that joins the hemispheres is not connected to the fissure, even if
    the fissure is in several pieces."""
    z, y = _heights(), _depths()
    between = (y[0] > _BETWEEN_MM[0]) & (y[0] < _BETWEEN_MM[1])
    for level in _LEVELS_MM:
        parts = _parts(~joined & (z >= level) & (z <= _TOP_MM) & (y > _ENDS_MM[0]) & (y < _ENDS_MM[1]))
        above = parts[np.searchsorted(z[:, 0], _FISSURE_MM)]
        row = parts[np.searchsorted(z[:, 0], level)]
        widths = np.bincount(row[between & ~np.isin(row, [0, *above])])
        if above.any() and widths.max(initial=0) >= _LEAST_WIDTH_MM:
            return True
    return False
