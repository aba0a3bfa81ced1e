"""Combo boxes whose entries stand for values of the parameter node."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import qt


class Choices:
    """A combo box of (text, value) entries, values being texts.

    ``changed(value)`` is called when the user chooses, and never when the program does.
    """

    def __init__(self, comboBox: Any, changed: Callable[[str], None]) -> None:
        self.comboBox = comboBox
        self._changed = changed
        self._values: list[str] = []
        comboBox.connect("currentIndexChanged(int)", self._indexChanged)

    def fill(self, entries: Iterable[tuple[str, str]], tips: Iterable[str] = ()) -> None:
        """Replace the entries, unless they are there already; ``tips`` are the tooltips of the first ones."""
        wanted = list(entries)
        if [self.comboBox.itemText(i) for i in range(self.comboBox.count)] == [text for text, _ in wanted] and self._values == [
            value for _, value in wanted
        ]:
            return
        self._quietly(self._replace, wanted)
        for index, tip in enumerate(tips):
            self.comboBox.setItemData(index, tip, qt.Qt.ToolTipRole)

    def _replace(self, entries: list[tuple[str, str]]) -> None:
        self.comboBox.clear()
        self._values = [value for _, value in entries]
        for text, _ in entries:
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
        if 0 <= index < len(self._values):
            self._changed(self._values[index])

    def _quietly(self, action: Callable[..., None], *arguments: Any) -> None:
        blocked = self.comboBox.blockSignals(True)
        action(*arguments)
        self.comboBox.blockSignals(blocked)
