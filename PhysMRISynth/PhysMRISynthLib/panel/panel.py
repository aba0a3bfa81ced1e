"""The panel: its sections, the parameter node that they show, and the tissue maps that they share."""

from __future__ import annotations

import logging
import time
from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..errors import PhysMRISynthError
from ..mrml.annotation import SyntheticLabels
from ..mrml.mapNodes import TissueMapNodes
from .advancedSection import AdvancedSection
from .contrastsSection import ContrastsSection
from .designSection import DesignSection
from .estimateSection import EstimateSection
from .inputsSection import InputsSection
from .installation import ensureInstalled, ensureSampling
from .keyboard import WheelGuard
from .mapsSection import MapsSection
from .measuredSection import MeasuredSection
from .protocolSection import NOISE, ProtocolSection
from .regionsSection import RegionsSection
from .remedies import inPanel
from .sampleSection import SampleSection
from .section import Section
from .visitsSection import VisitsSection

_log = logging.getLogger(__name__)


class Panel(VTKObservationMixin):
    """Everything below the module's header. ``ui`` holds the widgets of Resources/UI/PhysMRISynth.ui by name.

    Opening it loads neither torch nor weights. ``maps`` are the selected tissue maps, or None; ``report`` is theirs; ``shown`` tells
    whether the module is the one that the user sees.
    """

    def __init__(self, ui: Any, logic: Any, parameterNode: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        self.ui, self.logic = ui, logic
        self.parameterNode: Any = None
        self.maps: TissueMapNodes | None = None
        self.report: dict[str, Any] = {}
        self.shown = False
        self._guiTag: Any = None
        self._observerTag: Any = None
        self._values: dict[str, Any] = {}
        self.guard, self.labels = WheelGuard(), SyntheticLabels()
        self.inputs = InputsSection(ui, self)
        self.estimate = EstimateSection(ui, self)
        self.sample = SampleSection(ui, self)
        self.mapsSection = MapsSection(ui, self)
        self.protocol = ProtocolSection(ui, self)
        self.design = DesignSection(ui, self)
        self.contrasts = ContrastsSection(ui, self)
        self.uses = (RegionsSection(ui, self), VisitsSection(ui, self), self.contrasts, MeasuredSection(ui, self))
        self.advanced = AdvancedSection(ui, self)
        self.guard.watchBelow(ui.PhysMRISynth)
        self.setParameterNode(parameterNode)
        self.addObserver(slicer.mrmlScene, slicer.vtkMRMLScene.NodeAddedEvent, self._nodeAdded)

    def _nodeAdded(self, caller: Any = None, event: Any = None) -> None:
        self.inputs.sceneGrew()

    @property
    def sections(self) -> tuple[Section, ...]:
        """In the order of work."""
        return self.inputs, self.estimate, self.mapsSection, self.protocol, self.design, *self.uses, self.sample, self.advanced

    def setParameterNode(self, node: Any) -> None:
        """Show another parameter node from now on; None: none."""
        if self.parameterNode is not None:
            self.parameterNode.disconnectGui(self._guiTag)
            self.parameterNode.RemoveObserver(self._observerTag)
        self.parameterNode = node
        if node is not None:
            self._guiTag = node.connectGui(self.ui)
            self._observerTag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._modified)  # the mixin would keep every node alive
        self._changed()
        self._takeMaps()
        self.update()

    def _modified(self, caller: Any = None, event: Any = None) -> None:
        changed = self._changed()
        self._takeMaps()
        for section in self.sections:
            if section.shows & changed:
                section.update()
        if NOISE & changed:
            self.protocol.noiseChanged()

    def _changed(self) -> set[str]:
        """The parameters that are others than at the last call; a slider's move concerns one section of six."""
        node, before = self.parameterNode, self._values
        self._values = {name: getattr(node, name) for name in node.allParameters} if node is not None else {}
        return {name for name, value in self._values.items() if name not in before or before[name] != value}

    def _takeMaps(self) -> None:
        """Take up the selected tissue maps when they are others than before."""
        node = self.parameterNode.maps if self.parameterNode else None
        if node is (self.maps.node if self.maps else None):
            return
        self.maps, self.report = None, {}
        try:
            if node is not None:
                found = TissueMapNodes.wrap(node)
                self.maps, self.report = found, found.report
        except PhysMRISynthError as error:
            self.log(inPanel(error))
        self.estimate.showResult()
        self.protocol.mapsChanged()
        self.design.mapsChanged()
        self.mapsSection.mapsChanged()
        self.advanced.mapsChanged()

    def useMaps(self, node: Any) -> None:
        """Select tissue maps that have just been made, and show their T1."""
        if self.parameterNode is not None and node is not None:
            self.parameterNode.maps = node
            self.mapsSection.showQuantity("T1")

    def update(self) -> None:
        """Let every section show the parameter node's values."""
        for section in self.sections:
            section.update()

    def ensureInstalled(self) -> bool:
        """Whether the packages for an estimate are there; asks before it installs any."""
        return ensureInstalled(self.parameterNode.prior)

    def ensureSampling(self) -> bool:
        """Whether the packages for sampling are there; asks before it installs any."""
        return ensureSampling()

    def log(self, text: str) -> None:
        """Add a line to the log below Advanced."""
        _log.info(text)
        self.ui.logTextEdit.appendPlainText(f"{time.strftime('%H:%M:%S')}  {text}")

    def enter(self) -> None:
        """The user opened the module: select inputs when none are."""
        self.shown = True
        self.protocol.enableKeys(True)
        self.inputs.chooseDefaults()
        self.update()

    def exit(self) -> None:
        """The user went to another module: a running estimate goes on."""
        self.shown = False
        self.protocol.enableKeys(False)

    def cleanup(self) -> None:
        """The panel is about to be destroyed."""
        self.setParameterNode(None)
        self.removeObservers()
        self.labels.remove()
        for section in self.sections:
            section.cleanup()

    def onSceneStartClose(self) -> None:
        """Forget the scene before its nodes go."""
        for section in self.sections:
            section.sceneClosing()
        self.setParameterNode(None)

    def onSceneEndClose(self) -> None:
        """A new, empty scene: the entry gives a new parameter node when the panel is shown."""
        if self.parameterNode is None and slicer.mrmlScene is not None:
            self.setParameterNode(self.logic.getParameterNode())
