"""Folders of tissue maps and of DICOM images that are wrong in one way each, and sampling models that are damaged."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.dicom_out.identity import anonymous_identity
from PhysMRISynthLib.imaging.dicom_out.mr_series import write_mr_series
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.protocol import Protocol
from Testing.faults.scans import Make

if TYPE_CHECKING:
    from pydicom import Dataset

PROPERTIES = ("PD", "T1", "T2")
Change = Callable[[np.ndarray], np.ndarray]


@cache
def toy() -> TissueMaps:
    """A ball of white matter with a core of fluid."""
    image = sitk.Image((12, 11, 10), sitk.sitkFloat32)
    image.SetSpacing((15.0, 15.0, 15.0))
    z, y, x = np.indices((10, 11, 12))
    distance = np.sqrt((z - 4.5) ** 2 + (y - 5) ** 2 + (x - 5.5) ** 2)
    inside, core = distance < 4.2, distance < 1.5
    pd, t1, t2 = (
        np.where(inside, np.where(core, fluid, tissue), 0.0).astype(np.float32)
        for tissue, fluid in ((0.7, 1.0), (850.0, 4200.0), (75.0, 2000.0))
    )
    return TissueMaps(pd, t1, t2, inside, image, sd={"T1": 0.05 * t1})


def maps(name: str = "maps", **changes: Change) -> Make:
    """A maker of the toy's maps, those named (PD in %) changed."""

    def make(here: Path) -> None:
        for file, image in toy().files().items():
            change = changes.get(file.partition(".")[0], lambda voxels: voxels)
            write_image(toy().image(change(sitk.GetArrayFromImage(image)).astype(np.float32)), here / name / file)

    return make


def without(file: str) -> Make:
    """The toy's maps, one of which is gone."""

    def make(here: Path) -> None:
        maps()(here)
        (here / "maps" / file).unlink()

    return make


def on_another_grid(file: str) -> Make:
    """The toy's maps, one of which has lost a slice."""

    def make(here: Path) -> None:
        maps()(here)
        write_image(sitk.ReadImage(str(here / "maps" / file))[:, :, 1:], here / "maps" / file)

    return make


def source(changed: Callable[[Dataset, int], None] = lambda image, number: None) -> Make:
    """The DICOM series that the toy's maps came from, as ``source``; each image may be changed, told its number."""

    def make(here: Path) -> None:
        import pydicom

        folder = here / "source"
        folder.mkdir()
        image = np.where(toy().mask, 100.0, 0.0).astype(np.float32)
        write_mr_series(image, toy().grid, Protocol.of("se"), anonymous_identity(), 1, folder, "slice", "test")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom says what is wrong with a value that is meant to be
            for number, file in enumerate(sorted(folder.iterdir())):
                dataset = pydicom.dcmread(file)
                changed(dataset, number)
                dataset.save_as(file)

    return make


def moved(millimetres: float) -> Callable[[Dataset, int], None]:
    """The series lies that far to the side."""

    def change(image: Dataset, _number: int) -> None:
        x, y, z = image.ImagePositionPatient
        image.ImagePositionPatient = [float(x) + millimetres, y, z]

    return change


def with_attribute(value: object, keyword: str, only: int | None = None) -> Callable[[Dataset, int], None]:
    """All images, or one, get another value of an attribute."""

    def change(image: Dataset, number: int) -> None:
        if only in (None, number):
            setattr(image, keyword, value)

    return change


def without_attributes(*keywords: str) -> Callable[[Dataset, int], None]:
    """All images lose these."""

    def change(image: Dataset, _number: int) -> None:
        for keyword in keywords:
            delattr(image, keyword)

    return change


def copied(here: Path) -> None:
    """Every file of the source lies there a second time."""
    for file in list((here / "source").iterdir()):
        shutil.copy(file, file.with_name(f"copy of {file.name}"))


def cut_short(here: Path) -> None:
    """A DICOM series whose files end before they say where they lie."""
    source()(here)
    for file in (here / "source").iterdir():
        file.write_bytes(file.read_bytes()[:500])


def replaced(before: bytes, after: bytes) -> Make:
    """A DICOM series with other bytes in place of some."""

    def make(here: Path) -> None:
        source()(here)
        for file in (here / "source").iterdir():
            content = file.read_bytes()
            assert before in content and len(before) == len(after)
            file.write_bytes(content.replace(before, after))

    return make


def sampler(damage: Callable[[bytes], bytes]) -> Make:
    """A sampling model's file that was damaged."""

    def make(here: Path) -> None:
        from PhysMRISynthLib.resource_files import RESOURCES

        shutil.copy(RESOURCES / "vae.safetensors", here / "sampler.safetensors")
        file = here / "sampler.safetensors"
        file.write_bytes(damage(file.read_bytes()))

    return make
