"""The signal of tissues, and of one voxel with its uncertainty, against a parameter of the protocol, as a plot of the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from ..physics.contrast import TissuePoint
from ..physics.design import PER_CENT, curve
from ..physics.protocol import Protocol
from ..physics.tissues import PROPERTIES
from .mapNodes import TissueMapNodes
from .statistics import nodeOf, tableOf
from .volumes import ijkToWorld

_CHART, _TABLE = "curve", "curve_table"
_POINTS = 120
_COLOURS = {
    "white_matter": (0.90, 0.62, 0.0), "cortex": (0.34, 0.71, 0.91), "csf": (0.0, 0.45, 0.70), "lesion": (0.84, 0.37, 0.0),
}  # fmt: skip
_VOXEL, _BAND, _PRESENT = "voxel under the crosshair", ("voxel − SD", "voxel + SD"), "present value"
_VOXEL_COLOUR, _PRESENT_COLOUR = (0.5, 0.5, 0.5), (0.8, 0.0, 0.0)


@dataclass(frozen=True)
class Voxel:
    """One voxel's values, and their SDs (fraction, ms, ms) where the maps have them."""

    point: TissuePoint
    sd: tuple[float, float, float] | None


def voxelAt(maps: TissueMapNodes, ras: tuple[float, float, float]) -> Voxel | None:
    """The voxel at a place in the world (mm); None outside of the head, or under a transform that is not linear."""
    like = maps.volume("T1")
    matrix = ijkToWorld(like) if like is not None else None
    if matrix is None:
        return None
    index = tuple(np.rint((np.linalg.inv(matrix) @ [*ras, 1.0])[:3]).astype(int)[::-1].tolist())
    shape = maps.voxels("T1").shape
    if not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        return None
    pd, t1, t2 = (float(maps.voxels(name)[index]) for name in PROPERTIES)
    if not min(pd, t1, t2) > 0.0:
        return None
    known = all(maps.volume(f"{name}_sd") is not None for name in PROPERTIES)
    sd = tuple(float(maps.voxels(f"{name}_sd")[index]) for name in PROPERTIES) if known else None
    return Voxel(TissuePoint("voxel", _VOXEL, pd / PER_CENT, t1, t2, True), None if sd is None else (sd[0] / PER_CENT, sd[1], sd[2]))


def updateCurve(
    maps: TissueMapNodes, protocol: Protocol, name: str, end: float, points: Mapping[str, TissuePoint], voxel: Voxel | None = None
) -> Any:
    """The plot of the signal (% of fully relaxed water) against parameter ``name`` up to ``end``; the chart node.

    The voxel has a band of one SD, by linear propagation of its SDs. Where values contradict each other the curves have gaps.
    """
    parameter = protocol.sequence.parameter(name)
    values = np.linspace(parameter.minimum, end, _POINTS)
    shown = [points[tissue] for tissue in _COLOURS if tissue in points]
    columns: dict[str, list[Any]] = {name: values.tolist()}
    for tissue, signal in zip(shown, curve(protocol, name, shown, values), strict=True):
        columns[tissue.title] = signal.tolist()
    if voxel is not None:
        middle, sd = _band(protocol, name, voxel, values)
        columns[_VOXEL] = middle.tolist()
        if sd is not None:
            columns[_BAND[0]], columns[_BAND[1]] = (middle - sd).tolist(), (middle + sd).tolist()
    finite = np.array([value for title, column in columns.items() if title != name for value in column])
    low, high = float(np.nanmin(finite, initial=0.0)), float(np.nanmax(finite, initial=1.0))
    columns[f"{_PRESENT} {name}"] = np.linspace(protocol.values[name], protocol.values[name], _POINTS).tolist()
    columns[_PRESENT] = np.linspace(low, high, _POINTS).tolist()
    return _chart(maps, name, parameter.unit, columns)


def _band(protocol: Protocol, name: str, voxel: Voxel, values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The voxel's signal and its SD."""
    if voxel.sd is None:
        return curve(protocol, name, [voxel.point], values)[0], None
    pd, t1, t2 = voxel.point.pd, voxel.point.t1, voxel.point.t2
    sd = voxel.sd
    moved = [TissuePoint("moved", "", *theirs) for theirs in ((pd + sd[0], t1, t2), (pd, t1 + sd[1], t2), (pd, t1, t2 + sd[2]))]
    signal = curve(protocol, name, [voxel.point, *moved], values)
    return signal[0], np.sqrt(((signal[1:] - signal[:1]) ** 2).sum(axis=0))


def _chart(maps: TissueMapNodes, name: str, unit: str, columns: dict[str, list[Any]]) -> Any:
    table = nodeOf(maps, None, _TABLE, "vtkMRMLTableNode", f"{maps.title} signal curve")
    table.SetAndObserveTable(tableOf(columns))
    chart = nodeOf(maps, None, _CHART, "vtkMRMLPlotChartNode", f"{maps.title} signal curve plot")
    chart.SetTitle(f"Signal against {name}: a tissue is nulled where its curve touches 0")
    chart.SetXAxisTitle(f"{name} ({unit})" if unit else name)
    chart.SetYAxisTitle("signal (% of fully relaxed water)")
    titles = [title for title in columns if title != name and not title.startswith(f"{_PRESENT} ")]
    wanted = [_series(maps, table, name, title) for title in titles]
    if [chart.GetNthPlotSeriesNodeID(i) for i in range(chart.GetNumberOfPlotSeriesNodes())] != [node.GetID() for node in wanted]:
        chart.RemoveAllPlotSeriesNodeIDs()
        for node in wanted:
            chart.AddAndObservePlotSeriesNodeID(node.GetID())
    return chart


def _series(maps: TissueMapNodes, table: Any, name: str, title: str) -> Any:
    node = nodeOf(maps, None, f"{_CHART}_{title}".replace(" ", "_"), "vtkMRMLPlotSeriesNode", title)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    node.SetXColumnName(f"{_PRESENT} {name}" if title == _PRESENT else name)
    node.SetYColumnName(title)
    node.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    dashed = title in (*_BAND, _PRESENT)
    node.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleDash if dashed else slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    node.SetLineWidth(1.5 if dashed else 3.0)
    node.SetColor(*_colourOf(title))
    return node


def _colourOf(title: str) -> tuple[float, float, float]:
    if title in (_VOXEL, *_BAND):
        return _VOXEL_COLOUR
    titles = {"White matter": "white_matter", "Cortical grey matter": "cortex", "Cerebrospinal fluid": "csf", "Lesion": "lesion"}
    return _COLOURS[titles[title]] if title in titles else _PRESENT_COLOUR
