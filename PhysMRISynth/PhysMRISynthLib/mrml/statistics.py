"""Tissue statistics of a set of maps as a table, and their distributions as a plot, with the published ranges beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from ..errors import ImageError
from ..imaging.tissue_maps import PER_CENT
from ..physics.tissues import PROPERTIES, acceptance_ranges, published_by_method, tissue_table
from ..workflow.estimation.tissue_medians import FROM_LITERATURE, medians_by_tissue
from ..workflow.voxel_sample import SAMPLE, thinned
from . import display, folder
from .mapNodes import TissueMapNodes
from .volumes import titleOf

_STATISTICS = "statistics"
_HISTOGRAM = "histogram_"
_BINS = 100
_SHOWN = ("white_matter", "cortex", "deep_grey", "thalamus", "csf")
_COLOURS = {
    "white_matter": (0.90, 0.62, 0.0),
    "cortex": (0.34, 0.71, 0.91),
    "deep_grey": (0.0, 0.62, 0.45),
    "thalamus": (0.80, 0.47, 0.65),
    "csf": (0.0, 0.45, 0.70),
}
"""Of Okabe and Ito (2008), told apart by colour-blind readers."""
_BAR_WIDTH = 6.0


def updateStatisticsTable(maps: TissueMapNodes, tableNode: Any = None) -> Any:
    """Volume, median PD, T1, T2 with their median SDs, the published range of each, and what is only literature, by tissue of the brain.

    Writes into ``tableNode``, else the table that the maps have already, else a new one, which is returned. Raises ImageError when a map
    or an SD map is missing.
    """
    missing = [name for name in PROPERTIES if maps.volume(f"{name}_sd") is None]
    if missing:
        raise ImageError(f"The SD map of {missing[0]} of {titleOf(maps.node)} is not in the scene any more. Estimate the maps again.")
    values = {name: (maps.voxels(name), 1.0) for prop in PROPERTIES for name in (prop, f"{prop}_sd")}
    medians = medians_by_tissue(values, maps.tissue(), _voxelVolume(maps), SAMPLE)
    titles = {entry.name: entry.title for entry in tissue_table()}
    columns: dict[str, list[Any]] = {
        "Tissue": [titles[name] for name in medians],
        "Volume (ml)": [entry["volume_ml"] for entry in medians.values()],
    }
    published, byMethod = acceptance_ranges(_fieldStrength(maps)), published_by_method(_fieldStrength(maps))
    for name in PROPERTIES:
        unit = _unit(name)
        columns[f"{name} ({unit})"] = [entry[name] for entry in medians.values()]
        columns[f"{name} SD ({unit})"] = [entry[f"{name}_sd"] for entry in medians.values()]
        columns[f"{name} published ({unit})"] = [_range(published.get(entry, {}).get(name)) for entry in medians]
    for method in dict.fromkeys((value.method, value.quantity) for value in byMethod):
        found = {value.tissue: value.text for value in byMethod if (value.method, value.quantity) == method}
        columns[f"{method[1]}, {method[0]} ({_unit(method[1])})"] = [found.get(entry, "") for entry in medians]
    columns["From literature"] = [", ".join(FROM_LITERATURE.get(name, ())) for name in medians]
    node = nodeOf(maps, tableNode, _STATISTICS, "vtkMRMLTableNode", f"{maps.title} tissue statistics")
    node.SetAndObserveTable(tableOf(columns))
    return node


def updateHistogramPlot(maps: TissueMapNodes, quantity: str = "T1", chartNode: Any = None) -> Any:
    """The distribution of "PD", "T1" or "T2" in each tissue, in % of its voxels a bin, with a bar over the published range of group means.

    Writes into ``chartNode``, else the plot that the maps have already, else a new one, which is returned. Raises ImageError when a map is
    missing.
    """
    columns, names = _distributions(maps.voxels(quantity), maps.tissue(), quantity, _fieldStrength(maps))
    role = f"{_HISTOGRAM}{quantity}"
    table = nodeOf(maps, None, f"{role}_table", "vtkMRMLTableNode", f"{maps.title} {quantity} histogram")
    table.SetAndObserveTable(tableOf(columns))
    chart = nodeOf(maps, chartNode, role, "vtkMRMLPlotChartNode", f"{maps.title} {quantity} histogram plot")
    chart.SetTitle(f"{quantity} by tissue (bars: published group means)")
    chart.SetXAxisTitle(f"{quantity} ({_unit(quantity)})")
    chart.SetYAxisTitle("% of the tissue's voxels")
    chart.RemoveAllPlotSeriesNodeIDs()
    for name in names:
        for column in (name, _barOf(name)):
            if column in columns:
                chart.AddAndObservePlotSeriesNodeID(_series(maps, role, table, name, column).GetID())
    return chart


def _distributions(values: np.ndarray, tissue: np.ndarray, quantity: str, fieldStrength: float) -> tuple[dict[str, list[Any]], list[str]]:
    """Table columns of bins, of % of voxels by tissue and of the bars over the published ranges; and the titles of the tissues."""
    appearance = display.appearanceOf(quantity)
    high = appearance.high if appearance else 1.0
    edges = np.linspace(0.0, high, _BINS + 1)
    columns: dict[str, list[Any]] = {quantity: ((edges[:-1] + edges[1:]) / 2.0).tolist()}
    titles = []
    for row, entry in enumerate(tissue_table()):
        inside = values.reshape(-1)[thinned(np.flatnonzero(tissue == row))] if entry.name in _SHOWN else np.zeros(0)
        if not inside.size or np.median(inside) > high:  # fluid lies far to the right of what is of interest
            continue
        titles.append(entry)
        columns[entry.title] = (np.histogram(inside, edges)[0] * (PER_CENT / inside.size)).tolist()
    top = max((max(columns[entry.title]) for entry in titles), default=1.0)
    published = acceptance_ranges(fieldStrength)
    for place, entry in enumerate(titles):
        limits = published.get(entry.name, {}).get(quantity)
        if limits is not None and limits[0] < high:
            columns[_positionOf(entry.title)] = np.linspace(limits[0], min(limits[1], high), _BINS).tolist()
            columns[_barOf(entry.title)] = [top * (1.05 + 0.04 * place)] * _BINS
    return columns, [entry.title for entry in titles]


def _positionOf(title: str) -> str:
    return f"{title}: published range"


def _barOf(title: str) -> str:
    return f"{title}: published"


def _series(maps: TissueMapNodes, role: str, table: Any, title: str, column: str) -> Any:
    """The plot's line of one column: a distribution, or the bar over the published range of that tissue."""
    isBar = column == _barOf(title)
    node = nodeOf(maps, None, f"{role}_{column}".replace(" ", "_").replace(":", ""), "vtkMRMLPlotSeriesNode", column)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetXColumnName(_positionOf(title) if isBar else role.removeprefix(_HISTOGRAM))
    node.SetYColumnName(column)
    node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    node.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    node.SetLineWidth(_BAR_WIDTH if isBar else 2.0)
    names = {entry.title: entry.name for entry in tissue_table()}
    node.SetColor(*_COLOURS[names[title]])
    return node


def nodeOf(maps: TissueMapNodes, given: Any, role: str, kind: str, name: str) -> Any:
    """The node given, else the one that the maps refer to by ``role``, else a new one in their folder."""
    if given is not None:
        return given
    found = maps.node.GetNodeReference(role)
    if found is None:
        scene = maps.node.GetScene()
        found = scene.AddNewNodeByClass(kind, scene.GenerateUniqueName(name))
        maps.node.SetNodeReferenceID(role, found.GetID())
        folder.putInto(scene, folder.folderOf(scene, maps.node), found)
    return found


def tableOf(columns: dict[str, list[Any]]) -> Any:
    """A table with these columns of numbers or texts."""
    table = vtk.vtkTable()
    for name, values in columns.items():
        column = vtk.vtkStringArray() if values and isinstance(values[0], str) else vtk.vtkDoubleArray()
        column.SetName(name)
        for value in values:
            column.InsertNextValue(value)
        table.AddColumn(column)
    return table


def _fieldStrength(maps: TissueMapNodes) -> float:
    return float(maps.report.get("field_strength_tesla") or 3.0)


def _voxelVolume(maps: TissueMapNodes) -> float:
    """ml"""
    return float(np.prod(maps.volume("T1").GetSpacing())) / 1000.0


def _unit(name: str) -> str:
    appearance = display.appearanceOf(name)
    return appearance.unit[0] if appearance else ""


def _range(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f"{limits[0]:g}–{limits[1]:g}"
