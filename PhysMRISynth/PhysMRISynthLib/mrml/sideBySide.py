"""Two linked slice views side by side: what is being worked on, and what it is compared with."""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util

from .display import PINNED

_LEFT, _RIGHT = "Red", "Yellow"


class SideBySide:
    """Shows ``node`` in the right one of two views that scroll and zoom together, until :meth:`end`."""

    def __init__(self, node: Any) -> None:
        self._manager = slicer.app.layoutManager() if hasattr(slicer, "app") else None
        self._layout = self._manager.layout if self._manager is not None else None
        self._composites = [_of(name, "vtkMRMLSliceCompositeNode") for name in (_LEFT, _RIGHT)]
        self._linked = [(c.GetLinkedControl(), c.GetHotLinkedControl()) for c in self._composites]
        self._background = self._composites[1].GetBackgroundVolumeID()
        right, left = _of(_RIGHT, "vtkMRMLSliceNode"), _of(_LEFT, "vtkMRMLSliceNode")
        self._orientation = slicer.util.arrayFromVTKMatrix(right.GetSliceToRAS())
        if self._manager is not None:
            self._manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
        right.GetSliceToRAS().DeepCopy(left.GetSliceToRAS())
        right.SetFieldOfView(*left.GetFieldOfView())
        right.UpdateMatrices()
        for composite in self._composites:
            composite.SetLinkedControl(True)
            composite.SetHotLinkedControl(True)
        self.show(node)

    def show(self, node: Any) -> None:
        """Compare with another volume."""
        self._composites[1].SetAttribute(PINNED, None)
        self._composites[1].SetBackgroundVolumeID(node.GetID())
        self._composites[1].SetAttribute(PINNED, "1")

    def end(self) -> None:
        """Back to the layout, the orientation and the links from before."""
        right = _of(_RIGHT, "vtkMRMLSliceNode")
        self._composites[1].SetAttribute(PINNED, None)
        self._composites[1].SetBackgroundVolumeID(self._background)
        for composite, (linked, hot) in zip(self._composites, self._linked, strict=True):
            composite.SetLinkedControl(linked)
            composite.SetHotLinkedControl(hot)
        right.GetSliceToRAS().DeepCopy(slicer.util.vtkMatrixFromArray(self._orientation))
        right.UpdateMatrices()
        if self._manager is not None:
            self._manager.setLayout(self._layout)


def _of(layoutName: str, kind: str) -> Any:
    """The slice or composite node of a view."""
    scene = slicer.mrmlScene
    nodes = (scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind)))
    return next(node for node in nodes if node.GetLayoutName() == layoutName)
