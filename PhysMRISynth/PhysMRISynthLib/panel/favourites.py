"""Protocols and equations of the user's own: kept in Slicer's settings, shared as JSON files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import ProtocolError
from ..physics.own_presets import EQUATIONS, OwnEquation, add_equation, add_preset, name_from, text_of, use_presets, use_text
from ..physics.presets import OWN_PRESETS, Preset
from ..physics.protocol import Protocol
from .section import showMessage, toldIn

_log = logging.getLogger(__name__)
_PRESETS, _RECENT = "PhysMRISynth/OwnPresets", "PhysMRISynth/RecentProtocols"
_MOST_RECENT = 10


class Favourites:
    """The star, the menu beside it, and the two lines that open below: a name for a protocol, and an equation.

    ``changed()`` is called when the list of presets or sequences is another; ``use(name)`` shows a preset or an equation.
    """

    def __init__(
        self, ui: Any, present: Callable[[], tuple[str, Protocol | None]], changed: Callable[[], None], use: Callable[[str], None]
    ) -> None:
        self.ui = ui
        self._present, self._changed, self._use = present, changed, use
        _restore()
        ui.favouriteButton.connect("clicked(bool)", lambda checked: self.star())
        ui.favouriteSaveButton.connect("clicked(bool)", lambda checked: self.save())
        ui.favouriteEdit.connect("returnPressed()", self.save)
        ui.equationUseButton.connect("clicked(bool)", lambda checked: self.useEquation())
        self.menu = qt.QMenu(ui.shareButton)
        self._actions = [
            self._action(_("Save my protocols to a file…"), self.saveFile),
            self._action(_("Load protocols from a file…"), self.loadFile),
            self._action(_("Write a signal equation…"), self.writeEquation),
        ]
        ui.shareButton.setMenu(self.menu)
        ui.shareButton.setPopupMode(qt.QToolButton.InstantPopup)

    def _action(self, text: str, slot: Callable[[], None]) -> Any:
        action = qt.QAction(text, self.menu)
        self.menu.addAction(action)
        action.connect("triggered(bool)", lambda checked: slot())
        return action

    def update(self, preset: str) -> None:
        """Show whether the present values are a protocol of the user's own."""
        self.ui.favouriteButton.text = "★" if preset in OWN_PRESETS else "☆"

    def star(self) -> None:
        """Forget a protocol of one's own, or ask for the name of a new one."""
        name, _protocol = self._present()
        if OWN_PRESETS.pop(name, None) is not None:
            self._keep()
            return
        self.ui.favouriteWidget.visible = not self.ui.favouriteWidget.visible
        if self.ui.favouriteWidget.visible:
            self.ui.favouriteEdit.setFocus()

    def save(self) -> None:
        """Keep the present values under the name that was typed."""
        title = self.ui.favouriteEdit.text.strip()
        _name, protocol = self._present()
        with toldIn(self.ui.protocolMessageLabel):
            if not title:
                raise ProtocolError(_("Give the protocol a name."))
            if protocol is None:
                raise ProtocolError(_("The values contradict each other. Change them first."))
            preset = Preset(name_from(title), title, "other", None, protocol, _("Made by the user."), citable=False, group="own")
            add_preset(preset)
            self.ui.favouriteWidget.visible = False
            self._keep()
            self._use(preset.name)

    def writeEquation(self) -> None:
        """Open the line for an equation."""
        self.ui.equationWidget.visible = True
        self.ui.equationEdit.setFocus()

    def useEquation(self) -> None:
        """Make a sequence of the equation that was typed, and show it."""
        title = self.ui.equationNameEdit.text.strip()
        with toldIn(self.ui.protocolMessageLabel):
            if not title:
                raise ProtocolError(_("Give the equation a name."))
            equation = OwnEquation(name_from(title), title, self.ui.equationEdit.text.strip())
            sequence = add_equation(equation)
            self.ui.equationWidget.visible = False
            self._keep()
            self._use(sequence.name)

    def saveFile(self) -> None:
        """Write all of one's own protocols and equations into a file that colleagues load."""
        path = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("File for your protocols"), "protocols.json", "JSON (*.json)")
        if path:
            with toldIn(self.ui.protocolMessageLabel):
                try:
                    Path(path).write_text(text_of(OWN_PRESETS.values(), EQUATIONS.values()), encoding="utf-8")
                except OSError as error:
                    told = _("{path} cannot be written ({error}). Choose another place.")
                    raise ProtocolError(told.format(path=path, error=error)) from error

    def loadFile(self) -> None:
        """Add the protocols and equations of a file."""
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), _("File with protocols"), "", "JSON (*.json)")
        if path:
            with toldIn(self.ui.protocolMessageLabel):
                names = use_presets(Path(path))
                self._keep()
                showMessage(self.ui.keptLabel, _("Added: {names}").format(names=", ".join(names)))

    def _keep(self) -> None:
        slicer.app.userSettings().setValue(_PRESETS, text_of(OWN_PRESETS.values(), EQUATIONS.values()))
        self._changed()


def _restore() -> None:
    """Take up what earlier sessions kept; what cannot be read any more is logged and left alone."""
    kept = slicer.app.userSettings().value(_PRESETS)
    try:
        if kept:
            use_text(str(kept))
    except ProtocolError as error:
        _log.warning("The protocols in Slicer's settings cannot be used: %s", error)


def recentSpecs() -> list[str]:
    """The protocols that were saved or exported lately, ten at most, the last one first."""
    try:
        specs = json.loads(str(slicer.app.userSettings().value(_RECENT) or "[]"))
    except ValueError:
        return []
    return [spec for spec in specs if isinstance(spec, str)][:_MOST_RECENT] if isinstance(specs, list) else []


def addRecent(spec: str) -> None:
    """Remember a protocol as the last one."""
    others = [known for known in recentSpecs() if known != spec]
    slicer.app.userSettings().setValue(_RECENT, json.dumps([spec, *others][:_MOST_RECENT]))
