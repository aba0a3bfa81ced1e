"""Which voxels of a volume the slice views show, so that only these need be rendered while a slider moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import slicer
import slicer.util

from ..workflow.rendering.live import Region
from .volumes import arrayOf, ijkToWorld

_TOLERANCE = 1e-6
"""Voxels: within it a plane counts as lying on the voxels' centres."""
_LARGEST_TILT = 0.5
"""Voxels that a slice may tilt over a whole plane before single voxels are counted instead of planes."""


def shownRegion(volumeNode: Any, scene: Any = None) -> Region:
    """The voxels that the slice views of the present layout interpolate between where they show ``volumeNode``.

    Slices along the volume's axes need whole planes, others the voxels next to them (never fewer than are shown). Under a transform that
    is not linear slices are bent: the region is the whole volume.
    """
    shape = arrayOf(volumeNode).shape
    matrix = ijkToWorld(volumeNode)
    views = [node for node in _views(scene or slicer.mrmlScene) if _shows(node, volumeNode)]
    if not views:
        return Region()
    if matrix is None:
        return Region(tuple((0, position) for position in range(shape[0])))
    planes: set[tuple[int, int]] = set()
    voxels: list[np.ndarray] = []
    for slab in (slab for node in views for slab in _slabs(node, matrix)):
        normal, low, high = slab
        found = _planes(normal, low, high, shape)
        if found is None:
            voxels.append(_nearVoxels(normal, low, high, shape))
        else:
            planes.update(found)
    return Region(tuple(sorted(planes)), np.concatenate(voxels) if voxels else None)  # a voxel may come twice


def _views(scene: Any) -> Iterator[Any]:
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
        if (node.IsMappedInLayout() or node.GetSliceVisible()) and min(node.GetDimensions()[:2]) > 0:
            yield node


def _shows(sliceNode: Any, volumeNode: Any) -> bool:
    composite = slicer.vtkMRMLSliceLogic.GetSliceCompositeNode(sliceNode)
    if composite is None:
        return False
    layers = {composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID(), composite.GetLabelVolumeID()}
    if hasattr(composite, "GetNumberOfAdditionalLayers"):
        layers |= {composite.GetNthLayerVolumeID(3 + index) for index in range(composite.GetNumberOfAdditionalLayers())}
    return volumeNode.GetID() in layers


def _slabs(sliceNode: Any, matrix: np.ndarray) -> Iterator[tuple[np.ndarray, float, float]]:
    """Each slice of a view as the points with ``low`` ≤ normal · (z, y, x) ≤ ``high`` in the volume's voxel coordinates."""
    toVoxels = np.linalg.inv(matrix) @ slicer.util.arrayFromVTKMatrix(sliceNode.GetXYToRAS())
    across, down, through = (toVoxels[:3, column][::-1] for column in range(3))
    normal = np.cross(across, down)
    normal /= np.abs(normal).max()
    half = 0.0
    if sliceNode.GetSlabReconstructionEnabled():
        ras = np.append(slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())[:3, 2], 0.0)
        half = abs(normal @ (np.linalg.inv(matrix) @ ras)[:3][::-1]) * sliceNode.GetSlabReconstructionThickness() / 2.0
    for position in range(sliceNode.GetDimensions()[2]):  # light boxes have several
        distance = float(normal @ (toVoxels[:3, 3][::-1] + position * through))
        yield normal, distance - half, distance + half


def _planes(normal: np.ndarray, low: float, high: float, shape: tuple[int, ...]) -> set[tuple[int, int]] | None:
    """The planes (axis, index) that a slab touches, or None where it is too oblique for planes. The axis is the one nearest the normal."""
    axis = int(np.abs(normal).argmax())
    others = [other for other in range(3) if other != axis]
    ends = [np.array([-0.5, shape[other] - 0.5]) * normal[other] for other in others]  # edge voxels reach half a voxel out
    offsets = np.add.outer(*ends)
    if np.ptp(offsets) > _LARGEST_TILT:
        return None
    along = np.array([low - offsets.max(), high - offsets.min()]) / normal[axis]
    first, last = along.min(), along.max()
    if last < -0.5 - _TOLERANCE or first > shape[axis] - 0.5 + _TOLERANCE:
        return set()
    start, stop = (int(np.clip(edge, 0, shape[axis] - 1)) for edge in (np.floor(first + _TOLERANCE), np.ceil(last - _TOLERANCE)))
    return {(axis, position) for position in range(start, stop + 1)}


def _nearVoxels(normal: np.ndarray, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
    """Flat indices of the voxels that trilinear interpolation takes somewhere on the slab: those less than one voxel away along each axis.

    A voxel is that near when |normal · voxel − distance| is less than the sum of the normal's components.
    """
    axis = int(np.abs(normal).argmax())
    others = [other for other in range(3) if other != axis]
    reach = np.abs(normal).sum() + _TOLERANCE
    steps = [np.arange(shape[other]) for other in others]
    offsets = np.add.outer(normal[others[0]] * steps[0], normal[others[1]] * steps[1])
    ends = np.stack([low - reach - offsets, high + reach - offsets]) / normal[axis]
    first = np.clip(np.ceil(ends.min(axis=0)), 0, None).astype(np.int64)
    last = np.clip(np.floor(ends.max(axis=0)), None, shape[axis] - 1).astype(np.int64)
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    base = np.add.outer(strides[others[0]] * steps[0], strides[others[1]] * steps[1])
    found = []
    for step in range(max(0, int((last - first).max()) + 1)):
        inside = first + step <= last
        found.append(base[inside] + strides[axis] * (first[inside] + step))
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
