"""A field for every condition that a sampling model knows, each of which may be left open."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from ..network.diffusion_config import CONDITIONS, Condition
from .choices import Choices
from .keyboard import tabOrder

Changed = Callable[[str, float | None], None]
"""Callback ``(name, value)`` when the user changes a target; None: left open."""
_OPEN = ""
_STEPS = 50
"""Steps that a range has at least."""


def targetsOf(parameters: Any) -> dict[str, float]:
    """The targets in the parameter node, by condition; what cannot be understood is left out."""
    try:
        given = json.loads(parameters.sampleCondition or "{}").items()
        return {name: float(value) for name, value in given if name in CONDITIONS and math.isfinite(float(value))}
    except (ValueError, TypeError, AttributeError):
        return {}


def conditionTitle(name: str) -> str:
    """What a reader calls a condition."""
    titles = {
        "brain_volume": _("Brain volume"), "ventricle_share": _("Ventricles"), "lesion_load": _("Lesions"),
        "intracranial_volume": _("Intracranial volume"), "atrophy": _("Atrophy"), "age": _("Age"), "sex": _("Sex"),
    }  # fmt: skip
    return titles.get(name, name)


class NumberRow:
    """A spin box of which the lowest position is *Any*."""

    def __init__(self, name: str, changed: Changed) -> None:
        self.name, self._changed = name, changed
        self.field = qt.QDoubleSpinBox()
        self.field.setSpecialValueText(_("Any"))
        self.field.setKeyboardTracking(False)
        self.field.setAlignment(qt.Qt.AlignRight)
        self._explain(CONDITIONS[name])
        self.field.connect("valueChanged(double)", self._spun)

    def show(self, condition: Condition, target: float | None) -> None:
        """Show a target, within the range of ``condition``; one beyond it is shown as it is."""
        exponent = math.floor(math.log10((condition.greatest - condition.least) / _STEPS))
        digits, step = max(0, -exponent), 10.0**exponent
        least, greatest = (rounded(end * 10**digits) / 10**digits for rounded, end in _ends(condition))
        shown = [least, greatest] if target is None else [least, greatest, target]
        blocked = self.field.blockSignals(True)
        self.field.setDecimals(digits)
        self.field.setSingleStep(step)
        self.field.setSuffix(f" {condition.unit}")
        self.field.setRange(min(shown) - step, max(shown))
        self.field.setValue(self.field.minimum if target is None else target)
        self.field.blockSignals(blocked)
        self._explain(condition)

    def _explain(self, condition: Condition) -> None:
        text = _("{title}: {least:.4g} to {greatest:.4g} {unit}. Met approximately. Any: left open.")
        self.field.toolTip = text.format(**vars(condition))

    def _spun(self, value: float) -> None:
        self._changed(self.name, None if value <= self.field.minimum else value)


class SexRow:
    """A choice: any, female or male."""

    def __init__(self, name: str, changed: Changed) -> None:
        self.name, self._changed = name, changed
        self.field = qt.QComboBox()
        self.field.toolTip = _("Sex of the people whose heads these are like. Any: left open.")
        self._choices = Choices(self.field, self._chosen)

    def show(self, condition: Condition, target: float | None) -> None:
        """Offer what is within the range of ``condition``, and show a target."""
        sexes = [(_("Female"), 0.0), (_("Male"), 1.0)]
        offered = [(text, f"{value:g}") for text, value in sexes if condition.least <= value <= condition.greatest]
        self._choices.fill([(_("Any"), _OPEN), *offered])
        self._choices.show(_OPEN if target is None else f"{target:g}")

    def _chosen(self, value: str) -> None:
        self._changed(self.name, None if value == _OPEN else float(value))


class ConditionRows:
    """The rows of all conditions, of which those that a model knows are shown."""

    def __init__(self, form: Any, first: int, changed: Changed, before: Any, after: Any) -> None:
        """``first`` is the first row's place in the ``form``; Tab goes from the widget ``before`` through the rows to ``after``."""
        self._rows = {name: SexRow(name, changed) if name == "sex" else NumberRow(name, changed) for name in CONDITIONS}
        self._labels = {name: qt.QLabel(conditionTitle(name)) for name in CONDITIONS}
        for place, (name, row) in enumerate(self._rows.items(), start=first):
            row.field.setObjectName(f"{name}ConditionField")
            self._labels[name].setBuddy(row.field)
            form.insertRow(place, self._labels[name], row.field)
        tabOrder([before, *(row.field for row in self._rows.values()), after])

    def show(self, known: Mapping[str, Condition], targets: Mapping[str, float]) -> None:
        """Show the ``known`` conditions alone, with their targets; one of which all training heads have the same value is no choice."""
        for name, row in self._rows.items():
            there = name in known and known[name].least < known[name].greatest
            self._labels[name].visible = row.field.visible = there
            if there:
                row.show(known[name], targets.get(name))

    def field(self, name: str) -> Any:
        """The widget of a condition."""
        return self._rows[name].field


def _ends(condition: Condition) -> tuple[tuple[Callable[[float], int], float], ...]:
    """The least and the greatest value, each with what rounds it into the range."""
    return (math.ceil, condition.least), (math.floor, condition.greatest)
