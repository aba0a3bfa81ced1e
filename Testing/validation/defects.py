"""Trouble as users report it, made of a head of known maps: each defect changes the three scans as a program or a patient would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS, standard_acquisition
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.validation.anatomies import unequal_halves

Scans = Mapping[str, sitk.Image]
Change = Callable[[Scans, KnownHead], Scans]
ROLES = ("t1w", "t2w", "flair")


@dataclass(frozen=True)
class Defect:
    """``change`` makes the trouble; ``told`` are words of the verdict's first reason or of the refusal, which name the true cause; empty
    where the maps are to be as good as without it."""

    name: str
    change: Change
    told: str


@cache
def known_head(step_mm: float) -> KnownHead:
    """The example's head of blurred tissues with unequal halves, about every ``step_mm``; where its anatomy is not installed, the
    atlas's."""
    from importlib.util import find_spec

    if find_spec("nilearn") is None:
        return unequal_halves(small_head())
    from PhysMRISynthLib.workflow.examples.example import example_head

    full, step = example_head(seed=3), max(1, round(step_mm))
    every = (slice(None, None, step),) * 3
    maps = full.maps
    grid = maps.grid[::step, ::step, ::step]
    sparse = TissueMaps(maps.pd[every], maps.t1[every], maps.t2[every], maps.mask[every], grid)
    return unequal_halves(KnownHead(sparse, full.tissue[every]))


def clean_scans(head: KnownHead, seed: int = 0) -> dict[str, sitk.Image]:
    """Three scans without a defect: gains, receive fields of 20 %, 1 % noise."""
    maps = head.maps
    t1, t2 = (np.where(maps.mask, values, np.float32(1.0)) for values in (maps.t1, maps.t2))
    seen = TissueMaps(np.where(maps.mask, maps.pd, np.float32(0.0)), t1, t2, maps.mask, maps.grid)
    return standard_acquisition(seen, np.random.default_rng(seed))


def acquisitions(scans: Scans) -> list[Acquisition]:
    """The scans with their protocols, checked as files are. Raises ImageError."""
    return [Acquisition(role, volume_from_image(image, name=role), PROTOCOLS[role]) for role, image in scans.items()]


def voxels(change: Callable[[np.ndarray], np.ndarray], *roles: str) -> Change:
    """The voxels of some scans (none named: of all) changed."""

    def changed(scans: Scans, head: KnownHead) -> Scans:
        some = roles or tuple(scans)
        new = {role: change(sitk.GetArrayFromImage(image)) if role in some else None for role, image in scans.items()}
        return {role: image if new[role] is None else image_like(new[role].astype(np.float32), image) for role, image in scans.items()}

    return changed


def in_brain(change: Callable[[np.ndarray, np.ndarray], np.ndarray], *roles: str) -> Change:
    """As :func:`voxels`, told where the brain with its fluid is."""
    rows = [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]

    def changed(scans: Scans, head: KnownHead) -> Scans:
        brain = sitk.Cast(image_like(np.isin(head.tissue, rows).astype(np.uint8), head.maps.grid), sitk.sitkUInt8)
        closed = sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(brain, [2, 2, 2]))) > 0
        return voxels(lambda v: change(v, closed), *roles)(scans, head)

    return changed


def moved(millimetres: float, degrees: float, *roles: str) -> Change:
    """The patient moved before these scans; their headers tell the same grid."""

    def changed(scans: Scans, head: KnownHead) -> Scans:
        motion = sitk.Euler3DTransform()
        grid = head.maps.grid
        motion.SetCenter(grid.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in grid.GetSize()]))
        motion.SetRotation(np.deg2rad(degrees), 0.0, 0.0)
        motion.SetTranslation((0.0, 0.6 * millimetres, 0.8 * millimetres))
        return {r: sitk.Resample(image, image, motion, sitk.sitkBSpline) if r in roles else image for r, image in scans.items()}

    return changed


def _cut(v: np.ndarray, where: np.ndarray) -> np.ndarray:
    return np.where(where, np.float32(0.0), v)


def coil_field(strength: float, *roles: str) -> Change:
    """Receive coils around the head: brighter by 1 + ``strength`` r³ towards the surface (r = 1), as without prescan normalisation."""

    def changed(scans: Scans, head: KnownHead) -> Scans:
        places = np.argwhere(head.maps.mask)
        low, high = places.min(axis=0), places.max(axis=0)
        axes = np.ogrid[tuple(slice(0, n) for n in head.maps.mask.shape)]
        r2 = sum(((axis - (a + b) / 2) / ((b - a) / 2)) ** 2 for axis, a, b in zip(axes, low, high, strict=True))
        return voxels(lambda v: v * (1.0 + strength * np.minimum(r2, 1.5) ** 1.5), *roles)(scans, head)

    return changed


def lower(share: float) -> Callable[[np.ndarray], np.ndarray]:
    """The lower share of the slices is 0: beyond the field of view of an image that was resampled."""
    return lambda v: _cut(v, (np.arange(len(v)) < share * len(v))[:, None, None])


def _every_fifth(v: np.ndarray) -> np.ndarray:
    return _cut(v, (np.arange(len(v)) % 5 == 0)[:, None, None])


def _equalised(v: np.ndarray) -> np.ndarray:
    return np.interp(v, np.percentile(v, np.linspace(0, 100, 257)), np.arange(257.0) * 4)


def _wrapped(v: np.ndarray) -> np.ndarray:
    return np.rint(v * (32_767 / np.percentile(v, 98))).astype(np.int64).astype(np.uint16).astype(np.int16)


def _between_percentiles(v: np.ndarray, brain: np.ndarray) -> np.ndarray:
    low, high = np.percentile(v[brain], (1, 99))
    return np.where(brain, np.clip((v - low) / (high - low), 0, 1), 0)


def _interleaved(scans: Scans, head: KnownHead) -> Scans:
    late = sitk.GetArrayFromImage(moved(4.0, 0.0, "t2w")(scans, head)["t2w"])
    odd = (np.arange(len(late)) % 2 == 1)[:, None, None]
    return voxels(lambda v: np.where(odd, late, v), "t2w")(scans, head)


def _tilted(degrees: float) -> Change:
    """The head lies nodded in the scanner, and the headers tell it."""

    def changed(scans: Scans, head: KnownHead) -> Scans:
        turn = sitk.Euler3DTransform()
        turn.SetRotation(np.deg2rad(degrees), 0.0, 0.0)
        return {role: turned(image, np.reshape(turn.GetMatrix(), (3, 3))) for role, image in scans.items()}

    return changed


def turned(image: sitk.Image, matrix: np.ndarray) -> sitk.Image:
    """The same voxels, their grid turned about the origin."""
    copy = image_like(sitk.GetArrayFromImage(image), image)
    copy.SetDirection((matrix @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    copy.SetOrigin((matrix @ np.array(image.GetOrigin())).tolist())
    return copy


DEFECTS = (
    Defect("none", lambda scans, head: scans, ""),
    Defect("FLAIR 0 in its lower 45 %", voxels(lower(0.45), "flair"), "not in this image"),
    Defect("T2w 0 in its lower 30 %", voxels(lower(0.30), "t2w"), "not in this image"),
    Defect("every fifth slice of T2w lost", voxels(_every_fifth, "t2w"), "not in this image"),
    Defect("NaN around the brain", in_brain(lambda v, brain: np.where(brain, v, np.nan)), ""),
    Defect("background 1000 around the brain", in_brain(lambda v, brain: np.where(brain, v, 1000.0)), ""),
    Defect("background -1024 around the brain", in_brain(lambda v, brain: np.where(brain, v, -1024.0)), ""),
    Defect("T2w and FLAIR moved by 2 mm and 2°, same grid", moved(2.0, 2.0, "t2w", "flair"), ""),
    Defect("T2w moved by 6 mm and 5°, same grid", moved(6.0, 5.0, "t2w"), ""),
    Defect("T2w mirrored left to right", voxels(lambda v: v[..., ::-1].copy(), "t2w"), "Left and right"),
    Defect("T2w moved between interleaved passes", _interleaved, "Odd and even slices"),
    Defect("z-scores", voxels(lambda v: (v - v.mean()) / v.std()), "z-scores"),
    Defect("display gamma 0.6", voxels(lambda v: 1000 * (np.maximum(v, 0) / v.max()) ** 0.6), "gamma"),
    Defect("logarithm", voxels(lambda v: 100 * np.log1p(np.maximum(v, 0))), "as bright as tissue"),
    Defect("histogram equalised", voxels(_equalised), "equalised"),
    Defect("scaled between percentiles", in_brain(_between_percentiles), "two percentiles"),
    Defect("T1w wrapped at 16 bits", voxels(_wrapped, "t1w"), "wrapped"),
    Defect("T2w clipped in its fluid", in_brain(lambda v, b: np.minimum(v, 1.3 * np.percentile(v[b], 60)), "t2w"), "highest value"),
    Defect("T1w clipped in its white matter", in_brain(lambda v, b: np.minimum(v, np.percentile(v[b], 75)), "t1w"), "highest value"),
    Defect("no prescan normalisation, scalp 5 times the centre", coil_field(4.0), "receive field"),
    Defect("no prescan normalisation of T2w, scalp 3 times the centre", coil_field(2.0, "t2w"), ""),
    Defect("FLAIR's noise floor subtracted", in_brain(lambda v, b: np.maximum(v - np.percentile(v[b], 8), 0), "flair"), "exactly 0"),
    Defect("offset added", voxels(lambda v: v + 0.1 * np.percentile(v, 99)), "offset"),
    Defect("nodded by 40°", _tilted(40.0), ""),
    Defect("upside down", voxels(lambda v: v[::-1].copy()), "do not lie where"),
    Defect("an infant's size", lambda scans, head: {r: _resized(image, 0.7) for r, image in scans.items()}, "smaller than an adult's"),
)


def _resized(image: sitk.Image, factor: float) -> sitk.Image:
    copy = image_like(sitk.GetArrayFromImage(image), image)
    copy.SetSpacing([factor * s for s in image.GetSpacing()])
    return copy
