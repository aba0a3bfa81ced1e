"""What the DICOM headers of a volume node say about its acquisition, as BIDS-like fields (seconds)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import slicer

_log = logging.getLogger(__name__)
_SECONDS = {"RepetitionTime": "0018,0080", "EchoTime": "0018,0081", "InversionTime": "0018,0082"}
_NUMBERS = {"FlipAngle": "0018,1314", "MagneticFieldStrength": "0018,0087", "EchoTrainLength": "0018,0091"}
_TEXTS = {
    "ScanningSequence": "0018,0020",
    "SequenceVariant": "0018,0021",
    "SequenceName": "0018,0024",
    "MRAcquisitionType": "0018,0023",
    "ContrastBolusAgent": "0018,0010",
    "SeriesDescription": "0008,103e",
    "ProtocolName": "0018,1030",
}
_SOP_CLASS = "0008,0016"
_ENHANCED = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.4.4")
"""Enhanced MR, Enhanced MR Color and Legacy Converted Enhanced MR: their parameters are nested in functional groups."""
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_TIMING = ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle")
_ECHO_SEQUENCE = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": "SE\\GR"}
_NO_AGENT = {"", "no", "none", "n", "n/a", "na", "nil", "0", "false", "without", "ohne", "no contrast"}


def dicomFields(node: Any) -> dict[str, Any] | None:
    """The BIDS-like fields of the first instance of a node that was loaded from DICOM; None for other nodes.

    Values that the header lacks, or that are not numbers, are left out.
    """
    database = getattr(slicer, "dicomDatabase", None)
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not uids:
        return None
    uid = uids[0]

    def value(tag: str) -> str:
        return str(database.instanceValue(uid, tag) or "").strip()

    if value(_SOP_CLASS) in _ENHANCED:
        return _enhancedFields(database.fileForInstance(uid)) or _classicFields(value)
    return _classicFields(value)


def hasTiming(fields: Mapping[str, Any] | None) -> bool:
    """Whether any of TR, TE, TI and flip angle is stated."""
    return any((fields or {}).get(name) is not None for name in _TIMING)


def contrastAgent(fields: Mapping[str, Any] | None) -> str | None:
    """The contrast agent that the header names, or None."""
    stated = [str((fields or {}).get(name) or "").strip() for name in ("ContrastBolusAgent", "ContrastBolusIngredient")]
    return next((agent for agent in stated if agent.lower() not in _NO_AGENT), None)


def _classicFields(value: Callable[[str], str]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: text for name, tag in _TEXTS.items() if (text := value(tag))}
    numbers = {**{name: _number(value(tag)) for name, tag in _NUMBERS.items()}, **{n: _seconds(value(t)) for n, t in _SECONDS.items()}}
    return {**fields, **_known(numbers)}


def _enhancedFields(path: str) -> dict[str, Any] | None:
    """The same from the functional groups of an enhanced multi-frame file; None where the file cannot be read."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except (OSError, InvalidDicomError, TypeError) as error:
        _log.warning("The DICOM file %s cannot be read (%s): its protocol stays unknown.", path, error)
        return None
    groups = [item for name in _GROUPS for item in (header.get(name) or [])[:1]]

    def nested(sequence: str, name: str) -> Any:
        """The value in the first frame's own group, else in that of all frames."""
        found = [item.get(name) for group in groups for item in (group.get(sequence) or [])[:1]]
        return next((value for value in found if value is not None), None)

    timing, modifier = "MRTimingAndRelatedParametersSequence", "MRModifierSequence"
    inversion = nested(modifier, "InversionTimes")
    numbers = {
        "RepetitionTime": _seconds(nested(timing, "RepetitionTime")),
        "EchoTime": _seconds(nested("MREchoSequence", "EffectiveEchoTime")),
        "InversionTime": _seconds(inversion[0] if isinstance(inversion, (list, tuple)) and inversion else inversion),
        "FlipAngle": _number(nested(timing, "FlipAngle")),
        "EchoTrainLength": _number(nested(timing, "EchoTrainLength") or nested(timing, "RFEchoTrainLength")),
        "MagneticFieldStrength": _number(header.get("MagneticFieldStrength")),
    }
    return {**_known(numbers), **_enhancedTexts(header, nested(modifier, "InversionRecovery") == "YES")}


def _enhancedTexts(header: Any, inverted: bool) -> dict[str, Any]:
    sequence = _ECHO_SEQUENCE.get(str(header.get("EchoPulseSequence", "")).upper(), "")
    agents = [item.get("ContrastBolusAgent") or _meaning(item) for item in header.get("ContrastBolusAgentSequence") or []]
    texts = {
        "ScanningSequence": "\\".join(part for part in (sequence, "IR" if inverted else "") if part),
        "SequenceName": header.get("PulseSequenceName"),
        "MRAcquisitionType": header.get("MRAcquisitionType"),
        "ContrastBolusAgent": ", ".join(str(agent) for agent in agents if agent),
        "SeriesDescription": header.get("SeriesDescription"),
        "ProtocolName": header.get("ProtocolName"),
    }
    return {name: str(text) for name, text in texts.items() if text}


def _meaning(item: Any) -> str:
    """What a coded agent means; its presence counts even where nothing names it."""
    return str(item.get("CodeMeaning") or "contrast agent")


def _known(numbers: Mapping[str, float | None]) -> dict[str, float]:
    return {name: number for name, number in numbers.items() if number is not None}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _seconds(value: Any) -> float | None:
    number = _number(value)
    return None if number is None else number / 1000.0
