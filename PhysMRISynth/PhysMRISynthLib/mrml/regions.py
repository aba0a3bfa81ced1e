"""Regions of a segmentation or a label volume, measured in a set of maps, as a table node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..workflow.results.map_set import MapSet
from ..workflow.results.region_files import region_rows
from ..workflow.results.regions import Region, measure_regions
from ..workflow.results.tissue_volumes import brain_volumes, volume_rows
from .mapNodes import TissueMapNodes
from .rowTables import rowTable
from .segmentation import mapSetOf
from .segments import isSegmentation, labelsOf, labelsOfMasks, segmentMasks
from .volumes import titleOf


def measureRegions(maps: TissueMapNodes, regionsNode: Any, tableNode: Any = None) -> Any:
    """Measure every segment of a segmentation node, or every label of a label volume on the grid of the maps, into a table node.

    A row for each region and quantity (PD, T1, T2, R1, R2, residuals), with the uncertainty of the mean, published range and other side.
    Writes into ``tableNode``, else a new one in the maps' folder, which is returned. Raises ImageError when there is no region, none
    lies in the head, or a label volume lies on another grid.
    """
    rows = region_rows(regionsOf(maps, regionsNode))
    return rowTable(maps, rows, f"{maps.title} in {titleOf(regionsNode)}", tableNode)


def measureVolumes(maps: TissueMapNodes, tableNode: Any = None) -> Any:
    """Volumes of brain, tissues, fluid and lesions in ml with their uncertainty, and the parenchymal fraction, as a table node.

    Writes into ``tableNode``, else a new one in the maps' folder, which is returned. Raises ImageError when the maps show no brain.
    """
    return rowTable(maps, volume_rows(brain_volumes(mapSetOf(maps))), f"{maps.title} volumes", tableNode)


def regionsOf(maps: TissueMapNodes, regionsNode: Any) -> list[Region]:
    """The measurements of :func:`measureRegions` as objects."""
    head = mapSetOf(maps)
    if not isSegmentation(regionsNode):
        return measure_regions(head, *labelsOf(maps, regionsNode))
    masks = segmentMasks(maps, regionsNode)
    labels, names = labelsOfMasks(masks)
    if sum(int(mask.sum()) for mask in masks.values()) == np.count_nonzero(labels):
        return measure_regions(head, labels, names)
    return [_alone(head, number, name, masks[name]) for number, name in names.items()]  # they overlap


def _alone(head: MapSet, number: int, name: str, mask: np.ndarray) -> Region:
    return replace(measure_regions(head, mask.astype(np.int64), {1: name})[0], label=number)
