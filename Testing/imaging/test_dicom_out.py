"""DICOM that this package writes, read back by SimpleITK and pydicom, and judged by dciodvfy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.dicom_out.identity import anonymous_identity, share_within, source_identity
from PhysMRISynthLib.imaging.dicom_out.mr_attributes import mr_attributes
from PhysMRISynthLib.imaging.dicom_out.mr_series import quantise, write_mr_series
from PhysMRISynthLib.imaging.dicom_out.parametric_map import QUANTITIES, write_parametric_map
from PhysMRISynthLib.imaging.dicom_out.planes import planes_of
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.expression import own_sequence
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from Testing.imaging.dicom_validator import violations
from Testing.imaging.phantoms import grid, points, rotation

TURNED = rotation(20, -35, 50)
GRIDS = {
    "axial": grid((9, 7, 5), (10.0, 10.0, 10.0), np.eye(3)),
    "oblique": grid((9, 7, 5), (7.3, 11.1, 13.7), TURNED, (31.0, -12.0, 55.0)),
    "left-handed": grid((9, 7, 5), (7.3, 11.1, 13.7), TURNED @ np.diag([1.0, 1.0, -1.0])),
    "row flipped": grid((9, 7, 5), (7.3, 11.1, 13.7), TURNED @ np.diag([-1.0, 1.0, 1.0])),
    "turned over": grid((9, 7, 5), (8.0, 9.0, 10.0), np.diag([-1.0, -1.0, 1.0])),
    "sagittal": grid((9, 7, 5), (8.0, 9.0, 10.0), np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])),
}


def picture(on: sitk.Image, signed: bool = False) -> np.ndarray:
    values = np.random.default_rng(1).random(on.GetSize()[::-1]) * 937.3
    return (values - (400.0 if signed else 0.0)).astype(np.float32)


def series(folder: Path, on: sitk.Image, protocol: Protocol) -> list[Path]:
    write_mr_series(picture(on, protocol.sequence.signed), on, protocol, anonymous_identity(), 9001, folder, "image", "maps")
    return sorted(folder.glob("image_*.dcm"))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("sequence", ["flair", "psir"])
def test_a_series_reads_back_at_the_same_places_with_the_same_values(name: str, sequence: str, tmp_path: Path) -> None:
    on, protocol = GRIDS[name], Protocol.of(sequence)
    series(tmp_path, on, protocol)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    back = reader.Execute()
    want, got = picture(on, protocol.sequence.signed), sitk.GetArrayFromImage(back)
    places, found = points(on), points(back)
    if np.linalg.det(np.reshape(on.GetDirection(), (3, 3))) < 0:
        want, places = want[::-1], places[:, ::-1]
    assert np.abs(places - found).max() < 1e-3
    step = float(pydicom.dcmread(tmp_path / "image_0001.dcm").RescaleSlope)
    assert np.abs(want - got).max() <= 0.5001 * step
    assert step < 937.3 / 32000


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_every_sequence_is_valid_dicom(sequence: str, tmp_path: Path) -> None:
    assert violations(series(tmp_path, GRIDS["oblique"], Protocol.of(sequence))[0]) == []


@pytest.mark.parametrize("deviation", [False, True])
@pytest.mark.parametrize("name", QUANTITIES)
def test_a_parametric_map_is_valid_and_reads_back_with_its_quantity_and_unit(name: str, deviation: bool, tmp_path: Path) -> None:
    on = GRIDS["left-handed"]
    write_parametric_map(picture(on), on, QUANTITIES[name], deviation, anonymous_identity(), 9001, tmp_path / "map.dcm")
    back = pydicom.dcmread(tmp_path / "map.dcm")
    places = [group.PlanePositionSequence[0].ImagePositionPatient for group in back.PerFrameFunctionalGroupsSequence]
    planes = planes_of(on)
    distances = np.linalg.norm(np.array(places, dtype=float)[:, None] - planes.positions, axis=2)
    assert distances.min(axis=1).max() < 1e-3
    mapping = back.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    frames = back.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    assert np.array_equal(frames, picture(on)[::-1][distances.argmin(axis=1)])
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == {"PD": "%", "T1": "ms", "T2": "ms"}[name]
    quantity = mapping.QuantityDefinitionSequence
    assert quantity[0].ConceptCodeSequence[0].CodeValue == {"PD": "113058", "T1": "113063", "T2": "113065"}[name]
    assert [item.ConceptCodeSequence[0].CodeValue for item in quantity[1:]] == (["386136009"] if deviation else [])
    assert "ReferencedSeriesSequence" not in back and "SourceImageSequence" not in back
    assert "NOT FOR DIAGNOSIS" in back.SeriesDescription
    assert back.DeviceSerialNumber == "NONE"
    assert violations(tmp_path / "map.dcm") == []


@pytest.mark.parametrize("images", [1, 3, 5])
def test_a_map_refers_to_the_images_it_came_from_even_where_they_are_fewer_than_its_planes(images: int, tmp_path: Path) -> None:
    on = GRIDS["oblique"]
    (tmp_path / "source").mkdir()
    files = series(tmp_path / "source", on, Protocol.of("se"))
    for file in files[images:]:
        file.unlink()
    identity = source_identity(tmp_path / "source", on)
    write_parametric_map(picture(on), on, QUANTITIES["T1"], False, identity, 9001, tmp_path / "map.dcm")
    back, originals = pydicom.dcmread(tmp_path / "map.dcm"), [pydicom.dcmread(file) for file in files[:images]]
    (referenced,) = back.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == originals[0].SeriesInstanceUID
    names = {image.SOPInstanceUID for image in originals}
    for items in (referenced.ReferencedInstanceSequence, back.SourceImageSequence):
        assert {item.ReferencedSOPInstanceUID for item in items} == names
    assert all("DerivationImageSequence" not in group for group in back.PerFrameFunctionalGroupsSequence)
    assert (back.PatientID, back.StudyInstanceUID) == (originals[0].PatientID, originals[0].StudyInstanceUID)
    assert back.NumberOfFrames == 5 and violations(tmp_path / "map.dcm") == []


def test_a_series_says_what_it_is(tmp_path: Path) -> None:
    files = series(tmp_path, GRIDS["axial"], Protocol.of("mprage", TR=2300, TI=900))
    images = [pydicom.dcmread(file) for file in files]
    first = images[0]
    assert list(first.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert (first.RepetitionTime, first.InversionTime, first.EchoTime, first.FlipAngle) == (2300, 900, 3.16, 8)
    assert list(first.ScanningSequence) == ["GR", "IR"]
    assert first.SeriesDescription.startswith("SYNTHETIC - NOT FOR DIAGNOSIS")
    assert "mprage,TR=2300" in first.DerivationDescription
    assert first.PatientName == "Anonymous" and first.PatientID.startswith("PHYSMRISYNTH-")
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert len({image.SeriesInstanceUID for image in images}) == 1


def test_what_a_protocol_does_not_say_is_left_empty() -> None:
    assert mr_attributes(Protocol.of("tse"))["EchoTrainLength"] is None
    assert mr_attributes(Protocol.of("dir"))["InversionTime"] is None
    assert mr_attributes(Protocol.of("mp2rage"))["EchoTime"] is None


def test_an_equation_of_ones_own_is_research_mode(tmp_path: Path) -> None:
    """Whatever of TR, TE and TI it uses is stated; what it does not use is empty."""
    for text, stated in (("PD * exp(-TE / T2)", (None, 50.0, None)), ("PD * (1 - 2 * exp(-TI / T1)) * exp(-TE / T2)", (None, 50.0, 400.0))):
        sequence = own_sequence("mine", "Mine", text)
        protocol = Protocol(sequence, {"TE": 50.0, "TI": 400.0} if "TI" in text else {"TE": 50.0})
        (folder := tmp_path / str(len(text))).mkdir()
        first = pydicom.dcmread(series(folder, GRIDS["axial"], protocol)[0])
        assert first.ScanningSequence == "RM"
        assert (first.get("RepetitionTime"), first.EchoTime, first.get("InversionTime")) == stated


def test_images_that_are_not_finite_or_on_skewed_grids_are_refused() -> None:
    with pytest.raises(ImageError, match="not finite"):
        quantise(np.array([1.0, np.nan]), False)
    skewed = sitk.Image((4, 4, 4), sitk.sitkFloat32)
    skewed.SetDirection((1.0, 0.2, 0.0, 0.0, 0.98, 0.0, 0.0, 0.0, 1.0))
    with pytest.raises(ImageError, match="right angles"):
        planes_of(skewed)


def test_a_source_of_two_patients_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        file = series(tmp_path, GRIDS["axial"], Protocol.of("se"))[0]
        image = pydicom.dcmread(file)
        image.PatientID, image.StudyInstanceUID = name, "1.2.3"
        (tmp_path / "source").mkdir(exist_ok=True)
        image.save_as(tmp_path / "source" / f"{number}.dcm")
    with pytest.raises(ImageError, match="PatientID"):
        source_identity(tmp_path / "source", GRIDS["axial"])


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(("planes", "share"), ((0, 1.0), (1, 0.8), (3, 0.4), (4, 0.2)))
def test_the_share_of_the_maps_within_the_source_falls_as_they_part(name: str, planes: int, share: float, tmp_path: Path) -> None:
    on = GRIDS[name]
    series(tmp_path, on, Protocol.of("se"))
    everything = np.ones(on.GetSize()[::-1], dtype=np.float32)
    away = sitk.Image(on)
    away.SetOrigin(on.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, float(planes))))
    maps = TissueMaps(everything, everything, everything, everything > 0, away)
    assert share_within(source_identity(tmp_path, away), maps) == pytest.approx(share)


def test_maps_beside_the_source_are_refused(tmp_path: Path) -> None:
    on = GRIDS["oblique"]
    series(tmp_path, on, Protocol.of("se"))
    everything = np.ones(on.GetSize()[::-1], dtype=np.float32)
    away = sitk.Image(on)
    away.SetOrigin(on.TransformContinuousIndexToPhysicalPoint((0.0, -8.0, 0.0)))
    with pytest.raises(ImageError, match="outside the source"):
        share_within(source_identity(tmp_path, away), TissueMaps(everything, everything, everything, everything > 0, away))
