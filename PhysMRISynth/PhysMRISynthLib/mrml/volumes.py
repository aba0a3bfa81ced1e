"""Between volume nodes and the library's volumes: geometry kept exactly, parent transforms honoured, errors that name the node."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer
import slicer.util
import vtk

from ..errors import ImageError
from ..imaging.intake.volumes import Volume, volume_from_image

_LARGEST_SHEAR = 1e-4
"""Cosine between two axes above which a grid is no longer taken for a rectangular one."""
_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def titleOf(node: Any) -> str:
    """How messages call a node: its name in quotation marks, or its ID where it has none."""
    return f"'{node.GetName()}'" if node.GetName() else f"The unnamed volume {node.GetID() or node.GetClassName()}"


def volumeFromNode(node: Any) -> Volume:
    """The voxels of a scalar volume node (any type; float32 here) where they lie in the world.

    Linear parent transforms are composed with the node's own geometry; a transform that shears or is not linear is hardened on a
    temporary copy, whose grid covers what the volume covers.
    Raises ImageError, with the node's name, for what :func:`~PhysMRISynthLib.imaging.intake.volumes.read_volume` refuses, for label maps,
    vector volumes and nodes without voxels.
    """
    checkIsImage(node)
    matrix = _rectangularMatrix(node)
    if matrix is None:
        return _hardened(node)
    return volume_from_image(_image(arrayOf(node), matrix), name=titleOf(node))


def checkIsImage(node: Any) -> None:
    """Raise ImageError unless the node is a scalar volume with one value a voxel."""
    if node is None:
        raise ImageError("No volume is chosen. Choose one.")
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise ImageError(f"{titleOf(node)} is not a volume ({node.GetNodeTagName()}). Choose a scalar volume.")
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ImageError(f"{titleOf(node)} is a label map, not an image. Choose the image that it belongs to.")
    if node.GetImageData() is None or node.GetImageData().GetPointData().GetScalars() is None:
        raise ImageError(f"{titleOf(node)} has no voxels. Load its file again, or choose another volume.")
    components = node.GetImageData().GetNumberOfScalarComponents()
    if components != 1:
        raise ImageError(
            f"{titleOf(node)} has {components} values a voxel (colours, directions or a series). Choose a volume with one value a voxel."
        )


def ijkToWorld(node: Any) -> np.ndarray | None:
    """The matrix (4, 4) from voxel indices (i, j, k, 1) to world RAS (mm); None under a transform that is not linear."""
    parent = node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    own = slicer.util.arrayFromVTKMatrix(matrix)
    if parent is None:
        return own
    if not parent.IsTransformToWorldLinear():
        return None
    parent.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix) @ own


def gridOf(node: Any) -> sitk.Image:
    """An image of zeros on the node's grid in the world; under a transform that shears or is not linear, on its own untransformed one."""
    matrix = _rectangularMatrix(node)
    if matrix is None:
        own = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(own)
        matrix = slicer.util.arrayFromVTKMatrix(own)
    return _placed(sitk.Image(arrayOf(node).shape[::-1], sitk.sitkUInt8), matrix)


def _rectangularMatrix(node: Any) -> np.ndarray | None:
    """:func:`ijkToWorld` where its axes are at right angles."""
    matrix = ijkToWorld(node)
    if matrix is None:
        return None
    directions = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return matrix if np.abs(directions.T @ directions - np.eye(3)).max() <= _LARGEST_SHEAR else None


def _image(voxels: np.ndarray, matrix: np.ndarray) -> sitk.Image:
    """An image of a copy of ``voxels`` (z, y, x) in LPS from the matrix of indices to RAS."""
    return _placed(sitk.GetImageFromArray(voxels), matrix)


def _placed(image: sitk.Image, matrix: np.ndarray) -> sitk.Image:
    lps = _LPS_FROM_RAS @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def _hardened(node: Any) -> Volume:
    """The volume of a copy of ``node`` that is resampled through its parent transform; the copy is gone afterwards."""
    scene, parent = node.GetScene(), node.GetParentTransformNode()
    if parent is None:
        raise _notRectangular(node)
    copy = slicer.vtkMRMLScalarVolumeNode()
    copy.HideFromEditorsOn()  # or selectors would offer it meanwhile
    copy.CopyOrientation(node)
    copy.SetAndObserveImageData(node.GetImageData())
    scene.AddNode(copy)
    try:
        copy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        toWorld = vtk.vtkGeneralTransform()  # a general one is resampled even where it is linear and only shears
        parent.GetTransformToWorld(toWorld)
        copy.ApplyTransform(toWorld)
        copy.SetAndObserveTransformNodeID(None)
        matrix = _rectangularMatrix(copy)
        if matrix is None:
            raise _notRectangular(node)
        return volume_from_image(_image(arrayOf(copy), matrix), name=titleOf(node))
    finally:
        scene.RemoveNode(copy)


def _notRectangular(node: Any) -> ImageError:
    return ImageError(f"{titleOf(node)} has axes that are not at right angles. Resample it to a rectangular grid.")


def newVolume(name: str, voxels: np.ndarray, likeNode: Any, label: bool = False, window: tuple[float, float] | None = None) -> Any:
    """A volume node of ``voxels`` (z, y, x) on the grid of ``likeNode``, under its parent transform, with a display node.

    ``label``: a label map. ``window``: the lowest and highest value shown; without it Slicer looks for them in all voxels, which takes
    a moment. The name gets a number where it is taken. Raises ImageError when the shapes differ.
    """
    shape = arrayOf(likeNode).shape
    if voxels.shape != shape:
        raise ImageError(f"{name} has the shape {voxels.shape} and does not fit the grid of {titleOf(likeNode)}, {shape}.")
    node = _added(likeNode.GetScene() or slicer.mrmlScene, name, label)
    node.CopyOrientation(likeNode)
    node.SetAndObserveTransformNodeID(likeNode.GetTransformNodeID())
    _fill(node, voxels, window)
    return node


def newVolumeOnGrid(
    name: str, voxels: np.ndarray, grid: sitk.Image, scene: Any, label: bool = False, window: tuple[float, float] | None = None
) -> Any:
    """As :func:`newVolume`, on the grid (world, LPS) of an image, under no transform."""
    node = _added(scene, name, label)
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(grid.GetDirection(), (3, 3)) * grid.GetSpacing()
    matrix[:3, 3] = grid.GetOrigin()
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(_LPS_FROM_RAS @ matrix))
    _fill(node, voxels, window)
    return node


def _added(scene: Any, name: str, label: bool) -> Any:
    kind = "vtkMRMLLabelMapVolumeNode" if label else "vtkMRMLScalarVolumeNode"
    return scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))


def _fill(node: Any, voxels: np.ndarray, window: tuple[float, float] | None) -> None:
    """Give a new node its voxels and a display node, whose window is set first: else it would be sought as soon as there are voxels."""
    if window is not None:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().AutoWindowLevelOff()
        node.GetDisplayNode().SetWindowLevelMinMax(*window)
    slicer.util.updateVolumeFromArray(node, _storable(voxels))
    node.CreateDefaultDisplayNodes()


def _storable(voxels: np.ndarray) -> np.ndarray:
    """VTK has no truth values."""
    return voxels.astype(np.uint8) if voxels.dtype == bool else voxels


def arrayOf(node: Any) -> np.ndarray:
    """The voxels of a volume node as a view (z, y, x): call :func:`voxelsChanged` after writing. Raises ImageError when there are none."""
    if node.GetImageData() is None or node.GetImageData().GetPointData().GetScalars() is None:
        raise ImageError(f"{titleOf(node)} has no voxels. Load its file again, or choose another volume.")
    return slicer.util.arrayFromVolume(node)


def voxelsChanged(node: Any) -> None:
    """Tell the views that voxels were written into :func:`arrayOf`'s view."""
    slicer.util.arrayFromVolumeModified(node)
