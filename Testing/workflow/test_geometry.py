"""Geometry of clinic scans on a small head of known maps: wherever and however it lies, the maps are as good as the plain head's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS, standard_acquisition
from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.head.known_head import KnownHead, map_errors
from PhysMRISynthLib.imaging.head.masks import head_mask
from PhysMRISynthLib.imaging.head.slice_profile import slice_profile
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, same_grid, volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.imaging.phantoms import grid, rotation

LARGEST_ERROR = {"PD": 2.0, "T1": 3.0, "T2": 3.0}
"""Per cent, median over the brain's tissue; the plain head has 0.3 to 1."""
Images = Mapping[str, sitk.Image]


@cache
def plain() -> tuple[KnownHead, Images]:
    head = small_head()
    maps = head.maps
    t1, t2 = (np.where(maps.mask, values, np.float32(1.0)) for values in (maps.t1, maps.t2))  # air gives no signal at any T1
    return head, standard_acquisition(replace(maps, t1=t1, t2=t2), np.random.default_rng(0))


def estimate(images: Images, thickness: Mapping[str, float] | None = None, spacing_mm: float | None = None) -> Estimate:
    """By the files' coordinates: what registration does is tested where it is."""
    inputs = [
        Acquisition(name, volume_from_image(image), PROTOCOLS[name], slice_thickness_mm=(thickness or {}).get(name))
        for name, image in images.items()
    ]
    return estimate_tissue_maps(inputs, EstimateOrder(register=False, prior="literature", spacing_mm=spacing_mm))


@cache
def plain_estimate() -> Estimate:
    return estimate(plain()[1])


def changed(change: Callable[[str, np.ndarray], np.ndarray]) -> dict[str, sitk.Image]:
    return {name: image_like(change(name, sitk.GetArrayFromImage(image)), image) for name, image in plain()[1].items()}


def assert_as_good(found: TissueMaps, truth: KnownHead) -> None:
    errors = map_errors(found, truth)["brain"]
    assert all(errors[p] <= bound for p, bound in LARGEST_ERROR.items()), errors


# --- position ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ((120.0, -120.0, 120.0), pytest.param((0.0, 0.0, 0.0), marks=pytest.mark.nightly)), ids=("far", "corner")
)
def test_a_head_far_from_the_scanners_centre_has_the_same_maps(origin: tuple[float, float, float]) -> None:
    head, images = plain()
    moved = {name: sitk.Image(image) for name, image in images.items()}
    for image in moved.values():
        image.SetOrigin(origin)
    assert_as_good(estimate(moved).maps, head)


def test_the_order_and_direction_of_the_axes_of_each_contrast_do_not_matter() -> None:
    head, images = plain()
    turned = {
        "t1w": images["t1w"],
        "t2w": sitk.Flip(sitk.PermuteAxes(images["t2w"], (2, 0, 1)), (True, False, True), False),
        "flair": sitk.Flip(sitk.PermuteAxes(images["flair"], (0, 2, 1)), (False, True, False), False),
    }
    found, brain = estimate(turned).maps, head.brain_tissue()
    for one, other in ((found.pd, plain_estimate().maps.pd), (found.t1, plain_estimate().maps.t1), (found.t2, plain_estimate().maps.t2)):
        assert np.abs(one[brain] / other[brain] - 1.0).max() < 0.02


# --- what the images show ----------------------------------------------------------------------------------------------------------


def test_a_neck_in_the_field_of_view_does_no_harm() -> None:
    head, images = plain()
    pads = [0, 0, 14]  # 56 mm of neck below, with the brightness of the scalp
    longer = {}
    for name, image in images.items():
        below = sitk.ConstantPad(image, pads, [0, 0, 0], 0.0)
        voxels = sitk.GetArrayFromImage(below)
        voxels[:14, 22:42, 15:35] = np.percentile(voxels[14:][voxels[14:] > 0], 60)
        longer[name] = image_like(voxels, below)
    found = estimate(longer).maps
    pd, t1, t2, mask = (a[14:] for a in (found.pd, found.t1, found.t2, found.mask))
    assert_as_good(TissueMaps(pd, t1, t2, mask, head.maps.grid), head)


@pytest.mark.parametrize("cut", ("skull-stripped", pytest.param("defaced", marks=pytest.mark.nightly)))
def test_what_was_cut_away_does_no_harm_to_the_brain(cut: str) -> None:
    head, _ = plain()
    brain = np.isin(head.tissue, [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"])
    kept = brain if cut == "skull-stripped" else np.ones_like(brain)
    if cut == "defaced":
        z, y, _ = np.indices(brain.shape)
        kept = ~((z < 22) & (y < 20)) | brain
    found = estimate(changed(lambda name, voxels: np.where(kept, voxels, np.float32(0.0))))
    assert found.placement.skull_stripped == (cut == "skull-stripped")
    assert_as_good(found.maps, head)


# --- coverage ----------------------------------------------------------------------------------------------------------------------


def test_where_an_input_has_no_data_the_others_speak_and_the_sd_grows() -> None:
    head, images = plain()
    half = images["t2w"][:, :, 28:]
    found = estimate({**images, "t2w": half})
    low, brain = np.indices(head.tissue.shape)[0] < 28, head.brain_tissue()
    ratios = {p: found.maps.sd[p][brain] / plain_estimate().maps.sd[p][brain] for p in ("PD", "T1", "T2")}
    grown, kept = ({p: np.median(ratio[part[brain]]) for p, ratio in ratios.items()} for part in (low, ~low))
    assert all(grown[p] > kept[p] and grown[p] > 1.03 for p in ratios), (grown, kept)
    assert_as_good(found.maps, head)
    share = 100 * (found.brain & low).sum() / found.brain.sum()
    assert any(f"t2w: {share:.0f} % of the brain" in warning for warning in found.warnings), found.warnings


def test_a_reference_that_shows_part_of_the_brain_says_how_much_is_missing() -> None:
    head, images = plain()
    upper = {name: image[:, :, 18:] for name, image in images.items()}
    found = estimate(upper)
    assert any("of the brain lies outside" in warning for warning in found.warnings), found.warnings
    cut = [a[18:] for a in (head.maps.pd, head.maps.t1, head.maps.t2, head.maps.mask)]
    assert_as_good(found.maps, KnownHead(TissueMaps(*cut, upper["t1w"]), head.tissue[18:]))


def test_a_voxel_that_no_input_shows_is_not_head() -> None:
    _, images = plain()
    tilted = images["t1w"][:, :, 20:]
    on = grid((50, 60, 50), (4.0, 4.0, 4.0), np.eye(3), (0.0, 18.0, 15.0))
    found = align(tilted, on, register=False)
    mask = head_mask([found.image], [found.covered])
    assert not found.covered[:18].any()
    assert not mask[~found.covered].any() and mask.any()


# --- slices ------------------------------------------------------------------------------------------------------------------------


def thick_slices() -> dict[str, sitk.Image]:
    """T1w as it is; T2w and FLAIR averaged over 12 mm slices, 15 mm apart, tilted by 15 degrees."""
    _, images = plain()
    thick = {"t1w": images["t1w"]}
    for name in ("t2w", "flair"):
        stack = grid((60, 70, 16), (3.5, 3.5, 15.0), rotation(15, 0, 0), (0.0, 18.0, 15.0))
        profile = slice_profile(stack, align(stack, images["t1w"], register=False), 12.0)
        assert profile is not None
        thick[name] = profile.averaged(images[name])
    return thick


def test_thick_slices_are_fitted_as_averages() -> None:
    """Better than as images that were brought onto the grid of the thin one."""
    head, _ = plain()
    stacks = thick_slices()
    found = estimate(stacks, {"t2w": 12.0, "flair": 12.0})
    interpolated = estimate({name: align(image, stacks["t1w"], register=False).image for name, image in stacks.items()})
    ours, theirs = (map_errors(e.maps, head)["brain"] for e in (found, interpolated))
    assert all(ours[p] < theirs[p] for p in ("PD", "T1", "T2")), (ours, theirs)
    assert found.checks["t2w"].warning is None


def test_maps_come_at_the_spacing_that_is_asked_for() -> None:
    _, images = plain()
    found = estimate(images, spacing_mm=5.0)
    assert found.maps.grid.GetSpacing() == (5.0, 5.0, 5.0)
    assert not same_grid(found.maps.grid, images["t1w"])
    for tissue, medians in plain_estimate().medians.items():
        assert found.medians[tissue]["T1"] == pytest.approx(medians["T1"], rel=0.05), tissue
