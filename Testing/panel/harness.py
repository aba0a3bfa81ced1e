"""The module's real panel, from its real entry and .ui file, on a real scene, driven as a user would drive it."""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt starts

import shiboken6
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from Testing import standins
from Testing.mrml.scene import HeadlessSlicer, headless_slicer

from . import widgets
from .pythonqt import CtkModule, Loader, QtModule

_QMRML = ("qMRMLWidget", "qMRMLNodeComboBox", "qSlicerScriptedLoadableModuleWidget")
_FOR_COMPARING = ("qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget")
_USE_QT = (
    "PhysMRISynthLib.panel",
    "PhysMRISynthLib.mrml.parameterNode",
    "slicer.parameterNodeWrapper",
    "slicer.ScriptedLoadableModule",
    "standins.connectors",
)
WIDTH, NARROWEST = 420, 300


def application() -> QtWidgets.QApplication:
    """The one application, with a style and a font that look the same on every system."""
    if QtWidgets.QApplication.instance() is None:
        _makeImmortal()
    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    app.setStyle("Fusion")
    app.setFont(QtGui.QFont("DejaVu Sans", 9))
    return app


def _makeImmortal() -> None:
    """PySide releases None, True and False more often than it takes them, until Python stops with them freed; from Python 3.12 on they
    cannot be, and before it is enough to count them high."""
    if sys.version_info < (3, 12):
        for constant in (None, True, False):
            ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40


def installDoubles() -> None:
    """Put the doubles of qt, ctk and Slicer's widgets where Slicer's Python looks for them."""
    application()
    if isinstance(sys.modules.get("qt"), QtModule):
        return
    for name in [name for name in sys.modules if name.startswith(_USE_QT)]:  # imported by a test without Qt
        del sys.modules[name]
    Loader.doubles = {name: getattr(widgets, name) for name in (*_QMRML, "ctkCollapsibleButton")}
    sys.modules["qt"], sys.modules["ctk"] = QtModule("qt"), CtkModule("ctk")
    for name in _QMRML:
        setattr(slicer, name, Loader.doubles[name])
    for name in _FOR_COMPARING:
        setattr(slicer, name, type(name, (), {}))


def importedFromPanel(name: str) -> ModuleType:
    """A module of the panel for a test that needs no scene."""
    installDoubles()
    standins.install(slicer)
    return importlib.import_module(f"PhysMRISynthLib.panel.{name}")


class DrivenPanel:
    """The panel with hands: ``ui`` its widgets by name, ``parameters`` its parameter node, ``slicer`` the scene and the views."""

    def __init__(self, headless: HeadlessSlicer, made: standins.Standins) -> None:
        self.slicer, self.standins = headless, made
        importlib.reload(importlib.import_module("PhysMRISynth"))
        self.parent = widgets.qSlicerScriptedLoadableModuleWidget()
        slicer.modules.physmrisynth.widgetRepresentation = lambda: self.parent
        slicer.util.selectModule = lambda name: self.parent.isEntered or self.parent.enter()
        self.parent.reload()
        self.parent.enter()
        QtWidgets.QWidget.show(self.parent)  # what is hidden is not laid out

    @property
    def widget(self) -> Any:
        """The module's widget, which is another one after a reload."""
        return slicer.modules.PhysMRISynthWidget

    panel = property(lambda self: self.widget.panel)
    ui = property(lambda self: self.widget.ui)
    logic = property(lambda self: self.widget.logic)
    parameters = property(lambda self: self.panel.parameterNode)

    def enter(self) -> None:
        """Open another module and this one again."""
        self.parent.exit()
        self.parent.enter()

    def click(self, name: str) -> None:
        """Press a button or a check box, which must be enabled."""
        button = getattr(self.ui, name)
        assert button.enabled, f"{name} is disabled: {button.toolTip}"
        button.click()
        self.settle()

    def choose(self, name: str, text: str) -> None:
        """Choose an entry of a combo box by its text."""
        box = getattr(self.ui, name)
        index = box.findText(text)
        assert index >= 0, f"{name} has no '{text}' but {[box.itemText(i) for i in range(box.count)]}"
        box.setCurrentIndex(index)
        self.settle()

    def slide(self, sequence: str, parameter: str, fraction: float) -> float:
        """Drag a parameter's slider to a fraction of its length; returns the value that it then has."""
        row = self.panel.protocol.rows.row(sequence, parameter)
        row.slider.setValue(round(row.slider.minimum + fraction * (row.slider.maximum - row.slider.minimum)))
        return row.spinBox.value

    def settle(self, milliseconds: int = 0) -> None:
        """Let Qt do what is waiting, and what falls due within a time."""
        end = time.monotonic() + milliseconds / 1000
        while True:
            QtWidgets.QApplication.processEvents()
            if time.monotonic() >= end:
                return
            time.sleep(0.005)

    def waitFor(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let Qt work until ``done()``; AssertionError when it takes too long."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, "it took too long"
            self.settle(5)

    def message(self, name: str) -> str:
        """What a label tells; empty when it is hidden."""
        label = getattr(self.ui, name)
        return "" if QtWidgets.QWidget.isHidden(label) else label.text

    def picture(self, width: int = WIDTH) -> QtGui.QPixmap:
        """The panel as it looks at Slicer's usual width, or another one, down to its last section."""
        for _again in range(2):  # widths first, on which heights depend
            QtWidgets.QWidget.resize(self.parent, width, QtWidgets.QWidget.layout(self.parent).minimumHeightForWidth(width))
            self.settle(30)
        last = self.ui.advancedCollapsibleButton
        bottom = QtWidgets.QWidget.mapTo(last, self.parent, QtCore.QPoint(0, QtWidgets.QWidget.height(last)))
        return QtWidgets.QWidget.grab(self.parent, QtCore.QRect(0, 0, QtWidgets.QWidget.width(self.parent), bottom.y() + 10))

    def bottomOf(self, name: str, width: int = WIDTH) -> int:
        """How far below the top of the panel a widget ends, in pixels."""
        self.picture(width)
        widget = getattr(self.ui, name)
        return QtWidgets.QWidget.mapTo(widget, self.parent, QtCore.QPoint(0, QtWidgets.QWidget.height(widget))).y()

    def close(self) -> None:
        """As Slicer does when it unloads a module."""
        self.widget.cleanup()
        self.logic.close()
        del slicer.modules.PhysMRISynthWidget
        for selector in self.parent.findChildren(widgets.qMRMLNodeComboBox):
            selector.setMRMLScene(None)
        shiboken6.delete(self.parent)  # now, not when Python's garbage collector finds its parts in any order
        self.settle()


@contextmanager
def complaints() -> Iterator[None]:
    """AssertionError when Qt warned or a slot raised an error meanwhile; both would otherwise only be printed.

    Not counted: connections of the .ui file, which are for the widgets of Slicer itself, and a hint of the platform without screens.
    """
    raised: list[BaseException] = []
    warned: list[str] = []

    def hear(kind: Any, context: Any, text: str) -> None:
        if context.category != "qt.core.qobject.connect" and "propagateSizeHints" not in text:
            warned.append(text)

    former, sys.excepthook = sys.excepthook, lambda kind, error, trace: raised.append(error)
    formerHandler = QtCore.qInstallMessageHandler(hear)
    try:
        yield
    finally:
        sys.excepthook = former
        QtCore.qInstallMessageHandler(formerHandler)
    if raised:
        raise AssertionError(f"a slot raised {raised[0]!r}") from raised[0]
    assert not warned, f"Qt warned: {warned}"


@contextmanager
def drivenPanel() -> Iterator[DrivenPanel]:
    """A panel for one test; AssertionError when VTK, Qt or a slot reported an error."""
    with complaints(), headless_slicer() as headless:
        installDoubles()
        driven = DrivenPanel(headless, standins.install(slicer, headless.scene, headless.application))
        try:
            yield driven
        finally:
            driven.close()
