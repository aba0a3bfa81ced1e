"""Recorders in place of the dialogs of slicer.util: a test reads what was shown and decides what is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SHOWN = ("infoDisplay", "warningDisplay", "errorDisplay", "delayDisplay", "showStatusMessage", "messageBox")
_ASKED = ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay")


@dataclass
class Dialogs:
    """``shown`` holds (function's name, text) in order; ``answer`` is what every question gets: True for OK, Yes or Retry."""

    shown: list[tuple[str, str]] = field(default_factory=list)
    answer: bool = True

    def texts(self, name: str) -> list[str]:
        """What the function ``name`` of slicer.util, such as "errorDisplay", was called with."""
        return [text for shown, text in self.shown if shown == name]

    def install(self, util: Any) -> None:
        """Put the recorders into slicer.util; settings then come from their defaults."""
        for name in (*_SHOWN, *_ASKED):
            setattr(util, name, self._recorder(name))
        util.settingsValue = lambda key, default, converter=lambda value: value, settings=None: default
        util.mainWindow = lambda: None

    def _recorder(self, name: str) -> Any:
        def record(text: str, *arguments: Any, **named: Any) -> bool | None:
            self.shown.append((name, text))
            return self.answer if name in _ASKED else None

        return record
