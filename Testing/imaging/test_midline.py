"""The midline: a head like people's is whole, and what joins or breaks it is found, wherever the head lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.shipping import build_midline as midline_building
from physmrisynth_training.shipping.build_midline import build_midline, midline_grid
from physmrisynth_training.simulator.anatomy import LabelledHead, find_label_maps, read_labelled_head
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement, atlas_on_grid, place_tissues
from PhysMRISynthLib.imaging.head.head_volumes import LESION
from PhysMRISynthLib.imaging.head.midline import Midline, _reference, midline_of
from PhysMRISynthLib.physics.tissues import tissue_table

NAMES = [tissue.name for tissue in tissue_table()]
WHITE, CORTEX, FLUID = (NAMES.index(name) for name in ("white_matter", "cortex", "csf"))
ORIGIN = (-87.5, -110.0, -70.0)
SHAPE = (170, 210, 176)
HERE = sitk.AffineTransform(3)


@pytest.fixture(scope="module")
def head() -> sitk.Image:
    """The atlas's likeliest tissues, with a fissure, a third ventricle, and a corpus callosum over the ventricles, in the atlas's place."""
    grid = sitk.Image(SHAPE[::-1], sitk.sitkUInt8)
    grid.SetOrigin(ORIGIN)
    found = atlas_on_grid(AtlasPlacement(HERE, False, 1.0), grid, np.arange(grid.GetNumberOfPixels())).argmax(axis=0)
    tissue = found.astype(np.uint8).reshape(SHAPE)
    z, y, x = places()
    brain = np.isin(tissue, [NAMES.index(name) for name in ("white_matter", "cortex", "deep_grey", "thalamus")])
    tissue[brain & (np.abs(x) < 2) & (z > -20)] = FLUID
    inner, outer = (((y - 5) / (36 + d)) ** 2 + ((z - 4) / (20 + d)) ** 2 for d in (0, 5))
    tissue[(np.abs(x) < 8) & (outer < 1) & (inner > 1) & (z > 2)] = WHITE
    return like(tissue, grid)


def places() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The atlas's coordinates (mm) of the voxels: z, y and x, to be broadcast."""
    x, y, z = (start + np.arange(n) for start, n in zip(ORIGIN, SHAPE[::-1], strict=True))
    return z[:, None, None], y[:, None], x


def like(tissue: np.ndarray, grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(tissue)
    image.CopyInformation(grid)
    return image


def changed(head: sitk.Image, where: np.ndarray, tissue: int) -> Midline:
    return midline_of(like(np.where(where, np.uint8(tissue), sitk.GetArrayViewFromImage(head)), head), HERE)


def test_a_head_like_peoples_is_whole(head: sitk.Image) -> None:
    found = midline_of(head, HERE)
    assert found.whole and found.callosum and found.joined_mm2 < 20 and found.third_ventricle > 0.9


@pytest.mark.parametrize("tissue", (WHITE, LESION))
def test_joined_hemispheres_are_found(head: sitk.Image, tissue: int) -> None:
    """Their area is told; brain that does not reach across joins nothing, nor does cortex that touches cortex."""
    z, y, x = places()
    where = (np.abs(y + 7) < 8) & (np.abs(z - 66) < 6)
    found = changed(head, where & (np.abs(x) < 10), tissue)
    assert not found.whole and found.callosum and found.joined_mm2 == pytest.approx(16 * 11, abs=25)
    assert changed(head, where & (x < 0) & (x > -10), tissue).joined_mm2 < 20
    assert changed(head, where & (np.abs(x) < 10), CORTEX).joined_mm2 < 20


def test_a_bent_middle_is_followed(head: sitk.Image) -> None:
    """By 8 mm from front to back and 5 from bottom to top; the fissure is as open as that of the straight head."""
    z, y, _ = np.meshgrid(*(place.ravel() for place in places()), indexing="ij")
    bend = np.stack([4.0 * ((y - 5) / 75) ** 2 + 4.0 * ((y - 5) / 75) + 5.0 * (z - 30) / 90, np.zeros_like(y), np.zeros_like(y)], axis=-1)
    field = sitk.GetImageFromArray(bend, isVector=True)
    field.CopyInformation(head)
    bent = sitk.Resample(head, head, sitk.DisplacementFieldTransform(field), sitk.sitkNearestNeighbor, NAMES.index("air"))
    found = midline_of(bent, HERE)
    assert found.whole and found.joined_mm2 < 20 and found.third_ventricle > 0.9


def test_a_fissure_that_reaches_the_ventricles_is_found(head: sitk.Image) -> None:
    """A gap of 6 mm is enough; fluid that ends above the callosum, or is beside the middle, is none."""
    z, y, x = places()
    gap = (np.abs(y - 15) < 3) & (z > 0) & (z < 60)
    assert not changed(head, gap & (np.abs(x) < 10), FLUID).callosum
    assert changed(head, gap & (x > 4) & (x < 10), FLUID).callosum
    bridge = (np.abs(y - 19) < 1) & (z > 25) & (z < 90) & (np.abs(x) < 10)
    bridged = like(np.where(bridge, np.uint8(WHITE), sitk.GetArrayViewFromImage(head)), head)
    assert midline_of(bridged, HERE).callosum and not changed(bridged, gap & (np.abs(x) < 10), FLUID).callosum
    assert changed(head, gap & (z > 30) & (np.abs(x) < 10), FLUID).callosum


def test_without_a_callosum_there_is_none(head: sitk.Image) -> None:
    z, y, x = places()
    arch = (np.abs(x) < 10) & (np.abs(y - 5) < 50) & (z > 0) & (z < 40)
    assert not changed(head, arch, FLUID).callosum
    assert not changed(head, (np.abs(x) < 10) & (z > -20) & (z < 90) & (np.abs(y) < 90), WHITE).whole


def test_a_closed_third_ventricle_is_found(head: sitk.Image) -> None:
    z, y, x = places()
    found = changed(head, (np.abs(x) < 6) & (y > -4) & (y < 20) & (z > -14) & (z < 3), CORTEX)
    assert not found.whole and found.callosum and found.third_ventricle < 0.5
    assert found.flaws == (f"only {found.third_ventricle:.0%} of the third ventricle is open (limit 60%)",)
    assert midline_of(head, HERE).flaw_rank < found.flaw_rank < changed(head, np.abs(x) < 10, WHITE).flaw_rank


def test_it_is_found_in_a_head_that_is_turned_and_moved(head: sitk.Image) -> None:
    turn = sitk.Euler3DTransform((0.0, 0.0, 20.0), 0.1, 0.15, 0.2, (25.0, -10.0, 15.0))
    turned = sitk.Resample(head, head, turn, sitk.sitkNearestNeighbor, NAMES.index("air"))
    placed = place_tissues(turned).to_atlas
    assert midline_of(turned, placed).whole and not midline_of(turned, HERE).whole


@pytest.mark.parametrize("number", (15, pytest.param(1, marks=pytest.mark.nightly)))
def test_people_are_whole(number: int, data: Callable[[str], Path]) -> None:
    """One that the reference was not made of, and one that it was."""
    (path,) = find_label_maps(data("head_labels"), (number,))
    tissue = sitk.GetImageFromArray(read_labelled_head(path).tissue)
    assert midline_of(tissue, place_tissues(tissue).to_atlas).whole


def test_the_reference_tells_how_often_people_are_joined(head: sitk.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a head with a callosum and one without: half, where it is; it lies on the atlas's midline and is what the package carries."""
    monkeypatch.setattr(midline_building, "place_tissues", lambda tissue: AtlasPlacement(sitk.TranslationTransform(3, ORIGIN), False, 1.0))
    z, _, x = places()
    whole = sitk.GetArrayFromImage(head)
    heads = [np.where((np.abs(x) < 10) & (z > 15) & (z < 40), np.uint8(FLUID), whole), whole]
    grid = midline_grid()
    found = build_midline([LabelledHead("", tissue, (np.zeros(3), np.ones(3))) for tissue in heads], grid)
    top, stem = (found[grid.TransformPhysicalPointToIndex((0.0, *place))] for place in ((5.0, 26.0), (30.0, -35.0)))
    assert (top, stem) == (128, 255) and found[grid.TransformPhysicalPointToIndex((0.0, 5.0, 60.0))] == 0
    shipped = _reference()
    assert (shipped.GetSize(), shipped.GetOrigin(), shipped.GetSpacing()) == (grid.GetSize(), grid.GetOrigin(), grid.GetSpacing())
