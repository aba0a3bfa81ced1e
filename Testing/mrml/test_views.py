"""What slice views show is rendered exactly, whichever way volumes and slices lie."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import slicer
import slicer.util

from PhysMRISynthLib.mrml.views import shownRegion
from PhysMRISynthLib.mrml.volumes import arrayOf, voxelsChanged
from PhysMRISynthLib.workflow.rendering.live import Region
from Testing.imaging.phantoms import rotation
from Testing.mrml.scene import HeadlessSlicer, linear_transform, scalar_volume
from Testing.mrml.test_volumes import affine, thin_plate_spline

SHAPE = (14, 17, 20)


def volume(directions: np.ndarray, spacing: tuple[float, float, float] = (9.0, 8.0, 10.0)) -> Any:
    return scalar_volume(np.random.default_rng(3).uniform(0, 100, SHAPE).astype(np.float32), affine(directions, spacing, (-70, -60, -50)))


def pictures(headless: HeadlessSlicer) -> np.ndarray:
    return np.stack([headless.picture(name) for name in headless.views])


def mask_of(region: Region) -> np.ndarray:
    shown = np.zeros(SHAPE, bool)
    shown.reshape(-1)[region.indices(SHAPE)] = True
    return shown


def check_region(headless: HeadlessSlicer, node: Any) -> np.ndarray:
    """Whatever the other voxels hold, the views show the same: and returns where the region is."""
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    wanted = pictures(headless)
    shown = mask_of(shownRegion(node))
    whole = arrayOf(node).copy()
    arrayOf(node)[~shown] = 1000.0
    voxelsChanged(node)
    np.testing.assert_array_equal(pictures(headless), wanted)
    arrayOf(node)[...] = whole
    arrayOf(node)[shown] = 1000.0
    voxelsChanged(node)
    assert (pictures(headless) != wanted).any(), "the views show the volume"
    return shown


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_one_plane_per_orthogonal_view_of_any_orientation(headless: HeadlessSlicer, order: tuple[int, ...]) -> None:
    for signs in itertools.product((1, -1), repeat=3):
        node = volume(np.eye(3)[:, list(order)] * np.array(signs))
        headless.show(node)
        shown = check_region(headless, node)
        region = shownRegion(node)
        assert region.voxels is None
        assert sorted(axis for axis, _ in region.planes) == [0, 1, 2]
        assert shown.sum() < 0.3 * shown.size


def test_two_planes_where_a_slice_lies_between_them(headless: HeadlessSlicer) -> None:
    node = volume(np.eye(3))
    headless.show(node)
    for logic in headless.views.values():
        logic.SetSliceOffset(logic.GetSliceOffset() + 3.0)
    check_region(headless, node)
    region = shownRegion(node)
    for axis in range(3):
        positions = [position for where, position in region.planes if where == axis]
        assert len(positions) == 2 and positions[1] - positions[0] == 1


def beyond(headless: HeadlessSlicer, offset: float) -> None:
    bounds = [0.0] * 6
    headless.views["Red"].GetBackgroundSliceBounds(bounds)
    headless.views["Red"].SetSliceOffset(bounds[5] + offset)


def test_the_outermost_half_voxel_is_the_outermost_plane(headless: HeadlessSlicer) -> None:
    node = volume(np.eye(3))
    headless.show(node, "Red")
    beyond(headless, -1.0)
    check_region(headless, node)
    assert shownRegion(node) == Region(((0, SHAPE[0] - 1),))


def test_a_slice_beside_the_volume_shows_nothing(headless: HeadlessSlicer) -> None:
    node = volume(np.eye(3))
    headless.show(node, "Red")
    beyond(headless, 5.0)
    assert shownRegion(node) == Region()


def turned_volume(headless: HeadlessSlicer) -> Any:
    return volume(rotation(10, -20, 35), (7.0, 9.0, 11.0))


def turned_slices(headless: HeadlessSlicer) -> Any:
    node = volume(np.eye(3) * np.array([-1, 1, 1]))
    for index, logic in enumerate(headless.views.values()):
        matrix = logic.GetSliceNode().GetSliceToRAS()
        turned = np.eye(4)
        turned[:3, :3] = rotation(20, 10 * index, -5)
        matrix.DeepCopy(slicer.util.vtkMatrixFromArray(turned @ slicer.util.arrayFromVTKMatrix(matrix)))
        logic.GetSliceNode().UpdateMatrices()
    return node


def turned_parent(headless: HeadlessSlicer) -> Any:
    node = volume(np.eye(3))
    node.SetAndObserveTransformNodeID(linear_transform(affine(rotation(5, 6, 50), (1, 1, 1), (4, 5, 6))).GetID())
    return node


def slightly_turned(headless: HeadlessSlicer) -> Any:
    return volume(rotation(0.05, -0.04, 0.03))


@pytest.mark.parametrize("make", [turned_volume, turned_slices, turned_parent])
def test_oblique_views_need_the_voxels_beside_them(headless: HeadlessSlicer, make: Callable[[HeadlessSlicer], Any]) -> None:
    node = make(headless)
    headless.show(node)
    shown = check_region(headless, node)
    assert shownRegion(node).voxels is not None
    assert shown.sum() < 0.75 * shown.size  # three slices of a volume of no more than 20 voxels along an edge


def test_a_slight_turn_needs_whole_planes_still(headless: HeadlessSlicer) -> None:
    node = slightly_turned(headless)
    headless.show(node)
    check_region(headless, node)
    assert shownRegion(node).voxels is None and len(shownRegion(node).planes) <= 9


def test_slabs_and_bent_slices_are_whole(headless: HeadlessSlicer) -> None:
    node = volume(np.eye(3))
    headless.show(node, "Red")
    red = headless.views["Red"].GetSliceNode()
    red.SlabReconstructionEnabledOn()
    red.SetSlabReconstructionThickness(40.0)
    assert len(shownRegion(node).planes) == 5
    red.SlabReconstructionEnabledOff()
    node.SetAndObserveTransformNodeID(thin_plate_spline().GetID())
    assert mask_of(shownRegion(node)).all()


def test_only_views_of_the_layout_that_show_the_volume_count(headless: HeadlessSlicer) -> None:
    node, other = volume(np.eye(3)), volume(np.eye(3))
    headless.show(node)
    assert shownRegion(other) == Region()
    headless.views["Red"].GetSliceNode().SetMappedInLayout(False)
    assert len(shownRegion(node).planes) == 2
    headless.views["Green"].GetSliceCompositeNode().SetBackgroundVolumeID(other.GetID())
    headless.views["Green"].GetSliceCompositeNode().SetForegroundVolumeID(node.GetID())
    assert len(shownRegion(node).planes) == 2 and len(shownRegion(other).planes) == 1
