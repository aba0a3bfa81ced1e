"""Finding the head: the atlas comes back to where it was taken from, masks hold what they should, and the noise is measured."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.head.atlas import atlas_on_grid, expected_picture, place_atlas
from PhysMRISynthLib.imaging.head.masks import brain_mask, filled_in_slices, head_mask, largest_piece
from PhysMRISynthLib.imaging.intake.noise_level import noise_level
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.physics.protocol import parse_protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.imaging.phantoms import grid, head, moved_by, points, rotation
from Testing.validation.defects import clean_scans

MPRAGE = parse_protocol("mprage")
NAMES = [tissue.name for tissue in tissue_table()]


def truth() -> sitk.AffineTransform:
    """From points of the simulated head to the atlas: turned, shifted and of another size."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((rotation(6, -3, 5) @ np.diag([1.05, 0.95, 1.04])).ravel().tolist())
    transform.SetTranslation((5.0, -8.0, 12.0))
    return transform


@pytest.fixture(scope="module", params=(False, True), ids=("with skull", "skull-stripped"))
def placed(request: pytest.FixtureRequest):
    """A head made of the atlas itself on an oblique anisotropic grid with field and noise, and the placement found for it."""
    picture = expected_picture(MPRAGE, 3.0, brain_only=request.param)
    on = grid((72, 90, 56), (3.0, 2.5, 4.0), rotation(-5, 8, 10))
    clean = sitk.GetArrayFromImage(sitk.Resample(picture, on, truth(), sitk.sitkLinear, 0.0, sitk.sitkFloat32))
    field = np.exp(np.linspace(-0.15, 0.15, 72))[None, None, :]
    noisy = np.abs(900 * clean / clean.max() * field + 10 * np.random.default_rng(6).standard_normal(clean.shape))
    image = image_like(noisy.astype(np.float32), on)
    return image, request.param, place_atlas(image, MPRAGE, 3.0)


def test_the_atlas_is_placed_where_it_came_from(placed) -> None:
    image, stripped, placement = placed
    assert placement.skull_stripped is stripped
    assert placement.similarity > 0.2
    fractions = atlas_on_grid(type(placement)(truth(), stripped, 1.0), image, np.arange(image.GetNumberOfPixels()))
    brain = fractions[[NAMES.index(n) for n in ("white_matter", "cortex", "deep_grey", "thalamus")]].sum(axis=0) > 128
    index = np.argwhere(brain.reshape(image.GetSize()[::-1]))[::200, ::-1]
    where = np.array([image.TransformIndexToPhysicalPoint(i) for i in index.tolist()])
    error = np.linalg.norm(moved_by(placement.to_atlas, where) - moved_by(truth(), where), axis=1)
    assert error.mean() < 2.0 and error.max() < 5.0  # the atlas's voxels are 4 mm


def test_a_nodding_head_finds_its_place() -> None:
    """Half placed, the atlas looks alike enough to be taken: its mismatch would be read as a receive field, and tissues as others."""
    scan = clean_scans(small_head())["t1w"]
    centre = scan.TransformContinuousIndexToPhysicalPoint([24.5, 29.5, 24.5])
    nod = sitk.Euler3DTransform(centre, np.deg2rad(25.0), 0.0, 0.0)
    wide = grid((60, 76, 70), (4.0, 4.0, 4.0), np.eye(3), centre)
    to_atlas = place_atlas(sitk.Resample(scan, wide, nod, sitk.sitkLinear, 0.0), parse_protocol("mprage"), 3.0).to_atlas
    for point in np.add(centre, ((60.0, 0.0, 0.0), (0.0, 60.0, 0.0), (0.0, 0.0, 50.0))):
        assert np.linalg.norm(np.subtract(to_atlas.TransformPoint(point), nod.TransformPoint(point))) < 5.0


@pytest.mark.parametrize("upside_down", (False, True))
def test_an_extracted_brain_that_lies_upside_down_is_recognised(upside_down: bool) -> None:
    """Its surface alone fits so well that its likeness does not tell."""
    picture = expected_picture(MPRAGE, 3.0, brain_only=True)
    voxels = sitk.GetArrayFromImage(sitk.Resample(picture, picture, truth(), sitk.sitkLinear, 0.0))
    brain = image_like(voxels[::-1].copy() if upside_down else voxels, picture)
    placement = place_atlas(brain, MPRAGE, 3.0)
    assert placement.skull_stripped and placement.turned is upside_down and placement.known is not upside_down


def test_tissue_fractions_add_up_and_are_air_outside(placed) -> None:
    image, _, placement = placed
    voxels = np.arange(0, image.GetNumberOfPixels(), 7)
    fractions = atlas_on_grid(placement, image, voxels)
    assert fractions.shape == (len(NAMES), voxels.size) and fractions.dtype == np.uint8
    assert np.abs(fractions.sum(axis=0, dtype=int) - 255).max() <= len(NAMES)
    assert fractions[NAMES.index("air"), 0] == 255  # a corner of the grid


def test_the_expected_picture_has_the_contrast_of_its_protocol() -> None:
    whole, brain = (sitk.GetArrayFromImage(expected_picture(MPRAGE, 3.0, only)) for only in (False, True))
    assert brain.max() > 0 and (whole >= brain - 1e-6).all() and (brain == 0).mean() > (whole == 0).mean()
    t2 = sitk.GetArrayFromImage(expected_picture(parse_protocol("tse"), 3.0, True))
    inside = brain > 0.5 * brain.max()
    assert np.corrcoef(brain[inside], t2[inside])[0, 1] < 0  # white matter is bright in one and dark in the other


# --- masks ----------------------------------------------------------------------------------------------------------------------


def test_the_head_mask_is_the_head() -> None:
    on = grid((90, 110, 60), (2.0, 2.0, 3.5), rotation(4, 3, -8))
    mask = head_mask([head(on, 0), head(on, 1)])
    inside = sitk.GetArrayFromImage(head(on, 1, noise=0.0)) > 0
    solid = filled_in_slices(inside)
    assert mask.shape == on.GetSize()[::-1] and mask.dtype == bool
    assert 2 * (mask & solid).sum() / (mask.sum() + solid.sum()) > 0.97
    assert (filled_in_slices(mask) ^ mask).mean() < 1e-3


@pytest.mark.parametrize("scale", (1e-3, 1e4))
def test_the_head_mask_does_not_depend_on_the_units(scale: float) -> None:
    on = grid((60, 70, 60), (3.0, 3.0, 3.0), np.eye(3))
    image = head(on, 1)
    assert (head_mask([image]) ^ head_mask([image * scale])).mean() < 1e-4


def test_an_image_without_a_head_is_refused() -> None:
    on = grid((60, 60, 60), (3.0, 3.0, 3.0), np.eye(3))
    dust = np.zeros((60, 60, 60), dtype=np.float32)
    dust[30, 30, 30] = 1.0
    with pytest.raises(ImageError, match="No head stands out"):
        head_mask([image_like(dust, on)])


def test_the_brain_mask_drops_islands_and_bridges_and_fills_holes() -> None:
    on = grid((60, 60, 60), (2.0, 2.0, 2.0), np.eye(3))
    z, y, x = np.indices((60, 60, 60)) - 29.5
    ball = np.sqrt(x**2 + y**2 + z**2) < 20
    probability = np.where(ball, 0.9, 0.1)
    probability[28:31, 28:31, 28:31] = 0.2  # a ventricle's misjudged middle
    probability[2:7, 2:7, 2:7] = 0.9  # an eye
    probability[30, 30, 45:58] = 0.8  # a vessel through the skull
    mask = brain_mask(probability, on)
    assert mask[29, 29, 29] and not mask[4, 4, 4] and not mask[30, 30, 55]
    assert 2 * (mask & ball).sum() / (mask.sum() + ball.sum()) > 0.98


def test_the_brain_mask_of_very_thick_slices_is_not_lost() -> None:
    on = grid((60, 60, 10), (2.0, 2.0, 12.0), np.eye(3))
    probability = np.zeros((10, 60, 60))
    probability[3:7, 15:45, 15:45] = 1.0
    assert (brain_mask(probability, on) ^ (probability > 0.5)).mean() < 0.01
    assert not brain_mask(np.zeros((10, 60, 60)), on).any()


def test_the_largest_piece_is_one_piece() -> None:
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[1:3, 1:3, 1:3] = mask[5:9, 5:9, 5:9] = True
    piece = largest_piece(mask, grid((10, 10, 10), (1.0, 1.0, 1.0), np.eye(3)))
    assert piece.sum() == 64 and piece[6, 6, 6] and not piece[1, 1, 1]


# --- noise ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", (8.0, 20.0, 60.0))
def test_the_noise_of_a_head_is_measured(sigma: float) -> None:
    on = grid((84, 102, 60), (2.0, 2.0, 3.0), np.eye(3))
    clean = sitk.GetArrayFromImage(head(on, 0, noise=0.0))
    noisy = clean + sigma * np.random.default_rng(7).standard_normal(clean.shape).astype(np.float32)
    inner = (points(on)[0] / 61) ** 2 + (points(on)[1] / 79) ** 2 + (points(on)[2] / 68) ** 2 < 0.8
    assert noise_level(noisy, inner) == pytest.approx(sigma, rel=0.15)
    assert noise_level(noisy, clean > 100) > 0.9 * sigma  # a mask full of edges may only raise it


def test_noise_is_never_thought_absent_and_scales_with_the_image() -> None:
    on = grid((60, 70, 60), (3.0, 3.0, 3.0), np.eye(3))
    clean = sitk.GetArrayFromImage(head(on, 0, noise=0.0))
    level = noise_level(clean, clean > 100)
    assert level >= 0.0039 * np.percentile(clean[clean > 100], 99)
    assert noise_level(1000 * clean, clean > 100) == pytest.approx(1000 * level, rel=1e-4)
