"""A stand-in for Slicer's file readers, by MRML's own storage nodes."""

from __future__ import annotations

from typing import Any


def loadVolume(slicer: Any, path: str) -> Any:
    """Read a volume file into a scalar volume node named after it, as slicer.util.loadVolume. Raises RuntimeError when it cannot be."""
    scene = slicer.mrmlScene
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(path)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(storage.GetFileNameWithoutExtension(path)))
    node.SetAndObserveStorageNodeID(storage.GetID())
    if not storage.ReadData(node):
        for made in (node, storage):
            scene.RemoveNode(made)
        raise RuntimeError(f"Failed to load node from file: {path}")
    node.CreateDefaultDisplayNodes()
    return node
