"""Measured maps as input: every unit leads to the same maps, what is missing is filled and told, what cannot be is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps, read_tissue_maps
from PhysMRISynthLib.workflow.analysis.measured_maps import Imported, import_maps, read_measured, scaled_maps, write_imported
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.results.map_set import read_map_set
from Testing.refusals import refused


def head() -> TissueMaps:
    return small_head().maps


def save(path: Path, voxels: np.ndarray, units: str | None = None) -> Path:
    write_image(head().image(voxels.astype(np.float32)), path)
    if units is not None:
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps({"Units": units}), encoding="utf-8")
    return path


def rate(times: np.ndarray, per: float) -> np.ndarray:
    return np.where(times > 0, per / np.maximum(times, 1.0), 0.0)


def imported(folder: Path, **maps: tuple[np.ndarray, str | None]) -> Imported:
    given = {name: read_measured(name, save(folder / f"{name}.nii.gz", voxels), unit) for name, (voxels, unit) in maps.items()}
    return scaled_maps(given, 3.0)


@pytest.mark.parametrize(
    ("pd", "t1", "t2"),
    [
        (("%", 100.0), ("ms", None), ("ms", None)),
        (("fraction", 1.0), ("s", 1e-3), (None, 1e-3)),
        ((None, 100.0), ("1/s", 1000.0), ("1/s", 1000.0)),
        (("relative", 713.0), ("1/ms", 1.0), (None, None)),
    ],
)
def test_every_unit_leads_to_the_same_maps(
    pd: tuple[str | None, float], t1: tuple[str, float | None], t2: tuple[str | None, float | None], tmp_path: Path
) -> None:
    maps = head()

    def in_unit(times: np.ndarray, unit: str | None, factor: float | None) -> np.ndarray:
        if unit is not None and unit.startswith("1/"):
            return rate(times, factor or 1.0)
        return times * (factor or 1.0)

    found = imported(
        tmp_path, PD=(maps.pd * pd[1], pd[0]), T1=(in_unit(maps.t1, *t1), t1[0]), T2=(in_unit(maps.t2, *t2), t2[0])
    ).maps  # fmt: skip
    for one, true in ((found.pd, maps.pd), (found.t1, maps.t1), (found.t2, maps.t2)):
        assert np.abs(one[found.mask] / true[found.mask] - 1.0).max() < 2e-3
    assert (found.mask & ~maps.mask).sum() == 0 and found.mask.sum() > 0.98 * maps.mask.sum()


def test_what_is_missing_is_the_tissues_with_its_spread(tmp_path: Path) -> None:
    found = imported(tmp_path, T1=(head().t1, None))
    brain = small_head().brain_tissue()
    assert found.filled == ("PD", "T2") and "PD and T2 were not measured" in found.warnings[0]
    assert np.abs(np.log(found.maps.t2[brain] / head().t2[brain])).max() < 0.02
    assert np.abs(np.log(found.maps.pd[brain] / head().pd[brain])).max() < 0.02
    assert set(found.maps.sd) == {"PD", "T2"} and (found.maps.sd["T2"][brain] > 0.05 * found.maps.t2[brain]).all()


def test_sidecars_and_names_tell_units(tmp_path: Path) -> None:
    assert read_measured("T1", save(tmp_path / "a.nii.gz", head().t1 / 1000, "s")).unit == "s"
    assert read_measured("T1", save(tmp_path / "sub-1_R1map.nii.gz", rate(head().t1, 1000))).unit == "1/s"
    assert read_measured("T1", save(tmp_path / "sub-1_T1map.nii.gz", head().t1 / 1000)).source == "file name"
    assert read_measured("PD", save(tmp_path / "b.nii.gz", head().pd * 500, "arbitrary")).unit == "relative"
    with pytest.raises(ImageError, match="units of 'furlong' is not known"):
        read_measured("T1", save(tmp_path / "c.nii.gz", head().t1, "furlong"))


def test_maps_on_another_grid_come_onto_the_first(tmp_path: Path) -> None:
    smaller = sitk.RegionOfInterest(head().image(head().t2), [s - 4 for s in head().grid.GetSize()], [2, 2, 2])
    write_image(smaller, tmp_path / "t2.nii.gz")
    given = {"T1": read_measured("T1", save(tmp_path / "t1.nii.gz", head().t1)), "T2": read_measured("T2", tmp_path / "t2.nii.gz")}
    found = scaled_maps(given, 3.0, register=False).maps
    brain = small_head().brain_tissue() & found.mask
    assert brain.sum() > 0.9 * small_head().brain_tissue().sum()
    assert np.median(np.abs(found.t2[brain] / head().t2[brain] - 1.0)) < 1e-3


def test_imported_maps_are_maps_for_everything_else(tmp_path: Path) -> None:
    given = {name: read_measured(name, save(tmp_path / f"{name}.nii.gz", v)) for name, v in (("T1", head().t1), ("T2", head().t2))}
    found = import_maps(given, 3.0)
    brain = small_head().brain_tissue()
    assert found.tissue is not None and np.mean(found.tissue[brain] == small_head().tissue[brain]) > 0.9
    write_imported(found, tmp_path / "maps")
    maps = read_tissue_maps(tmp_path / "maps")
    assert maps.provenance["filled"] == ["PD"] and maps.provenance["measured"]["T1"]["unit"] == "ms"
    assert set(read_map_set(tmp_path / "maps").maps.sd) == {"PD"}


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with refused(ImageError, r"does not tell the unit of T1\. Give --t1-unit"):
        read_measured("T1", save(tmp_path / "a.nii.gz", head().t1 / 1000))
    with pytest.raises(ImageError, match="Neither T1 nor T2"):
        imported(tmp_path, PD=(head().pd, None))
    with pytest.raises(ImageError, match=r"longer than T1 .*not exchanged"):
        imported(tmp_path, T1=(head().t2, "ms"), T2=(head().t1, "ms"))
    with pytest.raises(ImageError, match="'kg' is not known"):
        imported(tmp_path, T1=(head().t1, "kg"))
    assert any("Check T1's unit" in line for line in imported(tmp_path, T1=(head().t1 * 8, "ms")).warnings)
