"""Comparing the present contrast with B (acquired, another contrast, another visit, a saved volume): by a key, or side by side."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError, ProtocolError
from ..mrml.display import setWindow, showInSlices
from ..mrml.folder import takeOut
from ..mrml.headers import QUANTITY
from ..mrml.mapNodes import INPUT, PREVIEW, TISSUE_MAPS, TissueMapNodes
from ..mrml.preview import renderContrast
from ..mrml.sideBySide import SideBySide
from ..physics.protocol import Protocol, parse_protocol
from ..workflow.rendering.contrast_choice import caption
from .choices import Choices
from .host import Host
from .livePreview import LivePreview
from .protocolState import ProtocolState, noiseOf
from .runText import ROLE_TITLES
from .section import showMessage, toldIn
from .styles import PRESSED

PREVIOUS, SET = "previous", "b"
_ACQUIRED, _SAVED, _VISIT = "acquired:", "volume:", "visit:"


class Owner(typing.Protocol):
    """The contrast section, as far as a comparison needs it."""

    ui: Any
    panel: Host
    live: LivePreview

    @property
    def parameters(self) -> Any: ...

    @property
    def state(self) -> ProtocolState: ...


class Comparison:
    """Owns the row B of the contrast section; what B is lives in the parameter node."""

    def __init__(self, section: Owner, back: Callable[[], None]) -> None:
        self.section, self.ui, self._back = section, section.ui, back
        self.choices = Choices(self.ui.compareComboBox, self._chosen)
        self.ui.compareButton.connect("toggled(bool)", self._flip)
        self.ui.sideBySideButton.connect("toggled(bool)", self._side)
        for button in (self.ui.compareButton, self.ui.sideBySideButton):
            button.setStyleSheet(PRESSED)
        self.ui.setBButton.connect("clicked(bool)", lambda checked: self.setB())
        self._views: SideBySide | None = None
        self._rendered: Any = None

    @property
    def flipped(self) -> bool:
        """Whether the views show B instead of the contrast."""
        return bool(self.ui.compareButton.checked)

    def offer(self) -> None:
        """List what there is to compare with."""
        self.choices.fill(self._entries())

    def update(self, ready: bool) -> None:
        """Show what B is, and whether it can be compared with."""
        self.choices.show(self.section.parameters.compareWith)
        able = ready and self._isThere(self.section.parameters.compareWith)
        self.ui.compareButton.enabled = self.ui.sideBySideButton.enabled = able
        self.ui.setBButton.enabled = ready

    def _entries(self) -> list[tuple[str, str]]:
        parameters, maps = self.section.parameters, self.section.panel.maps
        found = [(_("Previous contrast{values}").format(values=_values(parameters.previous)), PREVIOUS)]
        if parameters.protocolB:
            found.append((_("Set as B{values}").format(values=_values(parameters.protocolB)), SET))
        if maps is not None:
            for role in ROLE_TITLES:
                if maps.volume(f"{INPUT}{role}") is not None:
                    found.append((_("Acquired {role}").format(role=ROLE_TITLES[role]), f"{_ACQUIRED}{role}"))
            others = (other.node for other in TissueMapNodes.all(maps.node.GetScene()) if other.node is not maps.node)
            found += [(_("This contrast of {maps}").format(maps=node.GetName()), f"{_VISIT}{node.GetID()}") for node in others]
            found += [(node.GetName(), f"{_SAVED}{node.GetID()}") for node in self._saved(maps)]
        return found

    def _saved(self, maps: Any) -> list[Any]:
        """The renderings of these maps that were saved."""
        scene, kind = maps.node.GetScene(), "vtkMRMLScalarVolumeNode"
        nodes = (scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind)))
        ours = (node for node in nodes if node.GetAttribute(QUANTITY) == "rendering" and node.GetNodeReference(TISSUE_MAPS) is maps.node)
        return [node for node in ours if node not in (maps.volume(PREVIEW), self._rendered)]

    def _isThere(self, choice: str) -> bool:
        return bool(self._protocol(choice)) or self._node(choice) is not None or self._visit(choice) is not None

    def _protocol(self, choice: str) -> str:
        """The spec of B where B is a contrast."""
        parameters = self.section.parameters
        return {PREVIOUS: parameters.previous, SET: parameters.protocolB}.get(choice, "")

    def _node(self, choice: str) -> Any:
        """The volume of B where B is one."""
        maps = self.section.panel.maps
        if choice.startswith(_ACQUIRED) and maps is not None:
            return maps.volume(f"{INPUT}{choice.removeprefix(_ACQUIRED)}")
        return slicer.mrmlScene.GetNodeByID(choice.removeprefix(_SAVED)) if choice.startswith(_SAVED) else None

    def _visit(self, choice: str) -> TissueMapNodes | None:
        """The other maps where B is the present contrast of these."""
        if not choice.startswith(_VISIT):
            return None
        wanted = choice.removeprefix(_VISIT)
        return next((maps for maps in TissueMapNodes.all(slicer.mrmlScene) if maps.node.GetID() == wanted), None)

    def _chosen(self, value: str) -> None:
        self.section.parameters.compareWith = value
        with toldIn(self.ui.protocolMessageLabel):
            if self.flipped:
                self._showB()
            if self._views is not None:
                self._views.show(self._volumeOfB())

    def setB(self) -> None:
        """The present contrast is B from now on."""
        with toldIn(self.ui.protocolMessageLabel):
            parameters = self.section.parameters
            parameters.protocolB = self.section.state.protocol().spec
            self.offer()
            parameters.compareWith = SET

    def stop(self) -> None:
        """The contrast is to be seen again."""
        if self.flipped:
            self.ui.compareButton.checked = False

    def _flip(self, pressed: bool) -> None:
        """Show B for as long as the button is pressed in; the sliders, which are A's, are dimmed meanwhile."""
        self.ui.parametersWidget.enabled = self.ui.presetButtonsWidget.enabled = not pressed
        if self.section.parameters is None:  # the panel is closing
            return
        with toldIn(self.ui.protocolMessageLabel):
            if pressed:
                self._showB()
            else:
                showMessage(self.ui.compareLabel, "")
                self._back()
                if self._views is None:
                    self._forgetRendered()
        self.section.panel.mapsSection.contrastShown()
        self.section.panel.labels.update()

    def contrastRested(self) -> None:
        """The present contrast is another: so is that of another visit beside it."""
        if self._views is not None and self._visit(self.section.parameters.compareWith) is not None:
            with toldIn(self.ui.protocolMessageLabel):
                self._volumeOfB()

    def _showB(self) -> None:
        choice = self.section.parameters.compareWith
        spec, visit = self._protocol(choice), self._visit(choice)
        if spec:
            protocol = parse_protocol(spec, "panel")
            self.section.live.show(protocol, noiseOf(self.section.parameters))
            shown = caption(protocol)
        else:
            node = self._volumeOfB()
            self.section.live.stop()
            showInSlices(node)
            contrast = caption(self.section.state.protocol())
            shown = node.GetName() if visit is None else _("{contrast} of {maps}").format(contrast=contrast, maps=visit.title)
        showMessage(self.ui.compareLabel, _("The views show B: {shown}").format(shown=shown))

    def _side(self, pressed: bool) -> None:
        with toldIn(self.ui.protocolMessageLabel):
            if pressed:
                self._views = SideBySide(self._volumeOfB())
            else:
                self.endSideBySide()
        self.section.panel.labels.update()

    def _volumeOfB(self) -> Any:
        """The volume of B; a contrast is rendered into one of its own."""
        choice, maps = self.section.parameters.compareWith, self.section.panel.maps
        spec, visit = self._protocol(choice), self._visit(choice)
        if visit is not None:
            return self._sameOf(visit)
        if not spec or maps is None:
            node = self._node(choice)
            if node is None:
                raise ProtocolError(_("There is nothing to compare with. Choose B first."))
            return node
        self._forgetRendered()
        self._rendered = renderContrast(maps, parse_protocol(spec, "panel"))
        return self._rendered

    def _sameOf(self, visit: TissueMapNodes) -> Any:
        """The present contrast of other maps, in the window of the present one: what is as bright has as much signal."""
        if self._rendered is not None and self._rendered.GetNodeReference(TISSUE_MAPS) is not visit.node:
            self._forgetRendered()
        self._rendered = renderContrast(visit, self.section.state.protocol(), self._rendered, noiseOf(self.section.parameters))
        preview = self.section.live.preview
        if preview is not None and preview.node is not None:
            shown = preview.node.GetDisplayNode()
            setWindow(self._rendered, shown.GetWindowLevelMin(), shown.GetWindowLevelMax())
        return self._rendered

    def endSideBySide(self) -> None:
        """Back to the layout before."""
        views, self._views = self._views, None
        if views is not None:
            views.end()
        self._forgetRendered()

    def _forgetRendered(self) -> None:
        node, self._rendered = self._rendered, None
        if node is not None and node.GetScene() is not None:
            scene, displays = node.GetScene(), [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
            takeOut(scene, node)
            for gone in (*displays, node):
                scene.RemoveNode(gone)

    def sceneClosing(self) -> None:
        """Its nodes go with the scene."""
        self._views = self._rendered = None
        for button in (self.ui.compareButton, self.ui.sideBySideButton):
            blocked = button.blockSignals(True)
            button.checked = False
            button.blockSignals(blocked)


def _values(spec: str) -> str:
    """`` (FLAIR · TR …)``, or nothing."""
    try:
        protocol: Protocol | None = parse_protocol(spec, "panel") if spec else None
    except PhysMRISynthError:
        return ""
    return f" ({caption(protocol)})" if protocol is not None else ""
