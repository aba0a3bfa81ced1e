"""One verdict on an estimate: whether its maps may be used, and what speaks against them, the cause before its consequences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How far the maps can be trusted."""

    GOOD = "good"
    CAUTION = "caution"
    DO_NOT_USE = "do_not_use"


class Cause(StrEnum):
    """Where a doubt comes from, in the order of cause and consequence: a wrong image makes the protocol, the anatomy and the fit look
    wrong too."""

    IMAGES = "images"
    PROTOCOL = "protocol"
    ANATOMY = "anatomy"
    FIT = "fit"


_LEVELS, _CAUSES = tuple(Level), tuple(Cause)
_BEGINNINGS = {Level.CAUTION: "Use with caution.", Level.DO_NOT_USE: "Do not use these maps."}


@dataclass(frozen=True)
class Reason:
    """What a user must know: its ``cause``, how much it matters (``level`` good: for information), and a ``text`` that names the remedy.

    ``image`` is the input that it is about (t1w, t2w, flair), None for all of them.
    """

    cause: Cause
    level: Level
    text: str
    image: str | None = None

    @property
    def sentence(self) -> str:
        """The text with the name of its input."""
        return self.text if self.image is None else f"{self.image}: {self.text}"

    @property
    def order(self) -> tuple[int, int]:
        """Sorts causes before consequences, and of one cause the worst first."""
        return _CAUSES.index(self.cause), -_LEVELS.index(self.level)

    def report(self) -> dict[str, Any]:
        """The reason as JSON values."""
        return {"cause": self.cause.value, "level": self.level.value, "text": self.text, "image": self.image}


@dataclass(frozen=True)
class Verdict:
    """The ``level`` of the worst reason, and the ``reasons`` in the order of causes, without those that are for information."""

    level: Level = Level.GOOD
    reasons: tuple[Reason, ...] = ()

    @classmethod
    def of(cls, reasons: Iterable[Reason]) -> Verdict:
        """The verdict that follows from what was found."""
        counted = ordered(reason for reason in reasons if reason.level is not Level.GOOD)
        return cls(max((reason.level for reason in counted), key=_LEVELS.index, default=Level.GOOD), counted)

    @property
    def sentence(self) -> str:
        """The verdict in one line, with its first reason."""
        if not self.reasons:
            return "Good. No problem was found with these maps."
        return f"{_BEGINNINGS[self.level]} {self.reasons[0].sentence}"


def ordered(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Reasons in the order of their causes, those of one cause by their level; equal ones as they were."""
    return tuple(sorted(reasons, key=lambda reason: reason.order))
