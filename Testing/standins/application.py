"""A stand-in for qSlicerApplication: what modules ask of ``slicer.app``, and signals that a test can send."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class Signals:
    """``connect`` and ``disconnect`` by signature, as PythonQt has them; `send` calls what is connected."""

    def __init__(self) -> None:
        self.connected: dict[str, list[Callable[..., Any]]] = defaultdict(list)

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        self.connected[signature].append(slot)
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        self.connected[signature].remove(slot)
        return True

    def send(self, signature: str, *values: Any) -> None:
        for slot in list(self.connected[signature]):
            slot(*values)


class Application(Signals):
    """``slicer.app``; ``eventsProcessed`` counts the calls that keep Slicer responsive."""

    def __init__(self, scene: Any) -> None:
        super().__init__()
        self.applicationName = "Slicer"
        self.documentationBaseUrl = "https://slicer.readthedocs.io/"
        self.eventsProcessed = 0
        self.temporaryPath = tempfile.gettempdir()
        self.overrideCursors: list[Any] = []
        self._scene = scene
        self._manager = Signals()
        self._settings: dict[str, Any] = {}

    def processEvents(self) -> None:
        """Let Qt do what is waiting, where a test has Qt."""
        self.eventsProcessed += 1
        widgets = sys.modules.get("PySide6.QtWidgets")
        if widgets and widgets.QApplication.instance():
            widgets.QApplication.processEvents()

    def moduleManager(self) -> Signals:
        return self._manager

    def mrmlScene(self) -> Any:
        return self._scene

    def layoutManager(self) -> None:
        return None

    def testingEnabled(self) -> bool:
        return False

    def translate(self, context: str, text: str) -> str:
        return text

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}{name}"

    def setOverrideCursor(self, cursor: Any) -> None:
        self.overrideCursors.append(cursor)

    def restoreOverrideCursor(self) -> None:
        self.overrideCursors.pop()

    def userSettings(self) -> Any:
        return SimpleNamespace(value=self._settings.get, setValue=self._settings.__setitem__, contains=self._settings.__contains__)

    settings = userSettings
