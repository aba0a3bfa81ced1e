"""The middle of a head: are its hemispheres apart where people's are, does the corpus callosum part the fissure from the ventricles, and is
there a third ventricle?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..physics.tissues import BRAIN_TISSUE, tissue_table
from .head_volumes import LESION
from .volumes import image_like

MOST_JOINED_MM2, LEAST_OPEN = 60.0, 0.6
"""Of 17 label maps of people 16 have at most 34 mm² (one, whose hemispheres are labelled through the fissure, 341), and all at least
0.63."""
_FILE = Path(__file__).parent.parent / "resources" / "midline.nii.gz"
"""How often label maps of people are joined at each place of the midline, of 255; see ``training/midline.py``."""
ACROSS_MM, _CALLOSUM_MM = 6, 3
"""Brain from so far right of the middle to as far left of it joins the hemispheres, anywhere and in the callosum: a fissure is seldom
straight, a callosum seldom thick at its ends."""
_NEAR_MM, _SELDOM = 2, 1.5 / 14.0
"""Where hardly any label map (less than this share), and none near, is joined, hemispheres are apart."""
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
"""So far apart, from front to back, are the callosum's ends at least where there are ventricles between them."""
_PARENCHYMA = [row for row, tissue in enumerate(tissue_table()) if tissue.name in BRAIN_TISSUE] + [LESION]


@dataclass(frozen=True)
class Midline:
    """The largest area in which a head's hemispheres are joined where people's are not, ``joined_mm2``, as it lies in the atlas; whether a
    ``callosum`` parts the ventricles from the fissure above them; and which share of the ``third_ventricle``'s place is open (0 to 1)."""

    joined_mm2: float
    callosum: bool
    third_ventricle: float

    @property
    def whole(self) -> bool:
        """Whether it is as in people."""
        return self.callosum and self.joined_mm2 <= MOST_JOINED_MM2 and self.third_ventricle >= LEAST_OPEN


def midline_of(tissue: sitk.Image, to_atlas: sitk.Transform) -> Midline:
    """Of a map of rows of the tissue table (LESION: lesions), whose points ``to_atlas`` maps to the atlas."""
    wide, narrow = (joined_at(tissue, to_atlas, across, _reference()) for across in (ACROSS_MM, _CALLOSUM_MM))
    return Midline(_largest(wide & _apart()), _parted(narrow), _open(narrow))


def joined_at(tissue: sitk.Image, to_atlas: sitk.Transform, across_mm: int, midline: sitk.Image) -> np.ndarray:
    """Where (z, y) on the atlas's ``midline``, an image one voxel thick, there is brain tissue all the way across the middle."""
    slab = sitk.Image([2 * across_mm + 1, *midline.GetSize()[1:]], sitk.sitkUInt8)
    slab.SetOrigin([midline.GetOrigin()[0] - across_mm, *midline.GetOrigin()[1:]])
    brain = image_like(np.isin(sitk.GetArrayViewFromImage(tissue), _PARENCHYMA).astype(np.uint8), tissue)
    there = sitk.Resample(brain, slab, to_atlas.GetInverse(), sitk.sitkNearestNeighbor, 0)
    return np.asarray(sitk.GetArrayFromImage(there).all(axis=2))


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
    """Whether at some level, between the ends of an arch that joins the hemispheres, there is an opening that no way around the arch's top
    leads to from the fissure."""
    z, y = _heights(), _depths()
    between = (y[0] > _BETWEEN_MM[0]) & (y[0] < _BETWEEN_MM[1])
    for level in _LEVELS_MM:
        parts = _parts(~joined & (z >= level) & (z <= _TOP_MM) & (y > _ENDS_MM[0]) & (y < _ENDS_MM[1]))
        above = parts[np.searchsorted(z[:, 0], _FISSURE_MM)]
        if not above.any():
            return False
        row = parts[np.searchsorted(z[:, 0], level)]
        if ((row > 0) & (row != np.bincount(above[above > 0]).argmax()) & between).sum() >= _LEAST_WIDTH_MM:
            return True
    return False
