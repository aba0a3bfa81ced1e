"""DICOM series as volumes: GDCM tells, sorts and places them; their headers say whether they are whole."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import ImageError
from .dicom_header import dicom_fields, is_dicom
from .header_values import text_of
from .volumes import Volume, read_volume, volume_from_image

_TAGS = (
    "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "StudyDate", "SeriesNumber", "ImageType", "EchoTime",
    "EchoNumbers", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)  # fmt: skip
_PIXEL_TAGS = (
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames", "PhotometricInterpretation", "PixelRepresentation",
    "PixelData",
)  # fmt: skip
_PLACE = {
    "PlanePositionSequence": "ImagePositionPatient", "PlaneOrientationSequence": "ImageOrientationPatient",
    "PixelMeasuresSequence": "PixelSpacing",
}  # fmt: skip
"""What tells a slice's place, by the functional group that holds it in enhanced headers."""
_DICOMDIR = "1.2.840.10008.1.3.10"
"""The class of a folder's index."""
_UNEVEN = 0.02
"""Share of the distance between slices by which it may differ from slice to slice; a missing slice doubles it."""
_LEAST_SLICES = 4


@dataclass(frozen=True)
class Series:
    """The images of one DICOM series that share echo time and type; ``files`` in the order of their places in space.

    ``places`` (N, 3) are the centres of the slices' first voxels (LPS, mm), ``spacing`` the mm between the voxels of a row and between
    rows; both None where the headers do not state them, or slices lie in different directions.
    """

    files: tuple[Path, ...]
    number: int | None
    study: tuple[str, str, str]
    """Patient, study and its date: what tells visits apart."""
    uid: str
    fields: Mapping[str, Any] = field(hash=False)
    """Of the first image, as :func:`~.dicom_header.dicom_fields`."""
    places: np.ndarray | None = field(default=None, repr=False, hash=False)
    spacing: tuple[float, float] | None = None
    damaged: int = 0
    """How many more images of the series are there but cannot be read."""

    @property
    def title(self) -> str:
        """Number and description, as the scanner's console lists it."""
        described = text_of(self.fields, "SeriesDescription") or text_of(self.fields, "ProtocolName")
        return f"series {'?' if self.number is None else self.number}" + (f" '{described}'" if described else "")

    @property
    def slices(self) -> int:
        """How many there are."""
        return len(self.files) if self.places is None else len(self.places)

    @property
    def voxel_mm(self) -> float:
        """The largest distance between voxels, or infinity where no volume can be made."""
        return float("inf") if self.flaw or self.spacing is None else max(*self.spacing, self._step)

    @property
    def _step(self) -> float:
        assert self.places is not None
        return float(np.linalg.norm(self.places[-1] - self.places[0]) / (len(self.places) - 1))

    @cached_property
    def flaw(self) -> str | None:
        """Why the images are no volume, or None: damaged, too few, without a place, several at one place, or unevenly spaced."""
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
            raise ImageError(f"{path} holds {len(found)} DICOM series: {_listed(found)}. Give one image of the series that is meant.")
        return read_series(found[0]) if found else read_volume(path)
    if not is_dicom(path):
        return read_volume(path)
    series = next((series for series in series_in(path.parent, path) if path in series.files), None)
    if series is None:
        raise ImageError(f"{path} is a DICOM file, but no image of a series. Give one of the series' images.")
    return read_series(series)


def read_series(series: Series) -> Volume:
    """The volume of a series (rescaled by slope and intercept). Raises ImageError when the images are no volume, or cannot be read."""
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
    return volume_from_image(image, first, name=name)


def series_in(folder: Path, beside: Path | None = None) -> list[Series]:
    """The series whose images lie in a folder (not deeper), by number; only that of the file ``beside`` where it is given.

    Files that are no DICOM images are passed over. Raises ImageError when pydicom is missing or a header is damaged.
    """
    files = [path for path in sorted(folder.iterdir()) if is_dicom(path)]
    if not files:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on values that are against the standard: those count as absent
        return _found(folder, files, beside)


def _found(folder: Path, files: Sequence[Path], beside: Path | None) -> list[Series]:
    found: list[Series] = []
    listed: set[Path] = set()
    for name in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder), True):
        images = [Path(file) for file in sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), name, True)]
        listed.update(images)
        if beside is None or beside in images:
            found += _split(images)
    found = _with_damaged(found, [file for file in files if file not in listed], beside)
    return sorted(found, key=lambda series: (series.number is None, series.number or 0, str(series.files[0])))


def _with_damaged(found: Sequence[Series], passed_over: Sequence[Path], beside: Path | None) -> list[Series]:
    """Series that know of their images that GDCM has passed over without a word; a series of nothing else is one, too."""
    damaged: dict[str, list[Path]] = defaultdict(list)
    for file in passed_over:
        header = _header(file)
        uid = _text(header, "SeriesInstanceUID")
        if not uid and str(header.file_meta.get("MediaStorageSOPClassUID", "")) != _DICOMDIR:
            raise ImageError(f"{file} cannot be read as DICOM (its header ends early). Copy it again, or take it out of the folder.")
        if uid:
            damaged[uid].append(file)
    known = [replace(series, damaged=len(damaged.get(series.uid, ()))) for series in found]
    for uid in {series.uid for series in found}:
        damaged.pop(uid, None)
    others = [files for files in damaged.values() if beside is None or beside in files]
    return [*known, *(replace(series, damaged=len(files)) for files in others for series in _split(files))]


def series_below(folder: Path) -> Iterator[Series]:
    """The series of a folder and of those in it; links to folders are not followed."""
    for place, folders, _files in os.walk(folder):
        folders.sort()
        yield from series_in(Path(place))


def _split(files: Sequence[Path]) -> Iterator[Series]:
    """Series of one kind of image each: one that GDCM tells may hold echoes, or magnitude and phase."""
    kinds: dict[Any, list[tuple[Path, Any]]] = defaultdict(list)
    for file in files:
        header = _header(file)
        kind = tuple(_values(header, "ImageType")[2:])
        kinds[(kind, _text(header, "EchoTime"), _text(header, "EchoNumbers"))].append((file, header))
    for group in kinds.values():
        yield _series([file for file, _ in group], [header for _, header in group])


def _series(files: Sequence[Path], headers: Sequence[Any]) -> Series:
    first = headers[0]
    number = _text(first, "SeriesNumber")
    patient, study, date = (_text(first, name) for name in ("PatientID", "StudyInstanceUID", "StudyDate"))
    geometry = _geometry([frame for header in headers for frame in _frames(header)])
    return Series(
        tuple(files), int(number) if number.lstrip("-").isdigit() else None, (patient, study, date),
        _text(first, "SeriesInstanceUID"), dicom_fields(files[0]), *geometry,
    )  # fmt: skip


def _header(file: Path) -> Any:
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(f"{file} is DICOM, which needs the Python package pydicom. Install physmrisynth[dicom].") from error
    try:
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_TAGS))
    except Exception as error:  # damaged files make pydicom raise of every kind
        raise ImageError(f"{file} cannot be read as DICOM ({error or type(error).__name__}). Copy or export it again.") from error


def _check_complete(file: Path, series: str) -> None:
    """Raise ImageError when a file's voxels end early: GDCM would read on into other memory."""
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


def _frames(header: Any) -> Iterator[tuple[list[float], list[float], list[float]]]:
    """Position, orientation and pixel spacing of an image, or of each frame of an enhanced one; empty where they are not stated."""
    frames = _values(header, "PerFrameFunctionalGroupsSequence")
    if not frames:
        place, turn, spacing = (_numbers(header, name) for name in _PLACE.values())
        yield place, turn, spacing
    shared = _values(header, "SharedFunctionalGroupsSequence")[:1]
    for frame in frames:
        groups = {group: [item for holder in (frame, *shared) for item in _values(holder, group)[:1]] for group in _PLACE}
        place, turn, spacing = (_numbers(groups[group][0], name) if groups[group] else [] for group, name in _PLACE.items())
        yield place, turn, spacing


def _geometry(
    frames: Sequence[tuple[list[float], list[float], list[float]]],
) -> tuple[np.ndarray | None, tuple[float, float] | None]:
    """Places and spacing as :class:`Series` has them."""
    lengths = {(len(place), len(turn), len(spacing)) for place, turn, spacing in frames}
    if lengths != {(3, 6, 2)}:
        return None, None
    places, turns, spacings = (np.array(values) for values in zip(*frames, strict=True))
    if np.ptp(turns, axis=0).max() > 1e-3 or np.ptp(spacings, axis=0).max() > 1e-4:
        return None, None
    return places, (float(spacings[0, 1]), float(spacings[0, 0]))  # DICOM states the distance of rows first


def _numbers(group: Any, name: str) -> list[float]:
    try:
        return [float(value) for value in _values(group, name)]
    except (TypeError, ValueError):
        return []


def _values(group: Any, name: str) -> list[Any]:
    """All values of an attribute, none where it is absent or damaged."""
    try:
        value = group.get(name)
    except Exception:  # pydicom converts on access, and raises of every kind
        return []
    return [] if value is None else list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]


def _text(header: Any, name: str) -> str:
    return "\\".join(map(str, _values(header, name)))


def _listed(found: Sequence[Series]) -> str:
    return ", ".join(series.title for series in found)
