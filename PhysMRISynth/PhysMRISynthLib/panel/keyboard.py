"""Keys and the wheel: the wheel changes only what has the focus, keys work where the eye is, Tab follows the reading order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import qt

_GUARDED = ("QSlider", "QComboBox", "QSpinBox", "QDoubleSpinBox")


class WheelGuard(qt.QObject):
    """Lets the wheel through to the scroll area where a control has no focus: scrolling the panel must not change a protocol."""

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """True for a wheel event that the control must not get; it then goes to what lies around the control."""
        if event.type() == qt.QEvent.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return False

    def watch(self, *widgets: Any) -> None:
        """Guard these controls; they take the focus by a click or by Tab, not by the wheel."""
        for widget in widgets:
            widget.setFocusPolicy(qt.Qt.StrongFocus)
            widget.installEventFilter(self)

    def watchBelow(self, parent: Any) -> None:
        """Guard every control in a widget."""
        for name in _GUARDED:
            self.watch(*parent.findChildren(getattr(qt, name)))


def shortcut(key: str, parent: Any, slot: Callable[[], None]) -> Any:
    """A key that works in the whole window of ``parent`` as long as it is enabled; keep a reference to it."""
    made = qt.QShortcut(qt.QKeySequence(key), parent)
    made.connect("activated()", lambda: slot())
    return made


def tabOrder(widgets: Iterable[Any]) -> None:
    """Let Tab go through these widgets one after the other."""
    for one, other in pairwise(widgets):
        qt.QWidget.setTabOrder(one, other)
