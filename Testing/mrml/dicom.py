"""A stand-in for Slicer's DICOM database that pydicom feeds, and headers to put into it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"


class Database:
    """``instanceValue`` and ``fileForInstance`` as Slicer's: values as text, several ones joined by backslashes, "" where there is none."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._headers = {}
        for file in files:
            header = pydicom.dcmread(file, stop_before_pixels=True)
            self._headers[str(header.SOPInstanceUID)] = (header, file)

    @property
    def uids(self) -> str:
        """As in the attribute DICOM.instanceUIDs."""
        return " ".join(self._headers)

    def fileForInstance(self, uid: str) -> str:
        return str(self._headers[uid][1]) if uid in self._headers else ""

    def instanceValue(self, uid: str, tag: str) -> str:
        if uid not in self._headers:
            return ""
        element = self._headers[uid][0].get(tuple(int(part, 16) for part in tag.split(",")))
        if element is None or element.value is None or element.VR == "SQ":  # the database does not look into sequences
            return ""
        several = isinstance(element.value, pydicom.multival.MultiValue)
        return "\\".join(str(value) for value in element.value) if several else str(element.value)


def classic(**values: Any) -> Dataset:
    """A single-frame MR header."""
    return _header(MR, values)


def enhanced(shared: dict[str, dict[str, Any]], frame: dict[str, dict[str, Any]], **values: Any) -> Dataset:
    """An enhanced MR header with one item in each of the named sequences of the groups of all frames and of the first frame."""
    header = _header(ENHANCED_MR, values)
    header.SharedFunctionalGroupsSequence = [_group(shared)]
    header.PerFrameFunctionalGroupsSequence = [_group(frame), _group({})]
    return header


def _group(sequences: dict[str, dict[str, Any]]) -> Dataset:
    group = Dataset()
    for name, values in sequences.items():
        item = Dataset()
        for key, value in values.items():
            setattr(item, key, value)
        setattr(group, name, [item])
    return group


def _header(kind: str, values: dict[str, Any]) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = kind, generate_uid(), "MR"
    for name, value in values.items():
        setattr(header, name, value)
    return header


def database(folder: Path, *headers: Dataset) -> Database:
    """The headers as files of a folder, in a database."""
    files = []
    for index, header in enumerate(headers):
        files.append(folder / f"{index}.dcm")
        header.save_as(files[-1], enforce_file_format=True)
    return Database(files)
