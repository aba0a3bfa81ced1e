"""The protocol under the user's finger: presets, sliders, preview, undo, compare, keep."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..errors import ProtocolError
from ..physics.presets import load_presets
from ..physics.protocol import Protocol, parse_protocol
from ..physics.sequences import SEQUENCES
from .choices import Choices
from .history import History
from .livePreview import LivePreview
from .parameterRows import ParameterRows
from .protocolState import ProtocolState, noiseOf
from .section import Section, showMessage, toldIn

NOISE = frozenset(("noisy", "snr", "noiseSeed"))
"""The parameters of the noise."""


class ProtocolSection(Section):
    """Sequence, preset and one slider for each parameter; the last picture stays while values contradict each other."""

    shows = frozenset(("maps", "sequence", "preset", "values", "previous", *NOISE))

    def __init__(self, ui: Any, panel: Any) -> None:
        super().__init__(ui, panel)
        self.live = LivePreview(self._rested, self._failed)
        self._presetsFor: str | None = None
        self._ready: bool | None = None
        self.history: History[ProtocolState] = History()
        self.rows = ParameterRows(ui.parametersWidget.layout(), self._moved)
        self.sequences = Choices(ui.sequenceComboBox, lambda name: self._choose(ProtocolState.ofSequence(name)))
        self.sequences.fill([(sequence.title, name) for name, sequence in SEQUENCES.items()])
        self.presets = Choices(ui.presetComboBox, self._presetChosen)
        ui.mapsSelector.addAttribute("vtkMRMLTextNode", "PhysMRISynth.TissueMaps", "1")
        ui.liveCheckBox.connect("clicked(bool)", self.render)
        ui.undoButton.connect("clicked(bool)", lambda checked: self._choose(self.history.undo(), new=False))
        ui.redoButton.connect("clicked(bool)", lambda checked: self._choose(self.history.redo(), new=False))
        ui.compareButton.connect("toggled(bool)", self._compare)
        ui.keepButton.connect("clicked(bool)", self.keep)

    @property
    def state(self) -> ProtocolState:
        """The protocol that the parameter node holds."""
        return ProtocolState.read(self.parameters)

    def update(self) -> None:
        """Show sequence, preset and values, and what can be done with them."""
        if self.parameters is None:
            return
        state = self.state
        self.sequences.show(state.sequence)
        self._fillPresets(state.sequence)
        self.presets.show(state.preset)
        self.rows.show(state.equation, state.values)
        self.ui.snrSpinBox.enabled = self.ui.noiseSeedSpinBox.enabled = self.parameters.noisy
        self._updateButtons()

    def _fillPresets(self, sequence: str) -> None:
        if sequence == self._presetsFor:
            return
        self._presetsFor = sequence
        fitting = [preset for preset in load_presets().values() if preset.protocol.sequence.name == sequence]
        others = [preset for preset in load_presets().values() if preset.protocol.sequence.name != sequence]
        entries = [(_("Own values"), ""), *((preset.title, preset.name) for preset in (*fitting, *others))]
        self.presets.fill(entries, [_("Values set with the sliders."), *(preset.source for preset in (*fitting, *others))])

    def _updateButtons(self) -> None:
        ready = self.live.preview is not None
        self.ui.undoButton.enabled, self.ui.redoButton.enabled = self.history.canUndo, self.history.canRedo
        self.ui.compareButton.enabled = ready and bool(self.parameters.previous)
        if ready == self._ready:
            return
        self._ready = self.ui.keepButton.enabled = ready
        self.ui.keepButton.toolTip = (
            _("Keep the present contrast as a volume of its own, with its protocol and its origin.")
            if ready
            else _("Select tissue maps first: estimate them above.")
        )

    def mapsChanged(self) -> None:
        """Other tissue maps are selected: preview those. Nothing is rendered until the user asks for something."""
        showMessage(self.ui.protocolMessageLabel, "")
        showMessage(self.ui.keptLabel, "")
        self.live.setMaps(self.panel.maps)
        self.history.clear()
        if self.parameters is not None:
            self.history.reached(self.state)
        self.update()

    def _presetChosen(self, name: str) -> None:
        self._choose(ProtocolState.ofPreset(name) if name else ProtocolState(self.state.sequence, "", self.state.values))

    def _choose(self, state: ProtocolState, new: bool = True) -> None:
        """Another protocol at one stroke."""
        self._stopComparing()
        anotherSequence = state.sequence != self.state.sequence
        state.write(self.parameters)
        self._show(newWindow=new or anotherSequence)

    def _moved(self, name: str, value: float) -> None:
        self._stopComparing()
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
            showMessage(self.ui.protocolMessageLabel, str(error))
            return None
        showMessage(self.ui.protocolMessageLabel, self.live.trouble)
        return protocol

    def _failed(self) -> None:
        showMessage(self.ui.protocolMessageLabel, self.live.trouble)
        if self.parameters is not None:
            self._updateButtons()

    def render(self) -> None:
        """Show the present protocol in the slice views, all of it."""
        self._show(newWindow=False)

    def _show(self, newWindow: bool) -> None:
        protocol = self._protocol()
        if protocol is not None:
            self.live.show(protocol, noiseOf(self.parameters), newWindow)

    def _rested(self, protocol: Protocol) -> None:
        """The picture of ``protocol`` stays: one step of the history, however many moves led here."""
        if self.parameters is None or self.ui.compareButton.checked:
            return
        if protocol.values == self.state.protocol().values:
            self.history.reached(self.state)
        if self.history.previous is not None:
            self.parameters.previous = self.history.previous.protocol().spec
        self._updateButtons()
        self.panel.mapsSection.contrastShown()

    def _compare(self, pressed: bool) -> None:
        """Show the previous protocol for as long as the button is pressed in."""
        with toldIn(self.ui.protocolMessageLabel):
            spec = self.parameters.previous if pressed else self.state.protocol().spec
            self.live.show(parse_protocol(spec, "panel"), noiseOf(self.parameters))
            self.panel.mapsSection.contrastShown()
            showMessage(self.ui.compareLabel, _("B, the previous protocol: {spec}").format(spec=spec) if pressed else "")

    def _stopComparing(self) -> None:
        if self.ui.compareButton.checked:
            self.ui.compareButton.checked = False

    def keep(self) -> None:
        """Make the present contrast a volume of its own."""
        self._stopComparing()
        protocol = self._protocol()
        if protocol is None or self.live.preview is None:
            return
        with toldIn(self.ui.protocolMessageLabel):
            self.live.show(protocol, noiseOf(self.parameters))
            node = self.live.preview.keep()
            told = _("Kept in the folder of the maps (Data module): {name}").format(name=node.GetName())
            showMessage(self.ui.keptLabel, told)
            self.panel.log(told)

    def sceneClosing(self) -> None:
        """Forget the preview and the steps."""
        self._stopComparing()
        self.live.setMaps(None)
        self.history.clear()
        showMessage(self.ui.protocolMessageLabel, "")

    def cleanup(self) -> None:
        """Stop the timers."""
        self.live.stop()
