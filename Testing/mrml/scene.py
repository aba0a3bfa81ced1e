"""A Slicer without windows: a real MRML scene with its logics and slice views, on which any VTK error is a failure."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class HeadlessSlicer:
    """A scene with application, colour and volume logics and three slice views of 120 × 100 pixels, as ``slicer.mrmlScene``."""

    def __init__(self, home: Path) -> None:
        self._module_logics: dict[str, Any] = {}
        self.scene = slicer.vtkMRMLScene()
        slicer.mrmlScene = self.scene
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetHomeDirectory(str(home))
        self.application.SetShareDirectory("share")  # below it
        (home / "share" / "ColorFiles").mkdir(parents=True, exist_ok=True)  # where Slicer's own colour files would lie
        self.application.SetTemporaryPath(str(home))
        self.application.SetMRMLScene(self.scene)
        self._let_it_read_bundles(home)
        self._slice_logics = vtk.vtkCollection()
        self.application.SetSliceLogics(self._slice_logics)
        self.application.SetViewLogics(vtk.vtkCollection())
        self.colours = self._logic(slicer.vtkSlicerColorLogic, "Colors")
        self.application.SetColorLogic(self.colours)
        self.colours.AddDefaultColorNodes()
        self.volumes = self._logic(slicer.vtkSlicerVolumesLogic, "Volumes")
        self._logic(slicer.vtkSlicerTextsLogic, "Texts")
        self._logic(slicer.vtkSlicerTablesLogic, "Tables")
        self._logic(slicer.vtkSlicerPlotsLogic, "Plots")
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene)
        self.views = {name: self._view(name, orientation) for name, orientation in ORIENTATIONS.items()}

    def _let_it_read_bundles(self, home: Path) -> None:
        """MRB files are unpacked into the cache's folder."""
        self._cache, self._transfers = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
        (home / "cache").mkdir()
        self._cache.SetRemoteCacheDirectory(str(home / "cache"))
        self._cache.SetMRMLScene(self.scene)
        self._transfers.SetCacheManager(self._cache)
        self.scene.SetCacheManager(self._cache)
        self.scene.SetDataIOManager(self._transfers)

    def _logic(self, kind: type, name: str) -> Any:
        logic = self._module_logics[name] = kind()  # the application does not keep them
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.scene)
        self.application.SetModuleLogic(name, logic)
        return logic

    def _view(self, name: str, orientation: str) -> Any:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.scene)
        node = logic.AddSliceNode(name)
        node.SetMappedInLayout(True)
        node.SetOrientation(orientation)
        node.SetDimensions(120, 100, 1)
        self._slice_logics.AddItem(logic)
        return logic

    def show(self, node: Any, *names: str) -> None:
        """Put ``node`` into the background of the named views (all) and fit them to it."""
        for name in names or self.views:
            logic = self.views[name]
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
            logic.FitSliceToBackground()
            logic.SnapSliceOffsetToIJK()

    def picture(self, name: str) -> np.ndarray:
        """What the view shows, uint8 (height, width, 4), top row first; black where it has no volume."""
        connection = self.views[name].GetImageDataConnection()
        if connection is None:
            width, height, _ = self.views[name].GetSliceNode().GetDimensions()
            return np.zeros((height, width, 4), np.uint8)
        producer = connection.GetProducer()
        producer.Update()
        image = producer.GetOutputDataObject(0)
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1].copy()

    def save_picture(self, name: str, path: Path, times: int = 1) -> None:
        """Write what the view shows into a PNG file, each pixel ``times`` as wide and high."""
        import SimpleITK as sitk

        colours = np.ascontiguousarray(self.picture(name)[..., :3]).repeat(times, axis=0).repeat(times, axis=1)
        sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(path))

    def node_count(self) -> int:
        """How many nodes the scene has, hidden ones too."""
        return self.scene.GetNumberOfNodes()

    def close(self) -> None:
        """Empty the scene and forget the views."""
        for logic in self.views.values():
            logic.SetMRMLScene(None)
        self._slice_logics.RemoveAllItems()
        self.scene.Clear(1)
        if slicer.mrmlScene is self.scene:
            slicer.mrmlScene = None


@contextmanager
def vtk_errors() -> Iterator[list[str]]:
    """The errors and warnings that VTK and MRML report meanwhile."""
    told: list[str] = []
    former, window = vtk.vtkOutputWindow.GetInstance(), vtk.vtkStringOutputWindow()
    vtk.vtkOutputWindow.SetInstance(window)

    @vtk.calldata_type(vtk.VTK_STRING)
    def remember(caller: Any, event: str, text: str) -> None:
        told.append(f"{event}: {text}")

    for event in ("ErrorEvent", "WarningEvent"):
        window.AddObserver(event, remember)
    try:
        yield told
    finally:
        window.RemoveAllObservers()
        vtk.vtkOutputWindow.SetInstance(former)


@contextmanager
def headless_slicer() -> Iterator[HeadlessSlicer]:
    """A Slicer for one test; raises AssertionError when VTK reported an error."""
    with tempfile.TemporaryDirectory() as home, vtk_errors() as told:
        made = HeadlessSlicer(Path(home))
        try:
            yield made
        finally:
            made.close()
        assert not told, "VTK reported: " + "; ".join(told)


def scalar_volume(voxels: np.ndarray, ijk_to_ras: np.ndarray | None = None, name: str = "scan", scene: Any = None) -> Any:
    """A scalar volume node of ``voxels`` (z, y, x), with a display node; ``ijk_to_ras`` is 4 × 4 (mm)."""
    node = (scene or slicer.mrmlScene).AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, voxels)
    if ijk_to_ras is not None:
        node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ijk_to_ras))
    node.CreateDefaultDisplayNodes()
    return node


def linear_transform(matrix: np.ndarray, parent: Any = None) -> Any:
    """A linear transform node (to parent, RAS, mm) under another one."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node
