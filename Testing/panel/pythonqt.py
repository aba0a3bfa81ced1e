"""PythonQt's manners on PySide6, so that Slicer's Python code drives Qt in a test as it does in Slicer.

Qt properties are attributes (``widget.text``, ``button.enabled = False``), and signals connect by signature
(``connect("clicked(bool)", f)``). As in Slicer, a property hides the method of its name, an object takes no new attributes, a signature
that does not exist is an error, which here raises, and there are no other methods than slots, invokables and what PythonQt wraps.
"""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import types
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtUiTools import QUiLoader

_object = QtCore.QObject


_NOT_PROPERTIES = {"QTimer": ("singleShot",)}
"""Properties that a static method of the same name hides."""
_NOT_WRAPPED = {
    "QObject": "emit inherits isQmlExposed isQuickItemType tr",
    "QWidget": "create find internalWinId isTopLevel setAccessibleIdentifier setScreen topLevelWidget",
    "QAbstractItemView": "initViewItemOption itemDelegateForIndex setKeyboardSearchFlags setUpdateThreshold",
    "QAction": "associatedObjects",
    "QComboBox": "setLabelDrawingMode",
    "QFormLayout": "isRowVisible setRowVisible",
    "QGridLayout": "getItemPosition",
    "QLayout": "getContentsMargins setHorizontalSizeConstraint setSizeConstraints setVerticalSizeConstraint unsetContentsMargins",
    "QMenu": "menuInAction",
    "QShortcut": "keys setKeys",
    "QSplitter": "getRange",
    "QTimer": "id intervalAsDuration remainingTimeAsDuration",
}
"""Methods of PySide's classes that PythonQt's wrappers of Qt 5.15 do not have: those that are newer, and a few that cannot be called from
Python. Found by comparison with the slots of its generated classes, and with the slots and properties that Qt itself lists."""
_VIRTUAL = ("minimumSizeHint", "sizeHint")
"""Properties whose getter is virtual: reading one as a property makes PySide look for an override, which reads it again."""
_OVERRIDABLE = ("hidePopup", "initStyleOption", "showPopup")
"""Virtual methods of richer classes than a double stands for: PySide asks for them when Qt calls them."""


class PythonQtManners:
    """Mixed into every Qt class. Inside the doubles Qt's own methods are called through their class, because properties hide them.

    ``_inherits`` is the Qt class that the class which a double stands for inherits; the double may be made of a richer one.
    """

    _inherits: type | None = None

    def __getattribute__(self, name: str) -> Any:
        if name[0] == "_":  # most of the calls: what a double remembers
            return _object.__getattribute__(self, name)
        if name == "name":
            name = "objectName"
        if name not in _object.__getattribute__(self, "__dict__") and not _offers(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no slot, property or wrapped method '{name}'")
        if name in ("connect", "disconnect"):  # PySide answers these before a Python override would be asked
            return functools.partial(PythonQtManners._bySignature, self, name)
        if name in ("findChildren", "findChild"):
            return functools.partial(PythonQtManners._find, self, name)
        if _object.metaObject(self).indexOfProperty(name) >= 0:
            if name not in _VIRTUAL:
                return _object.property(self, name)
            qtClass = next(base for base in type(self).__mro__ if base.__module__.startswith("PySide6"))
            return getattr(qtClass, name)(self)
        return _object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "name":
            name = "objectName"
        kind = type(self)
        if name.startswith("_") and "_qtClass" not in vars(kind):  # what a double remembers
            super().__setattr__(name, value)
            return
        if Loader.loading:  # PySide makes every named child an attribute
            return
        index = _object.metaObject(self).indexOfProperty(name)
        if index < 0 or not _offers(kind, name) or name in _NOT_PROPERTIES.get(kind.__name__, ()):
            raise AttributeError(f"{kind.__name__} has no property '{name}': creating new attributes on C++ objects is not allowed")
        if not _object.metaObject(self).property(index).isWritable():
            raise AttributeError(f"property '{name}' of {kind.__name__} is not writable")
        if isinstance(value, enum.Enum):  # PySide has no conversion for enumerations and flags, their setters take them
            _object.__getattribute__(self, f"set{name[0].upper()}{name[1:]}")(value)
        elif value is None or not _object.setProperty(self, name, list(value) if isinstance(value, tuple) else value):
            raise ValueError(f"property '{name}' of {kind.__name__} does not accept a {type(value).__name__}")

    def _bySignature(self, action: str, signature: str, slot: Callable[..., Any]) -> bool:
        signal = _object.__getattribute__(self, signature.partition("(")[0])
        known = _object.metaObject(self).indexOfSignal(_object.metaObject(self).normalizedSignature(signature).data().decode()) >= 0
        if not known and signature not in getattr(type(self), "_signatures", ()):
            raise ValueError(f"{type(self).__name__} has no signal {signature}")
        if action == "disconnect":
            signal.disconnect(self.__dict__["_connected"].pop((signature, slot)))
            return True
        adapted = _ADAPTERS[accepted(slot, signature.count(",") + 1 if signature[-2] != "(" else 0)](slot)
        self.__dict__.setdefault("_connected", {})[signature, slot] = adapted
        signal.connect(adapted)
        return True

    def _find(self, function: str, kind: Any = _object, name: str = "") -> Any:
        found = [c for c in _object.findChildren(self, _object) if isinstance(c, getattr(kind, "_qtClass", kind))]
        found = [c for c in found if not name or _object.objectName(c) == name]
        return found if function == "findChildren" else (found or [None])[0]


@functools.cache
def _offers(kind: type, name: str) -> bool:
    """Whether objects of a class have this attribute in Slicer."""
    if any(name in vars(base) for base in kind.__mro__ if not base.__module__.startswith("PySide6")):
        return True  # a double's own
    if kind._inherits is not None and not hasattr(kind._inherits, name) and kind._inherits.staticMetaObject.indexOfProperty(name) < 0:
        return name in _OVERRIDABLE
    return not any(name in _NOT_WRAPPED.get(base.__name__, "").split() for base in kind.__mro__)


def accepted(slot: Callable[..., Any], count: int) -> int:
    """How many of a signal's ``count`` arguments a slot gets: a function or a method the first ones that it takes, anything else all."""
    if not isinstance(slot, (types.FunctionType, types.MethodType)):
        return count
    kinds = [p.kind for p in inspect.signature(slot).parameters.values()]
    positional = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return count if inspect.Parameter.VAR_POSITIONAL in kinds else min(count, positional)


class DoublesSignal:
    """A signal of a double's own. PySide's release what they send when Python emits them, even nodes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._slots: list[tuple[Callable[..., Any], int]] = []

    def connect(self, slot: Callable[..., Any]) -> None:
        self._slots.append((slot, accepted(slot, self._count)))

    def disconnect(self, slot: Callable[..., Any]) -> None:
        self._slots.remove(next(pair for pair in self._slots if pair[0] == slot))

    def emit(self, *values: Any) -> None:
        """Call the slots; an error in one is told as Qt tells it, and the others are called."""
        for slot, count in list(self._slots):
            try:
                slot(*values[:count])
            except Exception:
                sys.excepthook(*sys.exc_info())


# PySide looks at a function's arguments to decide what it sends: each number needs a function of its own
_ADAPTERS = (lambda slot: lambda: slot(), lambda slot: lambda a: slot(a), lambda slot: lambda a, b: slot(a, b))


@functools.cache
def pythonQtClass(qtClass: type) -> type:
    """The same Qt class with PythonQt's manners; one Python type for each, because Slicer's connectors compare exact types."""
    return type(qtClass.__name__, (PythonQtManners, qtClass), {"_qtClass": qtClass})


class Loader(QUiLoader):
    """Builds the widgets of a .ui file as doubles; ``doubles`` are those of classes that Qt does not have."""

    doubles: dict[str, type] = {}  # noqa: RUF012 (filled once, by install)
    loading = False

    def __init__(self) -> None:
        super().__init__()
        self._created: list[Any] = []

    def createWidget(self, className: str, parent: Any = None, name: str = "") -> Any:
        double = self.doubles.get(className) or pythonQtClass(getattr(QtWidgets, className))
        widget = double(parent)
        _object.setObjectName(widget, name)
        self._created.append(widget)
        return widget

    def load(self, file: Any, parent: Any = None) -> Any:
        Loader.loading = True
        try:
            widget = super().load(file, parent)
        finally:
            Loader.loading = False
        widget._created = self._created  # PySide forgets the Python type of a widget that nothing refers to
        return widget


class QtModule(types.ModuleType):
    """The module ``qt``: every class of Qt, with PythonQt's manners where it is a QObject."""

    QUiLoader = Loader
    QObject = _object

    def __getattr__(self, name: str) -> Any:
        for module in (QtWidgets, QtGui, QtCore) if name.startswith("Q") else ():
            if hasattr(module, name):
                found = getattr(module, name)
                ours = isinstance(found, type) and issubclass(found, _object) and not issubclass(found, QtCore.QIODevice)
                return pythonQtClass(found) if ours else found  # files have static methods under the names of others
        raise AttributeError(f"module 'qt' has no attribute '{name}'")


class CtkModule(types.ModuleType):
    """The module ``ctk``: the doubles of ``Loader``, and empty classes for the rest, with which types are only compared."""

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("ctk"):
            raise AttributeError(f"module 'ctk' has no attribute '{name}'")
        setattr(self, name, Loader.doubles.get(name) or type(name, (), {}))
        return getattr(self, name)
