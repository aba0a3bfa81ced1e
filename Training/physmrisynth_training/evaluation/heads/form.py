"""The anatomy of a head, as numbers, from its map of tissues."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import RegistrationError
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement, place_tissues
from PhysMRISynthLib.imaging.head.head_volumes import head_volumes
from PhysMRISynthLib.imaging.head.midline import midline_of
from PhysMRISynthLib.imaging.intake.volumes import image_like

from ...simulator.anatomy import TISSUES
from ..anatomies import BRAIN
from ..kinship import aligned_brain
from .cortex import cortex_measures
from .looks import images_of
from .shell import shell_measures

_DEEP = tuple(TISSUES.index(name) for name in ("deep_grey", "thalamus"))


@dataclass(frozen=True)
class Form:
    """``numbers`` by name: volumes in ml, and those of :func:`~.cortex.cortex_measures` and :func:`~.shell.shell_measures`; what a sample
    could be conditioned on; midline_whole (0 or 1). ``aligned``: the brain in the atlas (None: not found there)."""

    numbers: dict[str, float]
    aligned: np.ndarray | None


def form_of(tissue: np.ndarray) -> Form:
    """Measure a head (z, y, x; rows of the tissue table, LESION for lesions; 1 mm)."""
    grid = sitk.GetImageFromArray(tissue)
    volumes = head_volumes(tissue)
    numbers = {"brain": volumes.brain, "white_matter": volumes.white_matter, "cortex": volumes.cortex, "ventricles": volumes.ventricles}
    numbers |= {"deep_grey": float(np.isin(tissue, _DEEP).sum()) / 1000.0, **volumes.conditions(), **shell_measures(tissue)}
    placement = _placement(grid)
    numbers |= cortex_measures(tissue, placement, grid)
    if placement is None:
        return Form(numbers, None)
    midline = midline_of(grid, placement.to_atlas)
    numbers |= {"midline_whole": float(midline.whole), "joined_mm2": midline.joined_mm2}
    return Form(numbers, _aligned(tissue, grid, placement))


def aligned_of(tissue: np.ndarray) -> np.ndarray | None:
    """Of :class:`Form`, alone."""
    grid = sitk.GetImageFromArray(tissue)
    placement = _placement(grid)
    return None if placement is None else _aligned(tissue, grid, placement)


def _placement(grid: sitk.Image) -> AtlasPlacement | None:
    try:
        return place_tissues(grid)
    except RegistrationError:
        return None


def _aligned(tissue: np.ndarray, grid: sitk.Image, placement: AtlasPlacement) -> np.ndarray:
    brain = np.where(np.isin(tissue, BRAIN), images_of(tissue)["T1w"], np.float32(0.0))
    return aligned_brain(image_like(brain, grid), placement.to_atlas)
