"""Measurements of regions as a DICOM Structured Report: template TID 1500 of PS3.16, a group of measurements (TID 1501) for each region.

Published ranges are omitted: a reader could mistake them for a normal range of patients.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from .common import MANUFACTURER, NOT_FOR_DIAGNOSIS

if TYPE_CHECKING:
    from pydicom import Dataset

_QUANTITIES = {
    "PD": ("ProtonDensity", "PD", "%", "Percent"), "T1": ("T1", "T1", "ms", "millisecond"), "T2": ("T2", "T2", "ms", "millisecond"),
    "R1": ("R1", "T1", "/s", "per second"), "R2": ("R2", "T2", "/s", "per second"),
}  # fmt: skip
"""For each quantity: the keyword of its DICOM code, its map, and its UCUM unit with its meaning."""
QUANTITY_CODES = frozenset(_QUANTITIES)
"""The quantities that a report supports."""
_OWN_SCHEME = "99PHYSMRI"
"""Coding scheme of regions without a standard code; private schemes begin with 99."""
_LONGEST_MEANING = 64
_UNICODE = "ISO_IR 192"
_PROCEDURE = ("24590-2", "LN", "MR Brain")


@dataclass(frozen=True)
class Value:
    """Mean of a ``quantity`` over a region with the SD of that mean (None: unknown), and its median; in %, ms or 1/s."""

    quantity: str
    mean: float
    mean_sd: float | None
    median: float


@dataclass(frozen=True)
class Finding:
    """A region: its ``label`` and ``name``, its SNOMED CT ``code`` (code, meaning) or None, and its ``values``."""

    label: int
    name: str
    code: tuple[str, str] | None
    volume_ml: float
    values: tuple[Value, ...]


def write_measurement_report(findings: Sequence[Finding], maps: Mapping[str, Path], number: int, path: Path) -> None:
    """Write the ``findings`` as series ``number``. ``maps`` are the written Parametric Maps of PD, T1 and T2: the report refers to them and
    shares their patient and study. It is marked unverified and preliminary."""
    from highdicom.sr import EnhancedSR
    from pydicom import dcmread
    from pydicom.uid import generate_uid

    sources = {name: dcmread(file, stop_before_pixels=True) for name, file in maps.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The string .* is unlikely to represent")  # a name is copied as it is
        report = EnhancedSR(
            evidence=list(sources.values()),
            content=_content(findings, sources),
            series_instance_uid=generate_uid(prefix=None),
            series_number=number,
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
        )
    report.SpecificCharacterSet = _UNICODE  # regions may have names in any language
    report.ManufacturerModelName = MANUFACTURER
    report.SoftwareVersions = __version__
    report.SeriesDescription = f"ESTIMATED values of regions - {NOT_FOR_DIAGNOSIS}"
    report.save_as(path, enforce_file_format=True)


def _content(findings: Sequence[Finding], sources: Mapping[str, Dataset]) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code
    from pydicom.uid import generate_uid

    device = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(prefix=None), name=MANUFACTURER, manufacturer_name=MANUFACTURER, model_name=MANUFACTURER
    )
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=ObserverContext(codes.DCM.Device, device)),
        procedure_reported=Code(*_PROCEDURE),
        imaging_measurements=[_group(finding, sources) for finding in findings],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _group(finding: Finding, sources: Mapping[str, Dataset]) -> Any:
    """The measurements of one region."""
    from highdicom.sr import (
        AlgorithmIdentification,
        CodedConcept,
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    meaning = finding.name[:_LONGEST_MEANING]
    code = (finding.code[0], "SCT", finding.code[1]) if finding.code else (f"REGION-{finding.label}", _OWN_SCHEME, meaning)
    volume = Measurement(codes.SCT.Volume, finding.volume_ml, CodedConcept("mL", "UCUM", "milliliter"))
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(generate_uid(prefix=None), meaning),
        finding_type=CodedConcept(*code),
        algorithm_id=AlgorithmIdentification(MANUFACTURER, __version__),
        measurements=[volume, *(measured for value in finding.values for measured in _measurements(value, sources))],
        source_images=[SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID) for image in sources.values()],
    )


def _measurements(value: Value, sources: Mapping[str, Dataset]) -> list[Any]:
    """Mean with its uncertainty (± one SD), and median."""
    from highdicom.sr import CodedConcept, Measurement, MeasurementProperties, SourceImageForMeasurement
    from pydicom.sr.codedict import codes

    keyword, source, unit, unit_meaning = _QUANTITIES[value.quantity]
    image = sources[source]
    shared = {
        "name": getattr(codes.DCM, keyword), "unit": CodedConcept(unit, "UCUM", unit_meaning),
        "referenced_images": [SourceImageForMeasurement(image.SOPClassUID, image.SOPInstanceUID)],
    }  # fmt: skip
    sd = value.mean_sd
    uncertain = None if sd is None else MeasurementProperties(upper_measurement_uncertainty=sd, lower_measurement_uncertainty=sd)
    return [
        Measurement(value=value.mean, derivation=codes.SCT.Mean, properties=uncertain, **shared),
        Measurement(value=value.median, derivation=codes.SCT.Median, **shared),
    ]
