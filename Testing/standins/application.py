"""A stand-in for qSlicerApplication: what modules ask of ``slicer.app``, and signals that a test can send."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import slicer


class Signals:
    """``connect`` and ``disconnect`` by signature, as PythonQt has them; `send` calls what is connected.

    Raises ValueError for a signal that the object does not have.
    """

    def __init__(self, *signatures: str) -> None:
        self._signatures = signatures
        self.connected: dict[str, list[Callable[..., Any]]] = defaultdict(list)

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        if signature not in self._signatures:
            raise ValueError(f"{type(self).__name__} has no signal {signature}")
        self.connected[signature].append(slot)
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        self.connected[signature].remove(slot)
        return True

    def send(self, signature: str, *values: Any) -> None:
        for slot in list(self.connected[signature]):
            slot(*values)


class ModuleManager(Signals):
    """``slicer.app.moduleManager()``."""

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)


class LayoutManager:
    """``slicer.app.layoutManager()``: the layout is that of the scene's layout node, which knows the numbers of Slicer's layouts."""

    def __init__(self, scene: Any) -> None:
        self._node = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
        for name in (name for name in dir(self._node) if name.startswith("SlicerLayout") and name.endswith("View")):
            self._node.AddLayoutDescription(getattr(self._node, name), f'<layout type="{name}"/>')
        self.setLayout(self._node.SlicerLayoutFourUpView)

    def sliceViewNames(self) -> list[str]:
        """No view has a window here; a test that wants some puts a manager of its own in this one's place."""
        return []

    @property
    def layout(self) -> int:
        return self._node.GetViewArrangement()

    def setLayout(self, layout: int) -> None:
        self._node.SetViewArrangement(layout)


class Application(Signals):
    """``slicer.app``; ``eventsProcessed`` counts the calls that keep Slicer responsive.

    ``testing``: as Slicer that was started with ``--testing``, whose dialogs do not open.
    """

    def __init__(self, scene: Any, logic: Any = None) -> None:
        super().__init__("startupCompleted()", "aboutToQuit()", "mrmlSceneChanged(vtkMRMLScene*)")
        self.testing = False
        self._logic = logic
        self._layouts: LayoutManager | None = None
        self.applicationName = "Slicer"
        self.documentationBaseUrl = "https://slicer.readthedocs.io/"
        self.eventsProcessed = 0
        self.temporaryPath = tempfile.gettempdir()
        self._scene = scene
        self._manager = ModuleManager("moduleAboutToBeUnloaded(QString)", "moduleLoaded(QString)")
        self._settings: dict[str, Any] = {}

    def processEvents(self) -> None:
        """Let Qt do what is waiting, where a test has Qt."""
        self.eventsProcessed += 1
        widgets = sys.modules.get("PySide6.QtWidgets")
        if widgets and widgets.QApplication.instance():
            widgets.QApplication.processEvents()

    def moduleManager(self) -> ModuleManager:
        return self._manager

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._logic

    def layoutManager(self) -> LayoutManager | None:
        """None where there is no main window."""
        if self._layouts is None and self._logic is not None:
            self._layouts = LayoutManager(self._scene)
        return self._layouts

    def testingEnabled(self) -> bool:
        return self.testing

    def translate(self, context: str, text: str) -> str:
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}{name}"

    def userSettings(self) -> Any:
        return SimpleNamespace(value=self._settings.get, setValue=self._settings.__setitem__, contains=self._settings.__contains__)

    settings = userSettings
