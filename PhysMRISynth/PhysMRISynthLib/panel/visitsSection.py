"""Two visits of one patient: what changed, as maps and tables, and the present contrast of both side by side."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import ImageError
from ..mrml.display import showInSlices
from ..mrml.mapNodes import TissueMapNodes
from ..mrml.sideBySide import SideBySide
from ..mrml.visits import VisitNodes, compareVisits
from ..physics.tissues import PROPERTIES
from .choices import Choices
from .host import Host
from .regionsSection import showTable
from .section import Section, showMessage, toldIn

_SELECTORS = ("earlierSelector", "laterSelector")
_NOTABLE = 2.0


class VisitsSection(Section):
    """The two sets of maps live in the parameter node; the nodes of the last comparison are kept until the scene closes."""

    shows = frozenset(("maps", "earlierMaps", "laterMaps"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.found: VisitNodes | None = None
        self._views: SideBySide | None = None
        self.choices = Choices(ui.visitsShowComboBox, self._show)
        for name in _SELECTORS:
            getattr(ui, name).addAttribute("vtkMRMLTextNode", "PhysMRISynth.TissueMaps", "1")
        ui.compareVisitsButton.connect("clicked(bool)", lambda checked: self.compare())
        ui.visitsSideButton.connect("toggled(bool)", self._side)

    def update(self) -> None:
        """Two different sets of maps can be compared; what was found can be shown."""
        chosen = self.parameters
        able = chosen is not None and None not in (chosen.earlierMaps, chosen.laterMaps) and chosen.earlierMaps is not chosen.laterMaps
        self.ui.compareVisitsButton.enabled = able
        self.ui.visitsShowComboBox.enabled = self.found is not None
        self.ui.visitsSideButton.enabled = bool(self.found and self.found.contrast)

    def compare(self) -> None:
        """Compare the visits and show where T1 changed."""
        with toldIn(self.ui.visitsMessageLabel), slicer.util.WaitCursor():
            showMessage(self.ui.visitsMessageLabel, _("Registering the visits. This takes some seconds."))
            slicer.app.processEvents()
            first, second = (TissueMapNodes.wrap(node) for node in (self.parameters.earlierMaps, self.parameters.laterMaps))
            self.ui.visitsSideButton.checked = False
            self.found = compareVisits(first, second, self.panel.protocol.state.protocol())
            self._offer()
            showTable(self.found.changes)
            self._show("z_T1")
            showMessage(self.ui.visitsMessageLabel, self._summary(self.found))
        self.update()

    def _offer(self) -> None:
        entries = [(_("{name}: z").format(name=name), f"z_{name}") for name in PROPERTIES]
        entries += [(_("{name}: later minus earlier").format(name=name), f"difference_{name}") for name in PROPERTIES]
        self.choices.fill([*entries, (_("Contrast: earlier"), "contrast_0"), (_("Contrast: later"), "contrast_1")])
        self.choices.show("z_T1")

    def _summary(self, found: VisitNodes) -> str:
        """What changed by more than twice its uncertainty, how many spots there are, and the warnings."""
        notable = [c for c in found.comparison.changes if abs(c.z) > _NOTABLE]
        lines = [f"{c.region}: {c.quantity} {c.difference:+.1f} ± {c.sd:.1f} {c.unit} (z {c.z:+.1f})" for c in notable]
        spots = found.comparison.spots
        volume = f"{sum(spot.volume_ml for spot in spots):.2f}"
        lines.append(_("Spots of change: {count}, {volume} ml in all.").format(count=len(spots), volume=volume))
        if not notable:
            lines.insert(0, _("No tissue changed by more than twice its uncertainty."))
        return "\n".join((*lines, *(f"⚠ {text}" for text in found.warnings), _("Not for diagnosis.")))

    def _node(self, value: str) -> Any:
        assert self.found is not None
        kind, _underscore, name = value.partition("_")
        contrast = dict(zip("01", self.found.contrast, strict=False))
        made = {"z": self.found.scores, "difference": self.found.differences, "contrast": contrast}
        node = made[kind].get(name)
        if node is None or not slicer.mrmlScene.IsNodePresent(node):
            raise ImageError(_("This volume is not in the scene any more. Compare the visits again."))
        return node

    def _show(self, value: str) -> None:
        with toldIn(self.ui.visitsMessageLabel):
            if self.found is not None:
                self.ui.visitsSideButton.checked = False
                showInSlices(self._node(value))

    def _side(self, pressed: bool) -> None:
        with toldIn(self.ui.visitsMessageLabel):
            if pressed and self.found is not None:
                showInSlices(self._node("contrast_0"))
                self._views = SideBySide(self._node("contrast_1"))
            elif self._views is not None:
                self._views.end()
                self._views = None

    def sceneClosing(self) -> None:
        """The comparison goes with the scene."""
        self._views, self.found = None, None
        self.ui.visitsSideButton.checked = False
        showMessage(self.ui.visitsMessageLabel, "")
        self.update()
