"""Acquisition parameters of a DICOM header, as BIDS-like fields (seconds, degrees, mm, tesla)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import ImageError, Remedy

SECONDS = {"RepetitionTime": "0018,0080", "EchoTime": "0018,0081", "InversionTime": "0018,0082"}
"""Fields in seconds (DICOM: ms) with their tags in a classic header; so are the next two, in the header's own unit."""
NUMBERS = {
    "FlipAngle": "0018,1314",
    "MagneticFieldStrength": "0018,0087",
    "EchoTrainLength": "0018,0091",
    "SliceThickness": "0018,0050",
    "ContrastBolusVolume": "0018,1041",
    "ParallelReductionFactorOutOfPlane": "0018,9155",
}
TEXTS = {
    "ScanningSequence": "0018,0020",
    "SequenceVariant": "0018,0021",
    "ScanOptions": "0018,0022",
    "MRAcquisitionType": "0018,0023",
    "SequenceName": "0018,0024",
    "PulseSequenceName": "0018,9005",
    "ContrastBolusAgent": "0018,0010",
    "ContrastBolusIngredient": "0018,1048",
    "ContrastBolusRoute": "0018,1040",
    "ContrastBolusStartTime": "0018,1042",
    "SeriesDescription": "0008,103e",
    "ProtocolName": "0018,1030",
    "Modality": "0008,0060",
    "Manufacturer": "0008,0070",
    "ManufacturersModelName": "0008,1090",
    "ImageType": "0008,0008",
}
_PRIVATE_NAMES = {"GE": ("0019,109c", "0019,109e"), "PHILIPS": ("2001,1020",)}
"""Private attributes with the name of the sequence, for which classic headers have no attribute."""
SOP_CLASS = "0008,0016"
ENHANCED = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.4.4")
"""Enhanced MR, Enhanced MR Color and Legacy Converted Enhanced MR: their parameters are nested in functional groups."""
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_NESTED = {
    "RepetitionTime": ("RepetitionTime",),
    "EchoTime": ("EffectiveEchoTime", "EchoTime"),
    "InversionTime": ("InversionTimes", "InversionTime"),
    "FlipAngle": ("FlipAngle",),
    "EchoTrainLength": ("EchoTrainLength", "RFEchoTrainLength"),
    "SliceThickness": ("SliceThickness",),
    "PhaseEncodingStepsOutOfPlane": ("MRAcquisitionPhaseEncodingStepsOutOfPlane",),
    "ParallelReductionFactorOutOfPlane": ("ParallelReductionFactorOutOfPlane",),
}
"""Attributes in the functional groups of an enhanced header; the first one present is used."""
_ECHO_SEQUENCE = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": "SE\\GR"}


def dicom_fields(source: Any) -> dict[str, Any]:
    """The BIDS-like fields of a DICOM file (a path) or of a pydicom dataset, classic or enhanced multi-frame.

    Several values of a text are joined by backslashes, ImageType is a list. Missing fields, and non-numbers where a number belongs,
    are left out. Raises ImageError when the file cannot be read as DICOM, or pydicom is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on non-standard values: those are left out or taken as text
        header = _read(Path(source)) if isinstance(source, (str, Path)) else source
        if _text(_element(header, SOP_CLASS)) in ENHANCED:
            return _enhanced_fields(header)
        return classic_fields(lambda tag: _text(_element(header, tag)))


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, by the prefix DICM, or by the file's suffix without it."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".ima")
    except OSError:
        return False


def classic_fields(value: Callable[[str], str]) -> dict[str, Any]:
    """The fields of a single-frame header, whose ``value`` of a tag such as "0018,0080" is text, empty if absent."""
    texts = {name: text for name, tag in TEXTS.items() if (text := value(tag))}
    vendor = texts.get("Manufacturer", "").upper()
    private = [value(tag) for name, tags in _PRIVATE_NAMES.items() if vendor.startswith(name) for tag in tags]
    if "PulseSequenceName" not in texts and any(private):
        texts["PulseSequenceName"] = next(text for text in private if text)
    numbers = {name: _number(value(tag)) for name, tag in NUMBERS.items()}
    return _fields(texts, {**numbers, **{name: _seconds(value(tag)) for name, tag in SECONDS.items()}})


def pydicom_for(path: Path) -> Any:
    """The package that reads a DICOM file. Raises ImageError when it is missing."""
    try:
        import pydicom
    except ImportError as error:
        raise ImageError(
            f"{path} is DICOM, which needs the Python package pydicom.", Remedy.INSTALL(packages="pydicom", extra="dicom")
        ) from error
    return pydicom


def _read(path: Path) -> Any:
    pydicom = pydicom_for(path)
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        cause = None if "SOPClassUID" in header else "it states no SOP class"
    except Exception as error:  # damaged files make pydicom raise anything
        cause = str(error) or type(error).__name__
    if cause:
        raise ImageError(f"{path} cannot be read as DICOM ({cause}). Copy or export it again.")
    return header


def _enhanced_fields(header: Any) -> dict[str, Any]:
    """As :func:`classic_fields`, from the first frame's own groups, else from those of all frames."""
    groups = [item for name in _GROUPS for item in _items(header, name)[:1]]

    def nested(*keywords: str) -> Any:
        found = (_element(item, keyword) for keyword in keywords for group in groups for item in _nested_items(group))
        return next((value for value in found if value is not None), None)

    numbers: dict[str, float | None] = {}
    for name, keywords in _NESTED.items():
        value = nested(*keywords)
        value = value[0] if isinstance(value, (list, tuple)) or _is_multiple(value) else value
        numbers[name] = _seconds(value) if name in SECONDS else _number(value)
    numbers["MagneticFieldStrength"] = _number(_element(header, NUMBERS["MagneticFieldStrength"]))
    texts = {name: _text(_element(header, tag)) for name, tag in TEXTS.items()}
    echoes = _ECHO_SEQUENCE.get(_text(_element(header, "EchoPulseSequence")).upper(), "")
    inverted = "IR" if _text(nested("InversionRecovery")).upper() == "YES" else ""
    stated = "\\".join(part for part in (echoes, inverted) if part) or _text(nested("ScanningSequence"))
    agents = [
        _text(_element(item, "ContrastBolusAgent")) or _text(_element(item, "CodeMeaning")) or "contrast agent"  # its presence counts
        for item in _items(header, "ContrastBolusAgentSequence")
    ]
    agent = ", ".join(agents) or texts["ContrastBolusAgent"]
    return _fields({**texts, "ScanningSequence": stated, "ContrastBolusAgent": agent}, numbers)


def _fields(texts: Mapping[str, str], numbers: Mapping[str, float | None]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: text for name, text in texts.items() if text}
    if "ImageType" in fields:
        fields["ImageType"] = fields["ImageType"].split("\\")
    return {**fields, **{name: number for name, number in numbers.items() if number is not None}}


def _element(dataset: Any, key: str) -> Any:
    """The value of a tag ("0018,0080") or keyword; None if it is absent, empty or damaged."""
    try:
        element = dataset.get(tuple(int(part, 16) for part in key.split(",")) if "," in key else key)
        value = getattr(element, "value", element)
    except Exception:  # pydicom converts on access, and may raise anything
        return None
    return None if value is None or value == "" else value


def _items(dataset: Any, key: str) -> list[Any]:
    """The items of a sequence; none where the element is something else."""
    value = _element(dataset, key)
    return [item for item in value if hasattr(item, "keys")] if _is_multiple(value) else []


def _nested_items(group: Any) -> Iterator[Any]:
    """The first item of each sequence in a group."""
    for tag in list(group.keys()):
        yield from _items(group, f"{tag.group:04x},{tag.element:04x}")[:1]


def _is_multiple(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes)) and len(value) > 0


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").rstrip("\0 ")
    several = _is_multiple(value)
    return "\\".join(str(part) for part in value).strip() if several else str(value if value is not None else "").strip()


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _seconds(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else number / 1000.0
