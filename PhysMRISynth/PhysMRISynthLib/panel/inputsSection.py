"""Which images go into the estimate, and how each was acquired."""

from __future__ import annotations

from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError
from ..mrml.headers import checkIsScan, defaultInputs, inputProtocol
from ..physics.presets import load_presets
from .choices import Choices
from .look import MARKED
from .protocolText import valuesHtml
from .runText import ROLE_TITLES
from .section import Section, showMessage, toldIn

_TYPED = "typed"
_LOADED_MS = 300
"""Images that arrive within this time of each other were loaded together."""


class InputRow:
    """One image: how it was acquired, by header, preset or typed text, and the values that follow."""

    def __init__(self, role: str, section: InputsSection) -> None:
        self.role = role
        self.section = section
        self.details, self.edit, self.values, self.selector = (
            getattr(section.ui, role + name) for name in ("Details", "ProtocolEdit", "ValuesLabel", "Selector")
        )
        self.choices = Choices(getattr(section.ui, role + "ProtocolComboBox"), self._chosen)
        presets = [preset for preset in load_presets().values() if preset.role == role]
        self._presets = [preset.name for preset in presets]
        entries = [(_("From header"), ""), *((preset.title, preset.name) for preset in presets), (_("Typed…"), _TYPED)]
        tips = [_("DICOM or BIDS sidecar; without them the usual values, marked as assumed."), *(preset.source for preset in presets)]
        self.choices.fill(entries, tips)
        self.edit.connect("editingFinished()", self._typed)
        self.problem: str | None = None
        self.stated = ""
        self._shown: tuple[str | None, str] | None = None

    @property
    def node(self) -> Any:
        """The image, or None."""
        return getattr(self.section.parameters, self.role) if self.section.parameters else None

    @property
    def spec(self) -> str:
        """The protocol as the user states it; empty: from the header."""
        return getattr(self.section.parameters, f"{self.role}Protocol") if self.section.parameters else ""

    def update(self) -> None:
        """Show the image's protocol; reads the header only when the image or the protocol is another than before."""
        self.details.visible = self.node is not None
        typed = self.spec != "" and self.spec not in self._presets
        self.choices.show(_TYPED if typed else self.spec)
        self.edit.visible = typed
        if typed and self.edit.text != self.spec:
            self.edit.text = self.spec
            self.edit.setCursorPosition(0)  # its beginning says most
        shown = (self.node.GetID() if self.node else None, self.spec)
        if shown != self._shown:
            self._shown = shown
            self._showValues()

    def _showValues(self) -> None:
        self.problem, self.stated = None, ""
        if self.node is None:
            return
        try:
            checkIsScan(self.node)
            protocol = inputProtocol(self.node, self.role, self.spec or None).protocol
            self.stated = f"{self.role}: {protocol.spec} ({', '.join(sorted(set(protocol.sources.values())))})"
            self.values.text = valuesHtml(protocol)
        except PhysMRISynthError as error:
            self.problem = str(error)
            self.values.text = MARKED.format(escape(self.problem))

    def forget(self) -> None:
        """The scene goes: read the header again next time."""
        self._shown = None

    def _chosen(self, value: str) -> None:
        setattr(self.section.parameters, f"{self.role}Protocol", self._startingText() if value == _TYPED else value)
        if value == _TYPED:
            self.edit.setFocus()

    def _startingText(self) -> str:
        """What there is to change for a user who wants to type: the protocol so far."""
        try:
            return inputProtocol(self.node, self.role, self.spec or None).protocol.spec
        except PhysMRISynthError:
            return next(preset.protocol.spec for preset in load_presets().values() if preset.role == self.role)

    def _typed(self) -> None:
        if self.section.parameters and self.choices.value == _TYPED:  # an edit that is hidden tells, too, that it is finished
            setattr(self.section.parameters, f"{self.role}Protocol", self.edit.text.strip())


class InputsSection(Section):
    """T1w, T2w and FLAIR: any of them."""

    shows = frozenset((*ROLE_TITLES, *(f"{role}Protocol" for role in ROLE_TITLES)))

    def __init__(self, ui: Any, panel: Any) -> None:
        super().__init__(ui, panel)
        self.rows = [InputRow(role, self) for role in ROLE_TITLES]
        ui.loadSessionButton.connect("clicked(bool)", self.loadSession)
        self.timer = qt.QTimer()
        self.timer.setSingleShot(True)
        self.timer.setInterval(_LOADED_MS)
        self.timer.connect("timeout()", self.chooseDefaults)

    def update(self) -> None:
        """Show each image's protocol."""
        for row in self.rows:
            row.update()

    def sceneClosing(self) -> None:
        """Forget the images."""
        for row in self.rows:
            row.forget()

    def sceneGrew(self) -> None:
        """Something was loaded or made: once nothing follows it, select inputs where none are."""
        self.timer.start()

    def cleanup(self) -> None:
        """Stop waiting for images."""
        self.timer.stop()

    def chooseDefaults(self) -> None:
        """Select images by name and header where the user has selected none at all and sees it."""
        if slicer.mrmlScene.IsBatchProcessing():  # a scene is being imported: what it selects is not known before its end
            self.timer.start()
            return
        if self.panel.shown and self.parameters and not any(row.node for row in self.rows):
            self._select(defaultInputs(slicer.mrmlScene))

    def _select(self, nodes: dict[str, Any]) -> None:
        with slicer.util.NodeModify(self.parameters):
            for role, node in nodes.items():
                setattr(self.parameters, role, node)
                setattr(self.parameters, f"{role}Protocol", "")

    def loadSession(self) -> None:
        """Ask for the folder of one visit, load its images and select them."""
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of one visit (OASIS-3, BIDS, flat or DICOM)"))
        if folder and self.parameters:
            with toldIn(self.ui.inputsMessageLabel):
                found = self.panel.logic.loadSession(folder)
                self._select({role: found.get(role) for role in ROLE_TITLES})
                showMessage(self.ui.inputsMessageLabel, "\n".join(self.panel.logic.sessionNotes))

    def problem(self) -> str | None:
        """Why no estimate can be made of these inputs, or None when one can."""
        chosen = [row for row in self.rows if row.node]
        if not chosen:
            return _("Select at least one input image.")
        if len({row.node.GetID() for row in chosen}) < len(chosen):
            return _("The same image is selected twice. Select each image once.")
        wrong = next((row for row in chosen if row.problem), None)
        return f"{ROLE_TITLES[wrong.role]}: {wrong.problem}" if wrong else None

    def protocols(self) -> list[str]:
        """A line for each image: its protocol and the sources of the values, without the image's name."""
        return [row.stated for row in self.rows if row.node]

    def estimateArguments(self) -> dict[str, Any]:
        """The images and the stated protocols, as PhysMRISynthLogic.estimateTissueMaps takes them."""
        protocols = {row.role: row.spec for row in self.rows if row.node and row.spec}
        return {**{row.role: row.node for row in self.rows}, "protocols": protocols}
