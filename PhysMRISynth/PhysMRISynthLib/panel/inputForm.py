"""Entering how an image was acquired: a sequence and a row for each parameter, and the same as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ProtocolError
from ..physics.presets import protocol_from_spec
from ..physics.protocol import Protocol, is_assumed
from ..physics.sequences import SEQUENCES
from .choices import Choices
from .keyboard import WheelGuard
from .parameterRows import ParameterRows

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

    def setFocus(self) -> None:
        """Begin with the sequence."""
        self.sequences.comboBox.setFocus()

    def _sequenceChosen(self, name: str) -> None:
        before = _understood(self._text)
        stated = statedValues(before) if before is not None else {}
        shared = {key: value for key, value in stated.items() if key in {p.name for p in SEQUENCES[name].parameters}}
        fitting = textOf(name, shared)
        self._changed(fitting if _understood(fitting) is not None else name)

    def _stated(self, name: str, value: float) -> None:
        before = _understood(self._text)
        if before is not None:
            self._changed(textOf(before.sequence.name, {**statedValues(before), name: value}))

    def _typed(self) -> None:
        if self.widget.visible:  # an edit that is hidden tells, too, that it is finished
            self._changed(self.edit.text.strip())


def textOf(sequence: str, values: Mapping[str, float]) -> str:
    """``SEQUENCE,NAME=VALUE,…``."""
    return ",".join([sequence, *(f"{name}={value:.10g}" for name, value in values.items())])


def statedValues(protocol: Protocol) -> dict[str, float]:
    """The values that somebody stated."""
    return {name: value for name, value in protocol.values.items() if not is_assumed(protocol.sources.get(name, "assumed"))}


def _understood(text: str) -> Protocol | None:
    """The protocol of a text; None for a text that contradicts itself or cannot be read, which the values below the form tell."""
    try:
        return protocol_from_spec(text, "typed")
    except ProtocolError:
        return None
