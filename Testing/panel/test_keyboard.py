"""Keys and the wheel, with real events: one key is one step, scrolling changes nothing, Tab goes as one reads."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtTest import QTest

from PhysMRISynthLib.network.known_conditions import known_conditions
from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.physics.sequences import SEQUENCES
from Testing.panel.estimates import FakeClient, estimated
from Testing.panel.harness import DrivenPanel

_widget = QtWidgets.QWidget
KEYS = QtCore.Qt.Key


@pytest.fixture
def ready(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    """The panel after an estimate, as the active window."""
    estimated(driven, client)
    driven.panel.protocol.render()
    _widget.activateWindow(driven.parent)
    driven.settle(50)
    return driven


def press(driven: DrivenPanel, widget: QtWidgets.QWidget, key: KEYS, *modifiers: QtCore.Qt.KeyboardModifier) -> None:
    QTest.keyClick(widget, key, *modifiers)
    driven.settle()


def scroll(driven: DrivenPanel, widget: QtWidgets.QWidget) -> bool:
    """Turn the wheel one notch over a widget; whether it took the event."""
    middle = QtCore.QPointF(_widget.rect(widget).center())
    buttons, phase = QtCore.Qt.MouseButton.NoButton, QtCore.Qt.ScrollPhase.NoScrollPhase
    event = QtGui.QWheelEvent(
        middle, middle, QtCore.QPoint(), QtCore.QPoint(0, -120), buttons, QtCore.Qt.KeyboardModifier.NoModifier, phase, False
    )
    event.ignore()
    QtWidgets.QApplication.sendEvent(widget, event)
    driven.settle()
    return event.isAccepted()


def test_one_key_is_one_step_on_every_slider_and_back(ready: DrivenPanel) -> None:
    ready.click("moreButton")
    for name, sequence in SEQUENCES.items():
        ready.choose("sequenceComboBox", sequence.title)
        for parameter in sequence.parameters:
            row = ready.panel.protocol.rows.row(name, parameter.name)
            start = row.slider.value
            forth, back = (KEYS.Key_Right, KEYS.Key_Left) if start < row.slider.maximum else (KEYS.Key_Left, KEYS.Key_Right)
            before = ready.panel.protocol.state.values.get(parameter.name, parameter.minimum)
            press(ready, row.slider, forth)
            assert abs(row.slider.value - start) == 1, (name, parameter.name)
            assert ready.panel.protocol.state.values[parameter.name] != before, (name, parameter.name)
            press(ready, row.slider, back)
            assert row.slider.value == start, (name, parameter.name)


def test_the_wheel_changes_nothing_that_has_no_focus(ready: DrivenPanel) -> None:
    ready.click("moreButton")
    for section in ("inputs", "estimate", "design", "sample", "advanced"):
        getattr(ready.ui, f"{section}CollapsibleButton").collapsed = False
    _widget.setFocus(ready.ui.keepButton)
    before = ready.panel.protocol.state, ready.parameters.register, ready.parameters.snr, ready.parameters.maps
    kinds = (QtWidgets.QSlider, QtWidgets.QAbstractSpinBox, QtWidgets.QComboBox)
    found = [w for w in _widget.findChildren(ready.parent, _widget) if isinstance(w, kinds) and _widget.isVisible(w)]
    assert len(found) > 25
    taken = [_widget.objectName(w) for w in found if scroll(ready, w)]
    assert not taken
    assert (ready.panel.protocol.state, ready.parameters.register, ready.parameters.snr, ready.parameters.maps) == before


def test_the_wheel_moves_what_has_the_focus(ready: DrivenPanel) -> None:
    row = ready.panel.protocol.rows.row("flair", "TI")
    before = row.spinBox.value
    _widget.setFocus(row.slider)
    assert scroll(ready, row.slider)
    assert row.spinBox.value != before


def tabbed(panel: DrivenPanel, start: Any, times: int) -> list[str]:
    """Names of the widgets that Tab reaches one after the other from ``start``."""
    _widget.setFocus(start)
    reached = []
    for _ in range(times):
        press(panel, QtWidgets.QApplication.focusWidget(), KEYS.Key_Tab)
        reached.append(_widget.objectName(QtWidgets.QApplication.focusWidget()))
    return reached


def test_tab_goes_from_the_sequence_through_its_sliders(ready: DrivenPanel) -> None:
    for name in ("dir", "flair"):
        ready.choose("sequenceComboBox", SEQUENCES[name].title)
        rows = [ready.panel.protocol.rows.row(name, p.name) for p in SEQUENCES[name].parameters]
        wanted = [w for row in rows if not row.isReadout for w in (row.slider, row.spinBox)]
        assert tabbed(ready, ready.ui.sequenceComboBox, len(wanted)) == [_widget.objectName(widget) for widget in wanted]


def test_tab_goes_through_the_targets_of_virtual_heads(ready: DrivenPanel) -> None:
    ready.ui.sampleCollapsibleButton.collapsed = False
    ready.settle(30)
    fields = [ready.panel.sample.rows.field(name) for name in known_conditions()]
    wanted = [*fields, ready.ui.sampleGuidanceSpinBox, ready.ui.sampleWeightsEdit, ready.ui.sampleWeightsButton, ready.ui.sampleButton]
    assert tabbed(ready, ready.ui.sampleAttemptSpinBox, len(wanted)) == [_widget.objectName(widget) for widget in wanted]


def test_tab_meets_the_sections_in_the_order_of_reading(ready: DrivenPanel) -> None:
    ready.ui.inputsCollapsibleButton.collapsed = ready.ui.estimateCollapsibleButton.collapsed = False
    ready.settle(30)
    _widget.setFocus(ready.ui.t1wSelector)
    heights = []
    for _ in range(40):
        focused = QtWidgets.QApplication.focusWidget()
        heights.append(_widget.mapTo(focused, ready.parent, QtCore.QPoint(0, _widget.height(focused) // 2)).y())
        press(ready, focused, KEYS.Key_Tab)
    turns = [later for earlier, later in pairwise(heights) if later < earlier - 12]
    assert len(turns) <= 1, heights  # at the end of the panel it begins again


def test_every_label_that_names_a_control_leads_to_it(ready: DrivenPanel) -> None:
    labels = [w for w in _widget.findChildren(ready.parent, QtWidgets.QLabel) if QtWidgets.QLabel.buddy(w) is not None]
    assert len(labels) > 25
    rows = [ready.panel.protocol.rows.row("flair", p.name) for p in SEQUENCES["flair"].parameters]
    assert all(QtWidgets.QLabel.buddy(row.label) is row.spinBox for row in rows)


def test_shortcuts_undo_redo_flip_and_save(ready: DrivenPanel) -> None:
    first = load_presets()["synthetic-flair"]
    row = ready.panel.protocol.rows.row("flair", "TE")
    press(ready, row.slider, KEYS.Key_Right)
    ready.rest()
    changed = ready.panel.protocol.state
    press(ready, row.slider, KEYS.Key_Z, QtCore.Qt.KeyboardModifier.ControlModifier)
    assert ready.panel.protocol.state.values == dict(first.protocol.values)
    press(ready, row.slider, KEYS.Key_Y, QtCore.Qt.KeyboardModifier.ControlModifier)
    assert ready.panel.protocol.state == changed
    press(ready, row.slider, KEYS.Key_C)
    assert ready.ui.compareButton.checked and "B: FLAIR" in ready.message("compareLabel")
    press(ready, ready.ui.keepButton, KEYS.Key_C)
    assert not ready.ui.compareButton.checked
    press(ready, row.slider, KEYS.Key_K)
    assert "Saved in the folder" in ready.message("keptLabel")


def test_keys_are_left_to_other_modules_while_this_one_is_not_shown(ready: DrivenPanel) -> None:
    ready.widget.exit()
    press(ready, ready.panel.protocol.rows.row("flair", "TE").slider, KEYS.Key_K)
    assert ready.message("keptLabel") == ""
