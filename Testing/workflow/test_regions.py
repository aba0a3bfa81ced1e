"""Regions: the mean's uncertainty holds what voxels share, sides are found by name, and what cannot be measured is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.physics.tissues import PROPERTIES
from PhysMRISynthLib.workflow.estimation.shared_errors import KEY, SharedErrors, shared_errors_of
from PhysMRISynthLib.workflow.results.map_set import MapSet, read_map_set
from PhysMRISynthLib.workflow.results.region_files import measure_file
from PhysMRISynthLib.workflow.results.regions import measure_regions, warnings_of
from Testing.workflow.map_folders import OWN_SD, SHARED_SD, TISSUES, head, shared, write_maps

WHITE, CORTEX = 1, 2


def with_errors(seed: int) -> MapSet:
    """The head as an estimate with drawn errors has it: each tissue's own, and each voxel's own."""
    rng = np.random.default_rng(seed)
    found, labels = head(), head().labels
    assert labels is not None
    covariance = shared().covariance
    common = rng.multivariate_normal(np.zeros(len(covariance)), covariance).reshape(len(TISSUES), 3)
    inside = (labels > 0) & (labels <= len(TISSUES))
    error = OWN_SD * rng.standard_normal((3, *labels.shape))
    error[:, inside] += common[labels[inside] - 1].T
    pd, t1, t2 = (
        (values * np.exp(e)).astype(np.float32) for values, e in zip((found.maps.pd, found.maps.t1, found.maps.t2), error, strict=True)
    )
    return replace(found, maps=replace(found.maps, pd=pd, t1=t1, t2=t2))


def halves(label: int) -> np.ndarray:
    """A tissue's left and right half as regions 1 and 2."""
    labels = head().labels
    assert labels is not None
    side = np.arange(labels.shape[2]) >= labels.shape[2] // 2
    return np.where(labels == label, 1 + side.astype(int), 0)


def test_the_uncertainty_of_a_mean_is_that_of_repeated_estimates() -> None:
    labels = head().labels
    assert labels is not None
    regions = np.where(np.isin(labels, (WHITE, CORTEX)), 1, 0)
    draws = [measure_regions(with_errors(seed), regions)[0].measurements for seed in range(60)]
    truth = measure_regions(head(), regions)[0].measurements
    for name in (*PROPERTIES, "R1", "R2"):
        scatter = np.std([draw[name].mean - truth[name].mean for draw in draws])
        told = np.mean([draw[name].mean_sd for draw in draws])
        assert 0.75 < told / scatter < 1.35, name
        assert told > 20 * draws[0][name].voxel_sd / np.sqrt((regions > 0).sum())


def test_what_two_sides_share_is_not_in_the_uncertainty_of_their_difference() -> None:
    names = {1: "Left-White", 2: "Right-White"}
    left, right = measure_regions(head(), halves(WHITE), names)
    t1 = left.measurements["T1"]
    assert t1.other_side == pytest.approx(right.measurements["T1"].mean)
    assert t1.difference == pytest.approx(0.0, abs=1e-3)
    assert t1.mean_sd / t1.mean > 0.95 * SHARED_SD
    assert t1.difference_sd < 0.3 * t1.mean_sd


@pytest.mark.parametrize(("one", "other"), [("lh_insula", "rh_insula"), ("Putamen L", "Putamen R"), ("left caudate", "right caudate")])
def test_sides_are_told_by_usual_names(one: str, other: str) -> None:
    regions = measure_regions(head(), halves(CORTEX), {1: one, 2: other})
    assert all(region.measurements["PD"].other_side is not None for region in regions)


@pytest.mark.parametrize(("one", "other"), [("lobe", "robe"), ("cleft", "cright"), ("left", "left 2")])
def test_other_names_are_no_sides(one: str, other: str) -> None:
    regions = measure_regions(head(), halves(CORTEX), {1: one, 2: other})
    assert all(region.measurements["PD"].other_side is None for region in regions)


def test_measurements_are_those_of_the_voxels() -> None:
    labels = head().labels
    assert labels is not None
    found = measure_regions(head(), np.where(labels == WHITE, 7, 0), {7: "white"})[0]
    values = head().maps.t1[labels == WHITE]
    assert (found.name, found.tissue, found.voxels) == ("white", "white_matter", values.size)
    assert found.volume_ml == pytest.approx(values.size * 0.064)
    assert found.measurements["T1"].mean == pytest.approx(values.mean(), rel=1e-5)
    assert found.measurements["R1"].mean == pytest.approx((1000 / values).mean(), rel=1e-5)
    assert found.measurements["T1"].published == (750, 1100)
    assert found.measurements["R1"].published == pytest.approx((1000 / 1100, 1000 / 750))
    fluid = measure_regions(head(), np.where(labels == 5, 7, 0))[0]
    assert fluid.measurements["T2"].from_literature and fluid.measurements["R2"].from_literature
    assert not fluid.measurements["T1"].from_literature


def test_maps_without_a_word_on_shared_errors_share_all_of_them() -> None:
    maps = replace(head().maps, provenance={})
    found = measure_regions(replace(head(), maps=maps), halves(WHITE))[0].measurements["T1"]
    assert found.mean_sd == pytest.approx(found.voxel_sd, rel=0.01)
    bare = measure_regions(replace(head(), maps=replace(maps, sd={})), halves(WHITE))[0].measurements["T1"]
    assert bare.mean_sd is None and bare.voxel_sd is None


def test_other_maps_of_the_folder_are_measured_too() -> None:
    labels = head().labels
    assert labels is not None
    found = measure_regions(head(extra=True), np.where(labels == 5, 1, 0))[0].measurements["fluid_fraction"]
    assert (found.mean, found.mean_sd) == (1.0, None)


def test_regions_beside_the_head_are_told() -> None:
    air = ~head().maps.mask
    regions = np.where(air, 3, halves(WHITE))
    regions[np.unravel_index(np.flatnonzero(air)[0], air.shape)] = 1
    found = measure_regions(head(), regions, {3: "air"})
    told = warnings_of(found)
    assert any("'air' lies outside the head" in line for line in told) and any("'label 1'" in line for line in told)
    with pytest.raises(ImageError, match="None of the regions lies in the head"):
        measure_regions(head(), np.where(regions == 3, 3, 0))


def test_a_labels_file_is_measured_with_the_table_beside_it(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps")
    found = measure_file(read_map_set(tmp_path / "maps"), tmp_path / "maps" / "tissues.nii.gz", only=["white matter"])
    assert [region.name for region in found] == ["White matter"]
    assert found[0].measurements["T1"].mean_sd == pytest.approx(SHARED_SD * found[0].measurements["T1"].mean, rel=0.05)


def test_labels_on_another_grid_are_resampled_only_where_that_is_wanted(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps")
    labels = sitk.ReadImage(str(tmp_path / "maps" / "tissues.nii.gz"))
    write_image(labels[1:, :, :], tmp_path / "other.nii.gz")
    maps = read_map_set(tmp_path / "maps")
    with pytest.raises(ImageError, match="different grids"):
        measure_file(maps, tmp_path / "other.nii.gz")
    same = measure_file(maps, tmp_path / "maps" / "tissues.nii.gz")
    assert [r.voxels for r in measure_file(maps, tmp_path / "other.nii.gz", resample=True)] == [r.voxels for r in same]


@pytest.mark.parametrize(
    "damage",
    [{}, {"log_covariance": [[1.0]]}, {"fields_log_covariance": "none"}, {"tissues": ["nobody"] * 5}, {"quantities": ["T1", "T2", "PD"]}],
)
def test_a_damaged_entry_is_refused(damage: dict[str, object]) -> None:
    entry = shared().report()
    assert isinstance(shared_errors_of({KEY: entry}), SharedErrors)
    older = {name: value for name, value in entry.items() if name != "fields_log_covariance"}
    assert isinstance(shared_errors_of({KEY: older}), SharedErrors)
    with pytest.raises(ImageError, match=f"{KEY} .* is damaged"):
        shared_errors_of({KEY: {**entry, **damage} if damage else "text"})
