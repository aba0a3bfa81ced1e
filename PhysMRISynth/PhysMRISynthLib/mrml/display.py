"""How maps are shown: fixed physical ranges, our colour tables, legends, and the slice views' background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..physics.tissues import tissue_table
from .colours import COUNT, rgbColours
from .headers import QUANTITY

COLOUR_MAP = "PhysMRISynth.ColourMap"
"""Attribute of our colour tables: the name of the map."""
PINNED = "PhysMRISynth.Pinned"
"""Attribute of a slice view that shows what the others are compared with."""
_GREY = "vtkMRMLColorTableNodeGrey"
_DARKER = 0.25
"""Room below the tissue in a window, as a part of the tissue's range."""
_SD_CODE = "386136009", "SCT", "Standard Deviation"
_MILLISECONDS = "ms", "UCUM", "millisecond"
_PER_CENT = "%", "UCUM", "percent"
_TISSUE_COLOURS = (
    (0.94, 0.89, 0.75), (0.62, 0.62, 0.64), (0.78, 0.55, 0.35), (0.90, 0.68, 0.40), (0.34, 0.62, 0.85), (0.72, 0.20, 0.22),
    (0.55, 0.30, 0.36), (0.85, 0.62, 0.66), (0.95, 0.82, 0.45), (0.70, 0.66, 0.40), (0.88, 0.88, 0.84), (0.15, 0.15, 0.18),
)  # fmt: skip
"""In the order of the tissue table."""


@dataclass(frozen=True)
class Appearance:
    """How a quantity is named, coded and shown: ``unit`` and ``quantity`` as code, scheme, meaning; range in the unit; a colour map."""

    title: str
    unit: tuple[str, str, str]
    quantity: tuple[str, str, str] | None
    low: float
    high: float
    colours: str


_PD_CODE, _T1_CODE, _T2_CODE = ("113058", "DCM", "Proton density map"), ("113063", "DCM", "T1 Map"), ("113065", "DCM", "T2 Map")
# Fluid is beyond the ranges of T1 and T2, so that white and grey matter and lesions get the colours.
_APPEARANCES = {
    "PD": Appearance("PD", _PER_CENT, _PD_CODE, 40.0, 110.0, "density"),
    "T1": Appearance("T1", _MILLISECONDS, _T1_CODE, 300.0, 2000.0, "warm"),
    "T2": Appearance("T2", _MILLISECONDS, _T2_CODE, 30.0, 150.0, "cool"),
    "PD_sd": Appearance("SD of PD", _PER_CENT, _SD_CODE, 0.0, 10.0, "uncertainty"),
    "T1_sd": Appearance("SD of T1", _MILLISECONDS, _SD_CODE, 0.0, 200.0, "uncertainty"),
    "T2_sd": Appearance("SD of T2", _MILLISECONDS, _SD_CODE, 0.0, 20.0, "uncertainty"),
    "fluid_fraction": Appearance("Fluid fraction", _PER_CENT, None, 0.0, 100.0, "cool"),
}


def appearanceOf(quantity: str) -> Appearance | None:
    """The appearance of "PD", "T1_sd", "residual_t1w" …; None for what is shown like a scan, such as fits."""
    kind, _, role = quantity.partition("_")
    if kind == "residual":
        return Appearance(f"Residual of {role}", _PER_CENT, None, -20.0, 20.0, "residual")
    return _APPEARANCES.get(quantity)


def showQuantity(node: Any, quantity: str) -> None:
    """Give a volume of a quantity its units, codes, fixed range, colours and legend; a label map its colours."""
    appearance = appearanceOf(quantity)
    if appearance is None:
        labels = {"tissue": tissueTable, "mask": maskTable}.get(quantity)
        if labels is not None:
            node.GetDisplayNode().SetAndObserveColorNodeID(labels(node.GetScene()).GetID())
        return
    node.SetVoxelValueUnits(_entry(*appearance.unit))
    node.SetAttribute("PhysMRISynth.Unit", appearance.unit[0])
    if appearance.quantity is not None:
        node.SetVoxelValueQuantity(_entry(*appearance.quantity))
    setWindow(node, appearance.low, appearance.high)
    node.GetDisplayNode().SetAndObserveColorNodeID(colourTable(node.GetScene(), appearance.colours).GetID())
    _addLegend(node, appearance)


def setWindow(node: Any, low: float, high: float) -> None:
    """Show the values from ``low`` to ``high``; the range stays when voxels change."""
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(low, high)


def _entry(code: str, scheme: str, meaning: str) -> Any:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(code, scheme, meaning)
    return entry


def _addLegend(node: Any, appearance: Appearance) -> None:
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(f"{appearance.title} ({appearance.unit[0]})")
    legend.SetLabelFormat("%.0f")


def colourTable(scene: Any, name: str) -> Any:
    """The scene's colour table of one of our maps (see :mod:`.colours`); made when it is not there."""
    rgb = rgbColours(name)
    return _table(scene, name, [(str(index), rgb[index]) for index in range(COUNT)])


def tissueTable(scene: Any) -> Any:
    """The scene's table of named tissue colours: label 0 is nothing, label n the nth tissue of the tissue table."""
    named = zip((tissue.title for tissue in tissue_table()), _TISSUE_COLOURS, strict=True)
    return _table(scene, "tissue", [("nothing", (0.0, 0.0, 0.0)), *named], opaque=False)


def maskTable(scene: Any) -> Any:
    """The scene's table of a mask: label 1 is the head."""
    return _table(scene, "mask", [("nothing", (0.0, 0.0, 0.0)), ("head", (0.35, 0.70, 0.90))], opaque=False)


def _table(scene: Any, name: str, entries: Sequence[tuple[str, Any]], opaque: bool = True) -> Any:
    """``opaque`` False: the first entry is transparent, as label 0 is."""
    found = _first(scene, "vtkMRMLColorTableNode", lambda node: node.GetAttribute(COLOUR_MAP) == name)
    if found is not None:
        return found
    table = slicer.vtkMRMLColorTableNode()
    table.SetName(f"PhysMRISynth {name}")
    table.SetAttribute(COLOUR_MAP, name)
    table.SetAttribute("Category", "PhysMRISynth")
    table.SetTypeToUser()
    table.SetNumberOfColors(len(entries))
    for index, (title, rgb) in enumerate(entries):
        table.SetColor(index, title, *(float(channel) for channel in rgb), 1.0 if opaque or index else 0.0)
    return scene.AddNode(table)


def _first(scene: Any, kind: str, holds: Callable[[Any], bool]) -> Any:
    nodes = (scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind)))
    return next((node for node in nodes if holds(node)), None)


def isColored(node: Any) -> bool:
    """Whether a volume is shown in one of our colour maps rather than in grey."""
    colours = node.GetDisplayNode().GetColorNode() if node is not None and node.GetDisplayNode() else None
    return colours is not None and bool(colours.GetAttribute(COLOUR_MAP))


def setColored(node: Any, colored: bool) -> None:
    """Show a quantity in its own colours or in grey; the range stays. Nothing happens to what has no colours of its own."""
    appearance = appearanceOf(node.GetAttribute(QUANTITY) or "")
    if appearance is not None:
        identifier = colourTable(node.GetScene(), appearance.colours).GetID() if colored else _GREY
        node.GetDisplayNode().SetAndObserveColorNodeID(identifier)


def legendShown(node: Any) -> bool:
    """Whether the colour legend of a volume is shown (in the views that show the volume)."""
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    return legend is not None and bool(legend.GetVisibility())


def setLegendShown(node: Any, shown: bool) -> None:
    """Show or hide the colour legend of a volume; nothing happens where it has none."""
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    if legend is not None:
        legend.SetVisibility(shown)


def showInSlices(node: Any, scene: Any = None) -> None:
    """Make a volume the background of all slice views that are not pinned, and take our own label maps off it.

    A label map goes over what is there. Views that showed nothing are fitted to the volume.
    """
    scene = scene or slicer.mrmlScene
    empty = False
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
        if composite.GetAttribute(PINNED):
            continue
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            composite.SetLabelVolumeID(node.GetID())
            continue
        empty = empty or not composite.GetBackgroundVolumeID()
        composite.SetBackgroundVolumeID(node.GetID())
        label = scene.GetNodeByID(composite.GetLabelVolumeID() or "")
        if label is not None and label.GetAttribute(QUANTITY):
            composite.SetLabelVolumeID(None)
    if empty:
        _fitViews()


def _fitViews() -> None:
    """Fit the slice views to their volume, as Slicer does when it loads a first one."""
    application = slicer.app.applicationLogic() if hasattr(slicer, "app") else None
    if application is not None:
        application.FitSliceToBackground()


def showAsScan(node: Any, values: np.ndarray) -> None:
    """Set the range of a grey image by :func:`scanWindow`, where there is one."""
    window = scanWindow(values)
    if window is not None:
        setWindow(node, *window)


def scanWindow(values: np.ndarray) -> tuple[float, float] | None:
    """The range of a grey image with these ``values`` (any shape) of tissue: theirs and some room for what is darker.

    From 0, grey and white matter of a PD-weighted image would hardly differ.
    """
    if not values.size:
        return None
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    if low < 0:
        return low, max(high, 0.0)
    low = max(0.0, low - _DARKER * (high - low))
    return (low, high) if high > low else None
