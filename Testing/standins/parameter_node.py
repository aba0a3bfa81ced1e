"""A stand-in for slicer.parameterNodeWrapper: typed fields kept in a real vtkMRMLScriptedModuleNode, linked to widgets.

Values are written as Slicer writes them, so that a scene saved here opens there: numbers and texts as they are, truth values as True and
False, enumerations by name, nodes as node references. As in Slicer, what a wrapper answers is what it read at the node's last
ModifiedEvent: while a scene is imported, references to nodes that have no final ID yet are read as None and stay None.
"""

from __future__ import annotations

import enum
import typing
import weakref
from dataclasses import dataclass
from typing import Any

import slicer

from .connectors import Connection, connect

__all__ = ["Choice", "WithinRange", "parameterNodeWrapper"]


@dataclass(frozen=True)
class WithinRange:
    """The value is between ``minimum`` and ``maximum``, both included."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} and {self.maximum}")


@dataclass(frozen=True)
class Choice:
    """The value is one of ``choices``."""

    choices: list[Any]

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices}")


@dataclass(frozen=True)
class Field:
    """One parameter: reads and writes its value in a node."""

    name: str
    kind: Any
    checks: tuple[Any, ...]
    default: Any

    @property
    def isNode(self) -> bool:
        return issubclass(self.kind, slicer.vtkMRMLNode)

    def read(self, node: Any) -> Any:
        """The value; a node that lacks it, because it is new or its scene was closed, gets the default first."""
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if self.isNode:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.kind is bool:
            return text == "True"
        return self.kind[text] if issubclass(self.kind, enum.Enum) else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        self.validate(value)
        if self.isNode:
            node.SetParameter(self.name, "")
            node.SetNodeReferenceID(self.name, value.GetID() if value else None)
        else:
            node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))

    def validate(self, value: Any) -> None:
        accepted = (int, float) if self.kind is float else self.kind
        if not isinstance(value, accepted) and not (self.isNode and value is None):
            raise TypeError(f"{self.name}: {value!r} is no {self.kind.__name__}")
        for check in self.checks:
            check.validate(value)


class _Wrapper:
    """What every wrapped class can do besides its fields."""

    allParameters: typing.ClassVar[dict[str, Field]]  # noqa: N815 (Slicer's name)

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._connections: dict[int, list[Connection]] = {}
        self._observers: dict[int, int] = {}
        self._updating = False
        self._values = {name: field.read(parameterNode) for name, field in self.allParameters.items()}
        self._beingWritten: set[str] = set()
        present = weakref.WeakMethod(self._readAll)  # the node must not keep the wrapper
        self._cacheTag = parameterNode.AddObserver("ModifiedEvent", lambda caller, event: present()())

    def __del__(self) -> None:
        if hasattr(self, "_cacheTag"):
            self.parameterNode.RemoveObserver(self._cacheTag)

    def _readAll(self) -> None:
        for name, field in self.allParameters.items():
            if name not in self._beingWritten:
                self._values[name] = field.read(self.parameterNode)

    def getValue(self, name: str) -> Any:
        return self._values[name]

    def setValue(self, name: str, value: Any) -> None:
        self._beingWritten.add(name)
        try:
            with slicer.util.NodeModify(self.parameterNode):
                self.allParameters[name].write(self.parameterNode, value)
                self._values[name] = self.allParameters[name].read(self.parameterNode)
        finally:
            self._beingWritten.discard(name)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, previous: int) -> int:
        return self.parameterNode.EndModify(previous)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def connectGui(self, ui: Any) -> int:
        """Link every widget in ``ui`` that names a parameter in its dynamic property; returns a tag for `disconnectGui`."""
        named = ((widget.property("SlicerParameterName"), widget) for widget in vars(ui).values())
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, widgets: dict[str, Any]) -> int:
        tag = max(self._connections, default=-1) + 1
        made = [connect(widget, self.allParameters[name]) for name, widget in widgets.items()]
        self._connections[tag] = made
        for connection in made:
            connection.write(self.getValue(connection.field.name))
            connection.start(lambda connection=connection: self._takeFromWidget(connection))
        self._observers[tag] = self.AddObserver("ModifiedEvent", lambda caller, event: self._updateWidgets())
        return tag

    def disconnectGui(self, tag: int | None) -> None:
        for connection in self._connections.pop(tag, ()):
            connection.stop()
        if tag in self._observers:
            self.RemoveObserver(self._observers.pop(tag))

    def _takeFromWidget(self, connection: Connection) -> None:
        if not self._updating:
            self.setValue(connection.field.name, connection.read())

    def _updateWidgets(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for connection in (each for group in self._connections.values() for each in group):
                connection.write(self.getValue(connection.field.name))
        finally:
            self._updating = False


def parameterNodeWrapper(cls: type) -> type:
    """Make a class whose annotations are fields of a vtkMRMLScriptedModuleNode."""
    fields = {name: _field(name, hint, vars(cls)) for name, hint in typing.get_type_hints(cls, include_extras=True).items()}
    properties = {name: _property(name) for name in fields}
    kept = {name: value for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__", *fields)}
    return type(cls.__name__, (_Wrapper,), {**kept, **properties, "allParameters": fields})


def _property(name: str) -> property:
    return property(lambda self: self.getValue(name), lambda self, value: self.setValue(name, value))


def _field(name: str, hint: Any, defaults: Any) -> Field:
    kind, *checks = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
    if not isinstance(kind, type) or not issubclass(kind, (str, int, float, enum.Enum, slicer.vtkMRMLNode)):
        raise TypeError(f"{name}: a field of type {hint} cannot be kept in a parameter node")
    fallback = None if issubclass(kind, slicer.vtkMRMLNode) else next(iter(kind)) if issubclass(kind, enum.Enum) else kind()
    return Field(name, kind, tuple(checks), defaults.get(name, fallback))
