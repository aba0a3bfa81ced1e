"""Placeholders for qt, ctk and the qMRML widgets, enough to import Slicer's own Python where a test drives no panel."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_WIDGETS = ("qMRMLNodeComboBox", "qMRMLSliderWidget", "qMRMLSpinBox", "qMRMLRangeWidget", "qMRMLWidget")


class _AnyClass(ModuleType):
    """A module in which every name is a class of its own."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": lambda self, *arguments: None})
        setattr(self, name, made)
        return made


def install(slicer: Any) -> None:
    """Fill in what is missing; what a test has put there stays."""
    for name in ("qt", "ctk"):
        if sys.modules.get(name) is None:
            sys.modules[name] = _AnyClass(name)
    for name in _WIDGETS:
        if not hasattr(slicer, name):
            setattr(slicer, name, type(name, (), {}))
