"""Links between widgets and parameters, for the widgets and the types that Slicer's own connectors accept."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .parameter_node import Field


@dataclass
class Connection:
    """One widget and its parameter; subclasses say which signal and property."""

    widget: Any
    field: Field
    signal = "valueChanged"
    attribute = "value"
    _slot: Callable[..., None] | None = None

    def prepare(self) -> None:
        """Give the widget the parameter's range or choices."""

    def read(self) -> Any:
        return self.field.kind(getattr(self.widget, self.attribute))

    def write(self, value: Any) -> None:
        if getattr(self.widget, self.attribute) != value:  # setting a text moves its cursor
            setattr(self.widget, self.attribute, value)

    def start(self, changed: Callable[[], None]) -> None:
        self._slot = lambda *values: changed()
        getattr(self.widget, self.signal).connect(self._slot)

    def stop(self) -> None:
        getattr(self.widget, self.signal).disconnect(self._slot)


class Check(Connection):
    signal, attribute = "toggled", "checked"


class Number(Connection):
    def prepare(self) -> None:
        ranges = [check for check in self.field.checks if hasattr(check, "minimum")]
        if not ranges:
            raise RuntimeError(f"{self.field.name}: a slider or spin box needs a parameter with WithinRange")
        self.widget.minimum, self.widget.maximum = self.field.kind(ranges[0].minimum), self.field.kind(ranges[0].maximum)


class Line(Connection):
    signal, attribute = "textChanged", "text"


class Combo(Connection):
    signal = "currentIndexChanged"

    def prepare(self) -> None:
        self.values = self._values()
        self.widget.clear()
        for value in self.values:
            self.widget.addItem(value.name if isinstance(value, enum.Enum) else str(value))

    def _values(self) -> list[Any]:
        if issubclass(self.field.kind, enum.Enum):
            return list(self.field.kind)
        choices = [check.choices for check in self.field.checks if hasattr(check, "choices")]
        if not choices:
            raise RuntimeError(f"{self.field.name}: a combo box needs a parameter with Choice")
        return list(choices[0])

    def read(self) -> Any:
        return self.values[self.widget.currentIndex]

    def write(self, value: Any) -> None:
        self.widget.currentIndex = self.values.index(value)


class Node(Connection):
    signal = "currentNodeChanged"

    def prepare(self) -> None:
        self.widget.nodeTypes = [self.field.kind.__name__]

    def read(self) -> Any:
        return self.widget.currentNode()

    def write(self, value: Any) -> None:
        self.widget.setCurrentNode(value)


_NUMBER_WIDGETS = ("QDoubleSpinBox", "ctkDoubleSpinBox", "ctkSliderWidget", "ctkDoubleSlider", "qMRMLSliderWidget", "qMRMLSpinBox")
_NUMBER: dict[str, type[Connection]] = dict.fromkeys(_NUMBER_WIDGETS, Number)
_WAYS: dict[type, dict[str, type[Connection]]] = {
    bool: {"QCheckBox": Check, "ctkCheckBox": Check, "QPushButton": Check},
    int: {**_NUMBER, "QSlider": Number, "QSpinBox": Number, "QComboBox": Combo},
    float: {**_NUMBER, "QComboBox": Combo},
    str: {"QLineEdit": Line, "QComboBox": Combo},
    enum.Enum: {"QComboBox": Combo},
}


def connect(widget: Any, field: Field) -> Connection:
    """The link between a widget and a parameter. Raises RuntimeError when Slicer has none for the two types."""
    name = type(widget).__name__
    kind = enum.Enum if issubclass(field.kind, enum.Enum) else field.kind
    way = ({"qMRMLNodeComboBox": Node} if field.isNode else _WAYS[kind]).get(name)
    if way is None:
        raise RuntimeError(f"{field.name}: a {name} cannot show a {field.kind.__name__}")
    connection = way(widget, field)
    connection.prepare()
    return connection
