"""Recorders in place of the dialogs of slicer.util: a test reads what was shown and decides what is answered."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_SHOWN = ("infoDisplay", "warningDisplay", "errorDisplay", "delayDisplay", "showStatusMessage", "messageBox")
_ASKED = ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay")
_OF_A_MESSAGE_BOX = {"icon", "standardButtons", "detailedText", "informativeText", "dontShowAgainSettingsKey"}
_signatures: dict[str, inspect.Signature] = {}
"""Of Slicer's own functions, read before they are replaced."""


@dataclass
class Dialogs:
    """``shown`` holds (function's name, text) in order; ``answer`` is what every question gets: True for OK, Yes or Retry.

    Where the application is ``testing`` nothing is asked, and every question is answered with False, as Slicer compares True with a button.
    """

    testing: Callable[[], bool]
    shown: list[tuple[str, str]] = field(default_factory=list)
    answer: bool = True

    def texts(self, name: str) -> list[str]:
        """What the function ``name`` of slicer.util, such as "errorDisplay", was called with."""
        return [text for shown, text in self.shown if shown == name]

    def install(self, util: Any) -> None:
        """Put the recorders into slicer.util; settings then come from their defaults."""
        for name in (*_SHOWN, *_ASKED):
            _signatures.setdefault(name, inspect.signature(getattr(util, name)))
            setattr(util, name, self._recorder(name))
        util.settingsValue = lambda key, default, converter=lambda value: value, settings=None: default
        util.mainWindow = lambda: None

    def _recorder(self, name: str) -> Any:
        def record(*arguments: Any, **named: Any) -> bool | None:
            bound = _signatures[name].bind(*arguments, **named)
            unknown = set(bound.arguments.get("kwargs", {})) - _OF_A_MESSAGE_BOX
            if unknown:
                raise TypeError(f"{name} has no argument {', '.join(sorted(unknown))}")
            self.shown.append((name, bound.args[0]))
            return self.answer and not self.testing() if name in _ASKED else None

        return record
