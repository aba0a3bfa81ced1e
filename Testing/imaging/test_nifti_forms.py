"""The sform counts before the qform, and what is made from an image lies on it in every program: both forms and codes are kept."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.nifti import read_header
from PhysMRISynthLib.imaging.intake.volumes import image_like, read_volume, same_grid, write_image
from Testing.imaging.phantoms import grid, rotation

ON = grid((24, 26, 22), (4.0, 3.5, 5.0), rotation(5, -8, 12))
VOXELS = np.random.default_rng(0).gamma(3.0, 100.0, (22, 26, 24)).astype(np.float32)
MOVED = np.vstack([np.hstack([rotation(0, 0, 8), [[12.0], [-3.0], [4.0]]]), [0, 0, 0, 1]])


def file_with(folder: Path, qform: int, sform: int, moved: np.ndarray = MOVED, name: str = "t1w.nii.gz") -> Path:
    """An image whose sform lies elsewhere than its qform, with these codes."""
    sitk.WriteImage(image_like(VOXELS, ON), str(folder / "plain.nii"))
    content = bytearray((folder / "plain.nii").read_bytes())
    own = np.vstack([np.reshape(struct.unpack_from("<12f", content, 280), (3, 4)), [0, 0, 0, 1]])
    struct.pack_into("<2h", content, 252, qform, sform)
    struct.pack_into("<12f", content, 280, *(moved @ own)[:3].ravel())
    (folder / name).write_bytes(gzip.compress(bytes(content), 1) if name.endswith(".gz") else bytes(content))
    return folder / name


def corner(image: sitk.Image) -> np.ndarray:
    """The place (RAS, mm) of the last voxel."""
    return np.array(image.TransformIndexToPhysicalPoint([n - 1 for n in image.GetSize()])) * (-1, -1, 1)


@pytest.mark.parametrize(("qform", "sform"), ((1, 2), (1, 1), (1, 4), (0, 2), (3, 0)))
def test_the_sform_counts_where_it_has_a_code(tmp_path: Path, qform: int, sform: int) -> None:
    path = file_with(tmp_path, qform, sform)
    header = read_header(path)
    expected = (header.sform if sform else header.qform()) @ [23, 25, 21, 1]
    assert corner(read_volume(path).image) == pytest.approx(expected, abs=1e-3)
    if qform and sform:
        assert "The sform is used" in read_volume(path).notes[0]


@pytest.mark.parametrize("name", ("map.nii.gz", "map.nii"))
@pytest.mark.parametrize(("qform", "sform"), ((1, 2), (1, 1), (0, 3), (2, 0)))
def test_results_keep_both_forms_and_codes(tmp_path: Path, qform: int, sform: int, name: str) -> None:
    path = file_with(tmp_path, qform, sform)
    read = read_volume(path)
    write_image(image_like(np.sqrt(VOXELS), read.image), tmp_path / name)
    before, after = read_header(path), read_header(tmp_path / name)
    assert after.codes == before.codes == (qform, sform)
    assert after.quaternion == before.quaternion and after.shift == before.shift and np.array_equal(after.sform, before.sform)
    back = read_volume(tmp_path / name)
    assert same_grid(back.image, read.image) and back.voxels == pytest.approx(np.sqrt(VOXELS))
    assert [file.name for file in tmp_path.iterdir() if "writing" in file.name] == []


def test_an_image_on_another_grid_does_not_inherit_forms(tmp_path: Path) -> None:
    read = read_volume(file_with(tmp_path, 1, 2))
    place = read.image.GetOrigin(), (8.0, 7.0, 10.0), read.image.GetDirection()
    half = sitk.Resample(read.image, [12, 13, 11], sitk.Transform(), sitk.sitkLinear, *place)
    write_image(half, tmp_path / "half.nii.gz")
    assert same_grid(read_volume(tmp_path / "half.nii.gz").image, half, tolerance_mm=0.01)


def test_a_skewed_sform_gives_way_to_the_qform(tmp_path: Path) -> None:
    skewed = np.eye(4)
    skewed[0, 1] = 0.1
    path = file_with(tmp_path, 1, 2, skewed)
    assert corner(read_volume(path).image) == pytest.approx(read_header(path).qform() @ [23, 25, 21, 1], abs=1e-3)


@pytest.mark.parametrize("slope", (0.0, float("nan")))
def test_a_slope_that_stands_for_no_scaling_leaves_no_intercept(tmp_path: Path, slope: float) -> None:
    path = file_with(tmp_path, 1, 1, np.eye(4), "t1w.nii")
    content = bytearray(path.read_bytes())
    struct.pack_into("<2f", content, 112, slope, 300.0)
    path.write_bytes(content)
    assert read_volume(path).voxels == pytest.approx(VOXELS, abs=1e-3)  # single precision
