"""Measured PD, T1 and T2 of another method as tissue maps."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..mrml.measured import importMeasured
from ..physics.tissues import PROPERTIES
from ..workflow.analysis.measured_maps import UNITS
from .choices import Choices
from .host import Host
from .section import Section, showMessage, toldIn

_AUTOMATIC = ""


class MeasuredSection(Section):
    """The volumes live in the parameter node."""

    shows = frozenset(("measuredPD", "measuredT1", "measuredT2"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.units = {name: Choices(getattr(ui, f"measured{name}UnitComboBox"), lambda value: None) for name in PROPERTIES}
        for name, choices in self.units.items():
            choices.fill([(_("Automatic"), _AUTOMATIC), *((unit, unit) for unit in UNITS[name])])
            choices.show(_AUTOMATIC)
        ui.importMeasuredButton.connect("clicked(bool)", lambda checked: self.importMaps())

    def _nodes(self) -> dict[str, Any]:
        return {name: getattr(self.parameters, f"measured{name}") for name in PROPERTIES}

    def update(self) -> None:
        """T1 or T2 is needed."""
        nodes = self._nodes() if self.parameters is not None else {}
        self.ui.importMeasuredButton.enabled = nodes.get("T1") is not None or nodes.get("T2") is not None

    def importMaps(self) -> None:
        """Make tissue maps of the chosen volumes, and select them."""
        with toldIn(self.ui.measuredMessageLabel), slicer.util.WaitCursor():
            units = {name: choices.value for name, choices in self.units.items() if choices.value}
            maps = importMeasured(self._nodes(), units, self.ui.measuredFieldSpinBox.value)
            self.panel.useMaps(maps.node)
            told = [_("Tissue maps: {name}.").format(name=maps.node.GetName())]
            told += [_("{name} was taken as {unit}.").format(name=name, unit=m["unit"]) for name, m in maps.report["measured"].items()]
            showMessage(self.ui.measuredMessageLabel, "\n".join((*told, *(f"⚠ {text}" for text in maps.report["warnings"]))))

    def sceneClosing(self) -> None:
        """The maps go with the scene."""
        showMessage(self.ui.measuredMessageLabel, "")
