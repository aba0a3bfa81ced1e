"""Looking at the maps: in the slice views, as a table and as histograms."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ..mrml.display import isColored, legendShown, setColored, setLegendShown, showInSlices
from ..mrml.statistics import updateHistogramPlot, updateStatisticsTable
from .choices import Choices
from .exportForm import ExportForm
from .host import Host
from .runText import ROLE_TITLES
from .section import Section, showMessage, toldIn
from .statisticsText import statisticsHtml

_CONTRAST = ""
"""Instead of a map: the synthetic contrast."""


def quantityTitle(name: str) -> str:
    """A quantity's name for a reader: ``T1_sd`` is the uncertainty of T1."""
    kind, _underscore, rest = name.partition("_")
    titles = {"PD": _("Proton density"), "T1": "T1", "T2": "T2", "tissue": _("Tissues"), "mask": _("Head mask")}
    titles |= {"brain": _("Brain mask"), "fluid_fraction": _("Fluid fraction")}
    if rest == "sd":
        return _("{name}: uncertainty (SD)").format(name=titles[kind])
    if kind in ("fit", "residual"):
        role = ROLE_TITLES.get(rest, rest)
        return (_("{role}: as fitted") if kind == "fit" else _("{role}: residual (%)")).format(role=role)
    return titles.get(name, name)


class MapsSection(Section):
    """Colour and legend live in the display nodes, the chosen quantity in the parameter node."""

    shows = frozenset(("maps", "quantity"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.quantities = Choices(ui.quantityComboBox, self._chosen)
        ui.colorCheckBox.connect("clicked(bool)", lambda checked: self._displayed(setColored, checked))
        ui.legendCheckBox.connect("clicked(bool)", lambda checked: self._displayed(setLegendShown, checked))
        ui.histogramT1Button.connect("clicked(bool)", lambda checked: self.showHistogram("T1"))
        ui.histogramT2Button.connect("clicked(bool)", lambda checked: self.showHistogram("T2"))
        ui.tableButton.connect("clicked(bool)", self.showTable)
        ui.valuesButton.connect("toggled(bool)", self._showValues)
        self.export = ExportForm(ui, panel)

    def _showValues(self, pressed: bool) -> None:
        self.ui.valuesWidget.visible = pressed

    def update(self) -> None:
        """Show the chosen quantity and how it is displayed."""
        if self.parameters is None:
            return
        maps = self.panel.maps
        self.quantities.fill([(_("Synthetic contrast"), _CONTRAST), *((quantityTitle(n), n) for n in (maps.names() if maps else ()))])
        self.quantities.show(self.parameters.quantity)
        node = maps.volume(self.parameters.quantity) if maps and self.parameters.quantity else None
        for widget in (self.ui.colorCheckBox, self.ui.legendCheckBox):
            widget.enabled = node is not None
        if node is not None:
            self.ui.colorCheckBox.checked, self.ui.legendCheckBox.checked = isColored(node), legendShown(node)
        buttons = (self.ui.tableButton, self.ui.histogramT1Button, self.ui.histogramT2Button, self.ui.exportDicomButton)
        for widget in (self.ui.quantityComboBox, self.ui.valuesButton, *buttons):
            widget.enabled = maps is not None
        self.export.update()

    def mapsChanged(self) -> None:
        """Other tissue maps are selected."""
        self.export.mapsChanged()
        self.update()
        showMessage(self.ui.statisticsLabel, statisticsHtml(self.panel.report))

    def showQuantity(self, quantity: str) -> None:
        """Show a map as if the user had chosen it."""
        self._chosen(quantity)
        self.update()

    def _chosen(self, quantity: str) -> None:
        with toldIn(self.ui.mapsMessageLabel):
            self.parameters.quantity = quantity
            if quantity == _CONTRAST:
                self.panel.protocol.render()
            elif self.panel.maps is not None:
                showInSlices(self.panel.maps.volume(quantity))
            self.panel.labels.update()

    def contrastShown(self) -> None:
        """The slice views show the protocol's contrast again, because a slider moved."""
        if self.parameters and self.parameters.quantity != _CONTRAST:
            self.parameters.quantity = _CONTRAST

    def _displayed(self, setter: Any, wanted: bool) -> None:
        node = self.panel.maps.volume(self.parameters.quantity) if self.panel.maps else None
        if node is not None:
            setter(node, wanted)

    def showTable(self) -> None:
        """Compute the statistics of the maps as they are now and show them in a table view."""
        if self.panel.maps is not None:
            with toldIn(self.ui.mapsMessageLabel), slicer.util.WaitCursor():
                table = updateStatisticsTable(self.panel.maps)
                manager, application = slicer.app.layoutManager(), slicer.app.applicationLogic()
                manager.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(manager.layout))
                application.GetSelectionNode().SetActiveTableID(table.GetID())
                application.PropagateTableSelection()

    def showHistogram(self, quantity: str) -> None:
        """Show the histogram of T1 or T2 by tissue in a plot view."""
        if self.panel.maps is not None:
            with toldIn(self.ui.mapsMessageLabel), slicer.util.WaitCursor():
                slicer.modules.plots.logic().ShowChartInLayout(updateHistogramPlot(self.panel.maps, quantity))

    def sceneClosing(self) -> None:
        """The statistics go with the scene."""
        showMessage(self.ui.statisticsLabel, "")
