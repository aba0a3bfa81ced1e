"""Voxels and geometry between volume nodes and the library: exact for any orientation and under any parent transform."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import slicer
import slicer.util
import vtk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.mrml.volumes import arrayOf, gridOf, newVolume, newVolumeOnGrid, volumeFromNode, voxelsChanged
from Testing.imaging.phantoms import points, rotation
from Testing.mrml.scene import HeadlessSlicer, linear_transform, scalar_volume

SHAPE = (6, 7, 9)
"""z, y, x"""


def affine(directions: np.ndarray, spacing: tuple[float, float, float], origin: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = directions * np.array(spacing)
    matrix[:3, 3] = origin
    return matrix


OBLIQUE = affine(rotation(12, -25, 40), (8.1, 9.3, 11.7), (-31.0, 22.5, 7.25))
FLIPPED = affine(rotation(5, 6, 7) @ np.diag([-1.0, 1.0, 1.0]), (8.0, 8.0, 12.0), (10.0, -20.0, 30.0))
PERMUTED = affine(np.eye(3)[:, [2, 0, 1]] @ np.diag([1.0, -1.0, 1.0]), (9.0, 8.0, 10.0), (1.0, 2.0, 3.0))
GEOMETRIES = {"plain": affine(np.eye(3), (8, 8, 8), (0, 0, 0)), "oblique": OBLIQUE, "flipped": FLIPPED, "permuted": PERMUTED}


def voxels(dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 200, SHAPE).astype(dtype)


def corners_ras(image: Any) -> np.ndarray:
    """World RAS of the voxels at the corners of an image in LPS."""
    ends = [(0, n - 1) for n in image.GetSize()]
    points = [image.TransformIndexToPhysicalPoint(corner) for corner in itertools.product(*ends)]
    return np.array(points) * (-1, -1, 1)


def expected_corners(ijk_to_world: np.ndarray) -> np.ndarray:
    ends = [(0, n - 1) for n in SHAPE[::-1]]
    return np.array([(ijk_to_world @ (*corner, 1))[:3] for corner in itertools.product(*ends)])


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_geometry_is_exact(headless: HeadlessSlicer, geometry: np.ndarray) -> None:
    volume = volumeFromNode(scalar_volume(voxels(), geometry))
    np.testing.assert_allclose(corners_ras(volume.image), expected_corners(geometry), atol=1e-6)
    np.testing.assert_array_equal(volume.voxels, voxels())


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_linear_parent_transforms_are_composed(headless: HeadlessSlicer, geometry: np.ndarray) -> None:
    outer = affine(rotation(-30, 10, 5), (1, 1, 1), (5, -6, 7))
    inner = affine(rotation(3, 50, -20), (1.25, 1.25, 1.25), (-9, 8, 2))
    node = scalar_volume(voxels(), geometry)
    node.SetAndObserveTransformNodeID(linear_transform(inner, linear_transform(outer)).GetID())
    volume = volumeFromNode(node)
    np.testing.assert_allclose(corners_ras(volume.image), expected_corners(outer @ inner @ geometry), atol=1e-6)
    np.testing.assert_array_equal(volume.voxels, voxels())


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64])
def test_any_scalar_type_becomes_float32(headless: HeadlessSlicer, dtype: type) -> None:
    volume = volumeFromNode(scalar_volume(voxels(dtype), OBLIQUE))
    assert volume.voxels.dtype == np.float32
    np.testing.assert_array_equal(volume.voxels, voxels(dtype).astype(np.float32))


RADIUS = 12.0


def ball(geometry: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """A smooth ball around the origin (mm), sampled on a grid."""
    index = np.stack([*np.indices(shape)[::-1], np.ones(shape)])
    place = np.einsum("ij,j...->i...", geometry, index)[:3]
    return (1000 * np.exp(-(place**2).sum(axis=0) / (2 * RADIUS**2))).astype(np.float32)


def where_it_came_from(volume: Any, transform: Any) -> np.ndarray:
    """The distance (z, y, x) from the origin (mm) of the place before the transform of every voxel of the result."""
    from_world = vtk.vtkGeneralTransform()
    transform.GetTransformFromWorld(from_world)
    places = points(volume.image).reshape(3, -1).T * (-1, -1, 1)
    former = np.array([from_world.TransformPoint(place) for place in places])
    return np.linalg.norm(former, axis=1).reshape(volume.voxels.shape)


def shear() -> Any:
    matrix = np.eye(4)
    matrix[0, 1] = 0.2
    matrix[0, 3] = 15.0
    return linear_transform(matrix)


def thin_plate_spline() -> Any:
    """Not linear: everything moves by 15 mm along x at the origin and less far away."""
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in itertools.product((-80, 80), repeat=3):
        source.InsertNextPoint(point)
        target.InsertNextPoint(point)
    source.InsertNextPoint(0, 0, 0)
    target.InsertNextPoint(15, 0, 0)
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetBasisToR()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    node.SetAndObserveTransformToParent(spline)
    return node


@pytest.mark.parametrize("transform", [shear, thin_plate_spline])
def test_other_transforms_are_hardened_on_a_copy_that_goes(headless: HeadlessSlicer, transform: Any) -> None:
    geometry, shape = affine(rotation(0, 0, 20), (5, 5, 5), (-38, -75, -56)), (24, 27, 25)
    node = scalar_volume(ball(geometry, shape), geometry)
    moved = transform()
    node.SetAndObserveTransformNodeID(moved.GetID())
    before, count, own = arrayOf(node).copy(), headless.node_count(), node.GetImageData()
    volume = volumeFromNode(node)
    former = where_it_came_from(volume, moved)
    near = former < 25  # well inside the volume
    np.testing.assert_allclose(volume.voxels[near], 1000 * np.exp(-(former[near] ** 2) / (2 * RADIUS**2)), atol=60)  # linear interpolation
    directions = np.reshape(volume.image.GetDirection(), (3, 3))
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-9)
    assert headless.node_count() == count
    assert node.GetImageData() is own and node.GetParentTransformNode() is moved
    np.testing.assert_array_equal(arrayOf(node), before)


def test_axes_that_are_not_at_right_angles_are_refused_by_name(headless: HeadlessSlicer) -> None:
    geometry = np.diag([4.0, 4.0, 4.0, 1.0])
    geometry[0, 1] = 0.8
    node = scalar_volume(voxels(), geometry, name="tilted")
    for parent in (None, linear_transform(np.eye(4))):
        node.SetAndObserveTransformNodeID(parent.GetID() if parent else None)
        with pytest.raises(ImageError, match=r"'tilted'.*right angles"):
            volumeFromNode(node)


def test_the_copy_goes_even_when_the_image_is_refused(headless: HeadlessSlicer) -> None:
    node = scalar_volume(np.full(SHAPE, 3.0, np.float32), OBLIQUE, name="constant")
    node.SetAndObserveTransformNodeID(shear().GetID())
    count = headless.node_count()
    arrayOf(node)[...] = np.nan
    with pytest.raises(ImageError, match=r"'constant'.*NaN"):
        volumeFromNode(node)
    assert headless.node_count() == count


def vector_volume(name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.zeros((*SHAPE, 3), np.float32))
    return node


def label_map(name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.ones(SHAPE, np.uint8))
    return node


def empty(name: str) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def tiny(name: str) -> Any:
    return scalar_volume(voxels(), np.eye(4), name=name)


def infinite(name: str) -> Any:
    return scalar_volume(np.full(SHAPE, np.inf, np.float32), OBLIQUE, name=name)


def constant(name: str) -> Any:
    return scalar_volume(np.zeros(SHAPE, np.int16), OBLIQUE, name=name)


def not_a_volume(name: str) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", name)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (vector_volume, "3 values a voxel"),
        (label_map, "label map"),
        (empty, "no voxels"),
        (tiny, "cannot be a head"),
        (infinite, "NaN or infinite"),
        (constant, "empty"),
        (not_a_volume, "not a volume"),
    ],
)
def test_what_is_no_image_of_a_head_is_refused_by_name(headless: HeadlessSlicer, make: Any, reason: str) -> None:
    node = make("visit 2")
    with pytest.raises(ImageError, match=f"'visit 2'.*{reason}"):
        volumeFromNode(node)
    node.SetName("")
    with pytest.raises(ImageError, match=f"{node.GetID()}.*{reason}"):
        volumeFromNode(node)


def test_no_volume_is_an_error_that_says_so(headless: HeadlessSlicer) -> None:
    with pytest.raises(ImageError, match="Choose"):
        volumeFromNode(None)


def test_a_new_volume_lies_voxel_on_voxel_on_its_model(headless: HeadlessSlicer) -> None:
    like = scalar_volume(voxels(np.int16), OBLIQUE)
    like.SetAndObserveTransformNodeID(linear_transform(affine(rotation(1, 2, 3), (1, 1, 1), (4, 5, 6))).GetID())
    made = newVolume("T1 (ms)", voxels(), like)
    again = newVolume("T1 (ms)", voxels(), like)
    np.testing.assert_array_equal(arrayOf(made), voxels())
    np.testing.assert_allclose(corners_ras(gridOf(made)), corners_ras(volumeFromNode(like).image), atol=1e-9)
    assert made.GetParentTransformNode() is like.GetParentTransformNode()
    assert made.GetDisplayNode() is not None
    assert (made.GetName(), again.GetName()) == ("T1 (ms)", "T1 (ms)_1")
    with pytest.raises(ImageError, match="PD has the shape"):
        newVolume("PD", voxels()[1:], like)


def test_a_label_map_keeps_its_labels(headless: HeadlessSlicer) -> None:
    made = newVolume("mask", voxels() > 100, scalar_volume(voxels(), FLIPPED), label=True)
    assert made.IsA("vtkMRMLLabelMapVolumeNode")
    np.testing.assert_array_equal(arrayOf(made) == 1, voxels() > 100)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_a_volume_on_a_grid_of_the_world(headless: HeadlessSlicer, geometry: np.ndarray) -> None:
    volume = volumeFromNode(scalar_volume(voxels(), geometry))
    made = newVolumeOnGrid("copy", volume.voxels, volume.image, headless.scene)
    np.testing.assert_allclose(corners_ras(gridOf(made)), expected_corners(geometry), atol=1e-6)


def test_written_voxels_reach_the_views(headless: HeadlessSlicer) -> None:
    node = scalar_volume(np.zeros(SHAPE, np.float32), OBLIQUE)
    node.GetDisplayNode().AutoWindowLevelOff()
    node.GetDisplayNode().SetWindowLevelMinMax(0, 100)
    headless.show(node)
    dark = headless.picture("Red")
    arrayOf(node)[...] = 100.0
    voxelsChanged(node)
    assert dark[..., 0].max() == 0
    assert headless.picture("Red")[..., 0].max() == 255
