"""Heads of two people, made of the atlas's mean head: which half is whose, that it fits, and that nothing is lost below its neck."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.simulator import hemisphere_mixing as halves
from physmrisynth_training.simulator.anatomy import AIR, BRAIN, TISSUES, LabelledHead
from physmrisynth_training.simulator.hemisphere_mixing import Halves, Person, joined, person
from PhysMRISynthLib.errors import RegistrationError
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement, atlas_on_grid
from PhysMRISynthLib.physics.tissues import tissue_table

WHITE, THALAMUS, FAT = (TISSUES.index(name) for name in ("white_matter", "thalamus", "fat"))
SHAPE, MIDDLE = (200, 224, 176), 88


@pytest.fixture(scope="module")
def mean_head() -> LabelledHead:
    """The most probable tissues of the atlas, whose plane of symmetry lies between two voxels of this grid."""
    grid = sitk.Image(SHAPE[::-1], sitk.sitkUInt8)
    grid.SetOrigin((-MIDDLE + 0.5, -120.0, -80.0))
    here = AtlasPlacement(sitk.AffineTransform(3), False, 1.0)
    tissue = atlas_on_grid(here, grid, np.arange(grid.GetNumberOfPixels())).argmax(axis=0).astype(np.uint8).reshape(SHAPE)
    brain = np.argwhere(np.isin(tissue, BRAIN))
    return LabelledHead("mean", tissue, (brain.min(axis=0), brain.max(axis=0) + 1))


@pytest.fixture(scope="module")
def own(mean_head: LabelledHead) -> Person:
    return person(mean_head)


@pytest.fixture(scope="module")
def other(mean_head: LabelledHead) -> Person:
    """A smaller head, bent, and cut at a higher level of its neck, whose right half has thalamus for white matter."""
    marked = mean_head.tissue.copy()
    right = marked[..., :MIDDLE]
    right[right == WHITE] = THALAMUS
    image = sitk.GetImageFromArray(marked)
    grid = np.stack(np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in SHAPE), indexing="ij"), axis=-1)[::4, ::4, ::4]
    bend = sitk.GetImageFromArray(np.stack([6.0 * np.sin(5.0 * grid[..., 1]) * (1.0 - grid[..., 0] ** 2)] * 3, axis=-1), isVector=True)
    bend.SetSpacing([4.0] * 3)
    centre = [n / 2.0 for n in image.GetSize()]
    smaller = sitk.ScaleTransform(3, (1.1, 1.08, 1.1))
    smaller.SetCenter(centre)
    way = sitk.CompositeTransform([smaller, sitk.DisplacementFieldTransform(bend)])
    bent = sitk.GetArrayFromImage(sitk.Resample(image, image, way, sitk.sitkNearestNeighbor, AIR))
    return person(LabelledHead("other", bent[30:], mean_head.brain_box))


@pytest.fixture(scope="module")
def made(own: Person, other: Person) -> LabelledHead:
    """With the other's left half."""
    return joined(own, other, mirror=False, left=True)


def share_marked(head: LabelledHead, half: slice) -> float:
    """How much of a half's white matter is marked."""
    piece = head.tissue[..., half]
    return float((piece == THALAMUS).sum() / np.isin(piece, (WHITE, THALAMUS)).sum())


LEFT, RIGHT = slice(MIDDLE + 4, None), slice(None, MIDDLE - 4)


@pytest.mark.parametrize(
    ("mirror", "left", "marked"),
    [
        (False, False, True),
        pytest.param(True, False, False, marks=pytest.mark.nightly),
        pytest.param(True, True, True, marks=pytest.mark.nightly),
        pytest.param(False, True, False, marks=pytest.mark.nightly),
    ],
)
def test_one_half_is_the_others_and_the_other_half_stays(own: Person, other: Person, mirror: bool, left: bool, marked: bool) -> None:
    made = joined(own, other, mirror, left)
    theirs, kept = (LEFT, RIGHT) if left else (RIGHT, LEFT)
    assert np.array_equal(made.tissue[..., kept], own.head.tissue[..., kept])
    assert not np.array_equal(made.tissue[..., theirs], own.head.tissue[..., theirs])
    before = share_marked(own.head, theirs)
    assert (share_marked(made, theirs) > 0.9) if marked else share_marked(made, theirs) == pytest.approx(before, abs=0.04)
    assert made.name == "mean + other" and made.brain_box is own.head.brain_box


def test_the_half_fits(own: Person, made: LabelledHead) -> None:
    """Brain, skin and fluid of the smaller, bent head fill their places in the one that it is joined with (placed affinely, brain and
    fluid overlap by 0.95 and 0.56)."""
    skin = [row for row, tissue in enumerate(tissue_table()) if tissue.name != "air"]
    for tissues, least in ((BRAIN, 0.98), (skin, 0.98), ([TISSUES.index("csf")], 0.8)):
        there, wanted = (np.isin(head.tissue[60:, :, LEFT], tissues) for head in (made, own.head))
        assert 2.0 * (there & wanted).sum() / (there.sum() + wanted.sum()) > least


def test_the_halves_meet(own: Person, other: Person, made: LabelledHead) -> None:
    """Beside the middle the other's tissues are where the own are, more closely than the coarse deformation alone brings them."""
    beside = np.s_[60:, :, MIDDLE : MIDDLE + 8]
    wanted = own.head.tissue[beside]
    coarse = joined(own, other, mirror=False, left=True, near_middle_mm=1e-3)
    found = [float((head.tissue[beside] == wanted)[wanted != AIR].mean()) for head in (made, coarse)]
    assert found[0] > 0.9 and 1.0 - found[0] < 0.8 * (1.0 - found[1])


def test_below_the_others_neck_the_own_goes_on(own: Person, made: LabelledHead) -> None:
    lowest = made.tissue[:8, :, LEFT]
    assert (own.head.tissue[:8, :, LEFT] != AIR).any() and np.array_equal(lowest, own.head.tissue[:8, :, LEFT])


def test_around_the_others_head_is_air() -> None:
    """Label maps are cut to the head: where the other's ends, at all sides but below, it does not go on with the own skin."""

    def plain(name: str, tissue: int, shape: tuple[int, int, int], shift: tuple[float, float, float]) -> Person:
        """A block of one tissue, without anything to see in its pictures, so that nothing is deformed."""
        to_atlas = np.eye(4)
        to_atlas[:3, 3] = shift
        head = LabelledHead(name, np.full(shape, tissue, np.uint8), (np.zeros(3), np.ones(3)))
        return Person(head, *(np.zeros([shape[0] // side] * 3, np.float32) for side in (4, 2)), to_atlas)

    large, small = plain("large", FAT, (40, 40, 40), (-19.5, 0.0, 0.0)), plain("small", WHITE, (20, 20, 40), (-19.5, 10.0, 10.0))
    made = joined(large, small, mirror=False, left=True).tissue
    assert (made[..., :20] == FAT).all()
    assert (made[10:30, 10:30, 20:] == WHITE).all() and (made[:10, :, 20:] == FAT).all()
    assert (made[30:, :, 20:] == AIR).all() and (made[10:, :10, 20:] == AIR).all() and (made[10:, 30:, 20:] == AIR).all()


def test_nobody_is_joined_with_himself_and_everybody_with_everybody(own: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    people = tuple(replace(own, head=replace(own.head, name=name)) for name in "abc")
    monkeypatch.setattr(halves, "joined", lambda own, other, mirror, left: (own.head.name, other.head.name, mirror, left))
    drawn = [Halves(people).head(number, np.random.default_rng([seed, number])) for number in range(3) for seed in range(60)]
    assert set(drawn) == {(*pair, *ways) for pair in permutations("abc", 2) for ways in product((False, True), repeat=2)}
    assert drawn[7] == Halves(people).head(0, np.random.default_rng([7, 0]))


def test_a_head_that_is_none_is_named() -> None:
    with pytest.raises(RegistrationError, match=r"nothing\.nii.*could not be found"):
        person(LabelledHead("nothing.nii", np.full((40, 40, 40), AIR, np.uint8), (np.zeros(3), np.ones(3))))
