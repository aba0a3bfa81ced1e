"""Alignment: known motions are recovered across grids and contrasts, nothing is resampled twice, and what cannot be aligned is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import RegistrationError
from PhysMRISynthLib.imaging.head import alignment
from PhysMRISynthLib.imaging.head.alignment import align, isotropic, motion_of
from PhysMRISynthLib.imaging.head.masks import head_mask
from PhysMRISynthLib.imaging.intake.volumes import image_like, read_volume, same_grid
from Testing.imaging.phantoms import grid, head, head_points, moved_by, points, rotation, turn_between
from Testing.refusals import refused


def motion(degrees: tuple[float, float, float], shift: tuple[float, float, float]) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetRotation(*(math.radians(a) for a in degrees))
    transform.SetTranslation(shift)
    return transform


@pytest.fixture(scope="module")
def reference() -> sitk.Image:
    """The phantom on a 2 mm oblique grid."""
    return head(grid((84, 102, 92), (2.0, 2.0, 2.0), rotation(8, -5, 12)), contrast=0)


def thick_slices(moved: sitk.Transform | None = None) -> sitk.Image:
    """The phantom in the other contrast, in oblique 4 mm sagittal slices with one axis flipped."""
    turned = rotation(-6, 10, 3) @ np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return head(grid((140, 140, 48), (1.5, 1.5, 4.0), turned, (6.0, -4.0, 3.0)), 1, moved, 0.02)


# --- the same grid --------------------------------------------------------------------------------------------------------------


def test_images_on_one_grid_are_left_alone(reference: sitk.Image) -> None:
    other = head(reference, contrast=1)
    found = align(other, reference)
    assert found.method == "same grid"
    assert np.array_equal(sitk.GetArrayFromImage(found.image), sitk.GetArrayFromImage(other))
    assert found.covered.all() and found.covered.shape == reference.GetSize()[::-1]
    assert found.to_image.TransformPoint((1.0, 2.0, 3.0)) == (1.0, 2.0, 3.0)
    assert (found.shift_mm, found.rotation_degrees) == (0.0, 0.0)


def test_the_files_coordinates_are_trusted_on_request(reference: sitk.Image) -> None:
    other = thick_slices()
    found = align(other, reference, register=False)
    assert same_grid(found.image, reference)
    assert (found.shift_mm, found.rotation_degrees) == (0.0, 0.0)
    truth = sitk.GetArrayFromImage(head(reference, 1, noise=0.0))
    difference = np.abs(sitk.GetArrayFromImage(found.image) - truth)[found.covered]
    assert np.median(difference) < 30  # of 1000: the same anatomy at the same place


def test_where_an_image_has_no_data_is_not_covered(reference: sitk.Image) -> None:
    half = thick_slices()[:, :, :24]
    found = align(half, reference, register=False)
    assert 0.2 < found.covered.mean() < 0.8
    assert (sitk.GetArrayFromImage(found.image)[~found.covered] == 0).mean() > 0.95  # but for a rim of half a voxel


# --- known motions --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "shift"),
    (pytest.param((6.0, -4.0, 9.0), (8.0, -6.0, 5.0), marks=pytest.mark.nightly), ((-3.0, 12.0, 2.0), (-25.0, 10.0, -30.0))),
    ids=("small", "large"),
)
def test_a_known_motion_is_recovered_by_a_single_resampling(
    reference: sitk.Image, degrees: tuple[float, float, float], shift: tuple[float, float, float]
) -> None:
    truth = motion(degrees, shift)
    moved = thick_slices(truth)
    found = align(moved, reference)
    assert found.method == "rigid registration"
    where = head_points()
    placed, expected = moved_by(found.to_image, where), moved_by(truth, where)
    assert np.linalg.norm(placed - expected, axis=1).max() < 1.0
    assert turn_between(placed, expected) < 1.0
    assert motion_of(found.to_image, reference) == (found.shift_mm, found.rotation_degrees)
    assert found.rotation_degrees == pytest.approx(motion_of(truth, reference)[1], abs=1.0)

    once = sitk.Resample(moved, reference, found.to_image, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    assert same_grid(found.image, reference)
    assert np.array_equal(sitk.GetArrayFromImage(found.image), sitk.GetArrayFromImage(once))


def test_registration_on_request_finds_a_motion_between_images_of_one_grid_and_finds_it_again(reference: sitk.Image) -> None:
    truth = motion((2.0, -3.0, 1.0), (2.0, 3.0, -1.5))
    moved, where = head(reference, 1, truth), head_points()
    first, second = (moved_by(align(moved, reference, register=True).to_image, where) for _ in range(2))
    assert np.linalg.norm(first - moved_by(truth, where), axis=1).max() < 1.0
    assert np.allclose(first, second, atol=0.02)  # threads add up in any order, which leaves the last digits free


# --- what is refused ------------------------------------------------------------------------------------------------------------


def test_images_that_lie_apart_are_refused_when_their_coordinates_are_trusted(reference: sitk.Image) -> None:
    elsewhere = thick_slices()
    elsewhere.SetOrigin((900.0, 900.0, 900.0))
    with pytest.raises(RegistrationError, match=r"do not overlap in space\. Check"):
        align(elsewhere, reference, register=False)


def test_an_empty_image_is_refused(reference: sitk.Image) -> None:
    elsewhere = image_like(np.zeros((8, 8, 8), dtype=np.float32), grid((8, 8, 8), (2.0, 2.0, 2.0), np.eye(3), (900.0, 0.0, 0.0)))
    with pytest.raises(RegistrationError, match=r"image to be registered is empty.*Check the files"):
        align(elsewhere, reference)


def about_the_centre(image: sitk.Image, degrees: float) -> sitk.Euler3DTransform:
    turn = motion((0.0, 0.0, degrees), (3.0, -2.0, 4.0))
    turn.SetCenter(image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()]))
    return turn


@pytest.mark.parametrize("degrees", (70.0, -70.0, 52.0))
def test_a_registration_that_turns_the_head_further_than_any_patient_is_refused(
    reference: sitk.Image, monkeypatch: pytest.MonkeyPatch, degrees: float
) -> None:
    monkeypatch.setattr(alignment, "register_rigid", lambda image, reference: about_the_centre(reference, degrees))
    with refused(RegistrationError, rf"by {abs(degrees):.0f}°.*same patient.*orientation.*--no-register"):
        align(reference, reference, register=True)


@pytest.mark.parametrize("degrees", (20.0, -48.0))
def test_a_registration_that_turns_the_head_as_patients_do_passes(
    reference: sitk.Image, monkeypatch: pytest.MonkeyPatch, degrees: float
) -> None:
    monkeypatch.setattr(alignment, "register_rigid", lambda image, reference: about_the_centre(reference, degrees))
    found = align(reference, reference, register=True)
    assert found.method == "rigid registration"
    assert found.rotation_degrees == pytest.approx(abs(degrees), abs=1e-3)


# --- helpers --------------------------------------------------------------------------------------------------------------------


def test_the_isotropic_image_shows_everything_where_it_was() -> None:
    on = grid((100, 80, 20), (0.8, 0.9, 4.0), rotation(10, 20, -15) * np.array([1, -1, 1]), (5.0, 6.0, 7.0))
    slope = np.array([2.0, -3.0, 5.0])
    ramp = image_like(np.einsum("i,i...->...", slope, points(on)).astype(np.float32), on)
    coarse = isotropic(ramp, 2.0)
    assert coarse.GetSpacing() == (2.0, 2.0, 2.0)
    inner = (slice(3, -3),) * 3
    expected = np.einsum("i,i...->...", slope, points(coarse))
    assert np.abs(sitk.GetArrayFromImage(coarse) - expected)[inner].max() < 1e-2


@pytest.mark.parametrize("angle", (0.0, 0.5, 30.0, 179.0))
def test_motion_of_a_rotation_about_the_centre_is_its_angle(reference: sitk.Image, angle: float) -> None:
    centre = reference.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in reference.GetSize()])
    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter(centre)
    transform.SetRotation((1.0, 2.0, -1.0), math.radians(angle))
    transform.SetTranslation((0.0, 3.0, 4.0))
    shift, degrees = motion_of(transform, reference)
    assert shift == pytest.approx(5.0)
    assert degrees == pytest.approx(angle, abs=1e-4)


# --- real scans -----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("visit", ("visit1", pytest.param("visit2", marks=pytest.mark.nightly)))
@pytest.mark.parametrize("name", ("t1w", pytest.param("t2w", marks=pytest.mark.nightly)))
def test_a_real_patients_registration_agrees_with_the_published_one(data: Callable[[str], Path], visit: str, name: str) -> None:
    folder = data("real/raw_patient12") / visit
    flair = read_volume(folder / "flair.nii.gz").image
    published = sitk.ReadTransform(str(folder / f"{name}_to_flair_itk.txt"))
    found = align(read_volume(folder / f"{name}.nii.gz").image, flair)
    index = np.argwhere(head_mask([flair]))[::2000, ::-1]
    where = np.array([flair.TransformIndexToPhysicalPoint(i) for i in index.tolist()])
    ours, theirs = moved_by(found.to_image, where), moved_by(published, where)
    assert np.linalg.norm(ours - theirs, axis=1).mean() < 1.0
    assert turn_between(ours, theirs) < 1.0
