"""Tissue maps: a folder of files stands for them exactly, and maps in other units or of other heads are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.volumes import image_like, read_volume, same_grid, write_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps, read_tissue_maps
from PhysMRISynthLib.workflow.results.map_set import with_sds
from Testing.imaging.phantoms import grid, rotation

SIZE = (12, 10, 8)


@pytest.fixture
def maps() -> TissueMaps:
    rng = np.random.default_rng(5)
    shape = SIZE[::-1]
    mask = np.zeros(shape, dtype=bool)
    mask[1:-1, 1:-1, 1:-1] = True

    def inside(low: float, high: float) -> np.ndarray:
        return (rng.uniform(low, high, shape) * mask).astype(np.float32)

    sd = {"PD": inside(0.01, 0.02), "T1": inside(20, 40), "T2": inside(2, 4)}
    on = grid(SIZE, (9.0, 11.0, 12.5), rotation(5, -10, 20) * np.array([1, -1, 1]), (12.0, 3.0, -40.0))
    return TissueMaps(inside(0.6, 1.0), inside(700, 4000), inside(50, 500), mask, on, sd, {"prior": "literature"})


def write(maps: TissueMaps, folder: Path) -> Path:
    for name, image in maps.files().items():
        write_image(image, folder / name)
    (folder / "report.json").write_text(json.dumps(dict(maps.provenance)))
    return folder


def test_the_files_are_in_the_units_that_they_promise(maps: TissueMaps, tmp_path: Path) -> None:
    write(maps, tmp_path)
    expected = {"PD": 100 * maps.pd, "T1": maps.t1, "T2": maps.t2, "PD_sd": 100 * maps.sd["PD"], "T1_sd": maps.sd["T1"], "mask": maps.mask}
    for name, voxels in expected.items():
        read = read_volume(tmp_path / f"{name}.nii.gz")
        assert same_grid(read.image, maps.grid)
        assert np.array_equal(read.voxels, voxels.astype(np.float32))


def test_maps_written_and_read_are_the_same_maps(maps: TissueMaps, tmp_path: Path) -> None:
    read = read_tissue_maps(write(maps, tmp_path))
    assert np.allclose(read.pd, maps.pd, rtol=1e-6, atol=0)
    assert np.array_equal(read.t1, maps.t1) and np.array_equal(read.t2, maps.t2) and np.array_equal(read.mask, maps.mask)
    assert read.provenance == {"prior": "literature"}
    assert same_grid(read.grid, maps.grid)
    assert {array.dtype for array in (read.pd, read.t1, read.t2)} == {np.dtype(np.float32)} and read.mask.dtype == bool
    read.t1[0, 0, 0] = 1.0  # theirs to change


def derivative(maps: TissueMaps, folder: Path, name: str = "sub-01_ses-a") -> Path:
    """The maps as ``estimate --bids`` names them, in seconds and %."""
    for file, image in maps.files().items():
        quantity, _, sd = file.removesuffix(".nii.gz").partition("_")
        seconds = quantity in ("T1", "T2")
        suffix = "desc-head_mask" if quantity == "mask" else f"{'desc-sd_' if sd else ''}{quantity}map"
        write_image(image * 0.001 if seconds else image, folder / f"{name}_{suffix}.nii.gz")
        (folder / f"{name}_{suffix}.json").write_text(json.dumps({"Units": "s" if seconds else "%"}))
    (folder / f"{name}_report.json").write_text(json.dumps(dict(maps.provenance)))
    return folder


def test_a_bids_derivative_is_read_in_its_own_units(maps: TissueMaps, tmp_path: Path) -> None:
    folder = derivative(maps, tmp_path / "sub-01" / "ses-a" / "anat")
    read = read_tissue_maps(folder)
    assert all(np.allclose(a, b, rtol=1e-5) for a, b in ((read.pd, maps.pd), (read.t1, maps.t1), (read.t2, maps.t2)))
    assert np.array_equal(read.mask, maps.mask) and read.provenance == {"prior": "literature"}
    deviations = with_sds(read, folder).sd
    assert all(np.allclose(deviations[name], maps.sd[name], rtol=1e-5) for name in ("PD", "T1", "T2"))
    write_image(maps.image(maps.t1), folder / "sub-01_ses-a_T1map.nii.gz")
    (folder / "sub-01_ses-a_T1map.json").write_text(json.dumps({"Units": "ms"}))
    (folder / "sub-01_ses-a_T2map.json").unlink()  # BIDS' unit
    assert np.allclose(read_tissue_maps(folder).t1, maps.t1) and np.allclose(read_tissue_maps(folder).t2, maps.t2)


@pytest.mark.parametrize("content", ['{"Units": "arbitrary"}', '{"Units": ["s"]}', "[]", "{"])
def test_a_derivative_whose_unit_is_not_known_is_refused(maps: TissueMaps, tmp_path: Path, content: str) -> None:
    derivative(maps, tmp_path)
    (tmp_path / "sub-01_ses-a_T1map.json").write_text(content)
    with pytest.raises(ImageError, match=r"T1map\.json"):
        read_tissue_maps(tmp_path)


def test_the_folder_of_several_visits_is_told_from_that_of_one(maps: TissueMaps, tmp_path: Path) -> None:
    derivative(maps, tmp_path / "sub-01" / "ses-a" / "anat")
    for above in (tmp_path, tmp_path / "sub-01"):
        with pytest.raises(ImageError, match=r"such as .*anat"):
            read_tissue_maps(above)
    derivative(maps, tmp_path / "sub-01" / "ses-a" / "anat", "sub-01_ses-b")
    with pytest.raises(ImageError, match="maps of sub-01_ses-a, sub-01_ses-b"):
        read_tissue_maps(tmp_path / "sub-01" / "ses-a" / "anat")


def test_without_a_mask_or_a_report_the_maps_speak_for_themselves(maps: TissueMaps, tmp_path: Path) -> None:
    write(maps, tmp_path)
    (tmp_path / "mask.nii.gz").unlink()
    (tmp_path / "report.json").unlink()
    read = read_tissue_maps(tmp_path)
    assert np.array_equal(read.mask, maps.mask)
    assert read.provenance == {}


@pytest.mark.parametrize(("name", "factor"), (("T1", 1e-3), ("T2", 1e-3), ("PD", 1e-2), ("PD", 100.0), ("T1", 1e3), ("T2", 1e3)))
def test_maps_in_other_units_are_refused(maps: TissueMaps, tmp_path: Path, name: str, factor: float) -> None:
    write(maps, tmp_path)
    path = tmp_path / f"{name}.nii.gz"
    write_image(read_volume(path).image * factor, path)
    with pytest.raises(ImageError, match=rf"{name}\.nii\.gz.*cannot be {name} in.*Check its unit"):
        read_tissue_maps(tmp_path)


@pytest.mark.parametrize("name", ("PD", "T1", "T2"))
def test_a_missing_map_is_named(maps: TissueMaps, tmp_path: Path, name: str) -> None:
    write(maps, tmp_path)
    (tmp_path / f"{name}.nii.gz").unlink()
    with pytest.raises(ImageError, match=rf"{name}\.nii\.gz does not exist"):
        read_tissue_maps(tmp_path)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"is not a folder\. Give the folder that an estimate wrote"):
        read_tissue_maps(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ("T1", "T2", "mask"))
@pytest.mark.parametrize("how", ("shifted", "smaller"))
def test_maps_on_different_grids_are_refused(maps: TissueMaps, tmp_path: Path, name: str, how: str) -> None:
    write(maps, tmp_path)
    path = tmp_path / f"{name}.nii.gz"
    image = sitk.Image(read_volume(path).image)
    if how == "shifted":
        image.SetOrigin((0.0, 0.0, 0.0))
    write_image(image if how == "shifted" else image[1:, :, :], path)
    with pytest.raises(ImageError, match=rf"{name}\.nii\.gz.*different grids"):
        read_tissue_maps(tmp_path)


def test_an_empty_mask_is_refused(maps: TissueMaps, tmp_path: Path) -> None:
    write(maps, tmp_path)
    write_image(image_like(np.zeros_like(maps.mask, dtype=np.uint8), maps.grid), tmp_path / "mask.nii.gz")
    with pytest.raises(ImageError, match="mask is empty"):
        read_tissue_maps(tmp_path)


def test_a_mask_of_every_voxel_is_a_mask(maps: TissueMaps, tmp_path: Path) -> None:
    core = np.s_[1:-1, 1:-1, 1:-1]
    on = sitk.Image(maps.grid)[1:-1, 1:-1, 1:-1]
    full = replace(maps, pd=maps.pd[core], t1=maps.t1[core], t2=maps.t2[core], mask=maps.mask[core], grid=on, sd={})
    assert full.mask.all()
    assert read_tissue_maps(write(full, tmp_path)).mask.all()


@pytest.mark.parametrize("content", ("{", "[1]", "3"))
def test_a_damaged_report_is_refused(maps: TissueMaps, tmp_path: Path, content: str) -> None:
    write(maps, tmp_path)
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(ImageError, match=r"report\.json.*Restore it, or delete it"):
        read_tissue_maps(tmp_path)


@pytest.mark.parametrize("name", ("PD", "T1", "T2"))
def test_a_negative_voxel_in_the_head_is_named_for_what_it_is(maps: TissueMaps, tmp_path: Path, name: str) -> None:
    write(maps, tmp_path)
    path = tmp_path / f"{name}.nii.gz"
    image = read_volume(path).image
    where = np.argwhere(maps.mask)[0][::-1].tolist()
    image[where] = -1e-3
    write_image(image, path)
    with pytest.raises(ImageError, match=f"{name}.nii.gz has negative voxels"):
        read_tissue_maps(tmp_path)
