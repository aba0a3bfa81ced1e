"""Whose the results are: patient, study and frame of reference, copied from a source's DICOM files or made anonymous."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import ImageError
from ..tissue_maps import TissueMaps
from .source import geometries, image_headers

if TYPE_CHECKING:
    from pydicom import Dataset

_PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
_COPIED = (
    "SpecificCharacterSet", *_PATIENT, "PatientAge", "PatientSize", "PatientWeight", "PatientIdentityRemoved", "DeidentificationMethod",
    "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
    "FrameOfReferenceUID", "PositionReferenceIndicator", "PatientPosition", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)  # fmt: skip
"""Attributes that are copied, and no others: neither private ones, nor the scanner's, nor overlays."""
_EMPTY = (
    "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    "PositionReferenceIndicator", "PatientPosition",
)  # fmt: skip
_FIRST_SERIES_NUMBER, _LAST_SERIES_NUMBER = 9001, 2_000_000_000
_PROBES = 4096
_AGE = re.compile(r"\d{3}[DWMY]")
"""An age that says its unit; one that does not is left out."""


@dataclass(frozen=True)
class Identity:
    """``attributes`` that every result of one export shares, the ``images`` it came from (headers of one series; none where the source
    was not DICOM) and the first free ``series_number``."""

    attributes: Dataset
    images: tuple[Dataset, ...] = ()
    series_number: int = _FIRST_SERIES_NUMBER


def anonymous_identity() -> Identity:
    """A patient named Anonymous with an ID that says where it comes from, a new study and a new frame of reference."""
    from pydicom import Dataset
    from pydicom.uid import generate_uid

    attributes = Dataset()
    for name in _EMPTY:
        setattr(attributes, name, "")
    attributes.StudyInstanceUID = generate_uid(prefix=None)
    attributes.FrameOfReferenceUID = generate_uid(prefix=None)
    attributes.PatientName = "Anonymous"
    attributes.PatientID = f"PHYSMRISYNTH-{str(attributes.StudyInstanceUID)[-12:]}"
    return Identity(attributes)


def source_identity(folder: Path) -> Identity:
    """The identity of the DICOM images in a folder and its subfolders.

    Raises ImageError when there are none, when one is damaged, or when they belong to several patients, studies or frames of reference.
    """
    from pydicom import Dataset
    from pydicom.uid import UID

    headers = image_headers(Path(folder))
    for name in (*_PATIENT, "StudyInstanceUID", "FrameOfReferenceUID"):
        found = {str(header.get(name, "")) for header in headers}
        if len(found) > 1:
            raise ImageError(f"{folder} holds images that differ in {name}. Give a folder with one study of one patient.")
    first = headers[0]
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        if name not in first or (name.endswith("UID") and not UID(str(first[name].value)).is_valid):
            raise ImageError(f"{folder}: the images have no valid {name}. Give complete DICOM files, or leave --source out.")
    attributes = Dataset()
    for name in _EMPTY:
        setattr(attributes, name, "")
    for name in _COPIED:
        if name in first and (name != "PatientAge" or _AGE.fullmatch(str(first.PatientAge))):
            attributes[name] = first[name]
    numbers = [int(header.get("SeriesNumber") or 0) for header in headers]
    highest = max(number for number in (0, *numbers) if number <= _LAST_SERIES_NUMBER)
    return Identity(attributes, _largest_series(headers), max(_FIRST_SERIES_NUMBER, highest + 1))


def _largest_series(headers: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The images of the series with most slices: of one size, as one series must be to be referenced as a whole."""
    series = defaultdict(list)
    for header in headers:
        series[str(header.SeriesInstanceUID), header.Rows, header.Columns].append(header)
    largest = max(series.values(), key=lambda images: (len(images), int(images[0].get("NumberOfFrames") or 1)))
    return tuple(largest[:1] if "PerFrameFunctionalGroupsSequence" in largest[0] else largest)


def share_within(identity: Identity, maps: TissueMaps) -> float:
    """The share of the head's voxels that lies between the first and last corner of the source's images (1 where there are none).

    Raises ImageError when that is none.
    """
    if not identity.images:
        return 1.0
    box, axes = _extent(identity.images)
    index = np.argwhere(maps.mask)[:, ::-1]
    index = index[:: max(1, len(index) // _PROBES)]
    grid = maps.grid
    to_mm = np.reshape(grid.GetDirection(), (3, 3)) * np.array(grid.GetSpacing())
    places = (index @ to_mm.T + np.array(grid.GetOrigin())) @ axes
    share = float(np.all((places >= box[0]) & (places <= box[1]), axis=1).mean())
    if not share:
        raise ImageError(
            "The maps lie outside the source's images, so its frame of reference is not theirs. Give the DICOM series they came from."
        )
    return share


def _extent(images: Sequence[Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest coordinate of the images along their own axes (the columns of the second array), with half a voxel's margin."""
    corners: list[np.ndarray] = []
    axes = np.eye(3)
    for image in images:
        for position, orientation, spacing, thickness in geometries(image):
            x, y = orientation[:3], orientation[3:]
            axes = np.stack([x, y, np.cross(x, y)], axis=1) if not corners else axes
            across = np.array([0.0, image.Columns * spacing[1]])
            down = np.array([0.0, image.Rows * spacing[0]])
            start = position - 0.5 * (x * spacing[1] + y * spacing[0])
            for depth in (-0.5 * thickness, 0.5 * thickness):
                corners += [start + x * a + y * d + np.cross(x, y) * depth for a in across for d in down]
    along = np.array(corners) @ axes
    return np.stack([along.min(axis=0), along.max(axis=0)]), axes
