"""What the sections of the panel have in common."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError
from .host import Host
from .remedies import inPanel

_log = logging.getLogger(__name__)


class Section:
    """One collapsible part of the panel: shows what the parameter node says, and writes what the user does into it.

    A section keeps no choice of its own, so that undo, scripts and loaded scenes need nothing but :meth:`update`. ``shows`` are the
    parameters whose changes it must show.
    """

    shows: frozenset[str] = frozenset()

    def __init__(self, ui: Any, panel: Host) -> None:
        self.ui = ui
        self.panel = panel

    @property
    def parameters(self) -> Any:
        """The parameter node, or None while there is no scene to work on."""
        return self.panel.parameterNode

    def update(self) -> None:
        """Show the parameter node's present values; called when one of those in ``shows`` changes, and when there is a new node."""

    def sceneClosing(self) -> None:
        """Forget everything of the present scene."""

    def cleanup(self) -> None:
        """Stop timers; the panel is about to go."""


def showMessage(label: Any, text: str) -> None:
    """Show ``text`` in a label that is only there when it has something to say."""
    label.text = text
    label.visible = bool(text)


@contextmanager
def toldIn(label: Any) -> Iterator[None]:
    """What the user can act on is told in ``label``, in place; anything else is a fault of the program and gets Slicer's dialog."""
    showMessage(label, "")
    try:
        yield
    except PhysMRISynthError as error:
        showMessage(label, inPanel(error))
    except Exception as error:
        _log.exception("The panel could not do what it was asked for")
        slicer.util.errorDisplay(_("This should not have happened: {error}. The log has the details.").format(error=error))
