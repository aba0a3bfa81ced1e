"""Which images go into the estimate, and how each was acquired."""

from __future__ import annotations

import importlib
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError
from ..headers.header_protocol import stated_field_strength
from ..mrml.headers import checkIsScan, defaultInputs, inputProtocol
from ..physics.presets import load_presets
from ..workflow.estimation.knowledge import Knowledge, knowledge_of, worst
from .choices import Choices
from .host import Host
from .inputForm import SEQUENCE_OF_ROLE, InputForm, statedValues, textOf
from .protocolText import valuesHtml
from .remedies import inPanel
from .runText import ROLE_TITLES
from .sampleData import NAMES
from .section import Section, showMessage, toldIn
from .styles import WARNED

_ENTERED = "entered"
_DEMO = "MS12"
_LOADED_MS = 300
"""Images that arrive within this time of each other were loaded together."""


class InputRow:
    """One image: how it was acquired, by header, preset or entered values, and the values that follow."""

    def __init__(self, role: str, section: InputsSection) -> None:
        self.role = role
        self.section = section
        self.details, self.values, self.label = (getattr(section.ui, role + name) for name in ("Details", "ValuesLabel", "Label"))
        self.choices = Choices(getattr(section.ui, role + "ProtocolComboBox"), self._chosen)
        presets = [preset for preset in load_presets().values() if preset.role == role and preset.group == "study"]
        self._presets = [preset.name for preset in presets]
        entries = [(_("From header"), ""), (_("Enter values…"), _ENTERED), *((preset.title, preset.name) for preset in presets)]
        tips = [
            _("DICOM or BIDS sidecar; without them typical values, marked as assumed."),
            _("State the sequence and the values that you know. What you do not touch stays assumed."),
            *(preset.source for preset in presets),
        ]
        self.choices.fill(entries, tips)
        self.form = InputForm(section.ui, role, section.panel.guard, self._entered)
        self.problem: str | None = None
        self.stated = ""
        self.sequence = ""
        self.knowledge = Knowledge.UNKNOWN
        self.fieldStrength: float | None = None
        self._shown: tuple[str | None, str] | None = None

    @property
    def node(self) -> Any:
        """The image, or None."""
        return getattr(self.section.parameters, self.role) if self.section.parameters else None

    @property
    def spec(self) -> str:
        """The protocol as the user states it; empty: from the header."""
        return getattr(self.section.parameters, f"{self.role}Protocol") if self.section.parameters else ""

    @property
    def summary(self) -> str:
        """The image in a few words: ``T1w MPRAGE ●``, ``T2w none``."""
        title = ROLE_TITLES[self.role]
        return f"{title} {self.knowledge.glyph}" if self.node else _("{title} none").format(title=title)

    def update(self) -> None:
        """Show the image's protocol; reads the header only when the image or the protocol is another than before."""
        self.details.visible = self.node is not None
        entered = self.spec != "" and self.spec not in self._presets
        self.choices.show(_ENTERED if entered else self.spec)
        shown = (self.node.GetID() if self.node else None, self.spec)
        if shown != self._shown:
            self._shown = shown
            self.form.show(self.spec if entered else None)
            self._showValues()
            self._showState()

    def _showValues(self) -> None:
        self.problem, self.stated, self.fieldStrength = None, "", None
        if self.node is None:
            return
        try:
            checkIsScan(self.node)
            found = inputProtocol(self.node, self.role, self.spec or None)
            protocol = found.protocol
            self.stated = f"{self.role}: {protocol.spec} ({', '.join(sorted(set(protocol.sources.values())))})"
            self.knowledge, self.sequence = knowledge_of(protocol), protocol.sequence.title
            self.fieldStrength = stated_field_strength(found.fields, self.node.GetName()) if found.fields else None
            self.values.text = valuesHtml(protocol, entering=self.choices.value == _ENTERED)
        except PhysMRISynthError as error:
            self.problem = self.form.explained(inPanel(error)) if self.choices.value == _ENTERED else inPanel(error)
            self.values.text = WARNED.format(escape(self.problem))

    def _showState(self) -> None:
        """A circle beside the name says how much is known."""
        told = {
            Knowledge.KNOWN: _("Every value is stated."),
            Knowledge.PARTLY: _("Some values are assumed."),
            Knowledge.UNKNOWN: _("Nothing is known about how this image was acquired."),
        }
        title = ROLE_TITLES[self.role]
        self.label.text = title if self.node is None or self.problem else f"{title} {self.knowledge.glyph}"
        self.label.toolTip = told[self.knowledge] if self.node else ""

    def forget(self) -> None:
        """The scene goes: read the header again next time."""
        self._shown = None

    def _chosen(self, value: str) -> None:
        self._entered(self._startingText() if value == _ENTERED else value)
        if value == _ENTERED:
            self.form.setFocus()

    def _entered(self, text: str) -> None:
        if self.section.parameters:
            setattr(self.section.parameters, f"{self.role}Protocol", text)

    def _startingText(self) -> str:
        """What there is to complete for a user who wants to state values: those that are known so far."""
        try:
            protocol = inputProtocol(self.node, self.role, self.spec or None).protocol
        except PhysMRISynthError:
            return SEQUENCE_OF_ROLE[self.role]
        return textOf(protocol.sequence.name, statedValues(protocol))


class InputsSection(Section):
    """T1w, T2w and FLAIR: any of them."""

    shows = frozenset((*ROLE_TITLES, *(f"{role}Protocol" for role in ROLE_TITLES), "fieldStrength"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.rows = [InputRow(role, self) for role in ROLE_TITLES]
        for button in (ui.loadSessionButton, ui.loadVisitButton):
            button.connect("clicked(bool)", self.loadSession)
        ui.sampleDataButton.connect("clicked(bool)", self.loadSample)
        ui.inputsCollapsibleButton.connect("contentsCollapsed(bool)", self._showSummary)
        self.timer = qt.QTimer()
        self.timer.setSingleShot(True)
        self.timer.setInterval(_LOADED_MS)
        self.timer.connect("timeout()", self.chooseDefaults)

    def update(self) -> None:
        """Show each image's protocol."""
        for row in self.rows:
            row.update()
        empty = not any(row.node for row in self.rows)
        self.ui.emptyWidget.visible, self.ui.loadSessionButton.visible = empty, not empty
        field = Knowledge.UNKNOWN if self.fieldAssumed else Knowledge.KNOWN
        self.ui.fieldStrengthLabel.text = _("Field {state}").format(state=field.glyph)
        self._showSummary(self.ui.inputsCollapsibleButton.collapsed)

    def _showSummary(self, collapsed: bool) -> None:
        """A folded section says in its title what is in it."""
        listed = " · ".join(row.summary for row in self.rows)
        self.ui.inputsCollapsibleButton.text = _("Inputs: {listed}").format(listed=listed) if collapsed else _("Inputs")

    def fold(self) -> None:
        """Nothing is to be done here any more."""
        self.ui.inputsCollapsibleButton.collapsed = True

    @property
    def knowledge(self) -> Knowledge:
        """The least that is known about any of the images."""
        return worst(row.knowledge for row in self.rows if row.node)

    @property
    def fieldAssumed(self) -> bool:
        """Whether nobody states the field strength."""
        stated = any(row.fieldStrength is not None for row in self.rows if row.node)
        return self.parameters is None or (self.parameters.fieldStrength == 0.0 and not stated)

    def doubt(self) -> str:
        """What is not known that the maps depend on, and what to do; empty where everything that matters is stated."""
        unknown = [ROLE_TITLES[row.role] for row in self.rows if row.node and row.knowledge is Knowledge.UNKNOWN]
        parts = []
        if unknown:
            told = _("Acquisition parameters unknown: {listed}. T1 and T2 may be wrong by half or more. Enter the values above.")
            parts.append(told.format(listed=", ".join(unknown)))
        if self.fieldAssumed:
            parts.append(_("Field strength unknown: 3 T is assumed. Enter it above."))
        return " ".join(parts)

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
        folder = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Folder of one visit (DICOM, BIDS, OASIS-3 or NIfTI)"))
        if folder and self.parameters:
            with toldIn(self.ui.inputsMessageLabel):
                found = self.panel.logic.loadSession(folder)
                self._select({role: found.get(role) for role in ROLE_TITLES})
                showMessage(self.ui.inputsMessageLabel, "\n".join(self.panel.logic.sessionNotes))

    def loadSample(self) -> None:
        """Download the public patient, as a click in the Sample Data module does, and select the images."""
        with toldIn(self.ui.inputsMessageLabel), slicer.util.WaitCursor():
            importlib.import_module("SampleData").downloadSamples(NAMES[_DEMO])
            if self.parameters:
                self._select(defaultInputs(slicer.mrmlScene))

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
