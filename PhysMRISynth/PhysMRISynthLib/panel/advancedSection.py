"""What most users leave as it is, the weights, and the log."""

from __future__ import annotations

from functools import partial
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError
from ..network.manifest import present_weights
from .choices import Choices
from .host import Host
from .runText import ROLE_TITLES, memoryText
from .section import Section, toldIn


def _entries() -> dict[str, list[tuple[str, str]]]:
    """The choices of each parameter, as (text, value)."""
    return {
        "register": [(_("When needed"), "when needed"), (_("Always"), "always"), (_("Never"), "never")],
        "reference": [(_("Automatic"), ""), *((title, role) for role, title in ROLE_TITLES.items())],
        "prior": [(_("Automatic"), "auto"), (_("Atlas only"), "literature"), (_("Atlas + neural network"), "network")],
        "device": [
            (_("Automatic"), "auto"), (_("Processor (CPU)"), "cpu"), (_("NVIDIA graphics card (CUDA)"), "cuda"),
            (_("Apple graphics (Metal)"), "mps"),
        ],
    }  # fmt: skip


class AdvancedSection(Section):
    """Registration, prior, device; weights; what happened."""

    shows = frozenset(("register", "reference", "prior", "device"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.choices = {name: Choices(getattr(ui, f"{name}ComboBox"), partial(self._chosen, name)) for name in _entries()}
        for name, entries in _entries().items():
            self.choices[name].fill(entries)
        ui.weightsFolderButton.connect("clicked(bool)", self.openFolder)
        ui.weightsDeleteButton.connect("clicked(bool)", self.deleteWeights)
        ui.weightsFileButton.connect("clicked(bool)", self.chooseWeights)
        ui.logButton.connect("toggled(bool)", lambda pressed: setattr(ui.logTextEdit, "visible", pressed))
        ui.showLogButton.connect("clicked(bool)", lambda checked: self.showLog())

    def _chosen(self, name: str, value: str) -> None:
        if self.parameters:
            setattr(self.parameters, name, value)

    def update(self) -> None:
        """Show the choices, and which weights are installed."""
        if self.parameters:
            for name, choices in self.choices.items():
                choices.show(getattr(self.parameters, name))
        found = present_weights()
        if found is None:
            self.ui.weightsLabel.text = _("None: atlas only")
            self.ui.weightsLabel.toolTip = _("Estimates use the atlas only. Reinstall the extension to get the weights.")
        else:
            path, sha256 = found
            self.ui.weightsLabel.text = _("Installed ({size:.0f} MB)").format(size=path.stat().st_size / 1e6)
            tip = _("Weights of the neural network: {file}, SHA-256 {sha256}")
            self.ui.weightsLabel.toolTip = tip.format(file=path.name, sha256=sha256)
        self.ui.weightsDeleteButton.enabled = self.ui.weightsFolderButton.enabled = found is not None

    def mapsChanged(self) -> None:
        """Show the memory that the selected maps took."""
        self.ui.memoryLabel.text = memoryText(self.panel.report)

    def showLog(self) -> None:
        """Open the log, wherever the panel is."""
        self.ui.advancedCollapsibleButton.collapsed = False
        self.ui.logButton.checked = True
        self.ui.logTextEdit.setFocus()

    def openFolder(self) -> None:
        """Show the weights in the system's file browser."""
        found = present_weights()
        if found is not None:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(found[0].parent)))

    def chooseWeights(self) -> None:
        """Ask for a file of one's own weights, which estimates then use."""
        title = _("Network weights of your own training")
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", "Weights (*.safetensors)")
        if path and self.parameters:
            self.parameters.weights = path

    def deleteWeights(self) -> None:
        """Delete the weights, after asking."""
        found = present_weights()
        question = _("Delete the network weights? Estimates then use the atlas only until the extension is installed again.")
        if found is None or not slicer.util.confirmOkCancelDisplay(question):
            return
        path, _sha256 = found
        with toldIn(self.ui.estimateWarningLabel):
            self.panel.logic.close()  # the worker may hold the file
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                text = _("{path} cannot be deleted ({error}). Delete it as a user who may change this folder, or uninstall the extension.")
                raise PhysMRISynthError(text.format(path=path, error=error.strerror)) from error
            self.panel.log(_("Deleted {name}.").format(name=path.name))
        self.panel.update()
