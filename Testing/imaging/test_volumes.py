"""Volumes: geometry and values survive files, what is no head's image is refused with a remedy, and writing is all or nothing."""

from __future__ import annotations

import gzip
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake import volumes
from PhysMRISynthLib.imaging.intake.volumes import image_like, read_volume, same_grid, volume_from_image, write_image
from Testing.imaging.phantoms import grid, rotation

SINGLE_FILE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha")


def some_image(size=(12, 10, 8), spacing=(9.0, 11.0, 12.0), turned=None) -> sitk.Image:
    on = grid(size, spacing, np.eye(3) if turned is None else turned, (10.0, -20.0, 5.0))
    return image_like(np.random.default_rng(1).normal(100, 20, size[::-1]).astype(np.float32), on)


def corner_difference(a: sitk.Image, b: sitk.Image) -> float:
    ends = [(0, n - 1) for n in a.GetSize()]
    corners = [(i, j, k) for i in ends[0] for j in ends[1] for k in ends[2]]
    return max(np.abs(np.subtract(a.TransformIndexToPhysicalPoint(c), b.TransformIndexToPhysicalPoint(c))).max() for c in corners)


@st.composite
def geometries(draw: st.DrawFn) -> sitk.Image:
    """Oblique, anisotropic, with axes permuted and flipped, left-handed or right-handed."""
    size = draw(st.tuples(*[st.integers(4, 9)] * 3))
    spacing = draw(st.tuples(*[st.floats(10.0, 30.0)] * 3))
    turned = rotation(*(draw(st.floats(-40, 40)) for _ in range(3)))
    turned = turned[:, draw(st.permutations(range(3)))] * np.array([draw(st.sampled_from([1, -1])) for _ in range(3)])
    centre = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    on = grid(size, spacing, turned, centre)
    return image_like(np.arange(np.prod(size), dtype=np.float32).reshape(size[::-1]), on)


# --- there and back -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SINGLE_FILE_SUFFIXES)
@settings(max_examples=20, deadline=None)
@given(image=geometries())
def test_any_geometry_and_every_value_survive_a_file(suffix: str, image: sitk.Image) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / f"a{suffix}", Path(folder) / f"b{suffix}"
        write_image(image, first)
        once = read_volume(first)
        write_image(once.image, second)
        twice = read_volume(second)
    # NIfTI keeps positions as float32: 1e-4 mm is its last digit at 500 mm. The other formats keep every digit that they print.
    assert corner_difference(once.image, image) < 1e-4
    assert np.linalg.det(np.reshape(once.image.GetDirection(), (3, 3))) == pytest.approx(
        np.linalg.det(np.reshape(image.GetDirection(), (3, 3))), abs=1e-5
    )
    assert corner_difference(twice.image, once.image) < 2e-5  # nothing creeps
    assert np.array_equal(once.voxels, sitk.GetArrayFromImage(image))
    assert np.array_equal(twice.voxels, once.voxels)
    assert once.notes == ()


@pytest.mark.parametrize("suffix", (".nrrd", ".mha"))
def test_text_headers_keep_the_geometry_to_the_last_bit(tmp_path: Path, suffix: str) -> None:
    image = some_image(spacing=(9.1, 11.3, 12.7))
    write_image(image, tmp_path / f"a{suffix}")
    read = read_volume(tmp_path / f"a{suffix}").image
    assert corner_difference(read, image) < 1e-12


def with_scaling(path: Path, slope: float, intercept: float) -> Path:
    """Put a slope and intercept into the header of an uncompressed NIfTI-1 file."""
    content = bytearray(path.read_bytes())
    content[112:120] = struct.pack("<ff", slope, intercept)
    path.write_bytes(content)
    return path


def test_int16_with_slope_and_intercept_is_read_as_what_it_stands_for(tmp_path: Path) -> None:
    stored = np.random.default_rng(2).integers(-500, 3000, (8, 10, 12)).astype(np.int16)
    write_image(image_like(stored, some_image()), tmp_path / "scaled.nii")
    read = read_volume(with_scaling(tmp_path / "scaled.nii", 0.25, -10.5))
    assert read.voxels.dtype == np.float32
    assert np.allclose(read.voxels, stored * 0.25 - 10.5, atol=1e-3)


@pytest.mark.parametrize("dtype", (np.uint8, np.int16, np.uint16, np.int32, np.float64))
def test_every_number_type_is_read_as_float32(tmp_path: Path, dtype: type) -> None:
    stored = np.random.default_rng(3).integers(0, 200, (8, 10, 12)).astype(dtype)
    write_image(image_like(stored, some_image()), tmp_path / "image.nii.gz")
    voxels = read_volume(tmp_path / "image.nii.gz").voxels
    assert voxels.dtype == np.float32
    assert np.array_equal(voxels, stored)


@pytest.mark.parametrize("library", ("isal", "zlib"))
def test_every_library_compresses_what_others_read(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    image = image_like(np.random.default_rng(0).normal(size=(40, 50, 60)).astype(np.float32), sitk.Image(60, 50, 40, sitk.sitkFloat32))
    write_image(image, tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "image.nii.gz"))), sitk.GetArrayFromImage(image))
    packed = (tmp_path / "image.nii.gz").read_bytes()
    assert len(packed) < 0.95 * len(gzip.decompress(packed))


@pytest.mark.parametrize("suffix", (".nii.gz", ".nrrd", ".mha"))
def test_a_fourth_axis_of_one_volume_is_no_obstacle(tmp_path: Path, suffix: str) -> None:
    image = some_image(turned=rotation(10, -20, 5))
    sitk.WriteImage(sitk.JoinSeries([image]), str(tmp_path / f"one{suffix}"))
    read = read_volume(tmp_path / f"one{suffix}")
    assert same_grid(read.image, image)
    assert np.array_equal(read.voxels, sitk.GetArrayFromImage(image))


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    write_image(some_image(), tmp_path / "a.nii.gz")
    capital = (tmp_path / "a.nii.gz").rename(tmp_path / "A.NII.GZ")
    assert np.array_equal(read_volume(capital).voxels, sitk.GetArrayFromImage(some_image()))


# --- NaN and infinity -----------------------------------------------------------------------------------------------------------


def test_islands_of_nan_and_infinity_become_zero_and_are_reported(tmp_path: Path) -> None:
    voxels = sitk.GetArrayFromImage(some_image())
    voxels[2, 3, 4:6], voxels[5, 5, 5], voxels[6, 6, 6] = np.nan, np.inf, -np.inf
    write_image(image_like(voxels, some_image(turned=rotation(5, 6, 7))), tmp_path / "holes.nii.gz")
    read = read_volume(tmp_path / "holes.nii.gz")
    assert "4 voxels" in read.notes[0]
    assert np.array_equal(read.voxels, np.where(np.isfinite(voxels), voxels, 0))
    assert same_grid(read.image, some_image(turned=rotation(5, 6, 7)))


# --- what is refused ------------------------------------------------------------------------------------------------------------


def nifti(image: sitk.Image, path: Path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def constant(path: Path) -> Path:
    return nifti(some_image() * 0 + 7, path / "constant.nii.gz")


def mostly_nan(path: Path) -> Path:
    voxels = sitk.GetArrayFromImage(some_image())
    voxels.reshape(-1)[::2] = np.nan
    return nifti(image_like(voxels, some_image()), path / "nan.nii.gz")


def in_metres(path: Path) -> Path:
    return nifti(some_image(spacing=(0.009, 0.011, 0.012)), path / "metres.nii.gz")


def in_colour(path: Path) -> Path:
    voxels = np.random.default_rng(4).integers(0, 255, (8, 10, 12, 3)).astype(np.uint8)
    return nifti(sitk.GetImageFromArray(voxels, isVector=True), path / "colour.nii.gz")


def vectors(path: Path) -> Path:
    voxels = np.random.default_rng(4).normal(size=(8, 10, 12, 2)).astype(np.float32)
    return nifti(sitk.GetImageFromArray(voxels, isVector=True), path / "vectors.nrrd")


def complex_numbers(path: Path) -> Path:
    return nifti(sitk.RealAndImaginaryToComplex(some_image(), some_image()), path / "complex.nii.gz")


def series(path: Path) -> Path:
    return nifti(sitk.JoinSeries([some_image()] * 3), path / "series.nii.gz")


def flat(path: Path) -> Path:
    return nifti(some_image()[:, :, 3], path / "flat.nii.gz")


def one_slice(path: Path) -> Path:
    return nifti(some_image()[:, :, 3:4], path / "slice.nrrd")


def zero_bytes(path: Path) -> Path:
    (path / "zero.nii.gz").touch()
    return path / "zero.nii.gz"


def truncated(path: Path, suffix: str) -> Path:
    """Half a file, as an interrupted download leaves it."""
    file = nifti(some_image((40, 40, 40), (4.0, 4.0, 4.0)), path / f"half{suffix}")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return file


def no_image(path: Path) -> Path:
    (path / "text.nii").write_text("This is a letter.\n" * 40)
    return path / "text.nii"


def missing(path: Path) -> Path:
    return path / "missing.nii.gz"


def folder(path: Path) -> Path:
    (path / "folder.nii").mkdir()
    return path / "folder.nii"


def unknown_suffix(path: Path) -> Path:
    (path / "scan.xyz").write_bytes(b"1234")
    return path / "scan.xyz"


REFUSED = {
    "constant": (constant, "every voxel is 7", "Choose another"),
    "mostly NaN": (mostly_nan, "50 % of the voxels", "Export"),
    "metres": (in_metres, "0.108", "spacing"),
    "colour": (in_colour, "3 values a voxel", "Give a grey-value"),
    "vectors": (vectors, "2 values a voxel", "Give a grey-value"),
    "complex": (complex_numbers, "2 values a voxel", "Give a grey-value"),
    "4-D": (series, "12×10×8×3", "Give one 3-D volume"),
    "2-D": (flat, "2-D", "Give a 3-D volume"),
    "one slice": (one_slice, "(12, 10, 1)", "Check"),
    "zero bytes": (zero_bytes, "zero bytes", "again"),
    "half a .nii.gz": (lambda p: truncated(p, ".nii.gz"), "cannot be read", "complete"),
    "half a .nii": (lambda p: truncated(p, ".nii"), "cannot be read", "complete"),
    "half a .nrrd": (lambda p: truncated(p, ".nrrd"), "cannot be read", "complete"),
    "half a .mha": (lambda p: truncated(p, ".mha"), "cannot be read", "complete"),
    "a text": (no_image, "cannot be read", "convert"),
    "missing": (missing, "does not exist", "Check the path"),
    "a folder": (folder, "is a folder", "Give one volume file"),
    "unknown suffix": (unknown_suffix, ".xyz", ".nii.gz"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_by_name_with_a_remedy(tmp_path: Path, case: str) -> None:
    make, cause, remedy = REFUSED[case]
    path = make(tmp_path)
    with pytest.raises(ImageError) as refusal:
        read_volume(path)
    message = str(refusal.value)
    assert path.name in message and cause in message and remedy in message
    assert "\n" not in message and "itk::" not in message


@pytest.mark.parametrize("image", (sitk.Image([8, 8], sitk.sitkFloat32), sitk.Image([8, 8, 8], sitk.sitkVectorFloat32, 3)))
def test_images_in_memory_are_checked_too(image: sitk.Image) -> None:
    with pytest.raises(ImageError, match="3-D grey-value"):
        volume_from_image(image)


# --- same_grid ------------------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(image=geometries(), axis=st.integers(0, 2), shift=st.floats(0.01, 5))
def test_a_shift_a_stretch_or_another_size_is_another_grid(image: sitk.Image, axis: int, shift: float) -> None:
    assert same_grid(image, image_like(sitk.GetArrayFromImage(image), image))
    moved, stretched = sitk.Image(image), sitk.Image(image)
    moved.SetOrigin((np.array(image.GetOrigin()) + shift * np.eye(3)[axis]).tolist())
    stretched.SetSpacing((np.array(image.GetSpacing()) + 0.01 * np.eye(3)[axis]).tolist())
    for other in (moved, stretched, image[1:, :, :]):
        assert not same_grid(image, other)


# --- all or nothing -------------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.nii.gz"
    write_image(some_image(), path)
    before = path.read_bytes()

    def disk_full(_image: sitk.Image, name: str, **_options: object) -> None:
        Path(name).write_bytes(b"half")
        raise RuntimeError("ITK ERROR\nNo space left on device")

    monkeypatch.setattr(volumes.sitk, "WriteImage", disk_full)
    with pytest.raises(ImageError, match=r"map\.nii\.gz could not be written \(No space left on device\)\. Check free space"):
        write_image(some_image() * 2, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("half_written", (True, False))
def test_a_failed_write_takes_back_the_folders_that_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_written: bool) -> None:
    old = tmp_path / "old"
    old.mkdir()

    def disk_full(_image: sitk.Image, name: str, **_options: object) -> None:
        if half_written:
            Path(name).write_bytes(b"half")
        raise RuntimeError("ITK ERROR\nNo space left on device")

    monkeypatch.setattr(volumes.sitk, "WriteImage", disk_full)
    with pytest.raises(ImageError, match="No space left on device"):
        write_image(some_image(), old / "new" / "deep" / "map.nii.gz")
    assert list(tmp_path.rglob("*")) == [old]  # it was there before


def test_a_target_that_cannot_be_written_is_an_image_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am not a folder")
    with pytest.raises(ImageError, match="Check free space and permissions"):
        write_image(some_image(), tmp_path / "file" / "map.nii.gz")
    (tmp_path / "taken.nii").mkdir()
    with pytest.raises(ImageError, match="taken"):
        write_image(some_image(), tmp_path / "taken.nii")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken.nii"]


@pytest.mark.parametrize("suffix", (".nhdr", ".mhd", ".xyz", ""))
def test_only_formats_of_a_single_file_are_written(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(ImageError, match=r"nii\.gz"):
        write_image(some_image(), tmp_path / f"map{suffix}")
    assert not list(tmp_path.iterdir())


def test_folders_on_the_way_are_made_and_old_files_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "map.nii.gz"
    write_image(some_image(), path)
    write_image(some_image() * 2, path)
    assert np.array_equal(read_volume(path).voxels, 2 * sitk.GetArrayFromImage(some_image()))
    assert list(path.parent.iterdir()) == [path]
