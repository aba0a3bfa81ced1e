"""The doubles are as strict as PythonQt and Slicer's widgets."""

from __future__ import annotations

import pytest
import slicer
from mrml.scene import headless_slicer
from panel import harness
from PySide6 import QtCore


@pytest.fixture(autouse=True)
def doubles() -> None:
    harness.installDoubles()


def test_properties_are_attributes_and_hide_their_methods() -> None:
    import qt

    box = qt.QCheckBox("text")
    box.checked = True
    assert box.checked is True
    assert box.text == "text"
    with pytest.raises(TypeError):
        box.text()


def test_signals_connect_by_signature_and_slots_take_what_they_can() -> None:
    import qt

    box, heard = qt.QCheckBox(), []
    box.connect("clicked(bool)", heard.append)
    box.connect("clicked(bool)", lambda: heard.append("none"))
    box.click()
    assert heard == [True, "none"]
    box.disconnect("clicked(bool)", heard.append)
    with pytest.raises(ValueError, match="no signal"):
        box.connect("pressed(bool)", heard.append)


def test_errors_in_slots_and_warnings_of_qt_fail() -> None:
    import qt

    def fail() -> None:
        raise RuntimeError("in a slot")

    button = qt.QPushButton()
    button.connect("clicked()", fail)
    with pytest.raises(AssertionError, match="in a slot"), harness.complaints():
        button.click()
    with pytest.raises(AssertionError, match="a warning"), harness.complaints():
        QtCore.qWarning("a warning")


def test_node_selector_lists_the_nodes_asked_for_and_follows_the_scene() -> None:
    with headless_slicer() as headless:
        selector = slicer.qMRMLNodeComboBox()
        selector.nodeTypes, selector.noneEnabled = ["vtkMRMLTextNode"], True
        selector.addAttribute("vtkMRMLTextNode", "kind", "maps")
        heard: list[object] = []
        selector.connect("currentNodeChanged(vtkMRMLNode*)", heard.append)
        selector.setMRMLScene(headless.scene)
        headless.scene.AddNewNodeByClass("vtkMRMLTextNode", "other")
        node = headless.scene.AddNewNodeByClass("vtkMRMLTextNode", "wanted")
        node.SetAttribute("kind", "maps")
        selector.setCurrentNode(node)
        assert selector.currentNode() is node
        assert [selector.itemText(i) for i in range(selector.count)] == ["None", "wanted"]
        headless.scene.RemoveNode(node)
        assert selector.currentNode() is None
        assert heard == [node, None]
        selector.setMRMLScene(None)


def test_a_collapsed_section_is_as_low_as_its_bar() -> None:
    import ctk
    import qt

    window, button = qt.QWidget(), ctk.ctkCollapsibleButton()
    qt.QVBoxLayout(window).addWidget(button)
    qt.QVBoxLayout(button).addWidget(qt.QLabel("one\ntwo\nthree"))
    window.show()
    high = button.height
    heard: list[bool] = []
    button.connect("contentsCollapsed(bool)", heard.append)
    button.collapsed = True
    assert button.height < high
    assert heard == [True]
    window.close()
