"""One form for the export as DICOM: whose images they are, which contrasts, and where to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import ImageError
from ..mrml.mapNodes import TissueMapNodes
from ..mrml.preview import protocolOf
from ..physics.protocol import Protocol
from .choices import Choices
from .host import Host
from .protocolText import breakable
from .section import showMessage, toldIn

_ANONYMOUS, _CHOOSE, _OTHER = "", "choose", "source"


class ExportForm:
    """Opens below its button. Whose images they are is chosen anew for other maps, which may be another patient's."""

    def __init__(self, ui: Any, panel: Host) -> None:
        self.ui, self.panel = ui, panel
        self.source, self.folder = "", ""
        self.patients = Choices(ui.exportPatientComboBox, self._patientChosen)
        ui.exportDicomButton.connect("toggled(bool)", lambda pressed: setattr(ui.exportWidget, "visible", pressed))
        ui.exportFolderButton.connect("clicked(bool)", lambda checked: self._chooseFolder())
        ui.exportWriteButton.connect("clicked(bool)", lambda checked: self.write())
        self._offer()

    def update(self) -> None:
        """Nothing can be exported without maps; without a folder neither."""
        self.ui.exportWriteButton.enabled = self.panel.maps is not None and bool(self.folder)
        if self.panel.maps is None:
            self.ui.exportDicomButton.checked = False

    def mapsChanged(self) -> None:
        """Other maps: forget whose the former ones were."""
        self.source = ""
        self._offer()
        self.patients.show(_ANONYMOUS)

    def _offer(self) -> None:
        known = [(_("That of the images in {folder}").format(folder=Path(self.source).name), _OTHER)] if self.source else []
        self.patients.fill([(_("Anonymous"), _ANONYMOUS), *known, (_("That of DICOM images…"), _CHOOSE)])

    def _patientChosen(self, value: str) -> None:
        """The images' folder is asked for where it is needed; without an answer the choice before stays."""
        if value == _CHOOSE:
            self.source = _folder(_("Folder of the DICOM images that the maps come from")) or self.source
            self._offer()
            self.patients.show(_OTHER if self.source else _ANONYMOUS)

    def _chooseFolder(self) -> None:
        self.folder = _folder(_("Folder for the DICOM files")) or self.folder
        self.ui.exportFolderLabel.text = breakable(self.folder) if self.folder else _("No folder is chosen.")
        self.update()

    def _protocols(self, maps: TissueMapNodes) -> list[Protocol]:
        """The present contrast, and those that are ticked under several contrasts."""
        present = [self.panel.protocol.state.protocol()] if self.ui.exportPresentCheckBox.checked else []
        ticked = self.panel.contrasts.ticked if self.ui.exportTickedCheckBox.checked else []
        return [*present, *(protocolOf(maps, name) for name in ticked)]

    def write(self) -> None:
        """Write the maps and the contrasts into the folder; what keeps that from being done is told below."""
        maps = self.panel.maps
        if maps is None:
            return
        with toldIn(self.ui.mapsMessageLabel), slicer.util.WaitCursor():
            replace = self.ui.exportReplaceCheckBox.checked
            if not replace and Path(self.folder).is_dir() and any(Path(self.folder).iterdir()):
                raise ImageError(_("The folder is not empty. Choose another one, or tick 'Replace an earlier export'."))
            protocols, source = self._protocols(maps), self.source if self.patients.value == _OTHER else None
            done = self.panel.logic.exportDicom(maps.node, self.folder, source, protocols, overwrite=replace)
            for protocol in protocols:
                self.panel.protocol.remember(protocol)
            told = _("{count} files in {folder}. Not for diagnosis.").format(count=len(done.files), folder=breakable(self.folder))
            showMessage(self.ui.mapsMessageLabel, "\n\n".join((told, *(f"⚠ {text}" for text in done.warnings))))


def _folder(title: str) -> str:
    """A folder that the user chooses, or empty."""
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)
