"""The middle of a head: are its hemispheres apart where people's are, does the corpus callosum part the fissure from the ventricles, and is
there a third ventricle?"""

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
"""Label maps of 15 people, the reference each time made of the others, have at most 47 mm² and at least 0.63; two more, 15 mm² and 0.84.
Cut as drawn heads are, and found in the atlas by what is left, 3 of 14 lie outside these limits: they are strict."""
_FILE = RESOURCES / "midline.nii.gz"
"""How often, of 255, the hemispheres of label maps of people are joined at each place of the midline; see ``shipping/build_midline.py``."""
_WIDE_MM, _NARROW_MM, _INNER_MM = 6, 3, 1
"""So far to both sides of the middle brain tissue reaches that joins the hemispheres, that is callosum or closes the third ventricle, and
so far white matter within the first: a fissure is seldom straight, a callosum seldom thick at its ends."""
_REACH_MM = 16
"""So far beside the atlas's middle brain is looked at."""
_CENTRE_MM, _EXTENT_MM = (30.0, 5.0), (45.0, 75.0)
"""Height and depth of what tells where the middle is, and how far this reaches from there."""
_STEPS_MM, _SWEEPS = (4.0, 2.0, 1.0, 0.5), 2
_NEAR_MM, _SELDOM = 2, 1.5 / 14.0
"""Where at most one of the label maps (less than this share) is joined within so many mm, hemispheres are apart."""
_CEREBRUM_MM = -20.0
"""Below this height of the atlas lie brain stem and cerebellum."""
_LEVELS_MM = range(6, 19, 2)
"""Heights at which the callosum's ends are looked for: label maps of 17 people have them at 16 mm or lower."""
_FISSURE_MM, _TOP_MM, _ENDS_MM, _BETWEEN_MM = 45.0, 60.0, (-60.0, 70.0), (-35.0, 45.0)
"""Heights at which there is fissure, and above which nothing is looked at; from front to back what is looked at, and where the callosum's
ends are."""
_THIRD_HEIGHTS_MM, _THIRD_DEPTHS_MM = (-12.0, 6.0), (-4.0, 24.0)
"""Where, bottom to top and front to back, people have their third ventricle."""
_LEAST_WIDTH_MM = 20
"""So far from front to back reaches the opening between the callosum's ends at least."""
_NAMES = [tissue.name for tissue in tissue_table()]
_INNER = tuple(row for row in PARENCHYMA if row != _NAMES.index("cortex"))


@dataclass(frozen=True)
class Midline:
    """The largest area in which a head's hemispheres are joined where people's are not, ``joined_mm2``, as it lies in the atlas; whether a
    ``callosum`` parts the ventricles from the fissure above them; and which share of the ``third_ventricle``'s place is open (0 to 1)."""

    joined_mm2: float
    callosum: bool
    third_ventricle: float

    @property
    def flaws(self) -> tuple[str, ...]:
        """What lies outside the limits that label maps of people set, the worst first."""
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
    def brokenness(self) -> tuple[int, float]:
        """To be compared: the less, the better."""
        return len(self.flaws), self.joined_mm2


def midline_of(tissue: sitk.Image, to_atlas: sitk.Transform) -> Midline:
    """Of a map (x to the left, y to the back, z up) of rows of the tissue table (LESION: lesions), whose points (mm) ``to_atlas`` maps to
    the atlas. What lies outside the map is no brain: of a head that is cut there, the third ventricle is open."""
    rows = about_middle(tissue, to_atlas, _reference())
    closed = _across(rows, PARENCHYMA, _NARROW_MM)
    return Midline(_largest(joined(rows) & _apart()), _parted(closed), _open(closed))


def joined(rows: np.ndarray) -> np.ndarray:
    """Where (z, y) of what :func:`about_middle` gives the hemispheres are joined: brain tissue reaches from one to the other, and is white
    matter (or deep grey) in the middle. Cortex touches cortex in many a fissure."""
    return _across(rows, PARENCHYMA, _WIDE_MM) & _across(rows, _INNER, _INNER_MM)


def _across(rows: np.ndarray, tissues: Sequence[int], reach_mm: int) -> np.ndarray:
    middle = rows.shape[-1] // 2
    return np.asarray(np.isin(rows[..., middle - reach_mm : middle + reach_mm + 1], tissues).all(axis=-1))


def about_middle(tissue: sitk.Image, to_atlas: sitk.Transform, midline: sitk.Image) -> np.ndarray:
    """What tissue (rows of the table; z, y, x; 1 mm) is about a head's own middle.

    (z, y) are the places of the atlas's ``midline``, an upright image of one voxel of 1 mm from side to side. A head's middle is seldom a
    plane: near the atlas's, the surface of second order is taken that goes through the least brain tissue above brain stem and cerebellum.
    """
    slab = sitk.Image([2 * _REACH_MM + 1, *midline.GetSize()[1:]], sitk.sitkUInt8)
    slab.SetOrigin([midline.GetOrigin()[0] - _REACH_MM, *midline.GetOrigin()[1:]])
    rows = sitk.GetArrayFromImage(sitk.Resample(tissue, slab, to_atlas.GetInverse(), sitk.sitkNearestNeighbor, _NAMES.index("air")))
    z, y = np.meshgrid(*(midline.GetOrigin()[axis] + np.arange(midline.GetSize()[axis]) for axis in (2, 1)), indexing="ij")
    columns = _middle(np.isin(rows, PARENCHYMA), z, y)[..., None] + np.arange(-_WIDE_MM, _WIDE_MM + 1)
    return np.take_along_axis(rows, columns, axis=-1)


def _middle(brain: np.ndarray, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """In which column of a slab of ``brain`` (z, y, x) a head's middle is at each of its places (``z``, ``y``; mm), by descent along one
    coefficient of the surface after another."""
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
    """Numbers of connected parts (z, y), the largest first, 0 outside."""
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)))
    return sitk.GetArrayFromImage(sitk.RelabelComponent(parts))


def _largest(mask: np.ndarray) -> float:
    return float((_parts(mask) == 1).sum())


def _open(joined: np.ndarray) -> float:
    (bottom, top), (front, back) = _THIRD_HEIGHTS_MM, _THIRD_DEPTHS_MM
    return float(1.0 - joined[(_heights() > bottom) & (_heights() < top) & (_depths() > front) & (_depths() < back)].mean())


def _parted(joined: np.ndarray) -> bool:
    """Whether at some level, between the ends of an arch that joins the hemispheres, there is an opening that nothing leads to from the
    fissure, in however many parts that is, around the arch's top."""
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
