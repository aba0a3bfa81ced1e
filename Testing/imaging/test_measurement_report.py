"""Measurements of regions as a DICOM Structured Report, read back by highdicom and judged by dciodvfy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.imaging.dicom_out.measurement_report import Finding, Value, write_measurement_report
from PhysMRISynthLib.imaging.intake.volumes import write_image
from Testing.imaging.dicom_validator import violations
from Testing.workflow.map_folders import head, write_maps

WHITE = ("389080008", "White matter of brain and spinal cord")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small head's maps with the measurements of its tissues, as the command exports them."""
    root = tmp_path_factory.mktemp("export")
    write_maps(root / "maps")
    assert main(f"export --maps {root}/maps --regions {root}/maps/tissues.nii.gz --out {root}/out".split()) == 0
    return root / "out"


def groups(file: Path) -> list[Any]:
    from highdicom.sr import srread

    return srread(file).content.get_image_measurement_groups()


def numbers(group: Any, name: str) -> dict[str, tuple[float, str, tuple[float, ...]]]:
    """Value, unit and uncertainties of each measurement of a name, by its derivation."""
    found = {}
    for measured in group.get_measurements():
        item = measured[0]
        if item.name.meaning == name:
            children = {c.ConceptNameCodeSequence[0].CodeMeaning: c for c in item.ContentSequence} if "ContentSequence" in item else {}
            derivation = children.pop("Derivation", None)
            key = derivation.ConceptCodeSequence[0].CodeMeaning if derivation is not None else ""
            own = tuple(float(c.MeasuredValueSequence[0].NumericValue) for c in children.values() if c.ValueType == "NUM")
            found[key] = (item.value, item.unit.value, own)
    return found


def test_a_report_states_each_region_with_the_uncertainty_of_its_mean(exported: Path) -> None:
    from highdicom.sr import CodedConcept

    from PhysMRISynthLib.workflow.results.map_set import MapSet
    from PhysMRISynthLib.workflow.results.region_files import findings_of
    from PhysMRISynthLib.workflow.results.regions import measure_regions

    known: MapSet = head()
    white = next(group for group in groups(exported / "measurements.dcm") if group.finding_type == CodedConcept(WHITE[0], "SCT", WHITE[1]))
    assert white.tracking_identifier == "White matter"
    assert known.labels is not None
    wanted = next(f for f in findings_of(measure_regions(known, known.labels, {1: "White matter"})) if f.name == "White matter")
    t1 = next(value for value in wanted.values if value.quantity == "T1")
    mean, unit, uncertainty = numbers(white, "T1")["Mean"]
    assert (mean, unit) == (pytest.approx(t1.mean, rel=1e-4), "ms") and uncertainty == pytest.approx((t1.mean_sd,) * 2, rel=1e-4)
    assert numbers(white, "T1")["Median"][0] == pytest.approx(t1.median, rel=1e-4)
    assert numbers(white, "R2")["Mean"][1] == "/s" and numbers(white, "Proton Density")["Mean"][1] == "%"
    assert numbers(white, "Volume")[""][0] == pytest.approx(wanted.volume_ml, rel=1e-4)


def test_a_report_is_valid_and_belongs_to_the_maps(exported: Path) -> None:
    report, t1 = (pydicom.dcmread(exported / f"{name}.dcm") for name in ("measurements", "T1"))
    assert (report.Modality, report.VerificationFlag) == ("SR", "UNVERIFIED")
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID"):
        assert report[keyword].value == t1[keyword].value
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert t1.SOPInstanceUID in {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in evidence}
    assert "NOT FOR DIAGNOSIS" in report.SeriesDescription
    assert violations(exported / "measurements.dcm") == []


def test_names_of_any_language_and_length_are_kept(exported: Path, tmp_path: Path) -> None:
    maps = {name: exported / f"{name}.dcm" for name in ("PD", "T1", "T2")}
    for name in ("Läsion 左", "a" * 200):
        write_measurement_report([Finding(7, name, None, 1.5, (Value("T1", 900.0, None, 890.0),))], maps, 9009, tmp_path / "sr.dcm")
        group = groups(tmp_path / "sr.dcm")[0]
        assert group.tracking_identifier == name[:64] and group.finding_type.scheme_designator == "99PHYSMRI"
        assert numbers(group, "T1") == {"Mean": (900.0, "ms", ()), "Median": (890.0, "ms", ())}
        assert violations(tmp_path / "sr.dcm") == []


def test_no_report_without_regions(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps")
    maps = head().maps
    write_image(maps.image(0 * maps.t1), tmp_path / "empty.nii.gz")
    assert main(f"export --maps {tmp_path}/maps --regions {tmp_path}/empty.nii.gz --out {tmp_path}/out".split()) == 2
    assert not (tmp_path / "out").exists()
    assert main(f"export --maps {tmp_path}/maps --out {tmp_path}/out".split()) == 0
    assert not (tmp_path / "out" / "measurements.dcm").exists()
