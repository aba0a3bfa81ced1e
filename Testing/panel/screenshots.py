"""Pictures of the panel and of what the slice views show, written into a folder: ``python Testing/panel/screenshots.py Resources``.

Everything is made from the simulated example head, so that the pictures show nobody and come out the same each time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [path for path in (str(ROOT / "Testing"), str(ROOT / "PhysMRISynth")) if path not in sys.path]

import numpy as np  # noqa: E402 (the paths come first)
import slicer  # noqa: E402
from panel.estimates import FakeClient, addImages, finish  # noqa: E402
from panel.harness import DrivenPanel, drivenPanel  # noqa: E402
from PhysMRISynthLib.physics.presets import load_presets  # noqa: E402
from PhysMRISynthLib.workflow.example import example_head  # noqa: E402
from PySide6 import QtCore, QtGui, QtWidgets  # noqa: E402

_HEADERS = {
    "t1w": {"RepetitionTime": 2.4, "EchoTime": 0.00316, "InversionTime": 1.0, "FlipAngle": 8, "MagneticFieldStrength": 3},
    "flair": {"RepetitionTime": 9.0, "EchoTime": 0.09, "InversionTime": 2.5, "MagneticFieldStrength": 3},
}
_WARNING = "FLAIR: the train length (L 150 ms) is assumed. Type it under Inputs if you know it."
_CONTRASTS = ("synthetic-t1w", "synthetic-t2w", "synthetic-pdw", "synthetic-flair", "synthetic-stir", "synthetic-dir")
_MAPS = ("PD", "T1", "T2")
_VIEW = (160, 190)
"""Width and height of a slice view in pixels."""


def main(arguments: list[str] | None = None) -> int:
    """Write panel.png, panel_sections.png and slices.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
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


def _estimate(driven: DrivenPanel, client: FakeClient, files: Path) -> None:
    """Load images with sidecars, let the panel choose them, and let the estimate end."""
    head = example_head()
    for role, node in addImages(*_HEADERS, known=head).items():
        (files / f"{node.GetName()}.json").write_text(json.dumps(_HEADERS[role]), encoding="utf-8")
        storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
        storage.SetFileName(str(files / f"{node.GetName()}.nii.gz"))
        node.SetAndObserveStorageNodeID(storage.GetID())
    driven.enter()
    driven.choose("priorComboBox", "Literature")  # what the report of the double says
    driven.click("applyButton")
    finish(driven, client, roles=tuple(_HEADERS), warnings=(_WARNING,), known=head)
    driven.slide("flair", "TI", 0.3)
    driven.settle(400)


def _openOthers(driven: DrivenPanel) -> None:
    """Show the sections that begin closed, and close the others."""
    for name in ("inputs", "estimate", "protocol"):
        getattr(driven.ui, f"{name}CollapsibleButton").collapsed = True
    for name in ("sample", "maps", "advanced"):
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
