"""What a user may hand over by mistake: images, headers and pairs that are wrong in one way each, made in a folder."""

from __future__ import annotations

import gzip
import json
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import standard_acquisition
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.imaging.phantoms import grid, rotation

Make = Callable[[Path], object]
_SPACING_MM = 6.0
_HOUNSFIELD = {"csf": 5, "blood": 45, "muscle": 50, "mucosa": 20, "fat": -100, "marrow": 300, "bone": 1000, "air": -1000}
_GREY_AND_WHITE = 35
NAN, INF = float("nan"), float("inf")


def nothing(_here: Path) -> None:
    """No input is needed."""


def both(*makers: Make) -> Make:
    """All of them, one after the other."""

    def make(here: Path) -> None:
        for maker in makers:
            maker(here)

    return make


# --- heads -------------------------------------------------------------------------------------------------------------------------


@cache
def known_head() -> KnownHead:
    return small_head()


@cache
def coarse(role: str) -> sitk.Image:
    """A clean scan of the small head at 6 mm."""
    maps = known_head().maps
    t1, t2 = (np.where(maps.mask, values, np.float32(1.0)) for values in (maps.t1, maps.t2))
    return _at_6_mm(standard_acquisition(replace(maps, t1=t1, t2=t2), np.random.default_rng(0))[role], sitk.sitkLinear)


def _at_6_mm(image: sitk.Image, how: int) -> sitk.Image:
    size = [round(n * s / _SPACING_MM) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    return sitk.Resample(image, size, sitk.Transform(), how, image.GetOrigin(), [_SPACING_MM] * 3, image.GetDirection())


def labels() -> sitk.Image:
    """The head's tissues as numbers, as a segmentation has them."""
    maps = known_head()
    return _at_6_mm(image_like(maps.tissue.astype(np.uint8), maps.maps.grid), sitk.sitkNearestNeighbor)


def ct() -> sitk.Image:
    """The head in Hounsfield units."""
    names = [tissue.name for tissue in tissue_table()]
    units = np.array([_HOUNSFIELD.get(name, _GREY_AND_WHITE) for name in names], dtype=np.float32)
    tissue = sitk.GetArrayFromImage(labels())
    noise = np.random.default_rng(1).normal(0.0, 8.0, tissue.shape)
    return image_like((units[tissue] + noise).astype(np.float32), labels())


def scan(role: str, name: str = "", change: Callable[[np.ndarray], np.ndarray] = lambda voxels: voxels) -> Make:
    """A maker of the head's scan, its voxels changed, under ``name`` (else the role's)."""

    def make(here: Path) -> None:
        image = coarse(role)
        save(image_like(change(sitk.GetArrayFromImage(image)).astype(np.float32), image), here / (name or f"{role}.nii.gz"))

    return make


def save(image: sitk.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def made(image: Callable[[], sitk.Image], name: str = "t1w.nii.gz") -> Make:
    """A maker of an image in memory."""
    return lambda here: save(image(), here / name)


def islands(voxels: np.ndarray) -> np.ndarray:
    """NaN and infinity here and there in the head."""
    voxels[10:13, 15:18, 12:15], voxels[20, 20, 20], voxels[21, 20, 20] = np.nan, np.inf, -np.inf
    return voxels


def another_head(here: Path) -> None:
    """A FLAIR of a head that is larger, turned and of another shape."""
    other = sitk.Euler3DTransform()
    other.SetRotation(0.0, 1.5, 0.0)
    stretched = sitk.ScaleTransform(3, (0.7, 1.25, 1.3))
    image = coarse("flair")
    centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    for transform in (other, stretched):
        transform.SetCenter(centre)
    save(sitk.Resample(image, image, sitk.CompositeTransform([other, stretched])), here / "flair.nii.gz")


def far_away(role: str) -> Make:
    """The head's scan a metre and more from where it was taken."""

    def make(here: Path) -> None:
        image = sitk.Image(coarse(role))
        image.SetOrigin(np.add(image.GetOrigin(), 1500.0).tolist())
        save(image, here / f"{role}.nii.gz")

    return make


# --- pictures that are refused before anybody looks at them closely ------------------------------------------------------------------


def picture(size: Sequence[int] = (12, 10, 8), spacing: Sequence[float] = (20.0, 20.0, 20.0)) -> sitk.Image:
    on = grid(tuple(size), tuple(spacing), rotation(5, 10, 15))  # type: ignore[arg-type]
    return image_like(np.random.default_rng(1).normal(100.0, 20.0, size[::-1]).astype(np.float32), on)


def filled(value: float) -> sitk.Image:
    return picture() * 0 + value


def colour() -> sitk.Image:
    return sitk.GetImageFromArray(np.random.default_rng(4).integers(0, 255, (8, 10, 12, 3)).astype(np.uint8), isVector=True)


def complex_numbers() -> sitk.Image:
    return sitk.RealAndImaginaryToComplex(picture(), picture())


def skewed() -> sitk.Image:
    image = picture()
    image.SetDirection((1.0, 0.2, 0.0, 0.0, 0.98, 0.0, 0.0, 0.0, 1.0))
    return image


def truncated(name: str) -> Make:
    """Half a file, as an interrupted copy leaves it."""

    def make(here: Path) -> None:
        path = save(picture((40, 40, 40), (4.0, 4.0, 4.0)), here / name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return make


def content(name: str, what: bytes) -> Make:
    """A file of these bytes."""

    def make(here: Path) -> None:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(what)

    return make


def raw(
    name: str = "t1w.nii", size: Sequence[int] = (12, 10, 8), spacing: Sequence[float] = (20.0, 20.0, 20.0), slope: float = 1.0,
    quaternion: Sequence[float] | None = (0.0, 0.0, 0.0), sform: Sequence[Sequence[float]] | None = None, offset: float = 352.0,
) -> Make:  # fmt: skip
    """A NIfTI-1 file with a header as no program would write it; of enormous images the voxels are left out."""

    def make(here: Path) -> None:
        header = bytearray(352)
        struct.pack_into("<i", header, 0, 348)
        struct.pack_into("<8h", header, 40, len(size), *size, *[1] * (7 - len(size)))
        struct.pack_into("<2h", header, 70, 16, 32)
        struct.pack_into("<4f", header, 76, 1.0, *spacing)
        struct.pack_into("<2f", header, 108, offset, slope)
        header[123] = 2
        struct.pack_into("<2h", header, 252, quaternion is not None, sform is not None)
        struct.pack_into("<3f", header, 256, *(quaternion or (0.0, 0.0, 0.0)))
        if sform is not None:
            struct.pack_into("<12f", header, 280, *np.ravel(sform))
        header[344:348] = b"n+1\0"
        count = min(abs(int(np.prod(size, dtype=object))), 1000)
        voxels = np.random.default_rng(0).normal(100.0, 20.0, count).astype("<f4").tobytes()
        file = bytes(header) + voxels
        (here / name).write_bytes(gzip.compress(file) if name.endswith(".gz") else file)

    return make


# --- things that are no files --------------------------------------------------------------------------------------------------------


def pipe(name: str) -> Make:
    """A pipe that nobody writes into: reading it would wait for ever."""

    def make(here: Path) -> None:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(here / name)

    return make


def folder(name: str) -> Make:
    return lambda here: (here / name).mkdir(parents=True)


def link(name: str, to: str) -> Make:
    return lambda here: (here / name).symlink_to(to)


def sidecar(fields: object, name: str = "t1w.json") -> Make:
    """A JSON file of these values (NaN and infinity as Python writes them); text is written as it is."""
    return lambda here: (here / name).write_text(fields if isinstance(fields, str) else json.dumps(fields), encoding="utf-8")
