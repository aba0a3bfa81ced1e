"""One DICOM file of a series: its kind, position, scale and completeness, from a single reading of its header."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from ...errors import ImageError
from ...headers.dicom_header import pydicom_for

_KIND = ("SeriesNumber", "SequenceName", "SliceThickness", "Rows", "Columns", "EchoTime", "EchoNumbers")
"""Together with ImageType, equal for all images of one volume."""
_TAGS = (
    *_KIND, "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "StudyDate", "ImageType", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence",
)  # fmt: skip
_PLACE = {
    "PlanePositionSequence": "ImagePositionPatient", "PlaneOrientationSequence": "ImageOrientationPatient",
    "PixelMeasuresSequence": "PixelSpacing",
}  # fmt: skip
"""Attributes of a slice's position, by their functional group in enhanced headers."""
_DICOMDIR = "1.2.840.10008.1.3.10"
"""SOP class of a folder's index (DICOMDIR)."""
_DEFLATED = "1.2.840.10008.1.2.1.99"
"""Transfer syntax of files that are compressed as a whole."""
_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"\xe0\x7f\x10\x00": "little", b"\x7f\xe0\x00\x10": "big"}
"""By the bytes of the pixel data's tag in the file."""
_UNDEFINED = 0xFFFFFFFF
"""Length of compressed pixel data: fragments follow, then an end marker."""
_FRAGMENT, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True)
class DicomImage:
    """A ``file`` of a series ``uid`` with its ``header`` (pydicom, without voxels); ``is_whole``: its pixel data are complete."""

    file: Path
    uid: str
    header: Any
    is_whole: bool

    @property
    def kind(self) -> tuple[Any, ...]:
        """Key that is equal for all images of one volume."""
        return (*(text(self.header, name) for name in _KIND), *_values(self.header, "ImageType")[2:])

    @cached_property
    def frames(self) -> list[tuple[list[float], list[float], list[float]]]:
        """Position, orientation and pixel spacing (mm, LPS) of its slices; empty lists if not stated."""
        return [*_frames(self.header)]

    @property
    def scaling(self) -> list[tuple[float, float]]:
        """Slope and intercept of its slices if the functional groups of an enhanced image state them, else 1 and 0."""
        return [*_scaling(self.header)]


def read_image(file: Path) -> DicomImage | None:
    """A DICOM file of a series; None for the index of a folder.

    Raises ImageError when pydicom is missing or the header is damaged.
    """
    pydicom = pydicom_for(file)
    try:
        with file.open("rb") as opened:
            header = pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=list(_TAGS))
            deflated = str(header.file_meta.get("TransferSyntaxUID", "")) == _DEFLATED
            is_whole = deflated or _is_whole(opened, file.stat().st_size)
    except Exception as error:  # damaged files make pydicom raise of every kind
        raise ImageError(f"{file} cannot be read as DICOM ({error or type(error).__name__}). Copy or export it again.") from error
    uid = text(header, "SeriesInstanceUID")
    if not uid and str(header.file_meta.get("MediaStorageSOPClassUID", "")) != _DICOMDIR:
        raise ImageError(f"{file} cannot be read as DICOM (its header ends early). Copy it again, or take it out of the folder.")
    return DicomImage(file, uid, header, is_whole) if uid else None


def _is_whole(file: BinaryIO, size: int) -> bool:
    """Whether the pixel data, whose element begins at the position of ``file``, exist and end within its ``size``."""
    start, tag, kind = file.tell(), file.read(4), file.read(2)
    if (order := _BYTE_ORDERS.get(tag)) is None:
        return False
    begin = start + (12 if kind in (b"OW", b"OB", b"UN") else 8)  # with implicit types, the length follows the tag
    file.seek(begin - 4)
    length = int.from_bytes(file.read(4), order)
    if length != _UNDEFINED:
        return begin + length <= size
    while (mark := file.read(8))[:4] == _FRAGMENT:
        file.seek(int.from_bytes(mark[4:], "little"), 1)
    return mark[:4] == _END


def in_space(images: Sequence[DicomImage]) -> list[DicomImage]:
    """Images sorted by their first slices along the normal of the first image; unsorted if one states no position."""
    places = [image.frames[0][0] for image in images]
    across = images[0].frames[0][1]
    if len(across) != 6 or any(len(place) != 3 for place in places):
        return list(images)
    normal = np.cross(across[:3], across[3:])
    along = np.array(places) @ normal
    return [images[index] for index in np.argsort(along, kind="stable")]


def _frames(header: Any) -> Iterator[tuple[list[float], list[float], list[float]]]:
    """Position, orientation and pixel spacing of an image, or of each frame of an enhanced one; empty if not stated."""
    frames = _values(header, "PerFrameFunctionalGroupsSequence")
    if not frames:
        place, turn, spacing = (_numbers(header, name) for name in _PLACE.values())
        yield place, turn, spacing
    shared = _values(header, "SharedFunctionalGroupsSequence")[:1]
    for frame in frames:
        groups = {group: [item for holder in (frame, *shared) for item in _values(holder, group)[:1]] for group in _PLACE}
        place, turn, spacing = (_numbers(groups[group][0], name) if groups[group] else [] for group, name in _PLACE.items())
        yield place, turn, spacing


def _scaling(header: Any) -> Iterator[tuple[float, float]]:
    """Slope and intercept of each frame of an enhanced image; 1 and 0 if not stated, and for other images, which GDCM scales."""
    frames = _values(header, "PerFrameFunctionalGroupsSequence")
    shared = _values(header, "SharedFunctionalGroupsSequence")[:1]
    if not frames:
        yield 1.0, 0.0
    for frame in frames:
        items = [item for holder in (frame, *shared) for item in _values(holder, "PixelValueTransformationSequence")[:1]]
        slope, intercept = (_numbers(items[0], name) if items else [] for name in ("RescaleSlope", "RescaleIntercept"))
        yield slope[0] if slope else 1.0, intercept[0] if intercept else 0.0


def geometry(
    frames: Sequence[tuple[list[float], list[float], list[float]]],
) -> tuple[np.ndarray | None, tuple[float, float] | None]:
    """Positions and spacing as in :class:`~.dicom_series.Series`."""
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
    """All values of an attribute; empty if it is absent or damaged."""
    try:
        value = group.get(name)
    except Exception:  # pydicom converts on access, and raises of every kind
        return []
    return [] if value is None else list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]


def text(header: Any, name: str) -> str:
    """The values of an attribute, joined by backslashes; empty if it is absent or damaged."""
    return "\\".join(map(str, _values(header, name)))
