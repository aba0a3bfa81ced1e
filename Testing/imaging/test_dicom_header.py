"""DICOM headers as BIDS-like fields: classic, enhanced, private names, real files, and files that are none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.headers.dicom_header import dicom_fields, is_dicom
from Testing.mrml.dicom import classic, enhanced
from Testing.refusals import refused

MPRAGE = {
    "RepetitionTime": "2300", "EchoTime": "2.98", "InversionTime": "900", "FlipAngle": "9", "MagneticFieldStrength": "3",
    "EchoTrainLength": "1", "SliceThickness": "1.2", "ScanningSequence": ["GR", "IR"],
    "SequenceVariant": ["SK", "SP", "MP"], "SequenceName": "*tfl3d1_16ns", "MRAcquisitionType": "3D", "SeriesDescription": "t1_mprage",
    "ProtocolName": "t1_mprage_sag", "Manufacturer": "SIEMENS", "ManufacturerModelName": "Prisma",
    "ImageType": ["ORIGINAL", "PRIMARY", "M"],
    "ContrastBolusAgent": "",
}  # fmt: skip


def written(folder: Path, header: Dataset, name: str = "0.dcm") -> Path:
    header.save_as(folder / name, enforce_file_format=True)
    return folder / name


def test_a_classic_header_becomes_fields_in_seconds(tmp_path: Path) -> None:
    file = written(tmp_path, classic(**MPRAGE))
    assert dicom_fields(file) == dicom_fields(str(file)) == dicom_fields(pydicom.dcmread(file)) == {
        "RepetitionTime": 2.3, "EchoTime": pytest.approx(0.00298), "InversionTime": 0.9, "FlipAngle": 9.0, "MagneticFieldStrength": 3.0,
        "EchoTrainLength": 1.0, "SliceThickness": 1.2, "ScanningSequence": "GR\\IR",
        "SequenceVariant": "SK\\SP\\MP", "SequenceName": "*tfl3d1_16ns", "MRAcquisitionType": "3D", "SeriesDescription": "t1_mprage",
        "ProtocolName": "t1_mprage_sag", "Manufacturer": "SIEMENS", "ManufacturersModelName": "Prisma",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"], "Modality": "MR",
    }  # fmt: skip


def test_an_enhanced_header_is_read_from_its_groups_the_frames_first(tmp_path: Path) -> None:
    header = enhanced(
        {
            "MRTimingAndRelatedParametersSequence": {"RepetitionTime": 8000.0, "FlipAngle": 90.0, "RFEchoTrainLength": 30},
            "MRModifierSequence": {"InversionRecovery": "YES", "InversionTimes": [2400.0, 160.0]},
            "MREchoSequence": {"EffectiveEchoTime": 99.0},
            "PixelMeasuresSequence": {"SliceThickness": "3", "SpacingBetweenSlices": "3.3"},
            "MRFOVGeometrySequence": {"MRAcquisitionPhaseEncodingStepsOutOfPlane": 160},
        },
        {"MREchoSequence": {"EffectiveEchoTime": 120.0}},
        EchoPulseSequence="SPIN", PulseSequenceName="TIR", MRAcquisitionType="2D", MagneticFieldStrength=1.5, Manufacturer="Philips",
        RepetitionTime="1",  # what a converter left at the top does not count
    )  # fmt: skip
    header.ContrastBolusAgentSequence = [Dataset()]
    assert dicom_fields(written(tmp_path, header)) == {
        "RepetitionTime": 8.0, "EchoTime": 0.12, "InversionTime": 2.4, "FlipAngle": 90.0, "EchoTrainLength": 30.0, "SliceThickness": 3.0,
        "PhaseEncodingStepsOutOfPlane": 160.0, "MagneticFieldStrength": 1.5, "ScanningSequence": "SE\\IR",
        "PulseSequenceName": "TIR", "MRAcquisitionType": "2D", "Manufacturer": "Philips", "ContrastBolusAgent": "contrast agent",
        "Modality": "MR",
    }  # fmt: skip


def test_what_was_converted_to_multi_frame_keeps_its_classic_attributes() -> None:
    header = enhanced(
        {"UnassignedSharedConvertedAttributesSequence": {"RepetitionTime": "600", "EchoTime": "15", "ScanningSequence": "SE"}}, {}
    )
    header.SOPClassUID, header.ContrastBolusAgent = "1.2.840.10008.5.1.4.1.1.4.4", "GADAVIST"
    assert dicom_fields(header) == {
        "RepetitionTime": 0.6,
        "EchoTime": 0.015,
        "ScanningSequence": "SE",
        "Modality": "MR",
        "ContrastBolusAgent": "GADAVIST",
    }


@pytest.mark.parametrize(
    ("maker", "creator", "tag", "name"),
    (("GE MEDICAL SYSTEMS", (0x0019, "GEMS_ACQU_01"), 0x9C, "efgre3d"), ("Philips", (0x2001, "Philips Imaging DD 001"), 0x20, "T1TFE")),
)
def test_the_name_of_the_sequence_is_found_where_the_vendor_keeps_it(maker: str, creator: tuple[int, str], tag: int, name: str) -> None:
    header = classic(Manufacturer=maker)
    header.private_block(*creator, create=True).add_new(tag, "LO", name)
    assert dicom_fields(header)["PulseSequenceName"] == name
    header.Manufacturer = "SIEMENS"
    assert "PulseSequenceName" not in dicom_fields(header)


def test_the_real_series_states_its_series_and_slices_and_no_timing(data: Callable[[str], Path]) -> None:
    files = sorted(data("dicom_t1w").glob("*.dcm"))
    told = [dicom_fields(file) for file in files]
    assert all(is_dicom(file) for file in files) and all(fields == told[0] for fields in told)
    assert told[0]["SeriesDescription"] == "anat-T1w" and told[0]["SliceThickness"] == pytest.approx(2 / 3)
    assert not told[0].keys() & {"RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "MagneticFieldStrength"}


def test_values_that_are_none_are_left_out() -> None:
    header = classic(ScanningSequence="SE", RepetitionTime="500")
    header.add_new(0x00180081, "LO", "long")
    header.add_new(0x00181314, "LO", "inf")
    assert dicom_fields(header) == {"ScanningSequence": "SE", "RepetitionTime": 0.5, "Modality": "MR"}


@pytest.mark.parametrize("content", (b"", b"not DICOM at all", b"\0" * 128 + b"DICM" + b"\xff" * 40))
def test_a_file_that_is_no_dicom_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.dcm"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=r"broken\.dcm cannot be read as DICOM .*Copy or export it again"):
        dicom_fields(file)
    with pytest.raises(ImageError, match=r"gone\.dcm"):
        dicom_fields(tmp_path / "gone.dcm")


def test_without_pydicom_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, classic(**MPRAGE))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with refused(ImageError, r"needs the Python package pydicom.*physmrisynth\[dicom\]"):
        dicom_fields(file)


def test_dicom_is_told_by_its_mark_or_ending(tmp_path: Path) -> None:
    assert is_dicom(written(tmp_path, classic(**MPRAGE), "IM0001"))
    (tmp_path / "old.IMA").write_bytes(b"x")
    (tmp_path / "T1w.nii").write_bytes(b"x" * 400)
    assert (
        is_dicom(tmp_path / "old.IMA") and not is_dicom(tmp_path / "T1w.nii") and not is_dicom(tmp_path) and not is_dicom(tmp_path / "gone")
    )


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """The bytes of a valid file, and a file to put damaged ones into."""
    folder = tmp_path_factory.mktemp("fuzz")
    header = enhanced({"MRTimingAndRelatedParametersSequence": {"RepetitionTime": 8000.0}}, {}, **{**MPRAGE, "FlipAngle": "9"})
    return written(folder, header).read_bytes(), folder / "damaged.dcm"


@settings(max_examples=1500, deadline=None)
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6)), max_size=6), kept=st.floats(0, 1) | st.just(1.0))
def test_damaged_files_give_fields_or_a_message(valid: tuple[bytes, Path], changes: list[tuple[float, bytes]], kept: float) -> None:
    content, file = bytearray(valid[0]), valid[1]
    for place, piece in changes:
        start = int(place * (len(content) - len(piece)))
        content[start : start + len(piece)] = piece
    file.write_bytes(content[: int(kept * len(content))])
    try:
        fields: dict[str, Any] = dicom_fields(file)
    except ImageError as error:
        assert "damaged.dcm" in str(error)
    else:
        assert all(isinstance(value, (str, float, list)) for value in fields.values())
