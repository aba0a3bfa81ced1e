"""A slider and a spin box for every parameter of a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import qt

from ..physics.presets import load_presets
from ..physics.sequences import Parameter, Sequence
from .protocolText import parameterTip

_STEPS = 1000
_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def roundUp(value: float) -> float:
    """The next number that is round to a reader: 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _ROUND if step * power >= value * (1 - 1e-9))


def sliderEnd(sequence: Sequence, parameter: Parameter) -> float:
    """Where a slider ends: beyond the default and every preset's value, well below what only the equation allows."""
    used = [p.protocol.values.get(parameter.name, 0.0) for p in load_presets().values() if p.protocol.sequence.name == sequence.name]
    wanted = max([2.5 * (parameter.default or 0.0), *(1.25 * value for value in used)])
    return min(parameter.maximum, roundUp(wanted)) if wanted > parameter.minimum else min(parameter.maximum, 1000.0)


def decimals(parameter: Parameter, end: float) -> int:
    """Digits after the point that matter on a range that ends at ``end``."""
    if parameter.unit == "":
        return 0
    return 2 if end <= 30 else 1 if end <= 300 else 0


class ParameterRow:
    """One parameter. The slider covers the usual range and stretches to a typed value; the spin box goes to the bounds.

    ``changed(name, value)`` is called when the user moves either, and never when the program does. The spin box may show fewer digits
    than the value has: the value stays as it is until it is moved.
    """

    def __init__(self, sequence: Sequence, parameter: Parameter, form: Any, changed: Callable[[str, float], None]) -> None:
        self.parameter = parameter
        self._changed = changed
        self._end = sliderEnd(sequence, parameter)
        self.label, self.slider, self.spinBox = qt.QLabel(parameter.name), qt.QSlider(qt.Qt.Horizontal), qt.QDoubleSpinBox()
        for widget, kind in ((self.label, "Label"), (self.slider, "Slider"), (self.spinBox, "SpinBox")):
            widget.toolTip = parameterTip(parameter)
            widget.setObjectName(f"{sequence.name}{parameter.name}{kind}")
        self._arrange(form)
        self.slider.connect("valueChanged(int)", self._slid)
        self.spinBox.connect("valueChanged(double)", self._spun)

    def _arrange(self, form: Any) -> None:
        self.slider.setRange(0, _STEPS)
        self.slider.setPageStep(_STEPS // 20)
        self.spinBox.setKeyboardTracking(False)
        self.spinBox.setRange(self.parameter.minimum, self.parameter.maximum)
        self.spinBox.setDecimals(decimals(self.parameter, self._end))
        self.spinBox.setSingleStep(self._step())
        self.spinBox.setSuffix({"": "", "°": "°"}.get(self.parameter.unit, f" {self.parameter.unit}"))
        self.spinBox.setAlignment(qt.Qt.AlignRight)
        self.spinBox.setMinimumWidth(92)
        row = qt.QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(self.spinBox)
        form.addRow(self.label, row)

    def show(self, value: float) -> None:
        """Show a value without calling ``changed``."""
        self._end = max(self._end, min(self.parameter.maximum, roundUp(value)) if value > self._end else 0.0)
        for widget, shown in ((self.slider, self._position(value)), (self.spinBox, value)):
            blocked = widget.blockSignals(True)
            widget.value = shown
            widget.blockSignals(blocked)

    def _position(self, value: float) -> int:
        return round(_STEPS * (value - self.parameter.minimum) / (self._end - self.parameter.minimum))

    def _step(self) -> float:
        """The round number that a hundredth of the slider's range comes to."""
        step = 10.0 ** math.floor(math.log10((self._end - self.parameter.minimum) / 100.0))
        return max(step, 10.0 ** -decimals(self.parameter, self._end))

    def _slid(self, position: int) -> None:
        exact = self.parameter.minimum + position / _STEPS * (self._end - self.parameter.minimum)
        stepped = round(exact / self._step()) * self._step()
        self._moved(min(max(stepped, self.parameter.minimum), self._end))

    def _spun(self, value: float) -> None:
        self._moved(value)

    def _moved(self, value: float) -> None:
        clean = round(value, 6)
        self.show(clean)
        self._changed(self.parameter.name, clean)


class ParameterRows:
    """The rows of whichever sequence is shown; those of other sequences are kept, hidden."""

    def __init__(self, layout: Any, changed: Callable[[str, float], None]) -> None:
        self._layout = layout
        self._changed = changed
        self._forms: dict[str, tuple[Any, list[ParameterRow]]] = {}

    def show(self, sequence: Sequence, values: Mapping[str, float]) -> None:
        """Show a sequence's parameters at these values; one that is left out stands at its least value."""
        if sequence.name not in self._forms:
            self._forms[sequence.name] = self._made(sequence)
        for name, (form, _rows) in self._forms.items():
            form.visible = name == sequence.name
        for row in self._forms[sequence.name][1]:
            row.show(values.get(row.parameter.name, row.parameter.minimum))

    def row(self, sequence: str, parameter: str) -> ParameterRow:
        """The row of a parameter; KeyError for a sequence that was never shown."""
        return next(row for row in self._forms[sequence][1] if row.parameter.name == parameter)

    def _made(self, sequence: Sequence) -> tuple[Any, list[ParameterRow]]:
        form = qt.QWidget()
        layout = qt.QFormLayout(form)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(4)
        layout.setLabelAlignment(qt.Qt.AlignRight)
        rows = [ParameterRow(sequence, parameter, layout, self._changed) for parameter in sequence.parameters]
        self._layout.addWidget(form)
        return form, rows
