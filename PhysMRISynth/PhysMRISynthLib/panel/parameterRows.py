"""A slider and a spin box for every parameter of a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import qt

from ..physics.presets import load_presets
from ..physics.sequences import Parameter, Sequence
from .keyboard import WheelGuard, tabOrder
from .protocolText import parameterTip, parameterTitle
from .styles import MARKED

_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_PAGE = 10
_CONTRAST = ("TR", "TE", "TI", "FA")
"""What makes the contrast; everything else is the readout."""
_SPIN_WIDTH = 84


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
    if parameter.unit == "°":
        return 1
    return 2 if end <= 30 else 0


class ParameterRow:
    """One parameter. The slider covers the usual range in round steps and stretches to a typed value; the spin box goes to the bounds.

    A position of the slider is a multiple of the step, so that one key press is one step. ``changed(name, value)`` is called when the user
    moves either, and never when the program does. The spin box may show fewer digits than the value has: the value stays as it is until
    it is moved.
    """

    def __init__(
        self, sequence: Sequence, parameter: Parameter, form: Any, changed: Callable[[str, float], None], guard: WheelGuard
    ) -> None:
        self.parameter = parameter
        self._changed = changed
        self._end = sliderEnd(sequence, parameter)
        self.label, self.slider, self.spinBox = qt.QLabel(parameterTitle(parameter.name)), qt.QSlider(qt.Qt.Horizontal), qt.QDoubleSpinBox()
        for widget, kind in ((self.label, "Label"), (self.slider, "Slider"), (self.spinBox, "SpinBox")):
            widget.toolTip = parameterTip(parameter)
            widget.setObjectName(f"{sequence.name}{parameter.name}{kind}")
        self._arrange(form)
        guard.watch(self.slider, self.spinBox)
        self.slider.connect("valueChanged(int)", self._slid)
        self.spinBox.connect("valueChanged(double)", self._spun)

    @property
    def isReadout(self) -> bool:
        """Whether it says how the signal is read out, which few users change."""
        return not self.parameter.name.startswith(_CONTRAST)

    def _arrange(self, form: Any) -> None:
        self._setRange()
        self.slider.setSingleStep(1)
        self.slider.setPageStep(_PAGE)
        self.slider.setMinimumWidth(24)
        self.label.setBuddy(self.spinBox)
        self.spinBox.setKeyboardTracking(False)
        self.spinBox.setRange(self.parameter.minimum, self.parameter.maximum)
        self.spinBox.setDecimals(decimals(self.parameter, self._end))
        self.spinBox.setSingleStep(self._step())
        self.spinBox.setSuffix({"": "", "°": "°"}.get(self.parameter.unit, f" {self.parameter.unit}"))
        self.spinBox.setAlignment(qt.Qt.AlignRight)
        self.spinBox.setMinimumWidth(_SPIN_WIDTH)
        row = qt.QHBoxLayout()
        row.addWidget(self.slider, 1)
        row.addWidget(self.spinBox)
        form.addRow(self.label, row)

    def mark(self, marked: bool) -> None:
        """Mark the row of a value that contradicts others."""
        title = parameterTitle(self.parameter.name)
        self.label.text = MARKED.format(title) if marked else title

    def setVisible(self, visible: bool) -> None:
        """Show or hide the whole row."""
        for widget in (self.label, self.slider, self.spinBox):
            widget.visible = visible

    def show(self, value: float) -> None:
        """Show a value without calling ``changed``."""
        if value > self._end:
            self._end = min(self.parameter.maximum, roundUp(value))
            self._quietly(self.slider, self._setRange)
        self._quietly(self.slider, lambda: self.slider.setValue(round(value / self._step())))
        self._quietly(self.spinBox, lambda: self.spinBox.setValue(value))

    @staticmethod
    def _quietly(widget: Any, action: Callable[[], None]) -> None:
        blocked = widget.blockSignals(True)
        action()
        widget.blockSignals(blocked)

    def _setRange(self) -> None:
        step = self._step()
        self.slider.setRange(math.floor(self.parameter.minimum / step + 1e-9), math.ceil(self._end / step - 1e-9))

    def _step(self) -> float:
        """The round number that a hundredth of the slider's range comes to; half a degree or a whole one for angles."""
        if self.parameter.unit == "°":
            return 1.0 if self._end > 30.0 else 0.5
        step = 10.0 ** math.floor(math.log10((self._end - self.parameter.minimum) / 100.0))
        return max(step, 10.0 ** -decimals(self.parameter, self._end))

    def _slid(self, position: int) -> None:
        self._moved(min(max(position * self._step(), self.parameter.minimum), self._end))

    def _spun(self, value: float) -> None:
        self._moved(value)

    def _moved(self, value: float) -> None:
        clean = round(value, 6)
        self.show(clean)
        self._changed(self.parameter.name, clean)


class ParameterRows:
    """The rows of whichever sequence is shown; those of other sequences are kept, hidden."""

    def __init__(self, layout: Any, changed: Callable[[str, float], None], guard: WheelGuard, before: Any = None) -> None:
        """``before`` is the widget from which Tab goes to the first slider."""
        self._layout, self._changed, self._guard, self._before = layout, changed, guard, before
        self._forms: dict[str, tuple[Sequence, Any, list[ParameterRow]]] = {}
        self._readoutShown = False
        self._marked: list[ParameterRow] = []

    def show(self, sequence: Sequence, values: Mapping[str, float]) -> None:
        """Show a sequence's parameters at these values; one that is left out stands at its least value."""
        known = self._forms.get(sequence.name)
        if known is not None and known[0] is not sequence:  # a user's equation was written anew
            known[1].deleteLater()
            known, self._marked = None, []
        if known is None:
            self._forms[sequence.name] = (sequence, *self._made(sequence))
        for name, (_sequence, form, _rows) in self._forms.items():
            form.visible = name == sequence.name
        for row in self._forms[sequence.name][2]:
            row.show(values.get(row.parameter.name, row.parameter.minimum))

    def mark(self, sequence: str, names: Collection[str]) -> None:
        """Mark the rows of these parameters of a sequence, and no others."""
        for row in self._marked:
            row.mark(False)
        rows = self._forms[sequence][2] if sequence in self._forms else []
        self._marked = [row for row in rows if row.parameter.name in names]
        for row in self._marked:
            row.mark(True)

    def showReadout(self, shown: bool) -> None:
        """Show or hide the parameters of the readout."""
        self._readoutShown = shown
        for row in (row for _sequence, _form, rows in self._forms.values() for row in rows if row.isReadout):
            row.setVisible(shown)

    def row(self, sequence: str, parameter: str) -> ParameterRow:
        """The row of a parameter; KeyError for a sequence that was never shown."""
        return next(row for row in self._forms[sequence][2] if row.parameter.name == parameter)

    def _made(self, sequence: Sequence) -> tuple[Any, list[ParameterRow]]:
        form = qt.QWidget()
        layout = qt.QFormLayout(form)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(4)
        layout.setLabelAlignment(qt.Qt.AlignRight)
        rows = [ParameterRow(sequence, parameter, layout, self._changed, self._guard) for parameter in sequence.parameters]
        for row in rows:
            if row.isReadout:
                row.setVisible(self._readoutShown)
        self._layout.addWidget(form)
        chain = [widget for row in rows for widget in (row.slider, row.spinBox)]
        tabOrder([self._before, *chain] if self._before is not None else chain)
        return form, rows
