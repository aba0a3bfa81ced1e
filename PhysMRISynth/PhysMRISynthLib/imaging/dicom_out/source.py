"""Reading the headers of a source's DICOM images, and distinguishing damaged files from non-images."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ImageError, Remedy

if TYPE_CHECKING:
    from pydicom import Dataset

_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Rows", "Columns")
_NEEDED_CLASSIC = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_EMPTY_IF_UNKNOWN = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber")
_SEXES = ("M", "F", "O")
_ROUNDING = 1e-2
"""Largest cosine between a row and a column, since some headers round them coarsely."""
_THICKEST_MM = 100.0
_UNKNOWN_THICKNESS_MM = 1.0
_FRAMES = "PerFrameFunctionalGroupsSequence"
_REMEDIES = (Remedy.DO(this="copy the series again"), Remedy.LEAVE_SOURCE_OUT)
_DAMAGE = (EOFError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OverflowError, struct.error)
"""Exceptions of pydicom, besides InvalidDicomError, for damaged bytes, some only when a value is accessed."""

Geometry = tuple[np.ndarray, np.ndarray, np.ndarray, float]
"""Position, orientation, pixel spacing and slice thickness (mm)."""


def image_headers(folder: Path) -> list[Dataset]:
    """Headers of the DICOM images with a position in the patient in a folder and its subfolders, sorted by name, each image once.

    Raises ImageError when there are none, and for a damaged one or one without identity or position.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder. Give the folder with the source's DICOM files.")
    read = (_header(path) for path in sorted(folder.rglob("*")) if path.is_file())
    headers = list({str(header.SOPInstanceUID): header for header in read if header is not None}.values())
    if not headers:
        raise ImageError(f"{folder} holds no DICOM images with a position in the patient. Give the folder of the source series.")
    return headers


def _header(file: Path) -> Dataset | None:
    """The header of an image with a position in the patient; None for other files and other kinds of DICOM objects."""
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.uid import MediaStorageDirectoryStorage

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # many harmless deviations
            header = pydicom.dcmread(file, stop_before_pixels=True)
            placed = "ImagePositionPatient" in header or _FRAMES in header
            index = header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
            if not placed and not index and not header.get("SeriesInstanceUID"):
                raise EOFError("its header ends early")
            missing = [name for name in (*_NEEDED, *(() if _FRAMES in header else _NEEDED_CLASSIC)) if header.get(name) in (None, "", [])]
            if placed and not missing:
                geometries(header)
                _complete(header)
    except InvalidDicomError:
        return None
    except _DAMAGE as error:
        raise ImageError(f"{file} is a damaged DICOM file ({str(error) or type(error).__name__}).", *_REMEDIES) from error
    if placed and missing:
        raise ImageError(f"{file} has no {', '.join(missing)}.", Remedy.DO(this="give complete DICOM files"), Remedy.LEAVE_SOURCE_OUT)
    return header if placed else None


def _complete(header: Dataset) -> None:
    """Leave removed or invalid attributes empty; nothing is made up. Raises ValueError for an unknown character
    set."""
    from pydicom.charset import python_encoding
    from pydicom.valuerep import DA, TM

    kinds = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
    for name in _EMPTY_IF_UNKNOWN:
        value = str(header.get(name) or "")
        try:
            kinds.get(name, str)(value)
        except ValueError:
            value = ""
        setattr(header, name, "" if name == "PatientSex" and value not in _SEXES else value)
    if not header.get("SliceThickness"):
        header.SliceThickness = _UNKNOWN_THICKNESS_MM
    named = header.get("SpecificCharacterSet") or []
    unknown = {name for name in ([named] if isinstance(named, str) else named) if name not in python_encoding}
    if unknown:
        raise ValueError(f"unknown character set {', '.join(sorted(unknown))}")


def geometries(image: Dataset) -> list[Geometry]:
    """The geometry of every frame of a classic or a multi-frame image. Raises an exception of :data:`_DAMAGE` when it has none."""
    if _FRAMES not in image:
        frames = [(image, image, image)]
    else:
        shared = image.SharedFunctionalGroupsSequence[0]
        names = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
        frames = [tuple((own if name in own else shared)[name].value[0] for name in names) for own in image[_FRAMES].value]
    return [_geometry(*frame) for frame in frames]


def _geometry(place: Dataset, turn: Dataset, size: Dataset) -> Geometry:
    position = np.array(place.ImagePositionPatient, dtype=float)
    orientation = np.array(turn.ImageOrientationPatient, dtype=float)
    spacing = np.array(size.PixelSpacing, dtype=float)
    thickness = float(size.get("SliceThickness") or _UNKNOWN_THICKNESS_MM)
    if (position.size, orientation.size, spacing.size) != (3, 6, 2):
        raise ValueError("its position, orientation or spacing is incomplete")
    axes = orientation.reshape(2, 3)
    possible = spacing.min() > 0 and 0 < thickness < _THICKEST_MM and np.abs(axes @ axes.T - np.eye(2)).max() < _ROUNDING
    if not (possible and np.isfinite(position).all()):
        raise ValueError("its position, orientation or spacing is invalid")
    return position, orientation, spacing, thickness
