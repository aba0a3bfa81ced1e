"""The tissues of a set of maps as a segmentation: named and coded, shown in 3D, and to be edited like any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK as sitk
import slicer

from ..imaging.head.masks import brain_mask
from ..imaging.head.tissue_labels import TissueLabel, tissue_labels
from ..workflow.results.map_set import MapSet
from ..workflow.results.tissue_fractions import BRAIN_ROWS
from ..workflow.results.tissue_output import labels_image
from . import display, folder
from .mapNodes import TissueMapNodes
from .mapVolumes import FLUID
from .volumes import newVolume

SEGMENTATION = "segmentation"
"""Role of the reference from the text node of the maps."""
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_NOT_SHOWN_IN_3D = ("fat", "muscle", "mucosa", "marrow")
"""What would hide the brain."""


def tissueSegmentation(maps: TissueMapNodes, segmentationNode: Any = None) -> Any:
    """A segmentation node of the tissues, every voxel of the brain in the segment of which it holds most; ``segmentationNode`` if given,
    else the one that the maps have, else a new one in their folder. What it held is replaced.

    Segments have the name, colour and SNOMED CT code of their tissue. Raises ImageError when a map is missing.
    """
    labels = mapSetOf(maps).labels
    assert labels is not None
    node = segmentationNode or maps.node.GetNodeReference(SEGMENTATION) or _newNode(maps)
    node.GetSegmentation().RemoveAllSegments()
    node.SetReferenceImageGeometryParameterFromVolumeNode(maps.volume("T1"))
    with temporaryLabels(labels, maps.volume("T1")) as temporary:
        slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(temporary, node)
    _describe(node, maps.node.GetScene())
    return node


@contextmanager
def temporaryLabels(voxels: np.ndarray, referenceNode: Any) -> Iterator[Any]:
    """A label volume (z, y, x) on the voxels of another one, which is gone afterwards, with the colours that an export gave it."""
    scene, made = referenceNode.GetScene(), newVolume("labels", voxels, referenceNode, label=True)
    own = _colours(made)
    try:
        yield made
    finally:
        shown = [made.GetNthDisplayNode(number) for number in range(made.GetNumberOfDisplayNodes())]
        colours = [node for node in (_colours(made),) if node is not None and node is not own]
        folder.takeOut(scene, made)
        for node in (*colours, *shown, made):
            scene.RemoveNode(node)


def _colours(volume: Any) -> Any:
    shown = volume.GetDisplayNode()
    return None if shown is None else shown.GetColorNode()


def mapSetOf(maps: TissueMapNodes) -> MapSet:
    """A set of maps of the scene as its files would be read: with the SDs, residuals, fluid fraction and labels that are there."""
    tissue, found = maps.tissue(), maps.tissueMaps()
    inside = np.isin(tissue, BRAIN_ROWS).astype(np.float32)
    strength = float(maps.report.get("field_strength_tesla") or 3.0)
    brain = brain_mask(inside, found.grid) if inside.any() else inside > 0
    image = labels_image(found, tissue, brain, strength)
    extra = {name: np.array(maps.voxels(name), dtype=np.float32) for name in maps.names() if name.startswith("residual_")}
    if found.fluid_fraction is not None:
        extra[FLUID] = found.fluid_fraction
    return MapSet(found, sitk.GetArrayFromImage(image), extra)


def _newNode(maps: TissueMapNodes) -> Any:
    scene = maps.node.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(f"{maps.title} tissues"))
    node.CreateDefaultDisplayNodes()
    maps.node.SetNodeReferenceID(SEGMENTATION, node.GetID())
    folder.putInto(scene, folder.folderOf(scene, maps.node), node)
    return node


def _describe(node: Any, scene: Any) -> None:
    """Name, colour and code every segment by its label."""
    labels = {label.index: label for label in tissue_labels()}
    colours, segmentation, shown = display.tissueTable(scene), node.GetSegmentation(), node.GetDisplayNode()
    for number in range(segmentation.GetNumberOfSegments()):
        identifier = segmentation.GetNthSegmentID(number)
        segment = segmentation.GetSegment(identifier)
        label = labels[segment.GetLabelValue()]
        segment.SetName(label.title)
        colour = [0.0, 0.0, 0.0, 1.0]
        if colours.GetColor(label.index, colour):
            segment.SetColor(*colour[:3])
        segment.SetTerminology(_terminology(label))
        if shown is not None:
            shown.SetSegmentVisibility3D(identifier, label.name not in _NOT_SHOWN_IN_3D)


def _terminology(label: TissueLabel) -> str:
    """Slicer's serialised terminology entry: context, category, type, modifier, and no region."""
    entries = ("^".join(("SCT", *coded)) for coded in (label.category, label.code))
    return "~".join((_CONTEXT, *entries, "^^", "", "^^", "^^"))
