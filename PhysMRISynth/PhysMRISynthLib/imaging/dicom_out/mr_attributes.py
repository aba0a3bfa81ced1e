"""A protocol as attributes of DICOM's MR Image module (ms, degrees)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...physics.protocol import Protocol


@dataclass(frozen=True)
class _Family:
    """A sequence family in DICOM terms."""

    scanning: tuple[str, ...]
    variant: tuple[str, ...]
    acquisition: str


_GRADIENT_INVERSION = _Family(("GR", "IR"), ("SK", "SP", "MP"), "3D")
_SPIN_INVERSION = _Family(("SE", "IR"), ("MP",), "2D")
_RESEARCH = _Family(("RM",), ("NONE",), "3D")
"""Of an equation of the user's own: DICOM's research mode."""
_DICOM_TERMS = {
    "mprage": _GRADIENT_INVERSION,
    "mprage_simple": _GRADIENT_INVERSION,
    "mp2rage": _GRADIENT_INVERSION,
    "mp2rage_inv1": _GRADIENT_INVERSION,
    "mp2rage_inv2": _GRADIENT_INVERSION,
    "se": _Family(("SE",), ("NONE",), "2D"),
    "tse": _Family(("SE",), ("NONE",), "2D"),
    "tse_rf": _Family(("SE",), ("NONE",), "2D"),
    "space": _Family(("SE",), ("NONE",), "3D"),
    "space_flair": _Family(("SE", "IR"), ("MP",), "3D"),
    "ir": _SPIN_INVERSION,
    "flair": _SPIN_INVERSION,
    "stir": _SPIN_INVERSION,
    "psir": _SPIN_INVERSION,
    "dir": _SPIN_INVERSION,
    "spgr": _Family(("GR",), ("SP",), "3D"),
    "bssfp": _Family(("GR",), ("SS",), "3D"),
}


def mr_attributes(protocol: Protocol) -> dict[str, Any]:
    """Keyword and value of the MR Image module's attributes.

    Attributes that the protocol does not determine are empty: the number of echoes if only the train's length is known, and the inversion
    time and flip angle of sequences with two of them, which the derivation description names.
    """
    family = _DICOM_TERMS.get(protocol.sequence.name, _RESEARCH)
    values = protocol.values
    train = "SE" in family.scanning and (values.get("L", 0.0) > 0 or "ETL" in values)
    variant = family.variant
    if train:
        variant = ("SK", *(name for name in variant if name != "NONE"))
    attributes: dict[str, Any] = {
        "ScanningSequence": list(family.scanning),
        "SequenceVariant": list(variant),
        "ScanOptions": "",
        "MRAcquisitionType": family.acquisition,
        "RepetitionTime": values.get("TR"),
        "EchoTime": values.get("TE"),
        "EchoTrainLength": round(values["ETL"]) if "ETL" in values else None if train else 1,
        "SequenceName": protocol.sequence.name,
    }
    if "IR" in family.scanning or "TI" in values:
        attributes["InversionTime"] = values.get("TI")
    if "FA" in values:
        attributes["FlipAngle"] = values["FA"]
    return attributes
