"""Which series of a study exported maps refer to, and whose frame of reference they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.dicom_out.identity import Identity, share_within, source_identity
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.workflow.results.export import export_dicom
from PhysMRISynthLib.workflow.results.export_order import ExportOrder
from Testing.imaging.dicom_folders import picture, write_series
from Testing.imaging.phantoms import rotation

FRAME, ANOTHER = generate_uid(), generate_uid()
T1W = picture(6, spacing=(8, 9, 10))
DIFFUSION = picture(20, spacing=(5, 5, 5))


def series(folder: Path, number: int, image: sitk.Image, frame: str = FRAME) -> str:
    """Write a series; its UID."""
    uid = generate_uid()
    write_series(folder, number, image, uid, PatientName="A^B", FrameOfReferenceUID=frame, PatientPosition=f"P{number}")
    return uid


def sources(identity: Identity) -> set[str]:
    return {str(image.SeriesInstanceUID) for image in identity.images}


def maps_on(grid: sitk.Image) -> TissueMaps:
    everything = np.ones(grid.GetSize()[::-1], dtype=np.float32)
    return TissueMaps(everything, 900.0 * everything, 80.0 * everything, everything > 0, grid)


@pytest.mark.parametrize("turned", [np.eye(3), rotation(20, -35, 50)])
def test_maps_come_from_the_series_on_their_grid_not_from_the_one_with_most_slices(turned: np.ndarray, tmp_path: Path) -> None:
    image = picture(6, turned=turned)
    uid = series(tmp_path, 1, image)
    series(tmp_path, 2, DIFFUSION)
    series(tmp_path, 3, picture(6, turned=turned, spacing=(8, 9, 10.5)))
    assert sources(source_identity(tmp_path, image)) == {uid}
    for reordered in (sitk.PermuteAxes(image, (2, 0, 1)), sitk.Flip(image, (True, False, True))):
        assert sources(source_identity(tmp_path, reordered)) == {uid}


def test_a_result_refers_to_the_series_on_its_grid(tmp_path: Path) -> None:
    uid = series(tmp_path / "source", 1, T1W)
    series(tmp_path / "source", 2, DIFFUSION)
    assert export_dicom(maps_on(T1W), tmp_path / "out", ExportOrder(source=tmp_path / "source")).warnings == ()
    written = pydicom.dcmread(tmp_path / "out" / "T1.dcm", stop_before_pixels=True)
    assert [str(item.SeriesInstanceUID) for item in written.ReferencedSeriesSequence] == [uid]


def test_nothing_is_referred_to_where_it_may_be_one_series_or_another(tmp_path: Path) -> None:
    for number in (1, 2):
        series(tmp_path / "source", number, T1W)
    for name, grid in (("same grid", T1W), ("other grid", DIFFUSION)):
        export = export_dicom(maps_on(grid), tmp_path / name, ExportOrder(source=tmp_path / "source"))
        assert "any of 2 series" in export.warnings[-1]
        written = pydicom.dcmread(tmp_path / name / "T1.dcm", stop_before_pixels=True)
        assert "ReferencedSeriesSequence" not in written
        assert (written.FrameOfReferenceUID, written.PatientName) == (FRAME, "A^B")


def test_the_only_series_is_the_source_of_maps_at_another_spacing(tmp_path: Path) -> None:
    uid = series(tmp_path, 1, T1W)
    assert sources(source_identity(tmp_path, DIFFUSION)) == {uid}


def test_a_localizer_in_another_frame_of_reference_does_no_harm(tmp_path: Path) -> None:
    series(tmp_path, 1, picture(3, spacing=(20, 20, 20)), ANOTHER)
    uid = series(tmp_path, 2, T1W)
    identity = source_identity(tmp_path, T1W)
    assert sources(identity) == {uid}
    assert (identity.attributes.FrameOfReferenceUID, identity.attributes.PatientPosition) == (FRAME, "P2")
    with pytest.raises(ImageError, match="different frames of reference"):
        source_identity(tmp_path, DIFFUSION)


def test_the_overlap_is_that_with_the_maps_own_series(tmp_path: Path) -> None:
    series(tmp_path, 1, T1W)
    beside = sitk.Image(DIFFUSION)
    beside.SetOrigin(np.add(T1W.GetOrigin(), (0.0, 0.0, 500.0)).tolist())
    series(tmp_path, 2, beside)
    assert share_within(source_identity(tmp_path, T1W), maps_on(T1W)) == 1.0
