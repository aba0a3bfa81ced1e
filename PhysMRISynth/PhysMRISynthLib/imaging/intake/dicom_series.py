"""DICOM series as volumes: headers identify, sort and position the images and show whether they are complete; GDCM reads the voxels."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError
from ...headers.dicom_header import dicom_fields, is_dicom
from ...headers.header_values import series_names
from .dicom_image import DicomImage, geometry, in_space, read_image, text
from .volumes import Volume, image_like, read_volume, volume_from_image

_PIXEL_TAGS = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames", "PhotometricInterpretation", "PixelRepresentation",
    "PixelData",
)  # fmt: skip
_UNEVEN = 0.02
"""Relative tolerance of the distance between slices; a missing slice doubles it."""
_LEAST_SLICES = 4


@dataclass(frozen=True)
class Series:
    """The images of one DICOM series with one echo time and type; ``files`` are sorted by position.

    ``places`` (N, 3) are the centres of the slices' first voxels (LPS, mm), ``spacing`` the mm between the voxels of a row and between
    rows; both None if the headers do not state them, or slices have different orientations.
    """

    files: tuple[Path, ...]
    number: int | None
    study: tuple[str, str, str]
    """Patient, study and its date, which identify a visit."""
    uid: str
    fields: Mapping[str, Any] = field(hash=False)
    """Of the first image, as :func:`~.dicom_header.dicom_fields`."""
    places: np.ndarray | None = field(default=None, repr=False, hash=False)
    spacing: tuple[float, float] | None = None
    damaged: int = 0
    """Number of further images of the series that cannot be read."""
    scaling: np.ndarray | None = field(default=None, repr=False, hash=False)
    """Slope and intercept (N, 2) of the slices, if they differ within an enhanced file."""
    matrix: tuple[int, int] = (0, 0)
    """Columns and rows of a slice."""

    @property
    def title(self) -> str:
        """Number and description, as on the scanner's console."""
        described = next(iter(series_names(self.fields)), None)
        return f"series {'?' if self.number is None else self.number}" + (f" '{described}'" if described else "")

    @property
    def slices(self) -> int:
        """Number of slices."""
        return len(self.files) if self.places is None else len(self.places)

    @property
    def voxel_mm(self) -> float:
        """The largest voxel spacing (mm), or infinity if the images are no volume."""
        return float("inf") if self.flaw or self.spacing is None else max(*self.spacing, self._step)

    @property
    def sides_mm(self) -> tuple[float, float, float] | None:
        """The lengths of the volume's sides (mm), None if the images are no volume."""
        if self.flaw or self.spacing is None or self.places is None:
            return None
        (columns, rows), (across, down) = self.matrix, self.spacing
        return columns * across, rows * down, self.slices * self._step

    @property
    def _step(self) -> float:
        assert self.places is not None
        return float(np.linalg.norm(self.places[-1] - self.places[0]) / (len(self.places) - 1))

    @cached_property
    def flaw(self) -> str | None:
        """Why the images are not a volume, or None: damaged, too few, without a position, several at one position, or unevenly spaced."""
        if self.damaged:
            return f"{self.damaged} of its files {'ends' if self.damaged == 1 else 'end'} early or cannot be read"
        if self.slices < _LEAST_SLICES:
            return f"it has only {self.slices} slice{'s' * (self.slices != 1)}"
        if self.places is None:
            return "its headers do not state where each slice lies, or slices lie in different directions"
        along = np.linalg.norm(np.diff(self.places, axis=0), axis=1)
        if along.min() < 1e-3:
            return "it has several images of the same slice (time points, echoes or reconstructions)"
        straight = np.abs(np.diff(self.places, 2, axis=0)).max()
        return "its slices are unevenly spaced: some are missing or out of order" if straight > max(_UNEVEN * along.mean(), 0.01) else None


def read_scan(path: Path) -> Volume:
    """As :func:`~.volumes.read_volume`; of a DICOM file, or a folder of one series, the series as a volume.

    Raises ImageError as it does, and for a series that is incomplete, or a folder of several.
    """
    path = Path(path)
    if path.is_dir():
        found = series_in(path)
        if len(found) > 1:
            raise ImageError(f"{path} holds {len(found)} DICOM series: {_listed(found)}. Give one image of the intended series.")
        return read_series(found[0]) if found else read_volume(path)
    if not is_dicom(path):
        return read_volume(path)
    found = series_in(path.parent, path)
    series = next((series for series in found if path in series.files), found[0] if found else None)  # the first if the file is damaged
    if series is None:
        raise ImageError(f"{path} is a DICOM file, but not an image of a series. Give one of the series' images.")
    return read_series(series)


def read_series(series: Series) -> Volume:
    """The volume of a series (rescaled by slope and intercept). Raises ImageError when the images are not a volume or cannot be read."""
    first = series.files[0]
    name = f"{first.parent} ({series.title})"
    if series.flaw:
        raise ImageError(f"{name} cannot be used: {series.flaw}. Export the series again, complete, or choose another one.")
    for file in series.files:
        _check_complete(file, name)
    try:
        names = [str(file) for file in series.files]
        image = sitk.ReadImage(names if len(names) > 1 else names[0], sitk.sitkFloat32)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].rpartition("ERROR: ")[2]
        raise ImageError(f"{name} cannot be read ({reason}). Check that its files are complete, or export it again.") from error
    if image.GetDimension() != 3 or image.GetSize()[2] != series.slices:
        raise ImageError(f"{name} holds other images than its headers announce. Export it again.")
    if series.scaling is not None:  # GDCM would apply the first frame's to all
        image = image_like(_scaled_frames(series, name), image)
    return volume_from_image(image, first, name=name)


def _scaled_frames(series: Series, name: str) -> np.ndarray:
    """The voxels (z, y, x) as stored, each frame by its own slope and intercept. Raises ImageError when they cannot be decoded."""
    import pydicom

    assert series.scaling is not None
    try:
        frames = [pydicom.dcmread(file).pixel_array for file in series.files]
        stored = np.concatenate([array.reshape(-1, *array.shape[-2:]) for array in frames])
        slopes, intercepts = series.scaling.T.astype(np.float32)
        return stored * slopes[:, None, None] + intercepts[:, None, None]
    except Exception as error:  # damaged files and missing decoders make pydicom raise of every kind
        raise ImageError(
            f"{name} cannot be read: each of its frames has a scale of its own, and they cannot be decoded ({error}). "
            "Export it without compression."
        ) from error


def series_in(folder: Path, beside: Path | None = None) -> list[Series]:
    """The series with images in a folder (not below), by number; only that of the file ``beside`` if given.

    Other files are skipped. Raises ImageError when pydicom is missing or a header is damaged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on values that are against the standard: those count as absent
        read = (read_image(path) for path in sorted(folder.iterdir()) if is_dicom(path))
        by_uid: dict[str, list[DicomImage]] = defaultdict(list)
        for image in read:
            if image is not None:
                by_uid[image.uid].append(image)
        wanted = [images for images in by_uid.values() if beside is None or any(image.file == beside for image in images)]
        found = [series for images in wanted for series in _split(images)]
    return sorted(found, key=lambda series: (series.number is None, series.number or 0, str(series.files[0])))


def series_below(folder: Path) -> Iterator[Series]:
    """The series of a folder and its subfolders; links to folders are not followed."""
    for place, folders, _files in os.walk(folder):
        folders.sort()
        yield from series_in(Path(place))


def _split(images: Sequence[DicomImage]) -> Iterator[Series]:
    """Series of one kind of image each: one UID may hold echoes, or magnitude and phase; of damaged images if none is complete."""
    whole = [image for image in images if image.is_whole]
    kinds: dict[Any, list[DicomImage]] = defaultdict(list)
    for image in whole or images:
        kinds[image.kind].append(image)
    for group in kinds.values():
        yield _series(group, len(images) - len(whole))


def _series(images: Sequence[DicomImage], damaged: int) -> Series:
    images = in_space(images)
    first = images[0]
    number = text(first.header, "SeriesNumber")
    patient, study, date = (text(first.header, name) for name in ("PatientID", "StudyInstanceUID", "StudyDate"))
    scaling = np.array([frame for image in images for frame in image.scaling])
    return Series(
        tuple(image.file for image in images), int(number) if number.lstrip("-").isdigit() else None, (patient, study, date),
        first.uid, dicom_fields(first.file), *geometry([frame for image in images for frame in image.frames]), damaged,
        scaling if np.ptp(scaling, axis=0).any() else None, _matrix(first),
    )  # fmt: skip


def _matrix(image: DicomImage) -> tuple[int, int]:
    columns, rows = (text(image.header, name) for name in ("Columns", "Rows"))
    return (int(columns), int(rows)) if columns.isdigit() and rows.isdigit() else (0, 0)


def _check_complete(file: Path, series: str) -> None:
    """Raise ImageError when a file's pixel data end early: GDCM would read beyond its buffer."""
    import pydicom
    from pydicom.pixels.utils import get_expected_length

    try:
        header = pydicom.dcmread(file, specific_tags=list(_PIXEL_TAGS))
        compressed = header.file_meta.TransferSyntaxUID.is_encapsulated
        cause = None if compressed or len(header.PixelData) >= get_expected_length(header) else "it ends early"
    except Exception as error:  # damaged files make pydicom raise of every kind
        cause = str(error) or type(error).__name__
    if cause:
        raise ImageError(f"{file} of {series} cannot be read ({cause}). Copy or export it again.")


def _listed(found: Sequence[Series]) -> str:
    return ", ".join(series.title for series in found)
