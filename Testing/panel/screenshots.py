"""Pictures of the panel and of what the slice views show, written into a folder: ``python Testing/panel/screenshots.py Resources``.

With ``--states`` every state of the panel instead, light and dark, 300 and 400 pixels wide.

Everything is made from the simulated example head, so that the pictures show nobody and come out the same each time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "PhysMRISynth")) if path not in sys.path]

import numpy as np  # noqa: E402 (the paths come first)
import slicer  # noqa: E402
from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402

from PhysMRISynthLib.physics.presets import load_presets  # noqa: E402
from PhysMRISynthLib.workflow.examples.example import example_head  # noqa: E402
from PhysMRISynthLib.workflow.examples.small_head import small_head  # noqa: E402
from PhysMRISynthLib.workflow.worker.jobs import Failed, Progress  # noqa: E402
from Testing.panel.estimates import FakeClient, addImages, finish  # noqa: E402
from Testing.panel.harness import DrivenPanel, application, drivenPanel  # noqa: E402

_HEADERS = {
    "t1w": {"RepetitionTime": 2.4, "EchoTime": 0.00316, "InversionTime": 1.0, "FlipAngle": 8, "MagneticFieldStrength": 3},
    "flair": {"RepetitionTime": 9.0, "EchoTime": 0.09, "InversionTime": 2.5, "MagneticFieldStrength": 3},
}
_WARNING = "flair: the echo train length (150 ms) is assumed. Enter it under Inputs if you know it."
_POOR = "Poor fit: t1w 6.0 %, flair 5.9 %, t2w 5.6 % (good: below 5 %). Most likely a wrong sequence or TR, TE, TI; otherwise motion."
_FAILURE = "There was not enough memory. Close other programs, or choose larger voxels under Advanced."
_CONTRASTS = ("synthetic-t1w", "synthetic-t2w", "synthetic-pdw", "synthetic-flair", "synthetic-stir", "synthetic-dir")
_WIDTHS = (300, 400)
_MAPS = ("PD", "T1", "T2")
_VIEW = (160, 190)
"""Width and height of a slice view in pixels."""


def main(arguments: list[str] | None = None) -> int:
    """Write panel.png, panel_sections.png and slices.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--states", action="store_true", help="every state, light and dark, narrow and wide")
    options = parser.parse_args(arguments)
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if options.states:
        for theme, palette in (("light", None), ("dark", darkPalette())):
            _states(folder, theme, palette)
        return 0
    client = FakeClient()
    with _sameEverywhere(client), drivenPanel() as driven, tempfile.TemporaryDirectory() as files:
        _estimate(driven, client, Path(files))
        _save(driven.picture(), folder / "panel.png")
        _openOthers(driven)
        _save(driven.picture(), folder / "panel_sections.png")
        _save(_contactSheet(driven), folder / "slices.png")
    return 0


@contextmanager
def _sameEverywhere(client: FakeClient) -> Iterator[None]:
    """A worker that answers at once, and a computer of eight cores and 32 GB."""
    memory = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 7_812_500}
    with (
        patch("PhysMRISynthLib.mrml.estimation.newClient", lambda: client),
        patch("os.cpu_count", lambda: 8),
        patch("os.sysconf", memory.__getitem__),
        patch("os.sysconf_names", memory),
    ):
        yield


def darkPalette() -> QtGui.QPalette:
    """Colours like those of Slicer's dark style."""
    palette, role = QtGui.QPalette(QtGui.QColor(53, 53, 53)), QtGui.QPalette.ColorRole
    for name, grey in (("Window", 53), ("Base", 35), ("AlternateBase", 45), ("Button", 53), ("ToolTipBase", 35)):
        palette.setColor(getattr(role, name), QtGui.QColor(grey, grey, grey))
    for name in ("WindowText", "Text", "ButtonText", "ToolTipText"):
        palette.setColor(getattr(role, name), QtGui.QColor("white"))
    disabled = QtGui.QPalette.ColorGroup.Disabled
    for name in ("WindowText", "Text", "ButtonText"):
        palette.setColor(disabled, getattr(role, name), QtGui.QColor(150, 150, 150))
    return palette


def _states(folder: Path, theme: str, palette: QtGui.QPalette | None) -> None:
    """A picture of every state that a user meets."""
    client = FakeClient()
    application().setPalette(palette or QtWidgets.QApplication.style().standardPalette())
    with _sameEverywhere(client), drivenPanel() as driven:
        states = chain(_beforeTheResult(driven, client), _withMaps(driven), _otherSections(driven))
        for number, name in enumerate(states, start=1):
            driven.settle(50)
            for width in _WIDTHS:
                _save(driven.picture(width), folder / f"{number:02d}_{name}_{theme}_{width}.png")


def _beforeTheResult(driven: DrivenPanel, client: FakeClient) -> Iterator[str]:
    """Brings the panel into each state in the order of work, and names it."""
    yield "empty"
    addImages("t1w", "t2w", "flair", known=small_head(1.5))
    driven.widget.enter()
    yield "assumed"
    driven.choose("t1wProtocolComboBox", "Enter values…")
    driven.choose("t1wSequenceComboBox", "Spin echo")
    yield "entering"
    for role, preset in (("t1w", "OASIS-3: T1w MPRAGE, TR 2400"), ("t2w", "OASIS-3: T2w SPACE"), ("flair", "OASIS-3: FLAIR, TE 91")):
        driven.choose(f"{role}ProtocolComboBox", preset)
    driven.ui.fieldStrengthSpinBox.value = 1.5
    driven.click("applyButton")
    client.told.append(Progress("fit voxels", 0.5, 0.7, 42.0))
    driven.settle(200)
    yield "running"
    client.told.append(Failed(_FAILURE, "memory"))
    driven.waitFor(lambda: not driven.panel.estimate.running)
    yield "failed"
    driven.click("applyButton")
    finish(driven, client, roles=("t1w", "t2w", "flair"), warnings=(_POOR,), known=small_head(1.5), fieldStrength=1.5)
    driven.click("valuesButton")
    driven.click("detailsButton")
    driven.click("exportDicomButton")
    yield "result"
    for name in ("exportDicomButton", "detailsButton", "valuesButton"):
        driven.click(name)


def _withMaps(driven: DrivenPanel) -> Iterator[str]:
    driven.panel.protocol.buttons["synthetic-dir"].click()
    driven.settle(400)
    yield "dir"
    driven.choose("compareComboBox", "Acquired FLAIR")
    driven.click("compareButton")
    yield "compare"
    driven.click("compareButton")
    driven.panel.protocol.rows.row("dir", "TR").spinBox.setValue(3000.0)
    driven.settle(400)
    yield "contradiction"
    driven.click("undoButton")
    driven.ui.designCollapsibleButton.collapsed = False
    driven.click("moreButton")
    driven.click("maximiseButton")
    yield "design"
    driven.choose("presetComboBox", "ADNI: T1w MPRAGE (3 T)")
    driven.ui.maxTrSpinBox.value = 100.0
    driven.click("maximiseButton")
    yield "told_in_place"


def _otherSections(driven: DrivenPanel) -> Iterator[str]:
    _openOthers(driven)
    yield "other_sections"


def _estimate(driven: DrivenPanel, client: FakeClient, files: Path) -> None:
    """Load images with sidecars, let the panel choose them, and let the estimate end."""
    head = example_head()
    for role, node in addImages(*_HEADERS, known=head).items():
        (files / f"{node.GetName()}.json").write_text(json.dumps(_HEADERS[role]), encoding="utf-8")
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(str(files / f"{node.GetName()}.nii.gz"))
        node.SetAndObserveStorageNodeID(storage.GetID())
    driven.enter()
    driven.choose("priorComboBox", "Atlas only")  # what the report of the double says
    driven.click("applyButton")
    finish(driven, client, roles=tuple(_HEADERS), warnings=(_WARNING,), known=head)
    driven.panel.protocol.buttons["synthetic-dir"].click()
    driven.waitFor(lambda: driven.parameters.quantity == "")  # the whole contrast is there


def _openOthers(driven: DrivenPanel) -> None:
    """Show the sections that begin closed, and close the others."""
    for name in ("inputs", "estimate", "protocol"):
        getattr(driven.ui, f"{name}CollapsibleButton").collapsed = True
    for name in ("maps", "regions", "visits", "contrasts", "measured", "sample", "advanced"):
        getattr(driven.ui, f"{name}CollapsibleButton").collapsed = False
    driven.choose("quantityComboBox", "T1")


def _contactSheet(driven: DrivenPanel) -> QtGui.QImage:
    """The axial view under several protocols, and the maps in their colours, each with its name."""
    shown = []
    for name in _CONTRASTS:
        preset = load_presets()[name]
        driven.choose("presetComboBox", preset.title)
        shown.append((preset.title, _slice(driven, driven.panel.protocol.live.preview.node)))
    for name in _MAPS:
        driven.choose("quantityComboBox", {"PD": "Proton density"}.get(name, name))
        shown.append((name, _slice(driven, driven.panel.maps.volume(name))))
    return _tiled(shown, columns=3)


def _slice(driven: DrivenPanel, node: Any) -> np.ndarray:
    """What the axial view shows of a volume, uint8 (height, width, 3)."""
    view = driven.slicer.views["Red"]
    view.GetSliceNode().SetDimensions(*_VIEW, 1)
    driven.slicer.show(node, "Red")
    return np.ascontiguousarray(driven.slicer.picture("Red")[..., :3])


def _tiled(shown: list[tuple[str, np.ndarray]], columns: int) -> QtGui.QImage:
    width, height = _VIEW
    sheet = QtGui.QImage(columns * width, -(-len(shown) // columns) * height, QtGui.QImage.Format.Format_RGB32)
    painter = QtGui.QPainter(sheet)
    painter.setFont(QtWidgets.QApplication.font())
    painter.setPen(QtGui.QColor("white"))
    for index, (title, picture) in enumerate(shown):
        corner = QtCore.QPoint(index % columns * width, index // columns * height)
        image = QtGui.QImage(picture.tobytes(), width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
        painter.drawImage(corner, image)
        painter.drawText(corner + QtCore.QPoint(10, 20), title)
    painter.end()
    return sheet


def _save(picture: QtGui.QPixmap | QtGui.QImage, path: Path) -> None:
    """As PNG without an alpha channel, compressed as far as it goes."""
    image = picture if isinstance(picture, QtGui.QImage) else picture.toImage()
    if not image.convertToFormat(QtGui.QImage.Format.Format_RGB888).save(str(path), "PNG", 0):
        raise OSError(f"{path} could not be written")


if __name__ == "__main__":
    sys.exit(main())
