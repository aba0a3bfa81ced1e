"""DICOM folders: which series are T1w, T2w and FLAIR, why the others are not, and volumes that lie where the scanner put them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.dicom_series import read_scan, read_series, series_in
from PhysMRISynthLib.imaging.intake.sessions import find_session
from PhysMRISynthLib.imaging.intake.volumes import same_grid
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisition
from Testing.imaging.dicom_folders import FLAIR, T1W, T2W, picture, write_enhanced, write_series
from Testing.imaging.phantoms import rotation
from Testing.refusals import refused


def taken(folder: Path) -> dict[str, str]:
    """Description of the series of each role."""
    files = find_session(folder).files
    return {role: str(pydicom.dcmread(path, stop_before_pixels=True).SeriesDescription) for role, path in files.items()}


# --- volumes -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [(0, 0, 0), (20, -10, 35), (90, 0, 90), (0, 180, 5)])
def test_a_series_lies_where_it_was_taken(turn: tuple[float, float, float], tmp_path: Path) -> None:
    image = picture(turned=rotation(*turn))
    files = write_series(tmp_path, 3, image, **T1W)
    volume = read_scan(files[2])
    assert same_grid(volume.image, image, 1e-4)
    assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(image))
    assert read_scan(tmp_path).path == volume.path  # a folder of one series


def test_the_scanners_slope_and_the_protocol_are_read(tmp_path: Path) -> None:
    files = write_series(tmp_path, 1, picture(), RescaleSlope="2.5", RescaleIntercept="-10", MagneticFieldStrength="1.5", **T2W)
    found = read_acquisition("t2w", files[0])
    assert np.allclose(found.volume.voxels, 2.5 * sitk.GetArrayFromImage(picture()).astype(float) - 10.0)
    assert found.protocol.values["TE"] == 100.0 and found.protocol.values["TR"] == 4500.0
    assert found.protocol.sources["TE"] == "DICOM" and found.field_strength == 1.5


@pytest.mark.parametrize("flipped", (False, True), ids=("as placed", "from above"))
def test_an_enhanced_multi_frame_file_lies_where_it_was_taken(flipped: bool, tmp_path: Path) -> None:
    image = sitk.Flip(picture(turned=rotation(20, -10, 35)), (False, False, flipped))
    file = write_enhanced(tmp_path / "one", image, slope=2.0, SeriesDescription="t2_tse_tra")
    session = find_session(tmp_path)
    assert session.files == {"t2w": file}
    found = read_acquisition("t2w", file)
    assert same_grid(found.volume.image, image, 1e-4)
    assert np.array_equal(found.volume.voxels, 2.0 * sitk.GetArrayFromImage(image).astype(np.float32))
    assert found.protocol.values["TE"] == 100.0


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("scales", [[(1.0 + row, 0.0) for row in range(6)], [(2.0, -100.0 * row) for row in range(6)], [(3.0, 5.0)] * 6])
def test_each_frame_of_an_enhanced_file_has_its_own_scale(scales: list[tuple[float, float]], flipped: bool, tmp_path: Path) -> None:
    image = picture(turned=rotation(20, -10, 35))[:, :, :: -1 if flipped else 1]
    header = pydicom.dcmread(write_enhanced(tmp_path / "one", image))
    del header.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    for frame, (slope, intercept) in zip(header.PerFrameFunctionalGroupsSequence, scales, strict=True):
        scaling = pydicom.Dataset()
        scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = slope, intercept, "US"
        frame.PixelValueTransformationSequence = [scaling]
    header.save_as(tmp_path / "one")
    volume = read_scan(tmp_path / "one")
    slopes, intercepts = np.array(scales).T[:, :, None, None]
    assert np.allclose(volume.voxels, slopes * sitk.GetArrayFromImage(image) + intercepts, rtol=1e-5)
    assert same_grid(volume.image, image, 1e-4)


def test_frames_with_scales_of_their_own_that_cannot_be_decoded_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (series,) = series_in(write_enhanced(tmp_path / "one", picture()).parent)
    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(lambda self: 1 / 0))
    scales = np.array([(1.0 + row, 0.0) for row in range(6)])
    with pytest.raises(ImageError, match=r"scale of its own.*Export it without compression"):
        read_series(replace(series, scaling=scales))


def missing_slice(folder: Path) -> None:
    write_series(folder, 1, picture(), **T1W)[3].unlink()


def twice(folder: Path) -> None:
    for _ in range(2):
        write_series(folder, 1, picture(), series="1.2.3", **T1W)


def without_place(folder: Path) -> None:
    write_series(folder, 1, picture(), ImagePositionPatient=None, **T1W)


def few(folder: Path) -> None:
    write_series(folder, 1, picture(slices=3), **T1W)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (missing_slice, "unevenly spaced"),
        (twice, "several images of the same slice"),
        (without_place, "do not state where"),
        (few, "only 3 slices"),
    ],
)
def test_what_is_no_volume_is_refused_with_the_reason(make: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    make(tmp_path)
    file = sorted(tmp_path.iterdir())[0]
    with pytest.raises(ImageError, match=told):
        read_scan(file)
    with pytest.raises(ImageError, match=rf"no DICOM series that can be used.*{told}"):
        find_session(tmp_path)


@pytest.mark.parametrize("which", [(5,), (0, 2), range(6)], ids=("last", "two", "all"))
def test_files_that_end_early_are_told(which: Sequence[int], tmp_path: Path) -> None:
    """GDCM takes a series without its last slice for a whole one."""
    files = write_series(tmp_path, 1, picture(), **T1W)
    for number in which:
        files[number].write_bytes(files[number].read_bytes()[:-100])
    for file in (files[which[0] - 1], files[which[0]]):
        with pytest.raises(ImageError, match="early or cannot be read"):
            read_scan(file)
    with pytest.raises(ImageError, match="early or cannot be read"):
        find_session(tmp_path)


def rewritten(files: Sequence[Path], syntax: pydicom.uid.UID) -> None:
    """The files in another transfer syntax."""
    for file in files:
        header = pydicom.dcmread(file)
        if syntax == pydicom.uid.RLELossless:
            header.compress(syntax)
        elif syntax == pydicom.uid.ExplicitVRBigEndian:
            header.PixelData = header.pixel_array.astype(">u2").tobytes()
        header.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(file, header, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)


@pytest.mark.parametrize(
    "name", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian", "RLELossless"]
)
def test_whole_files_are_told_from_those_that_end_early_in_every_syntax(name: str, tmp_path: Path) -> None:
    files, image = write_series(tmp_path, 1, picture(), **T1W), sitk.GetArrayFromImage(picture())
    rewritten(files, getattr(pydicom.uid, name))
    assert np.array_equal(read_scan(files[1]).voxels, image)
    files[3].write_bytes(files[3].read_bytes()[:-60])
    with pytest.raises(ImageError):
        read_scan(files[1])


def test_each_header_is_read_once_however_many_series_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of an examination holds some thousands of files in dozens of series."""
    for number in range(8):
        write_series(tmp_path, number, picture(seed=number), **T1W)
    read, of_pydicom = [], pydicom.dcmread

    def counted(file: Any, **options: Any) -> Any:
        read.append(file)
        return of_pydicom(file, **options)

    def no_scan(*_: Any) -> None:
        raise AssertionError("GDCM would read the whole folder for each series")

    monkeypatch.setattr(pydicom, "dcmread", counted)
    monkeypatch.setattr(sitk.ImageSeriesReader, "GetGDCMSeriesFileNames", no_scan)
    assert [series.number for series in series_in(tmp_path)] == list(range(8))
    assert len(read) == 8 * 6 + 8  # and what the first image of each states


def test_a_file_whose_header_ends_early_is_told(tmp_path: Path) -> None:
    files = write_series(tmp_path, 1, picture(), **T1W)
    files[5].write_bytes(files[5].read_bytes()[:400])
    with pytest.raises(ImageError, match=rf"{files[5].name} cannot be read|early or cannot be read"):
        find_session(tmp_path)


def test_echoes_and_phase_images_of_one_series_are_told_apart(tmp_path: Path) -> None:
    for echo, kind, seed in ((15.0, "M", 1), (90.0, "M", 2), (90.0, "P", 3)):
        fields = {**T2W, "EchoTime": echo, "ImageType": ["ORIGINAL", "PRIMARY", kind]}
        write_series(tmp_path, 4, picture(seed=seed), series="1.2.3", **fields)
    assert len(series_in(tmp_path)) == 3
    session = find_session(tmp_path)
    assert np.array_equal(read_scan(session.files["t2w"]).voxels, sitk.GetArrayFromImage(picture(seed=2)))
    assert any("phase image" in note for note in session.notes)


def test_images_with_fewer_voxels_than_announced_are_refused(tmp_path: Path) -> None:
    """GDCM fills them with what memory holds."""
    files = write_series(tmp_path, 1, picture(), **T1W, PixelData=bytes(200))
    with pytest.raises(ImageError, match="it ends early"):
        read_scan(files[0])


def test_dicom_without_pydicom_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path, 1, picture(), **T1W)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with refused(ImageError, r"physmrisynth\[dicom\]"):
        find_session(tmp_path)


def test_damaged_values_count_as_absent(tmp_path: Path) -> None:
    files = write_series(tmp_path, 1, picture(), **T1W)
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"20200102", b"tomorrow").replace(b"P1", b"\xff\xfe"))
    assert set(find_session(tmp_path).files) == {"t1w"}
    files[2].write_bytes(files[2].read_bytes().replace(b"-50.0", b"-5x.0").replace(b"-50.", b"-5x."))
    with pytest.raises(ImageError, match=r"do not state where|no DICOM series"):
        find_session(tmp_path)


def test_a_folder_of_several_series_is_no_single_image(tmp_path: Path) -> None:
    for number, fields in enumerate((T1W, T2W), start=1):
        write_series(tmp_path, number, picture(), **fields)
    with pytest.raises(ImageError, match=r"2 DICOM series: series 1 't1_se_tra', series 2 't2_tse_tra'"):
        read_scan(tmp_path)


# --- the choice --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A visit as it comes from a scanner, one folder for all or one for each series."""
    localizer = {"SeriesDescription": "localizer", "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    reformat = {"SeriesDescription": "t1_mpr", "ImageType": ["DERIVED", "SECONDARY", "MPR"]}
    write_series(tmp_path / "a", 1, picture(3), **{**T1W, **localizer})
    write_series(tmp_path / "a", 2, picture(), **T1W)
    write_series(tmp_path / "a", 3, picture(), **T2W)
    write_series(tmp_path / "b" / "c", 4, picture(), **FLAIR)
    write_series(tmp_path / "b" / "d", 5, picture(9), **{**T1W, **reformat})
    write_series(tmp_path / "b", 6, picture(8, spacing=(4, 4, 5)), **T1W, ContrastBolusAgent="Gadovist")
    write_series(tmp_path / "b", 7, picture(), **{**FLAIR, "SeriesDescription": "ep2d_diff_b1000"})
    (tmp_path / "b" / "report.txt").write_text("no DICOM", encoding="utf-8")
    return tmp_path


def test_every_series_is_taken_or_left_out_with_a_reason(archive: Path) -> None:
    assert taken(archive) == {"t1w": "t1_se_tra", "t2w": "t2_tse_tra", "flair": "t2_flair_tra"}
    notes = find_session(archive).notes
    told = {number: next(note for note in notes if f"series {number} " in note) for number in (1, 5, 6, 7)}
    assert "a localizer" in told[1]
    assert "a reformatted image" in told[5]
    assert "contrast agent (Gadovist, says its header)" in told[6]
    assert "its name 'ep2d_diff_b1000' says that it is something else" in told[7]
    assert len(notes) == 4


def test_of_several_the_finest_original_is_taken_and_told(tmp_path: Path) -> None:
    derived = {"ImageType": ["DERIVED", "SECONDARY", "NORM"]}
    write_series(tmp_path, 1, picture(), **T1W)
    write_series(tmp_path, 2, picture(spacing=(6, 6, 7)), **{**T1W, "SeriesDescription": "t1_fine"})
    write_series(tmp_path, 3, picture(spacing=(3, 3, 4)), **{**T1W, "SeriesDescription": "t1_finest", **derived})
    assert taken(tmp_path) == {"t1w": "t1_fine"}
    (note,) = find_session(tmp_path).notes
    assert note.startswith("There are 3 t1w series: series 2 't1_fine' (7 mm, TE 15 ms) is taken, not series 1 't1_se_tra' (10 mm,")
    assert "derived" in note and "finest" in note


def test_a_derived_series_serves_where_there_is_no_original(tmp_path: Path) -> None:
    write_series(tmp_path, 1, picture(), **T1W, ImageType=["DERIVED", "SECONDARY"])
    assert set(taken(tmp_path)) == {"t1w"}
    assert "no original" in find_session(tmp_path).notes[0]


def test_a_flair_after_contrast_agent_comes_after_one_without(tmp_path: Path) -> None:
    write_series(tmp_path, 1, picture(spacing=(4, 4, 5)), **FLAIR, ContrastBolusAgent="Dotarem")
    assert set(taken(tmp_path)) == {"flair"}
    write_series(tmp_path, 2, picture(), **{**FLAIR, "SeriesDescription": "flair_plain"})
    assert taken(tmp_path) == {"flair": "flair_plain"}


def test_a_series_in_several_folders_is_not_taken_for_half(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a", 1, picture(10), **T1W)
    (tmp_path / "b").mkdir()
    for file in files[5:]:
        file.rename(tmp_path / "b" / file.name)
    with pytest.raises(ImageError, match="lie in several folders"):
        find_session(tmp_path)


@pytest.mark.parametrize(("keyword", "told"), [("PatientID", "several patients"), ("StudyInstanceUID", "2 DICOM studies")])
def test_several_patients_or_studies_are_refused(keyword: str, told: str, tmp_path: Path) -> None:
    write_series(tmp_path / "a", 1, picture(), **T1W)
    write_series(tmp_path / "a", 2, picture(), **T2W)
    write_series(tmp_path / "b", 3, picture(), **FLAIR, **{keyword: "9.9"})
    with pytest.raises(ImageError, match=told):
        find_session(tmp_path)


def test_a_study_for_each_series_of_one_day_is_one_visit(tmp_path: Path) -> None:
    """Siemens' interoperable export gives each series a StudyInstanceUID of its own."""
    for number, fields in enumerate((T1W, T2W, FLAIR), start=1):
        write_series(tmp_path / str(number), number, picture(), **fields, StudyInstanceUID=f"9.{number}")
    assert set(taken(tmp_path)) == {"t1w", "t2w", "flair"}
    assert "3 studies" in find_session(tmp_path).notes[0] and "one visit" in find_session(tmp_path).notes[0]
    write_series(tmp_path / "4", 4, picture(), **T1W, StudyInstanceUID="9.4", StudyDate="20210103")
    with pytest.raises(ImageError, match="4 DICOM studies"):
        find_session(tmp_path)


def test_what_shows_the_head_is_taken_before_finer_slabs_and_the_spine(tmp_path: Path) -> None:
    slab = {**T2W, "SeriesDescription": "t2_tse_cor"}
    write_series(tmp_path, 1, picture(20, spacing=(3, 3, 2)), **slab)
    write_series(tmp_path, 2, picture(26, spacing=(3, 3, 3)), **{**T2W, "SeriesDescription": "T2 HWS sag"})
    write_series(tmp_path, 3, picture(22, spacing=(10, 11, 6)), **T2W)
    assert taken(tmp_path) == {"t2w": "t2_tse_tra"}
    assert "It shows more of the head." in find_session(tmp_path).notes[0]


def test_the_normalised_of_two_reconstructions_is_taken(tmp_path: Path) -> None:
    for number, kind in ((1, "ND"), (2, "NORM")):
        image_type = ["ORIGINAL", "PRIMARY", "M", kind]
        write_series(tmp_path, number, picture(), **{**T1W, "SeriesDescription": f"t1_{kind}", "ImageType": image_type})
    assert taken(tmp_path) == {"t1w": "t1_NORM"}


def test_an_inversion_time_decides_where_the_name_is_vague(tmp_path: Path) -> None:
    fields = {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 2500.0, "EchoTime": 10.0, "InversionTime": 900.0}
    write_series(tmp_path, 1, picture(spacing=(4, 4, 5)), **fields, SeriesDescription="Ax T1 FSE FLAIR")
    write_series(tmp_path, 2, picture(), **{**FLAIR, "SeriesDescription": "Ax T2 FLAIR"})
    assert taken(tmp_path) == {"t1w": "Ax T1 FSE FLAIR", "flair": "Ax T2 FLAIR"}
    write_series(tmp_path, 3, picture(spacing=(3, 3, 4)), **fields, SeriesDescription="Ax FLAIR fast")
    assert taken(tmp_path)["flair"] == "Ax T2 FLAIR"


def test_an_index_of_the_folder_is_no_image(archive: Path) -> None:
    index = pydicom.Dataset()
    index.file_meta = pydicom.dataset.FileMetaDataset()
    index.file_meta.MediaStorageSOPClassUID, index.file_meta.MediaStorageSOPInstanceUID = "1.2.840.10008.1.3.10", "1.2.3"
    index.file_meta.TransferSyntaxUID, index.FileSetID = pydicom.uid.ExplicitVRLittleEndian, "DISC"
    index.save_as(archive / "a" / "DICOMDIR", enforce_file_format=True)
    assert set(find_session(archive).files) == {"t1w", "t2w", "flair"}


def test_nifti_goes_before_the_dicom_it_was_made_of(archive: Path) -> None:
    (archive / "t1w.nii.gz").touch()
    assert set(find_session(archive).files) == {"t1w"}


def test_a_real_series_is_found_and_placed(data: Callable[[str], Path]) -> None:
    folder = data("dicom_t1w")
    session = find_session(folder)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    expected = sitk.ReadImage(names, sitk.sitkFloat32)
    volume = read_scan(session.files["t1w"])
    assert set(session.files) == {"t1w"} and same_grid(volume.image, expected, 1e-2)
    assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(expected))
