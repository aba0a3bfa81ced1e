"""The section of the synthetic contrast: presets, sliders, preview, undo, compare, save."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from ..errors import PhysMRISynthError, ProtocolError
from ..physics.contrast import TissuePoint
from ..physics.presets import all_presets
from ..physics.protocol import Protocol
from ..physics.sequences import OWN_SEQUENCES, SEQUENCES
from ..workflow.estimation.knowledge import specs_in
from ..workflow.rendering.head_points import head_points
from .choices import Choices
from .comparison import Comparison
from .favourites import Favourites, addRecent, recentSpecs
from .history import History
from .host import Host
from .keyboard import shortcut
from .livePreview import LivePreview
from .parameterRows import ParameterRows
from .presetChoice import ACQUIRED, RECENT, entries, makeButtons, noteHtml, presetTip, signalsText
from .protocolState import ProtocolState, noiseOf
from .protocolText import contradiction
from .remedies import inPanel
from .section import Section, showMessage, toldIn

NOISE = frozenset(("noisy", "snr", "noiseSeed"))
"""The parameters of the noise."""


class ProtocolSection(Section):
    """Sequence, preset and one slider for each parameter; the last picture stays while values contradict each other."""

    shows = frozenset(("maps", "sequence", "preset", "values", "previous", "protocolB", "compareWith", *NOISE))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.live = LivePreview(self._rested, self._failed)
        self.history: History[ProtocolState] = History()
        self.rows = ParameterRows(ui.parametersWidget.layout(), self._moved, panel.guard, ui.sequenceComboBox)
        self.buttons = makeButtons(ui.presetButtonsWidget, ui.exportWriteButton, self.choosePreset)
        self.sequences = Choices(ui.sequenceComboBox, lambda name: self._choose(ProtocolState.ofSequence(name, self.points)))
        self.presets = Choices(ui.presetComboBox, self.choosePreset)
        self.favourites = Favourites(ui, self._present, self._listsChanged, self._use)
        self.comparison = Comparison(self, self.render)
        self._points: Mapping[str, TissuePoint] | None = None
        self._consistent = True
        self._fillLists()
        ui.mapsSelector.addAttribute("vtkMRMLTextNode", "PhysMRISynth.TissueMaps", "1")
        ui.liveCheckBox.connect("clicked(bool)", self.render)
        ui.undoButton.connect("clicked(bool)", lambda checked: self._choose(self.history.undo(), new=False))
        ui.redoButton.connect("clicked(bool)", lambda checked: self._choose(self.history.redo(), new=False))
        ui.keepButton.connect("clicked(bool)", self.keep)
        ui.moreButton.connect("toggled(bool)", self._showMore)
        keys = {"Ctrl+Z": ui.undoButton, "Ctrl+Y": ui.redoButton, "C": ui.compareButton, "K": ui.keepButton}
        self._keys = [shortcut(key, ui.protocolCollapsibleButton, button.click) for key, button in keys.items()]

    @property
    def state(self) -> ProtocolState:
        """The contrast that the parameter node holds."""
        return ProtocolState.read(self.parameters)

    @property
    def points(self) -> Mapping[str, TissuePoint] | None:
        """The tissues of the selected maps with their values, or None without maps."""
        maps = self.panel.maps
        if self._points is None and maps is not None:
            try:
                self._points = head_points(maps.shownMaps(), self.panel.report)
            except PhysMRISynthError:
                return None  # a map is missing, which the preview tells
        return self._points

    @property
    def fieldStrength(self) -> float:
        """Of the selected maps, in tesla."""
        return float(self.panel.report.get("field_strength_tesla") or 3.0)

    def enableKeys(self, enabled: bool) -> None:
        """The keys are this module's only while it is shown."""
        for key in self._keys:
            key.enabled = enabled

    def update(self) -> None:
        """Show sequence, preset and values, and what can be done with them."""
        if self.parameters is None:
            return
        state = self.state
        if self.comparison.choices.value is None:
            self.comparison.offer()
        self.sequences.show(state.sequence)
        self.presets.show(state.preset)
        self.rows.show(state.equation, state.values)
        self.favourites.update(state.preset)
        self.ui.snrSpinBox.enabled = self.ui.noiseSeedSpinBox.enabled = self.parameters.noisy
        self.ui.sequenceComboBox.toolTip = _("The pulse sequence: {title}").format(title=state.equation.title)
        self._showNotes(state)
        self._updateButtons()

    def _fillLists(self) -> None:
        """Offer every sequence and preset; a slider's move does not change them."""
        self.sequences.fill([(sequence.title, name) for name, sequence in {**SEQUENCES, **OWN_SEQUENCES}.items()])
        field = self.fieldStrength if self.panel.maps is not None else None
        self.presets.fill(*entries(field, self.panel.report, recentSpecs()))

    def _showNotes(self, state: ProtocolState) -> None:
        preset = all_presets().get(state.preset)
        try:
            protocol: Protocol | None = state.protocol()
        except ProtocolError:
            protocol = None
        self._consistent = protocol is not None
        showMessage(self.ui.presetNoteLabel, noteHtml(preset, protocol, self.points, self.fieldStrength))
        self.ui.presetNoteLabel.toolTip = presetTip(preset) if preset is not None else ""
        showMessage(self.ui.signalsLabel, signalsText(protocol, self.points))

    def _updateButtons(self) -> None:
        ready = self.live.preview is not None
        for widget in (self.ui.presetButtonsWidget, self.ui.parametersWidget):
            widget.enabled = ready and not self.comparison.flipped
        for widget in (self.ui.presetComboBox, self.ui.sequenceComboBox, self.ui.favouriteButton):
            widget.enabled = ready
        self.ui.undoButton.enabled, self.ui.redoButton.enabled = self.history.canUndo, self.history.canRedo
        self.ui.keepButton.enabled = ready and self._consistent
        self.ui.keepButton.toolTip = self._keepTip(ready)
        self.comparison.update(ready and self._consistent)

    def _keepTip(self, ready: bool) -> str:
        if not ready:
            return _("Select tissue maps first: estimate them above.")
        if not self._consistent:
            return _("The marked values contradict each other. Change them first.")
        return _("Save the present contrast as a volume of its own, with its protocol and its origin (K).")

    def _showMore(self, pressed: bool) -> None:
        self.ui.moreWidget.visible = pressed
        self.rows.showReadout(pressed)

    def mapsChanged(self) -> None:
        """Other tissue maps are selected: what a preset nulls is solved for them. Nothing is rendered until the user asks for something."""
        showMessage(self.ui.protocolMessageLabel, "")
        showMessage(self.ui.keptLabel, "")
        self.comparison.stop()
        self.ui.sideBySideButton.checked = False
        self._points = None
        self.live.setMaps(self.panel.maps)
        self.history.clear()
        self._fillLists()
        if self.parameters is not None:
            self.comparison.offer()
            if self.state.preset in all_presets() and self.points is not None:
                ProtocolState.ofPreset(self.state.preset, self.points).write(self.parameters)
            self.history.reached(self.state)
        self.update()

    def choosePreset(self, name: str) -> None:
        """Show a preset, solved for the selected maps; also the protocol of an input and one that was saved lately."""
        with toldIn(self.ui.protocolMessageLabel):
            if name.startswith(ACQUIRED):
                state = ProtocolState.ofSpec(specs_in(self.panel.report)[name.removeprefix(ACQUIRED)])
                self._choose(ProtocolState(state.sequence, name, state.values))
            elif name.startswith(RECENT):
                self._choose(ProtocolState.ofSpec(name.removeprefix(RECENT)))
            elif name:
                self._choose(ProtocolState.ofPreset(name, self.points))
            else:
                self._choose(ProtocolState(self.state.sequence, "", self.state.values))

    def _use(self, name: str) -> None:
        """Show one of the user's own presets or sequences."""
        self._choose(ProtocolState.ofPreset(name, self.points) if name in all_presets() else ProtocolState.ofSequence(name, self.points))

    def useProtocol(self, protocol: Protocol) -> None:
        """Show a protocol that was solved or designed."""
        self._choose(ProtocolState(protocol.sequence.name, "", dict(protocol.values)))

    def _present(self) -> tuple[str, Protocol | None]:
        """The present preset's name, and the protocol unless its values contradict each other."""
        try:
            return self.state.preset, self.state.protocol()
        except ProtocolError:
            return self.state.preset, None

    def _listsChanged(self) -> None:
        self._fillLists()
        if self.parameters is not None:
            self.update()

    def _choose(self, state: ProtocolState, new: bool = True) -> None:
        """Another contrast at one stroke."""
        self.comparison.stop()
        anotherSequence = state.sequence != self.state.sequence
        state.write(self.parameters)
        self._show(newWindow=new or anotherSequence)

    def _moved(self, name: str, value: float) -> None:
        self.comparison.stop()
        self.state.changed(name, value).write(self.parameters)
        protocol = self._protocol()
        if protocol is not None:
            self.live.moved(protocol, noiseOf(self.parameters), self.parameters.live)

    def noiseChanged(self) -> None:
        """The noise parameters are others, by the user, a script or undo: render with them."""
        protocol = self._protocol() if self.live.preview is not None else None
        if protocol is not None:
            self.live.moved(protocol, noiseOf(self.parameters), self.parameters.live)

    def _protocol(self) -> Protocol | None:
        """The present protocol; where values contradict each other the message says how, and nothing is rendered."""
        try:
            protocol = self.state.protocol()
        except ProtocolError as error:
            self.live.stop()
            self._showContradiction(inPanel(error))
            return None
        self.rows.mark(protocol.sequence.name, ())
        showMessage(self.ui.protocolMessageLabel, self.live.trouble)
        return protocol

    def _showContradiction(self, told: str) -> None:
        """Beside the sliders whose values contradict each other; the views keep the last contrast, which they name."""
        state = self.state
        text, names = contradiction(told, state.equation)
        self.rows.mark(state.sequence, names)
        stays = _("The views still show the contrast before.") if self.live.preview is not None else ""
        showMessage(self.ui.protocolMessageLabel, f"{text} {stays}".strip())

    def _failed(self) -> None:
        showMessage(self.ui.protocolMessageLabel, self.live.trouble)
        if self.parameters is not None:
            self._updateButtons()

    def render(self) -> None:
        """Show the present contrast in the slice views, all of it."""
        self._show(newWindow=False)

    def _show(self, newWindow: bool) -> None:
        protocol = self._protocol()
        if protocol is not None:
            self.live.show(protocol, noiseOf(self.parameters), newWindow)
            self.panel.labels.update()

    def _rested(self, protocol: Protocol) -> None:
        """The picture of ``protocol`` stays: one step of the history, however many moves led here."""
        if self.parameters is None or self.comparison.flipped:
            return
        if protocol.values == self.state.protocol().values:
            self.history.reached(self.state)
        if self.history.previous is not None:
            self.parameters.previous = self.history.previous.protocol().spec
        self.comparison.offer()
        self.comparison.contrastRested()
        self._updateButtons()
        self.panel.labels.update()
        self.panel.mapsSection.contrastShown()
        self.panel.design.contrastChanged()

    def keep(self) -> None:
        """Make the present contrast a volume of its own."""
        self.comparison.stop()
        protocol = self._protocol()
        if protocol is None or self.live.preview is None:
            return
        with toldIn(self.ui.protocolMessageLabel):
            self.live.show(protocol, noiseOf(self.parameters))
            node = self.live.preview.keep()
            self.remember(protocol)
            self.comparison.offer()
            told = _("Saved in the folder of the maps (Data module): {name}").format(name=node.GetName())
            showMessage(self.ui.keptLabel, told)
            self.panel.log(told)
            self._updateButtons()

    def remember(self, protocol: Protocol) -> None:
        """The protocol was saved or exported: offer it among the recent ones."""
        addRecent(protocol.spec)
        self._fillLists()

    def sceneClosing(self) -> None:
        """Forget the preview and the steps."""
        self.comparison.sceneClosing()
        self._points = None
        self.live.setMaps(None)
        self.history.clear()
        showMessage(self.ui.protocolMessageLabel, "")

    def cleanup(self) -> None:
        """Stop the timers."""
        self.live.stop()
        self.enableKeys(False)
