"""The slice profile: what thick slices see of thin maps keeps constants and ramps, widens edges by the slice, and thin images have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import OrderError
from PhysMRISynthLib.imaging.head.alignment import align, grid_of_spacing
from PhysMRISynthLib.imaging.head.slice_profile import SliceProfile, slice_profile
from PhysMRISynthLib.imaging.intake.volumes import image_like, read_volume
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from Testing.imaging.phantoms import grid, points, rotation

MAPS = grid((40, 40, 40), (1.0, 1.0, 1.0), np.eye(3))


def profile_of(thick: sitk.Image, thickness: float | None = None) -> SliceProfile:
    found = slice_profile(thick, align(thick, MAPS, register=False), thickness)
    assert found is not None
    return found


def ramp(on: sitk.Image) -> np.ndarray:
    return (100.0 + np.einsum("i,i...->...", np.array([2.0, -3.0, 5.0]), points(on))).astype(np.float32)


@pytest.mark.parametrize("degrees", (0.0, 15.0))
def test_a_ramp_averaged_over_the_slice_is_the_ramp_at_its_centre(degrees: float) -> None:
    thick = grid((20, 20, 5), (1.0, 1.0, 4.0), rotation(degrees, 0, 0))
    seen = sitk.GetArrayFromImage(profile_of(thick).averaged(image_like(ramp(MAPS), MAPS)))
    assert np.abs(seen - ramp(thick)).max() < 0.01


def test_a_thin_plane_is_seen_by_the_slice_that_holds_it_and_by_none_in_the_gap() -> None:
    thick = grid((40, 40, 8), (1.0, 1.0, 5.0), np.eye(3))
    heights = np.abs(points(MAPS)[2])
    plane = image_like((np.abs(heights - 2.5) < 0.1).astype(np.float32) * (points(MAPS)[2] > 0), MAPS)
    whole = sitk.GetArrayFromImage(profile_of(thick).averaged(plane)).sum(axis=0)
    gap = sitk.GetArrayFromImage(profile_of(thick, 2.0).averaged(plane)).sum(axis=0)
    assert whole == pytest.approx(0.2, abs=0.02)  # 1 mm of 5 mm
    assert gap == pytest.approx(0.5, abs=0.05)  # 1 mm of 2 mm


def test_images_about_as_thin_as_the_maps_are_compared_point_by_point() -> None:
    for spacing in ((1.0, 1.0, 1.4), (0.5, 0.5, 1.0)):
        thin = grid((40, 40, 30), spacing, rotation(10, 0, 0))
        assert slice_profile(thin, align(thin, MAPS, register=False)) is None


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(0.5, 6.0)] * 3), st.tuples(*[st.integers(8, 40)] * 3), st.floats(0.8, 5.0), st.floats(-40, 40))
def test_the_isotropic_grid_covers_the_image_along_its_axes_and_no_more_than_a_voxel_beyond(
    spacing: tuple[float, float, float], size: tuple[int, int, int], wanted: float, degrees: float
) -> None:
    image = grid(size, spacing, rotation(degrees, 5, 0), (120.0, -40.0, 7.0))
    found = grid_of_spacing(image, wanted)
    assert found.GetSpacing() == (wanted,) * 3
    assert found.GetDirection() == image.GetDirection()
    centres = [i.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in i.GetSize()]) for i in (image, found)]
    assert np.allclose(*centres, atol=1e-6)
    beyond = np.array(found.GetSize()) * wanted - np.array(size) * np.array(spacing)
    assert (beyond > -1e-4).all() and (beyond < wanted + 1e-4).all()


@pytest.mark.parametrize("spacing", (0.0, -1.0, 0.1, 30.0, float("nan")))
def test_a_spacing_that_no_map_can_have_is_refused(spacing: float) -> None:
    with pytest.raises(OrderError, match=r"spacing of .* Give 0\.5 to 5 mm"):
        EstimateOrder(spacing_mm=spacing)


def test_a_real_scan_of_thick_slices_is_thick_for_maps_of_1_mm_only(data: Callable[[str], Path]) -> None:
    folder = data("real/raw_patient12") / "visit1"
    flair, t1w = (read_volume(folder / f"{name}.nii.gz").image[::4, ::4] for name in ("flair", "t1w"))
    assert slice_profile(flair, align(flair, t1w, register=False)) is None
    on = grid_of_spacing(t1w, 1.0)
    for image in (flair, t1w):
        found = slice_profile(image, align(image, t1w, False, on))
        assert found is not None and found.image.GetSpacing()[2] == pytest.approx(3.0, abs=0.01)
        assert np.ptp(found.offsets[:, 2]) > 1.5
