"""Combo boxes whose entries stand for values of the parameter node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import qt

SEPARATOR = "\N{EM DASH}"
"""A value that is a line between groups, with the text ""."""


class Choices:
    """A combo box of (text, value) entries, values being texts.

    ``changed(value)`` is called when the user chooses, and never when the program does.
    """

    def __init__(self, comboBox: Any, changed: Callable[[str], None]) -> None:
        self.comboBox = comboBox
        self._changed = changed
        self._values: list[str] = []
        self._entries: list[tuple[str, str]] = []
        comboBox.connect("currentIndexChanged(int)", self._indexChanged)

    def fill(self, entries: Iterable[tuple[str, str]], tips: Iterable[str] = ()) -> None:
        """Replace the entries, unless they are there already; ``tips`` are the tooltips of the first ones. What was chosen stays chosen."""
        wanted = list(entries)
        if wanted == self._entries:
            return
        chosen = self.value
        self._entries = wanted
        self._quietly(self._replace, wanted)
        self.show(chosen if chosen is not None else "")
        for index, tip in enumerate(tips):
            self.comboBox.setItemData(index, tip, qt.Qt.ToolTipRole)

    def _replace(self, entries: list[tuple[str, str]]) -> None:
        self.comboBox.clear()
        self._values = [value for _, value in entries]
        for text, value in entries:
            if value == SEPARATOR:
                self.comboBox.insertSeparator(self.comboBox.count)
            else:
                self.comboBox.addItem(text)

    def show(self, value: str) -> None:
        """Select the entry of that value; none where there is no such entry."""
        index = self._values.index(value) if value in self._values else -1
        if index != self.comboBox.currentIndex:
            self._quietly(self.comboBox.setCurrentIndex, index)

    @property
    def value(self) -> str | None:
        """The chosen value."""
        index = self.comboBox.currentIndex
        return self._values[index] if 0 <= index < len(self._values) else None

    def _indexChanged(self, index: int) -> None:
        if 0 <= index < len(self._values) and self._values[index] != SEPARATOR:
            self._changed(self._values[index])

    def _quietly(self, action: Callable[..., None], *arguments: Any) -> None:
        blocked = self.comboBox.blockSignals(True)
        action(*arguments)
        self.comboBox.blockSignals(blocked)
