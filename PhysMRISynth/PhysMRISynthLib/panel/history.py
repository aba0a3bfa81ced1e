"""Undo and redo."""

from __future__ import annotations

from typing import Generic, TypeVar

State = TypeVar("State")


class History(Generic[State]):
    """States in the order in which they were reached, with a present one; what was undone is lost at the next new state."""

    def __init__(self, limit: int = 100) -> None:
        self._states: list[State] = []
        self._present = -1
        self._limit = limit

    def reached(self, state: State) -> None:
        """Add a state unless it is the present one; beyond ``limit`` states the oldest is forgotten."""
        if self._states and self._states[self._present] == state:
            return
        self._states = [*self._states[: self._present + 1], state][-self._limit :]
        self._present = len(self._states) - 1

    def clear(self) -> None:
        """Forget everything."""
        self._states, self._present = [], -1

    @property
    def canUndo(self) -> bool:
        """Whether there is a state before the present one."""
        return self._present > 0

    @property
    def canRedo(self) -> bool:
        """Whether there is a state after the present one."""
        return self._present < len(self._states) - 1

    def undo(self) -> State:
        """Go back; call only where :attr:`canUndo`."""
        self._present -= 1
        return self._states[self._present]

    def redo(self) -> State:
        """Go forward; call only where :attr:`canRedo`."""
        self._present += 1
        return self._states[self._present]

    @property
    def previous(self) -> State | None:
        """The state before the present one."""
        return self._states[self._present - 1] if self.canUndo else None
