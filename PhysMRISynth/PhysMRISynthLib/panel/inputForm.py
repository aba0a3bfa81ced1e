"""Entering how an image was acquired: a sequence and a row for each parameter, and the same as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from ..errors import ProtocolError
from ..physics.presets import all_presets, protocol_from_spec
from ..physics.protocol import Protocol, is_assumed
from ..physics.sequences import SEQUENCES
from .choices import Choices
from .keyboard import WheelGuard
from .parameterRows import ParameterRows
from .protocolText import contradiction

SEQUENCE_OF_ROLE = {"t1w": "mprage", "t2w": "tse", "flair": "flair"}
"""What an image most often is when nothing is known about it."""


class InputForm:
    """Writes what the user states, and nothing else, as text: values that were not touched stay assumed.

    ``changed(text)`` is called with ``SEQUENCE,NAME=VALUE,…`` whenever the user states something.
    """

    def __init__(self, ui: Any, role: str, guard: WheelGuard, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._text = ""
        self.widget, self.edit = getattr(ui, f"{role}FormWidget"), getattr(ui, f"{role}ProtocolEdit")
        sequences = getattr(ui, f"{role}SequenceComboBox")
        self.sequences = Choices(sequences, self._sequenceChosen)
        self.sequences.fill([(sequence.title, name) for name, sequence in SEQUENCES.items()])
        self.rows = ParameterRows(getattr(ui, f"{role}ParametersWidget").layout(), self._stated, guard, sequences)
        self.rows.showReadout(True)
        self.edit.connect("editingFinished()", self._typed)
        getattr(ui, f"{role}ConfirmButton").connect("clicked(bool)", self._confirm)

    def show(self, text: str | None) -> None:
        """Show a protocol's text; None hides the form."""
        self.widget.visible = text is not None
        self._text = text or ""
        if text is None:
            return
        if self.edit.text != text:
            self.edit.text = text
            self.edit.setCursorPosition(0)  # its beginning says most
        protocol = _understood(text)
        if protocol is not None:
            self.sequences.show(protocol.sequence.name)
            self.rows.show(protocol.sequence, protocol.values)
            self.rows.mark(protocol.sequence.name, ())

    def explained(self, told: str) -> str:
        """What an error says about the present text, in the words of the rows, of which those that it names are marked."""
        sequence = SEQUENCES.get(_parts(self._text)[0])
        if sequence is None:
            return told
        text, named = contradiction(told, sequence)
        self.rows.mark(sequence.name, named)
        return text

    def setFocus(self) -> None:
        """Begin with the sequence."""
        self.sequences.comboBox.setFocus()

    def _sequenceChosen(self, name: str) -> None:
        _sequence, stated = _parts(self._text)
        shared = {key: value for key, value in stated.items() if key in {p.name for p in SEQUENCES[name].parameters}}
        fitting = textOf(name, shared)
        self._changed(fitting if _understood(fitting) is not None else name)

    def _stated(self, name: str, value: float) -> None:
        sequence, stated = _parts(self._text)
        self._changed(textOf(sequence, {**stated, name: value}))

    def _confirm(self, checked: bool = False) -> None:
        """State every value that is shown."""
        protocol = _understood(self._text)
        if protocol is not None:
            self._changed(textOf(protocol.sequence.name, protocol.values))

    def _typed(self) -> None:
        if self.widget.visible:  # an edit that is hidden tells, too, that it is finished
            self._changed(self.edit.text.strip())


def textOf(sequence: str, values: Mapping[str, float]) -> str:
    """``SEQUENCE,NAME=VALUE,…``."""
    return ",".join([sequence, *(f"{name}={value:.10g}" for name, value in values.items())])


def statedValues(protocol: Protocol) -> dict[str, float]:
    """The values that somebody stated."""
    return {name: value for name, value in protocol.values.items() if not is_assumed(protocol.sources.get(name, "assumed"))}


def _parts(text: str) -> tuple[str, dict[str, float]]:
    """The sequence and the stated values of a text, also of one whose values contradict each other."""
    protocol = _understood(text)
    if protocol is not None:
        return protocol.sequence.name, statedValues(protocol)
    name, *assignments = text.split(",")
    values = {}
    for key, _, value in (assignment.partition("=") for assignment in assignments):
        with suppress(ValueError):
            values[key.strip().upper()] = float(value)
    preset = all_presets().get(name.strip().lower())
    if preset is None:
        return name.strip().lower(), values
    return preset.protocol.sequence.name, {**statedValues(preset.protocol), **values}


def _understood(text: str) -> Protocol | None:
    """The protocol of a text; None for a text that contradicts itself or cannot be read, which the values below the form tell."""
    try:
        return protocol_from_spec(text, "typed")
    except ProtocolError:
        return None
