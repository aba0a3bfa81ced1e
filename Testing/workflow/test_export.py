"""Maps and contrasts as one DICOM study, on a toy head and on a real series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.rendering.scanner_effects import ScannerEffects
from PhysMRISynthLib.workflow.results.export import export_dicom
from PhysMRISynthLib.workflow.results.export_order import ExportOrder
from Testing.imaging.dicom_validator import violations


def toy(grid: sitk.Image, inside: np.ndarray) -> TissueMaps:
    pd, t1, t2 = (np.where(inside, value, 0.0).astype(np.float32) for value in (0.8, 900.0, 80.0))
    return TissueMaps(pd, t1, t2, inside, grid, sd={"T1": 0.05 * t1})


@pytest.fixture
def maps() -> TissueMaps:
    inside = np.zeros((5, 8, 9), dtype=bool)
    inside[1:4, 2:6, 2:7] = True
    grid = sitk.Image((9, 8, 5), sitk.sitkFloat32)
    grid.SetSpacing((10.0, 11.0, 12.0))
    return toy(grid, inside)


def test_maps_and_contrasts_share_an_anonymous_study(maps: TissueMaps, tmp_path: Path) -> None:
    names = export_dicom(maps, tmp_path / "out", ExportOrder((Protocol.of("se"), Protocol.of("se", TR=3000)))).files
    assert {"PD.dcm", "T1.dcm", "T2.dcm", "T1_sd.dcm", "se_0001.dcm", "se-2_0005.dcm"} <= set(names)
    images = [pydicom.dcmread(file) for file in (tmp_path / "out").glob("*.dcm")]
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({image[keyword].value for image in images}) == 1
    assert len({image.SeriesNumber for image in images}) == len({image.SeriesInstanceUID for image in images}) == 6


def test_assumed_protocols_are_said_in_every_series(maps: TissueMaps, tmp_path: Path) -> None:
    export_dicom(replace(maps, provenance={"protocols": "assumed"}), tmp_path / "assumed", ExportOrder((Protocol.of("se"),)))
    export_dicom(replace(maps, provenance={"protocols": "known"}), tmp_path / "known")
    for folder, marked in (("assumed", True), ("known", False)):
        for file in (tmp_path / folder).glob("*[TD]*.dcm"):
            image = pydicom.dcmread(file)
            assert ("PROTOCOL ASSUMED" in image.SeriesDescription) is marked, file
            assert ("protocol assumed" in image.ContentDescription) is marked
            assert max(len(image.SeriesDescription), len(image.ContentDescription)) <= 64
    assert "acquisition parameters assumed" in pydicom.dcmread(tmp_path / "assumed" / "se_0001.dcm").DerivationDescription


def test_contrasts_with_scanner_effects_say_so_and_have_their_own_slices(maps: TissueMaps, tmp_path: Path) -> None:
    effects = ScannerEffects(slice_thickness=20.0, ringing=30.0)
    export_dicom(maps, tmp_path / "ideal", ExportOrder((Protocol.of("se"),)))
    export_dicom(maps, tmp_path / "scan", ExportOrder((Protocol.of("se"),), snr=30.0, seed=5, effects=effects))
    ideal, scan = (pydicom.dcmread(tmp_path / folder / "se_0001.dcm") for folder in ("ideal", "scan"))
    assert "scanner effects (SNR 30, slices 20 mm axial, ringing 30 %, seed 5)" in scan.DerivationDescription
    assert "effects" not in ideal.DerivationDescription
    assert float(scan.SliceThickness) == 20.0 and not (tmp_path / "scan" / "se_0004.dcm").exists()


def test_exports_are_not_overwritten_unasked_nor_mixed(maps: TissueMaps, tmp_path: Path) -> None:
    export_dicom(maps, tmp_path / "out", ExportOrder((Protocol.of("se"),)))
    with pytest.raises(ImageError, match="exists already"):
        export_dicom(maps, tmp_path / "out")
    export_dicom(maps, tmp_path / "out", overwrite=True)
    assert not list((tmp_path / "out").glob("se_*"))


def test_results_of_another_command_are_never_replaced(maps: TissueMaps, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"files": ["PD.nii.gz"]}')
    with pytest.raises(ImageError, match="another command"):
        export_dicom(maps, tmp_path, overwrite=True)


def test_the_command_exports_a_folder_with_its_deviations(maps: TissueMaps, tmp_path: Path) -> None:
    for name, image in maps.files().items():
        write_image(image, tmp_path / "maps" / name)
    assert main(["export", "--maps", str(tmp_path / "maps"), "--out", str(tmp_path / "out"), "--protocol", "flair"]) == 0
    assert (tmp_path / "out" / "T1_sd.dcm").exists() and (tmp_path / "out" / "flair_0005.dcm").exists()
    assert main(["export", "--maps", str(tmp_path / "maps"), "--out", str(tmp_path / "out")]) == 2


def test_a_real_series_lends_patient_study_and_frame_of_reference(data: Callable[[str], Path], tmp_path: Path) -> None:
    source = data("dicom_t1w")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(source)))
    image = reader.Execute()
    voxels = sitk.GetArrayFromImage(image)
    maps = toy(image, voxels > np.percentile(voxels, 60))
    export_dicom(maps, tmp_path / "out", ExportOrder((Protocol.of("tse"),), source))
    original = pydicom.dcmread(next(source.glob("*.dcm")), stop_before_pixels=True)
    for file in ("tse_0001.dcm", "T1.dcm"):
        written = pydicom.dcmread(tmp_path / "out" / file, stop_before_pixels=True)
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "FrameOfReferenceUID", "StudyDate"):
            assert written[keyword].value == original[keyword].value
        assert written.SeriesInstanceUID != original.SeriesInstanceUID
        assert "SourceImageSequence" in written or "ReferencedSeriesSequence" in written
        assert violations(tmp_path / "out" / file) == []
    away = sitk.Image(image)
    away.SetOrigin(np.add(image.GetOrigin(), 5000.0).tolist())
    with pytest.raises(ImageError, match="outside the source"):
        export_dicom(toy(away, maps.mask), tmp_path / "away", ExportOrder(source=source))
    assert not (tmp_path / "away").exists()
