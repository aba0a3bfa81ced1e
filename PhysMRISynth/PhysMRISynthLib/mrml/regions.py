"""Regions of a segmentation or a label volume, measured in a set of maps, as a table node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import slicer
import vtk

from ..errors import ImageError
from ..imaging.volumes import same_grid
from ..workflow.region_files import region_rows
from ..workflow.regions import Region, measure_regions
from . import folder
from .mapNodes import TissueMapNodes
from .segmentation import mapSetOf, temporaryLabels
from .statistics import tableOf
from .volumes import arrayOf, gridOf, titleOf


def measureRegions(maps: TissueMapNodes, regionsNode: Any, tableNode: Any = None) -> Any:
    """Measure every segment of a segmentation node, or every label of a label volume on the grid of the maps, into a table node.

    A row for each region and quantity (PD, T1, T2, R1, R2, residuals), with the uncertainty of the mean, published range and other side.
    Writes into ``tableNode``, else a new one in the maps' folder, which is returned. Raises ImageError when there is no region, none
    lies in the head, or a label volume lies on another grid.
    """
    rows = region_rows(regionsOf(maps, regionsNode))
    node = tableNode or _newTable(maps, regionsNode)
    columns = {name: [_text(row[name]) for row in rows] for name in rows[0]}
    node.SetAndObserveTable(tableOf(columns))
    return node


def regionsOf(maps: TissueMapNodes, regionsNode: Any) -> list[Region]:
    """The measurements of :func:`measureRegions` as objects."""
    head = mapSetOf(maps)
    if regionsNode is not None and regionsNode.IsA("vtkMRMLSegmentationNode"):
        masks = dict(_segments(maps, regionsNode))
        if not masks:
            raise ImageError(f"{titleOf(regionsNode)} has no segment. Draw one, or choose another segmentation.")
        labels = np.zeros(head.maps.mask.shape, dtype=np.int64)
        for number, mask in enumerate(masks.values(), start=1):
            labels[mask] = number
        names = dict(enumerate(masks, start=1))
        if sum(int(mask.sum()) for mask in masks.values()) == np.count_nonzero(labels):
            return measure_regions(head, labels, names)
        return [_alone(head, number, name, masks[name]) for number, name in names.items()]  # they overlap
    if regionsNode is None or not regionsNode.IsA("vtkMRMLLabelMapVolumeNode"):
        raise ImageError("Regions are those of a segmentation or of a label volume. Choose one.")
    if not same_grid(gridOf(regionsNode), head.maps.grid):
        raise ImageError(f"{titleOf(regionsNode)} and the maps lie on different grids. Import it into a segmentation first.")
    return measure_regions(head, np.array(arrayOf(regionsNode), dtype=np.int64), _colourNames(regionsNode))


def _alone(head: Any, number: int, name: str, mask: np.ndarray) -> Region:
    found = measure_regions(head, mask.astype(np.int64), {1: name})[0]
    return replace(found, label=number)


def _segments(maps: TissueMapNodes, node: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Name and mask (z, y, x) of every segment on the grid of the maps."""
    segmentation, reference = node.GetSegmentation(), maps.volume("T1")
    for index in range(segmentation.GetNumberOfSegments()):
        identifier = segmentation.GetNthSegmentID(index)
        wanted = vtk.vtkStringArray()
        wanted.InsertNextValue(identifier)
        name = segmentation.GetSegment(identifier).GetName()
        with temporaryLabels(np.zeros(arrayOf(reference).shape, dtype=np.uint8), reference) as labels:
            export = slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode
            if not export(node, wanted, labels, reference):
                raise ImageError(f"The segment {name} could not be read. Check its geometry.")
            yield name, arrayOf(labels) > 0


def _colourNames(node: Any) -> Mapping[int, str]:
    """Names of labels from the volume's colour table, as far as it names them."""
    shown = node.GetDisplayNode()
    colours = shown.GetColorNode() if shown is not None else None
    if colours is None:
        return {}
    present = [int(label) for label in np.unique(arrayOf(node)) if label > 0]
    return {label: colours.GetColorName(label) for label in present if 0 < label < colours.GetNumberOfColors()}


def _newTable(maps: TissueMapNodes, regionsNode: Any) -> Any:
    scene = maps.node.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(f"{maps.title} in {titleOf(regionsNode)}"))
    folder.putInto(scene, folder.folderOf(scene, maps.node), node)
    return node


def _text(value: Any) -> Any:
    """What a cell shows."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
