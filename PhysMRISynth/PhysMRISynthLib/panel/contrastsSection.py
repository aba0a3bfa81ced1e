"""Several contrasts at once, into the scene or the DICOM database; and one parameter of the present contrast as a sequence and a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from ..mrml.dicomDatabase import addToDatabase
from ..mrml.preview import protocolOf
from ..mrml.sweep import renderContrasts, sweepParameter
from ..physics.presets import all_presets
from ..physics.protocol import Protocol
from ..workflow.analysis.sweep import swept, write_film
from .choices import Choices
from .host import Host
from .protocolState import EFFECTS, effectsOf, noiseOf
from .regionsSection import chosenMaps
from .section import Section, showMessage, toldIn

_SEPARATOR = ","
_FROM, _TO = 0.3, 2.0
"""Of the present value: the range that is offered for a parameter."""
_FILMS = "GIF (*.gif);;MP4 (*.mp4)"


class ContrastsSection(Section):
    """The ticked presets live in the parameter node, by name."""

    shows = frozenset(("maps", "sequence", "contrasts", *EFFECTS))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.browser: Any = None
        self._names: list[str] = []
        self.parameter = Choices(ui.sweepParameterComboBox, self._offerRange)
        ui.contrastsListWidget.connect("itemChanged(QListWidgetItem*)", lambda item: self._ticked())
        ui.makeContrastsButton.connect("clicked(bool)", lambda checked: self.make())
        ui.contrastsDatabaseButton.connect("clicked(bool)", lambda checked: self.toDatabase())
        ui.sweepButton.connect("clicked(bool)", lambda checked: self.sweep())
        ui.sweepPlayButton.connect("toggled(bool)", self._play)
        ui.sweepFilmButton.connect("clicked(bool)", lambda checked: self.film())

    @property
    def ticked(self) -> list[str]:
        """The names of the ticked presets that there are."""
        known = all_presets()
        return [name for name in self.parameters.contrasts.split(_SEPARATOR) if name in known]

    def update(self) -> None:
        """Show which contrasts are ticked, and what can be done."""
        if self.parameters is None:
            return
        self._fill()
        there = self.panel.maps is not None
        title = effectsOf(self.parameters).title
        self.ui.effectsCollapsibleButton.text = _("Scanner effects: {effects}").format(effects=title) if title else _("Scanner effects")
        self.ui.makeContrastsButton.enabled = there and bool(self.ticked)
        for button in (self.ui.contrastsDatabaseButton, self.ui.sweepButton, self.ui.sweepFilmButton):
            button.enabled = there
        self.ui.sweepPlayButton.enabled = self.browser is not None
        sequence = self.panel.protocol.state.equation
        before = self.parameter.value
        self.parameter.fill([(p.name, p.name) for p in sequence.parameters if p.default is not None])
        if self.parameter.value is None:
            self.parameter.show("TI" if any(p.name == "TI" for p in sequence.parameters) else "TE")
        if self.parameter.value is not None and self.parameter.value != before:
            self._offerRange(self.parameter.value)

    def _fill(self) -> None:
        """List the presets, the user's own too, and tick those of the parameter node."""
        widget, presets, ticked = self.ui.contrastsListWidget, all_presets(), self.ticked
        blocked = widget.blockSignals(True)
        if self._names != list(presets):
            self._names = list(presets)
            widget.clear()
            for preset in presets.values():
                item = qt.QListWidgetItem(preset.title)
                item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
                widget.addItem(item)
        for row, name in enumerate(self._names):
            widget.item(row).setCheckState(qt.Qt.Checked if name in ticked else qt.Qt.Unchecked)
        widget.blockSignals(blocked)

    def _ticked(self) -> None:
        widget = self.ui.contrastsListWidget
        names = [name for row, name in enumerate(self._names) if widget.item(row).checkState() == qt.Qt.Checked]
        self.parameters.contrasts = _SEPARATOR.join(names)

    def _protocols(self) -> list[Protocol]:
        return [protocolOf(chosenMaps(self), name) for name in self.ticked]

    def make(self) -> None:
        """Compute the ticked contrasts as volumes."""
        with toldIn(self.ui.contrastsMessageLabel), slicer.util.WaitCursor():
            effects = effectsOf(self.parameters)
            noise = noiseOf(self.parameters) if effects.any else None
            made = renderContrasts(chosenMaps(self), self._protocols(), effects, noise)
            told = _("{count} volumes in the folder of the maps (Data module): {names}")
            showMessage(self.ui.contrastsMessageLabel, told.format(count=len(made), names=", ".join(node.GetName() for node in made)))

    def toDatabase(self) -> None:
        """Put maps, ticked contrasts and measurements into the DICOM database."""
        with toldIn(self.ui.contrastsMessageLabel), slicer.util.WaitCursor():
            done = addToDatabase(chosenMaps(self), self._protocols(), self.parameters.regions)
            count = sum(name.endswith(".dcm") for name in done.files)
            told = _("{count} files in Slicer's DICOM database. Not for diagnosis.").format(count=count)
            showMessage(self.ui.contrastsMessageLabel, "\n\n".join((told, *(f"⚠ {text}" for text in done.warnings))))

    def _offerRange(self, name: str) -> None:
        """A range around the present value, within what the sequence allows."""
        state = self.panel.protocol.state
        known = state.equation.parameter(name)
        value = state.values.get(name, known.default) or known.minimum
        self.ui.sweepFromSpinBox.value, self.ui.sweepToSpinBox.value = max(known.minimum, _FROM * value), min(known.maximum, _TO * value)

    def _values(self) -> list[float]:
        return np.linspace(self.ui.sweepFromSpinBox.value, self.ui.sweepToSpinBox.value, self.ui.sweepFramesSpinBox.value).tolist()

    def sweep(self) -> None:
        """Make the sequence and show its first frame."""
        with toldIn(self.ui.contrastsMessageLabel), slicer.util.WaitCursor():
            self.ui.sweepPlayButton.checked = False
            name = self.parameter.value or ""
            self.browser = sweepParameter(chosenMaps(self), self.panel.protocol.state.protocol(), name, self._values())
            told = _("Sequence {name}: play it here or in the Sequences module.").format(name=self.browser.GetName())
            showMessage(self.ui.contrastsMessageLabel, told)
        self.update()

    def _play(self, pressed: bool) -> None:
        if self.browser is not None:
            self.browser.SetPlaybackLooped(True)
            self.browser.SetPlaybackActive(pressed)

    def film(self) -> None:
        """Save the frames of the middle axial plane as a film."""
        chosen = qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), _("Film of the parameter"), "", _FILMS)
        if chosen:
            with toldIn(self.ui.contrastsMessageLabel), slicer.util.WaitCursor():
                name = self.parameter.value or ""
                protocols = swept(self.panel.protocol.state.protocol(), name, self._values())
                write_film(chosenMaps(self).shownMaps(), protocols, name, Path(chosen))
                showMessage(self.ui.contrastsMessageLabel, _("{count} frames in {file}.").format(count=len(protocols), file=chosen))

    def sceneClosing(self) -> None:
        """The sequence goes with the scene."""
        self.browser = None
        self.ui.sweepPlayButton.checked = False
        showMessage(self.ui.contrastsMessageLabel, "")
