"""Segments of the scene as regions of tissue maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from ..errors import ImageError
from ..imaging.intake.volumes import same_grid
from ..physics.contrast import TissuePoint
from ..workflow.rendering.head_points import region_point
from .mapNodes import TissueMapNodes
from .segmentation import temporaryLabels
from .volumes import arrayOf, gridOf, titleOf

_MARK = "segment:"


def segmentsOf(scene: Any) -> list[tuple[str, str]]:
    """(name, key) of every segment of the scene's segmentations."""
    found = []
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
        segmentation = node.GetSegmentation()
        for number in range(segmentation.GetNumberOfSegments()):
            identifier = segmentation.GetNthSegmentID(number)
            found.append((segmentation.GetSegment(identifier).GetName(), f"{_MARK}{node.GetID()}:{identifier}"))
    return found


def isSegment(key: str) -> bool:
    """Whether a key stands for a segment."""
    return key.startswith(_MARK)


def segmentPoint(key: str, maps: TissueMapNodes) -> TissuePoint:
    """The medians of the maps inside a segment. Raises ImageError when the segment is gone, or holds no tissue of the maps."""
    identifier, _, segment = key.removeprefix(_MARK).partition(":")
    node = slicer.mrmlScene.GetNodeByID(identifier)
    if node is None or node.GetSegmentation().GetSegment(segment) is None:
        raise ImageError("The segment is not in the scene any more. Choose another one.")
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, maps.volume("T1"))
    if mask is None:
        raise ImageError("The segment has no voxels on the grid of the maps. Draw it inside the head.")
    return region_point(maps.shownMaps(), mask > 0, node.GetSegmentation().GetSegment(segment).GetName())


def isSegmentation(node: Any) -> bool:
    """Whether a node is a segmentation."""
    return node is not None and bool(node.IsA("vtkMRMLSegmentationNode"))


def labelsOf(maps: TissueMapNodes, node: Any) -> tuple[np.ndarray, Mapping[int, str]]:
    """The label map (z, y, x) of a segmentation or of a label volume on the grid of the maps, and the names of its labels.

    Where segments overlap, the last one counts. Raises ImageError for other nodes, empty segmentations and other grids.
    """
    if isSegmentation(node):
        return labelsOfMasks(segmentMasks(maps, node))
    if node is None or not node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ImageError("Regions are those of a segmentation or of a label volume. Choose one.")
    if not same_grid(gridOf(node), gridOf(maps.volume("T1"))):
        raise ImageError(f"{titleOf(node)} and the maps lie on different grids. Import it into a segmentation first.")
    return np.array(arrayOf(node), dtype=np.int64), _colourNames(node)


def labelsOfMasks(masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, Mapping[int, str]]:
    """Masks (z, y, x) by name as one label map, and the names of its labels."""
    labels = np.zeros(next(iter(masks.values())).shape, dtype=np.int64)
    for number, mask in enumerate(masks.values(), start=1):
        labels[mask] = number
    return labels, dict(enumerate(masks, start=1))


def segmentMasks(maps: TissueMapNodes, node: Any) -> dict[str, np.ndarray]:
    """The mask (z, y, x) of every segment on the grid of the maps, by name. Raises ImageError when there is none."""
    segmentation = node.GetSegmentation()
    masks: dict[str, np.ndarray] = {}
    for index in range(segmentation.GetNumberOfSegments()):
        identifier = segmentation.GetNthSegmentID(index)
        name = segmentation.GetSegment(identifier).GetName()
        masks[name if name not in masks else f"{name} ({index + 1})"] = segmentMask(maps, node, identifier)
    if not masks:
        raise ImageError(f"{titleOf(node)} has no segment. Draw one, or choose another segmentation.")
    return masks


def segmentMask(maps: TissueMapNodes, node: Any, identifier: str) -> np.ndarray:
    """The mask (z, y, x) of one segment on the grid of the maps. Raises ImageError when it cannot be read."""
    wanted, reference = vtk.vtkStringArray(), maps.volume("T1")
    wanted.InsertNextValue(identifier)
    with temporaryLabels(np.zeros(arrayOf(reference).shape, dtype=np.uint8), reference) as labels:
        if not slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(node, wanted, labels, reference):
            name = node.GetSegmentation().GetSegment(identifier).GetName()
            raise ImageError(f"The segment {name} could not be read. Check its geometry.")
        return arrayOf(labels) > 0


def _colourNames(node: Any) -> Mapping[int, str]:
    """Names of labels from the volume's colour table, as far as it names them."""
    shown = node.GetDisplayNode()
    colours = shown.GetColorNode() if shown is not None else None
    if colours is None:
        return {}
    present = [int(label) for label in np.unique(arrayOf(node)) if label > 0]
    return {label: colours.GetColorName(label) for label in present if 0 < label < colours.GetNumberOfColors()}
