"""Segments of the scene as regions of tissue maps."""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util

from ..errors import ImageError
from ..physics.contrast import TissuePoint
from ..workflow.head_points import region_point
from .mapNodes import TissueMapNodes

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
