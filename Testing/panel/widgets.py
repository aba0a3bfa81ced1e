# ruff: noqa: N801, N815 (Slicer's and CTK's own names)
"""The widgets of CTK and Slicer that the panel uses, each as small as the panel's use of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Qt

from .pythonqt import DoublesSignal, PythonQtManners

_BAR, _HEADER = 24, 26
_widget = QtWidgets.QWidget


class ctkCollapsibleButton(PythonQtManners, QtWidgets.QWidget):
    """A bar with a title that shows and hides what is below it: ``collapsed``, ``text``, ``contentsCollapsed(bool)``."""

    _signatures = ("contentsCollapsed(bool)",)
    _inherits = _widget

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._text, self._collapsed = "", False
        self.__dict__["contentsCollapsed"] = DoublesSignal(1)
        _widget.setContentsMargins(self, 0, _HEADER, 0, 0)

    def _setText(self, text: str) -> None:
        self._text = text
        _widget.update(self)

    def _setCollapsed(self, collapsed: bool) -> None:
        if collapsed != self._collapsed:
            self._collapsed = collapsed
            _widget.setMaximumHeight(self, _BAR if collapsed else 16777215)
            _widget.setMask(self, QtGui.QRegion(0, 0, 10000, _BAR)) if collapsed else _widget.clearMask(self)
            self.contentsCollapsed.emit(collapsed)

    text = Property(str, lambda self: self._text, _setText)
    collapsed = Property(bool, lambda self: self._collapsed, _setCollapsed)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        if event.position().y() < _HEADER:
            self._setCollapsed(not self._collapsed)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtWidgets.QStylePainter(self)
        bar = QtWidgets.QStyleOptionButton()
        bar.initFrom(self)
        bar.rect = QtCore.QRect(0, 0, _widget.width(self), _BAR)
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, bar)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(8, _BAR // 2 - 4, 9, 9)
        kinds = QtWidgets.QStyle.PrimitiveElement
        painter.drawPrimitive(kinds.PE_IndicatorArrowRight if self._collapsed else kinds.PE_IndicatorArrowDown, arrow)
        painter.drawText(bar.rect.adjusted(26, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, self._text)


def _stored(kind: Any, name: str, default: Any) -> Property:
    """A property that only remembers its value."""
    key = f"_{name}"
    return Property(kind, lambda self: self.__dict__.get(key, default), lambda self, value: self.__dict__.__setitem__(key, value))


class qMRMLNodeComboBox(PythonQtManners, QtWidgets.QComboBox):
    """Lists the scene's nodes of ``nodeTypes`` that have the attributes asked for; hidden nodes are left out.

    What is listed follows the nodes' ModifiedEvents, and stands still while a scene is imported or changed in bulk.
    """

    _signatures = ("currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)")
    _inherits = _widget

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.__dict__["currentNodeChanged"] = DoublesSignal(1)
        self._types: list[str] = []
        self._attributes: dict[str, tuple[str, str | None]] = {}
        self._nodeTags: dict[Any, int] = {}
        self._entries: list[tuple[str | None, str]] = []
        self._ids: list[str | None] = []
        self._observed: Any = None
        self._tags: list[int] = []
        self._last: str | None = None
        QtWidgets.QComboBox.currentIndexChanged.__get__(self).connect(self._indexChanged)

    def _setNodeTypes(self, types: list[str]) -> None:
        self._types = list(types)
        self._update()

    nodeTypes = Property("QStringList", lambda self: self._types, _setNodeTypes)
    noneEnabled = _stored(bool, "noneEnabled", False)
    noneDisplay = _stored(str, "noneDisplay", "None")
    addEnabled = _stored(bool, "addEnabled", True)
    removeEnabled = _stored(bool, "removeEnabled", True)
    renameEnabled = _stored(bool, "renameEnabled", False)
    editEnabled = _stored(bool, "editEnabled", False)
    showHidden = _stored(bool, "showHidden", False)
    showChildNodeTypes = _stored(bool, "showChildNodeTypes", True)
    selectNodeUponCreation = _stored(bool, "selectNodeUponCreation", True)

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        """One attribute for each type; ignored for types that are not listed now."""
        if nodeType in self._types:
            self._attributes[nodeType] = name, value
            self._update()

    def setMRMLScene(self, scene: Any) -> None:
        if self._observed is not None:
            for tag in self._tags:
                self._observed.RemoveObserver(tag)
        self._observed = scene
        names = ("NodeAdded", "NodeRemoved", "EndBatchProcess", "EndImport", "EndClose") if scene is not None else ()
        events = [getattr(scene, f"{name}Event") for name in names]
        self._tags = [scene.AddObserver(event, lambda *arguments: self._update()) for event in events]
        self._update()

    def mrmlScene(self) -> Any:
        return self._observed

    def _isListed(self, node: Any, kind: str, children: bool, hidden: bool) -> bool:
        wanted = [self._attributes[kind]] if kind in self._attributes else []
        exact = children or node.GetClassName() == kind
        shown = hidden or not node.GetHideFromEditors()
        return exact and shown and all((a := node.GetAttribute(n)) is not None and v in (None, a) for n, v in wanted)

    def _observe(self, nodes: Iterable[Any]) -> None:
        """Follow changes of these nodes alone."""
        present = dict.fromkeys(nodes)
        for node in [node for node in self._nodeTags if node not in present]:
            node.RemoveObserver(self._nodeTags.pop(node))
        for node in [node for node in present if node not in self._nodeTags]:
            self._nodeTags[node] = node.AddObserver("ModifiedEvent", self._nodeModified)

    def _nodeModified(self, node: Any, event: str) -> None:
        """A listed name, or a node that is listed or not: most changes of a node are neither."""
        children, hidden = self.showChildNodeTypes, self.showHidden
        listed = any(node.IsA(kind) and self._isListed(node, kind, children, hidden) for kind in self._types)
        if listed != (node.GetID() in self._ids) or (listed and (node.GetID(), node.GetName() or node.GetID()) not in self._entries):
            self._update()

    def _update(self) -> None:
        if self._observed is not None and self._observed.IsBatchProcessing():
            return
        pairs = [] if self._observed is None else [(node, kind) for kind in self._types for node in _nodesOfClass(self._observed, kind)]
        self._observe(node for node, _ in pairs)
        children, hidden = self.showChildNodeTypes, self.showHidden
        nodes = [node for node, kind in pairs if self._isListed(node, kind, children, hidden)]
        entries: list[tuple[str | None, str]] = [(None, self.noneDisplay)] if self.noneEnabled or not nodes else []
        entries += [(node.GetID(), node.GetName() or node.GetID()) for node in nodes]
        if entries == self._entries:  # most changes of the scene are none of the list
            return
        self._entries, self._ids = entries, [identifier for identifier, _ in entries]
        _widget.blockSignals(self, True)
        QtWidgets.QComboBox.clear(self)
        for _, text in entries:
            QtWidgets.QComboBox.addItem(self, text)
        QtWidgets.QComboBox.setCurrentIndex(self, self._ids.index(self._last) if self._last in self._ids else 0)
        _widget.blockSignals(self, False)
        self._indexChanged()

    def _indexChanged(self, index: int = -1) -> None:
        node = self.currentNode()
        current = node.GetID() if node else None
        if current != self._last:
            self._last = current
            self.currentNodeChanged.emit(node)

    def currentNode(self) -> Any:
        index = QtWidgets.QComboBox.currentIndex(self)
        identifier = self._ids[index] if 0 <= index < len(self._ids) else None
        return self._observed.GetNodeByID(identifier) if identifier and self._observed is not None else None

    def setCurrentNode(self, node: Any) -> None:
        identifier = node.GetID() if node else None
        none = 0 if None in self._ids else -1
        QtWidgets.QComboBox.setCurrentIndex(self, self._ids.index(identifier) if identifier in self._ids else none)


def _nodesOfClass(scene: Any, kind: str) -> list[Any]:
    collection = scene.GetNodesByClass(kind)
    collection.UnRegister(None)
    return [collection.GetItemAsObject(i) for i in range(collection.GetNumberOfItems())]


class qMRMLWidget(PythonQtManners, QtWidgets.QWidget):
    """Hands its scene to the widgets in it, as the connections of the .ui file tell Slicer's."""

    _created: tuple[Any, ...] = ()

    def setMRMLScene(self, scene: Any) -> None:
        for child in self._created:
            if isinstance(child, qMRMLNodeComboBox):
                child.setMRMLScene(scene)


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """Holds the panel of a scripted module and makes it as Slicer does: ``isEntered`` follows `enter` and `exit`, and nobody can set it."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._entered = False
        _widget.setLayout(self, QtWidgets.QVBoxLayout())

    isEntered = Property(bool, lambda self: self._entered)

    def reload(self) -> None:
        """Make the panel of what is in sys.modules now; `enter` is not called again."""
        made = sys.modules["PhysMRISynth"].PhysMRISynthWidget(self)
        slicer.modules.PhysMRISynthWidget = made
        made.setup()

    def self(self) -> Any:
        """The Python object."""
        return slicer.modules.PhysMRISynthWidget

    def enter(self) -> None:
        self._entered = True
        slicer.modules.PhysMRISynthWidget.enter()

    def exit(self) -> None:
        self._entered = False
        slicer.modules.PhysMRISynthWidget.exit()
