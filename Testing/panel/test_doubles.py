"""The doubles are as strict as PythonQt and Slicer's widgets."""

from __future__ import annotations

from functools import partial

import pytest
import slicer
from PySide6 import QtCore, QtWidgets

from Testing import standins
from Testing.mrml.scene import headless_slicer
from Testing.panel import harness


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


def test_objects_take_no_new_attributes_and_properties_no_wrong_values() -> None:
    import qt

    label, timer = qt.QLabel(), qt.QTimer()
    for target, name in ((label, "txt"), (label, "helper"), (timer, "singleShot")):
        with pytest.raises(AttributeError, match=name):
            setattr(target, name, 1)
    with pytest.raises(AttributeError, match="not writable"):
        label.width = 5
    with pytest.raises(ValueError, match="NoneType"):
        label.text = None
    assert label.text == ""


def test_there_is_no_method_that_pythonqt_does_not_wrap() -> None:
    import ctk
    import qt

    widget, form, selector = qt.QWidget(), qt.QFormLayout(), slicer.qMRMLNodeComboBox()
    for target, name in ((widget, "setScreen"), (form, "setRowVisible"), (qt.QLineEdit(), "inherits"), (qt.QTimer(), "id")):
        with pytest.raises(AttributeError, match=f"wrapped method '{name}'"):
            getattr(target, name)
    for target, name in ((selector, "addItem"), (selector, "currentIndex"), (ctk.ctkCollapsibleButton(), "setText")):
        with pytest.raises(AttributeError, match=name):
            getattr(target, name)
    with pytest.raises(AttributeError, match="Signal"):
        qt.Signal  # noqa: B018
    widget.setMinimumWidth(20), form.addRow(qt.QLabel("text"), qt.QSlider()), selector.setEnabled(False)
    assert widget.minimumWidth == 20 and not selector.enabled


def test_partials_and_callables_get_all_arguments() -> None:
    import qt

    class Callable:
        def __call__(self) -> None:
            raise AssertionError("not reached")

    box = qt.QCheckBox()
    for slot in (partial(lambda: None), Callable()):
        box.connect("clicked(bool)", slot)
        with pytest.raises(AssertionError, match="TypeError"), harness.complaints():
            box.click()
        box.disconnect("clicked(bool)", slot)


def test_a_parameter_node_answers_what_it_read_at_the_last_event() -> None:
    """As Slicer's, which therefore knows no node that had no ID yet when it was told of it."""
    with headless_slicer() as headless:
        standins.install(slicer, headless.scene)

        @slicer.parameterNodeWrapper.parameterNodeWrapper
        class Chosen:
            text: str = "before"

        node = headless.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        chosen = Chosen(node)
        node.DisableModifiedEventOn()
        node.SetParameter("text", "after")
        node.DisableModifiedEventOff()
        assert chosen.text == "before"
        node.Modified()
        assert chosen.text == "after"


def test_only_slicer_enters_a_module() -> None:
    with harness.drivenPanel() as driven:
        assert driven.parent.isEntered is True
        with pytest.raises(AttributeError, match="isEntered"):
            driven.parent.isEntered = False
        driven.parent.exit()
        assert driven.parent.isEntered is False


def test_dialogs_know_slicers_arguments_and_do_not_open_in_a_test_run() -> None:
    made = standins.install(slicer)
    assert slicer.util.confirmYesNoDisplay("Really?", windowTitle="Delete") is True
    with pytest.raises(TypeError, match="title"):
        slicer.util.confirmYesNoDisplay("Really?", title="Delete")
    made.app.testing = True
    assert slicer.util.confirmYesNoDisplay("Really?") is False
    with pytest.raises(ValueError, match="no signal startUp"):
        slicer.app.connect("startUp()", print)


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
        selector.setCurrentNode(node)
        assert selector.currentNode() is None, "it is not listed yet"
        node.SetAttribute("kind", "maps")
        selector.setCurrentNode(node)
        assert selector.currentNode() is node
        box = QtWidgets.QComboBox
        assert [box.itemText(selector, i) for i in range(box.count(selector))] == ["None", "wanted"]
        headless.scene.RemoveNode(node)
        assert selector.currentNode() is None
        assert heard == [node, None]
        selector.setMRMLScene(None)


def test_node_selector_takes_one_attribute_for_a_type_it_lists_and_waits_for_the_end_of_an_import() -> None:
    with headless_slicer() as headless:
        selector = slicer.qMRMLNodeComboBox()
        selector.addAttribute("vtkMRMLTextNode", "ignored", "1")  # not listed at this moment
        selector.nodeTypes, selector.noneEnabled = ["vtkMRMLTextNode"], True
        for name in ("first", "second"):
            selector.addAttribute("vtkMRMLTextNode", name, "1")
        selector.setMRMLScene(headless.scene)
        headless.scene.StartState(headless.scene.ImportState)
        node = headless.scene.AddNewNodeByClass("vtkMRMLTextNode", "wanted")
        node.SetAttribute("second", "1")
        selector.setCurrentNode(node)
        assert selector.currentNode() is None
        headless.scene.EndState(headless.scene.ImportState)
        selector.setCurrentNode(node)
        assert selector.currentNode() is node
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
