"""Identity of the results: patient, study and frame of reference, copied from a source's DICOM files or anonymous."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import SimpleITK as sitk

from ...errors import ImageError, Remedy
from ..tissue_maps import TissueMaps
from .source import image_headers
from .source_series import SourceSeries, possible_sources

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
_AGE = re.compile(r"\d{3}[DWMY]")
"""An age with its unit; one without is left out."""


@dataclass(frozen=True)
class Identity:
    """``attributes`` shared by all results of one export, the possible source series (``sources``; none if these were not
    DICOM) and the first free ``series_number``."""

    attributes: Dataset
    sources: tuple[SourceSeries, ...] = ()
    series_number: int = _FIRST_SERIES_NUMBER

    @property
    def images(self) -> tuple[Dataset, ...]:
        """Headers of the images that results name as their source; none if several series are possible."""
        return self.sources[0].referenced if len(self.sources) == 1 else ()


def anonymous_identity() -> Identity:
    """A patient named Anonymous with an ID of this software, a new study and a new frame of reference."""
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


def source_identity(folder: Path, grid: sitk.Image) -> Identity:
    """The identity of the DICOM images in a folder and its subfolders, for maps on ``grid``.

    Raises ImageError when there are none, when one is damaged, when they belong to several patients or studies, or when the frame of
    reference is ambiguous.
    """
    from pydicom import Dataset
    from pydicom.uid import UID

    headers = image_headers(Path(folder))
    for name in (*_PATIENT, "StudyInstanceUID"):
        found = {str(header.get(name, "")) for header in headers}
        if len(found) > 1:
            raise ImageError(f"{folder} holds images that differ in {name}. Give a folder with one study of one patient.")
    sources = possible_sources(headers, grid)
    if len({series.frame_of_reference for series in sources}) > 1:
        raise ImageError(
            f"{folder} holds series in different frames of reference, none of them on the maps' grid. Give only the series they came from."
        )
    first = sources[0].images[0]
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        if name not in first or (name.endswith("UID") and not UID(str(first[name].value)).is_valid):
            raise ImageError(
                f"{folder}: the images have no valid {name}.", Remedy.DO(this="give complete DICOM files"), Remedy.LEAVE_SOURCE_OUT
            )
    attributes = Dataset()
    for name in _EMPTY:
        setattr(attributes, name, "")
    for name in _COPIED:
        if name in first and (name != "PatientAge" or _AGE.fullmatch(str(first.PatientAge))):
            attributes[name] = first[name]
    numbers = [int(header.get("SeriesNumber") or 0) for header in headers]
    highest = max(number for number in (0, *numbers) if number <= _LAST_SERIES_NUMBER)
    return Identity(attributes, sources, max(_FIRST_SERIES_NUMBER, highest + 1))


def share_within(identity: Identity, maps: TissueMaps) -> float:
    """The share of the head's voxels between the first and last corner of the source's images (1 if there are none); the largest share
    if several series are possible.

    Raises ImageError when it is 0.
    """
    share = max((series.share_of(maps) for series in identity.sources), default=1.0)
    if not share:
        raise ImageError(
            "The maps lie outside the source's images, so its frame of reference is not theirs. Give the DICOM series they came from."
        )
    return share
