"""The Slicer entry, loaded with the smallest stand-in for Slicer: its metadata, its panel's text and its own test."""

from __future__ import annotations

import importlib
import sys
import unittest
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest


class Module:
    """Stand-in for ScriptedLoadableModule."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent


class Widget:
    """Stand-in for ScriptedLoadableModuleWidget."""

    def setup(self) -> None:
        self.layout = MagicMock()


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module PhysMRISynth, imported where there is neither Slicer nor Qt."""
    names = ["slicer", "slicer.i18n", "slicer.ScriptedLoadableModule"]
    slicer, i18n, scripted = doubles = [ModuleType(name) for name in names]
    slicer.mrmlScene = MagicMock()
    i18n.tr = lambda text: text
    i18n.translate = lambda context, text: text
    scripted.ScriptedLoadableModule, scripted.ScriptedLoadableModuleWidget = Module, Widget
    scripted.ScriptedLoadableModuleTest = unittest.TestCase
    for name, double in zip(names, doubles, strict=True):
        monkeypatch.setitem(sys.modules, name, double)
    monkeypatch.setitem(sys.modules, "qt", None)
    monkeypatch.delitem(sys.modules, "PhysMRISynth", raising=False)
    module = importlib.import_module("PhysMRISynth")
    yield module
    sys.modules.pop("PhysMRISynth", None)


def test_metadata(entry: Any) -> None:
    parent = SimpleNamespace()
    entry.PhysMRISynth(parent)
    assert parent.title == "PhysMRISynth"
    assert parent.categories == ["Image Synthesis"]
    assert parent.contributors == ["PhysMRISynth team"]
    assert "not for diagnostic use" in parent.helpText
    assert parent.acknowledgementText.strip()


def test_panel_says_where_the_functions_are(entry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    qt = MagicMock()
    monkeypatch.setitem(sys.modules, "qt", qt)
    widget = entry.PhysMRISynthWidget()
    widget.setup()
    assert "physmrisynth estimate" in qt.QLabel.call_args.args[0]
    widget.layout.addWidget.assert_called_once_with(qt.QLabel.return_value)


def test_own_test_passes(entry: Any) -> None:
    test = entry.PhysMRISynthTest()
    test.runTest()
    assert unittest.TextTestRunner().run(entry.PhysMRISynthTest("test_spinEchoSignal")).wasSuccessful()
