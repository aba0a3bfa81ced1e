"""Sliders cover what is used in practice and stay within what the equation allows."""

from __future__ import annotations

from types import ModuleType

import pytest

from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.physics.sequences import SEQUENCES
from Testing.panel.harness import DrivenPanel, importedFromPanel


@pytest.fixture
def rows() -> ModuleType:
    return importedFromPanel("parameterRows")


@pytest.mark.parametrize("name", SEQUENCES)
def test_sliders_cover_defaults_and_presets(rows: ModuleType, name: str) -> None:
    sequence = SEQUENCES[name]
    used = [preset.protocol.values for preset in load_presets().values() if preset.protocol.sequence is sequence]
    for parameter in sequence.parameters:
        end = rows.sliderEnd(sequence, parameter)
        assert parameter.minimum < end <= parameter.maximum
        assert all(values.get(parameter.name, 0.0) <= end for values in used)
        assert parameter.default is None or parameter.default < end


@pytest.mark.parametrize(("value", "rounded"), [(1.0, 1.0), (1.2, 1.5), (1500.0, 1500.0), (0.61, 0.8), (99.0, 100.0)])
def test_ends_are_round_numbers(rows: ModuleType, value: float, rounded: float) -> None:
    assert rows.roundUp(value) == pytest.approx(rounded)


def test_spin_boxes_reach_the_bounds_and_stretch_the_slider(driven: DrivenPanel) -> None:
    driven.choose("sequenceComboBox", "Spin echo")
    row = driven.panel.protocol.rows.row("se", "TR")
    assert (row.spinBox.minimum, row.spinBox.maximum) == (50.0, 20000.0)
    row.spinBox.setValue(15000.0)
    assert driven.panel.protocol.state.values["TR"] == 15000.0
    assert row.slider.value == row.slider.maximum
    row.slider.setValue(row.slider.minimum)
    assert driven.panel.protocol.state.values["TR"] == 50.0


def test_values_keep_the_digits_that_the_spin_box_does_not_show(driven: DrivenPanel) -> None:
    driven.choose("presetComboBox", "IXI: T1w gradient echo")
    assert driven.panel.protocol.state.values["TR"] == 9.813
    driven.panel.protocol.rows.row("spgr", "FA").slider.setValue(30)
    assert driven.panel.protocol.state.values["TR"] == 9.813


def test_history_forgets_what_was_undone() -> None:
    history = importedFromPanel("history").History(limit=3)
    for state in (1, 2, 2, 3, 4):
        history.reached(state)
    assert (history.undo(), history.undo(), history.canUndo) == (3, 2, False)
    assert history.redo() == 3
    history.reached(5)
    assert not history.canRedo
    assert history.previous == 3
