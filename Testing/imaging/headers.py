"""Synthetic headers of the vendors' sequences, as sidecars and as DICOM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from PhysMRISynthLib.headers.dicom_header import NUMBERS, SECONDS, TEXTS
from Testing.mrml.dicom import classic, enhanced

TABLE: list[dict[str, Any]] = json.loads((Path(__file__).parent / "headers.json").read_text(encoding="utf-8"))
"""Each row: ``fields`` of a sidecar (seconds), the ``role`` it is given for, and what is expected of it."""
_KEYWORDS = {"ManufacturersModelName": "ManufacturerModelName"}


def in_dicom(fields: dict[str, Any]) -> bool:
    """Whether a classic header has an attribute for every field that matters."""
    return not fields.keys() & {"RepetitionTimePreparation", "RepetitionTimeExcitation", "NumberShots", "PulseSequenceDetails"}


def as_classic(fields: dict[str, Any]) -> Dataset:
    """A single-frame header that states the same (ms)."""
    values = {name: value for name, value in fields.items() if name in {**SECONDS, **NUMBERS, **TEXTS}}
    for name in SECONDS.keys() & values.keys():
        values[name] = round(1000.0 * values[name], 6)
    for name, value in values.items():
        if isinstance(value, str) and name in ("ScanningSequence", "SequenceVariant", "ScanOptions"):
            values[name] = value.replace("_GEMS", "-GEMS").replace("_", "\\").replace("-GEMS", "_GEMS").split("\\")
    return classic(**{_KEYWORDS.get(name, name): value for name, value in values.items()})


def as_enhanced(fields: dict[str, Any]) -> Dataset:
    """A multi-frame header that states the same in its functional groups."""
    codes = fields.get("ScanningSequence", "")
    timing = {"RepetitionTime": 1000.0 * fields["RepetitionTime"], "FlipAngle": float(fields.get("FlipAngle", 90))}
    modifier = {"InversionRecovery": "YES" if "IR" in codes else "NO"}
    if "InversionTime" in fields:
        modifier["InversionTimes"] = [1000.0 * fields["InversionTime"]]
    train = {"EchoTrainLength": fields["EchoTrainLength"]} if "EchoTrainLength" in fields else {}
    shared = {"MRTimingAndRelatedParametersSequence": {**timing, **train}, "MRModifierSequence": modifier}
    top = {
        name: fields[name] for name in ("Manufacturer", "MagneticFieldStrength", "MRAcquisitionType", "SeriesDescription") if name in fields
    }
    header = enhanced(
        shared,
        {"MREchoSequence": {"EffectiveEchoTime": 1000.0 * fields["EchoTime"]}},
        EchoPulseSequence="GRADIENT" if "GR" in codes else "SPIN",
        **top,
    )
    name = fields.get("PulseSequenceName") or fields.get("SequenceName")
    if name:
        header.PulseSequenceName = name
    return header
