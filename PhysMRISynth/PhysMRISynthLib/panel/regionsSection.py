"""Regions and volumes: segment the tissues, measure any segmentation, and the volumes of the brain, as tables."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..mrml.mapNodes import TissueMapNodes
from ..mrml.regions import measureRegions, measureVolumes
from ..mrml.segmentation import tissueSegmentation
from .host import Host
from .section import Section, showMessage, toldIn


def showTable(table: Any) -> None:
    """Show a table node in Slicer's layout with a table."""
    manager, application = slicer.app.layoutManager(), slicer.app.applicationLogic()
    manager.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(manager.layout))
    application.GetSelectionNode().SetActiveTableID(table.GetID())
    application.PropagateTableSelection()


def chosenMaps(section: Section) -> TissueMapNodes:
    """The selected maps. Raises ImageError when there are none."""
    maps = section.panel.maps
    return maps if maps is not None else TissueMapNodes.wrap(None)


class RegionsSection(Section):
    """The segmentation lives in the parameter node."""

    shows = frozenset(("maps", "regions"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        ui.tissueSegmentationButton.connect("clicked(bool)", lambda checked: self.segment())
        ui.measureRegionsButton.connect("clicked(bool)", lambda checked: self.measure())
        ui.measureVolumesButton.connect("clicked(bool)", lambda checked: self.volumes())

    def update(self) -> None:
        """A button works when there is something to work on."""
        there = self.panel.maps is not None
        self.ui.tissueSegmentationButton.enabled = self.ui.measureVolumesButton.enabled = there
        self.ui.measureRegionsButton.enabled = there and self.parameters is not None and self.parameters.regions is not None

    def segment(self) -> None:
        """Make the segmentation of the tissues, and choose it."""
        with toldIn(self.ui.regionsMessageLabel), slicer.util.WaitCursor():
            node = tissueSegmentation(chosenMaps(self))
            self.parameters.regions = node
            showMessage(self.ui.regionsMessageLabel, _("Segmentation of the tissues: {name}.").format(name=node.GetName()))

    def measure(self) -> None:
        """Measure the chosen segmentation into a table."""
        with toldIn(self.ui.regionsMessageLabel), slicer.util.WaitCursor():
            table = measureRegions(chosenMaps(self), self.parameters.regions)
            showTable(table)
            told = _("Measured into the table {name}. The uncertainty is that of each mean; the maps are estimates.")
            showMessage(self.ui.regionsMessageLabel, told.format(name=table.GetName()))

    def volumes(self) -> None:
        """Measure the volumes into a table."""
        with toldIn(self.ui.regionsMessageLabel), slicer.util.WaitCursor():
            table = measureVolumes(chosenMaps(self))
            showTable(table)
            showMessage(self.ui.regionsMessageLabel, _("Volumes in the table {name}.").format(name=table.GetName()))

    def sceneClosing(self) -> None:
        """What was measured goes with the scene."""
        showMessage(self.ui.regionsMessageLabel, "")
