"""Heads that no atlas expects: tumours, cavities, wide ventricles, newborns; with the voxels that no tissue class explains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.imaging.smooth import smooth_noise
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.head_voxels import NO_TISSUE

Values = tuple[float, float, float]
"""PD (fraction of water), T1 and T2 (ms) at 3 T."""
TUMOUR, OEDEMA, CAVITY = (0.88, 1890.0, 179.0), (0.82, 1500.0, 130.0), (0.97, 3000.0, 700.0)
NEWBORN = {"white_matter": (0.88, 2500.0, 200.0), "grey": (0.85, 1900.0, 130.0)}
_GREY = ("cortex", "deep_grey", "thalamus")
_NAMES = [tissue.name for tissue in tissue_table()]
_BRAIN = [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]
_TEXTURE = 0.02
_NEWBORN_SIZE = 0.72
_DEFORMED_MM, _DEFORMED_OVER_MM = 2.5, 40.0


@dataclass(frozen=True)
class Anatomy:
    """A ``head``, and the voxels of it (``strange``, z, y, x) that no tissue class explains."""

    head: KnownHead
    strange: np.ndarray


def _changed(head: KnownHead, where: np.ndarray, values: Values, tissue: int = NO_TISSUE) -> KnownHead:
    rng = np.random.default_rng(8)
    maps = head.maps
    new = [
        np.where(where, value * (1.0 + _TEXTURE * rng.standard_normal(where.shape)), old).astype(np.float32)
        for value, old in zip(values, (maps.pd, maps.t1, maps.t2), strict=True)
    ]
    return KnownHead(TissueMaps(*new, maps.mask, maps.grid), np.where(where, np.uint8(tissue), head.tissue))


def _depth(mask: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """Distance (mm) of each voxel to the edge of a mask, positive inside."""
    image = image_like(mask.astype(np.uint8), grid)
    return sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True))


def _brain(head: KnownHead) -> np.ndarray:
    """The brain with its fluid, boundaries between tissues included."""
    brain = image_like(np.isin(head.tissue, _BRAIN).astype(np.uint8), head.maps.grid)
    return sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(brain, [1, 1, 1]))) > 0


def _ball(head: KnownHead, radius_mm: float) -> np.ndarray:
    """A ball in one hemisphere about the deepest white matter, within the brain."""
    white = head.tissue == _NAMES.index("white_matter")
    depth = _depth(white, head.maps.grid)
    middle = white.shape[2] // 2
    depth[..., middle - 3 :] = 0.0  # one hemisphere
    centre = np.unravel_index(int(depth.argmax()), depth.shape)
    spacing = head.maps.grid.GetSpacing()[::-1]
    axes = np.ogrid[tuple(slice(0, n) for n in white.shape)]
    far = sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, spacing, strict=True))
    return (far <= radius_mm**2) & _brain(head)


def tumour(head: KnownHead) -> Anatomy:
    """A core of 16 mm radius, in a rim of oedema that lesions resemble."""
    core, whole = _ball(head, 16.0), _ball(head, 22.0)
    return Anatomy(_changed(_changed(head, whole, OEDEMA), core, TUMOUR), core)


def cavity(head: KnownHead) -> Anatomy:
    """What an operation left, filled with fluid that is rich in protein."""
    inside = _ball(head, 14.0)
    return Anatomy(_changed(head, inside, CAVITY), inside)


def hydrocephalus(head: KnownHead) -> Anatomy:
    """Deep fluid grown by 6 mm into what is around it: all of it is fluid, which a class explains."""
    fluid = head.tissue == _NAMES.index("csf")
    deep = fluid & (_depth(_brain(head), head.maps.grid) > 20.0)
    grown = (_depth(deep, head.maps.grid) > -6.0) & _brain(head)
    pd, t1, t2 = (float(np.median(values[fluid])) for values in (head.maps.pd, head.maps.t1, head.maps.t2))
    return Anatomy(_changed(head, grown, (pd, t1, t2), _NAMES.index("csf")), grown)


def unequal_halves(head: KnownHead) -> KnownHead:
    """The head deformed by some millimetres, so that left and right differ as a person's do: templates and atlases are symmetric."""
    rng = np.random.default_rng(12)
    grid = head.maps.grid
    reach = _DEFORMED_OVER_MM / np.mean(grid.GetSpacing())
    field = np.stack([_DEFORMED_MM * smooth_noise(head.tissue.shape, reach, rng)[0] for _ in range(3)], axis=-1)
    displaced = sitk.GetImageFromArray(field.astype(np.float64), isVector=True)
    displaced.CopyInformation(grid)
    motion = sitk.DisplacementFieldTransform(displaced)

    def moved(voxels: np.ndarray, outside: float) -> np.ndarray:
        image = sitk.Resample(image_like(voxels, grid), grid, motion, sitk.sitkNearestNeighbor, outside)
        return sitk.GetArrayFromImage(image)

    maps = [moved(values, 0.0) for values in (head.maps.pd, head.maps.t1, head.maps.t2)]
    mask = moved(head.maps.mask.astype(np.uint8), 0) > 0
    return KnownHead(TissueMaps(*maps, mask, grid), moved(head.tissue, _NAMES.index("air")))


def newborn(head: KnownHead) -> Anatomy:
    """Unmyelinated white matter, in a head of 0.72 of its size."""
    white, grey = (np.isin(head.tissue, [_NAMES.index(name) for name in names]) for names in (("white_matter",), _GREY))
    between = (head.tissue == NO_TISSUE) & _brain(head)
    made = _changed(_changed(head, white, NEWBORN["white_matter"], _NAMES.index("white_matter")), grey | between, NEWBORN["grey"])
    small = image_like(sitk.GetArrayFromImage(made.maps.grid), made.maps.grid)
    small.SetSpacing([_NEWBORN_SIZE * s for s in small.GetSpacing()])
    maps = TissueMaps(made.maps.pd, made.maps.t1, made.maps.t2, made.maps.mask, small)
    return Anatomy(KnownHead(maps, made.tissue), white | grey)


ANATOMIES: dict[str, Callable[[KnownHead], Anatomy]] = {f.__name__: f for f in (tumour, cavity, hydrocephalus, newborn)}
