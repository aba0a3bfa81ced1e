"""A stand-in for slicer.ScriptedLoadableModule: the base classes of a scripted module's four classes."""

from __future__ import annotations

import importlib
import unittest
from pathlib import Path
from typing import Any

import slicer

__all__ = ["ScriptedLoadableModule", "ScriptedLoadableModuleLogic", "ScriptedLoadableModuleTest", "ScriptedLoadableModuleWidget"]


class ScriptedLoadableModule:
    """Metadata on ``parent``, and the module's own test among ``slicer.selfTests``."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = parent.helpText = parent.acknowledgementText = ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)

    def runTest(self, msec: int = 100, **options: Any) -> None:
        getattr(importlib.import_module(type(self).__module__), f"{self.moduleName}Test")().runTest(**options)


class ScriptedLoadableModuleWidget:
    """A panel in ``parent``, which must be given: `setup` is left to whoever makes it, as in Slicer."""

    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)

    def setup(self) -> None:
        """Slicer puts its developer tools here."""

    def cleanup(self) -> None:
        """For a module to override."""

    def onReload(self) -> None:
        """The developer tools' button: Slicer's own function does it."""
        slicer.util.reloadScriptedModule(self.moduleName)

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    """One parameter node in the scene, made when it is first asked for."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode") or scene.AddNode(self.createParameterNode())
        node.SetAttribute("ModuleName", self.moduleName)  # closing a scene resets it
        return node

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A test case that can be made without a test's name, and says in the views what it does."""

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        slicer.util.delayDisplay(message, msec or requestedDelay or 100)

    def runTest(self) -> None:
        for name in (name for name in dir(self) if name.startswith("test")):
            self.setUp()
            getattr(self, name)()
            self.tearDown()
