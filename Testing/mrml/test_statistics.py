"""Tables and plots of tissue values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer.util

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.mrml import statistics as module
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.statistics import updateHistogramPlot, updateStatisticsTable
from PhysMRISynthLib.mrml.volumes import arrayOf, voxelsChanged
from Testing.mrml.results import input_nodes, map_nodes, small_result
from Testing.mrml.scene import HeadlessSlicer


def cells(table: Any) -> dict[str, list[str]]:
    """The columns of a table node as text, by name."""
    columns = range(table.GetNumberOfColumns())
    return {table.GetColumnName(c): [table.GetCellText(row, c) for row in range(table.GetNumberOfRows())] for c in columns}


def test_the_table_tells_volume_medians_spread_and_literature(headless: HeadlessSlicer) -> None:
    maps, result = map_nodes(headless.scene), small_result()
    told = cells(updateStatisticsTable(maps))
    assert told["Tissue"] == ["White matter", "Cortical grey matter", "Deep grey nuclei", "Thalamus", "Cerebrospinal fluid"]
    white = result.tissue == 0
    assert float(told["T1 (ms)"][0]) == pytest.approx(np.median(result.maps.t1[white]), abs=0.06)
    assert float(told["T1 SD (ms)"][0]) == pytest.approx(np.median(result.maps.sd["T1"][white]), abs=0.01)
    assert float(told["PD (%)"][0]) == pytest.approx(100 * np.median(result.maps.pd[white]), abs=0.06)
    assert float(told["Volume (ml)"][0]) == pytest.approx(white.sum() * 0.064, abs=0.06)
    assert told["T1 published (ms)"][:3] == ["750–1100", "1150–1800", ""]
    assert told["T1, Inversion recovery, RRSG 2024 (ms)"][:3] == ["822, 841 (783–908)", "1546 (1399–1703)", "1185"]
    assert told["From literature"] == ["", "", "", "", "T2"]


def test_the_table_follows_the_maps_in_place(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    table = updateStatisticsTable(maps)
    count = headless.node_count()
    arrayOf(maps.volume("T1"))[...] *= 2
    voxelsChanged(maps.volume("T1"))
    before = float(cells(table)["T1 (ms)"][0])
    assert updateStatisticsTable(maps) is table and headless.node_count() == count
    assert float(cells(table)["T1 (ms)"][0]) == pytest.approx(2 * before, rel=1e-3)
    own = headless.scene.AddNewNodeByClass("vtkMRMLTableNode", "mine")
    assert updateStatisticsTable(maps, own) is own and cells(own) == cells(table)


def test_the_field_strength_chooses_the_published_ranges(headless: HeadlessSlicer) -> None:
    nodes = input_nodes(headless.scene)
    weaker = replace(small_result(), report={**small_result().report, "field_strength_tesla": 1.5})
    maps = TissueMapNodes.create(weaker, nodes["t1w"], nodes, headless.scene)
    assert cells(updateStatisticsTable(maps))["T1 published (ms)"][0] == "500–900"


def test_a_deleted_uncertainty_is_told(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    headless.scene.RemoveNode(maps.volume("T2_sd"))
    with pytest.raises(ImageError, match="SD map of T2"):
        updateStatisticsTable(maps)


@pytest.mark.parametrize(("quantity", "unit"), [("PD", "%"), ("T1", "ms"), ("T2", "ms")])
def test_the_plot_has_a_line_per_tissue_and_bars_over_the_published_ranges(headless: HeadlessSlicer, quantity: str, unit: str) -> None:
    maps, result = map_nodes(headless.scene), small_result()
    chart = updateHistogramPlot(maps, quantity)
    assert chart.GetXAxisTitle() == f"{quantity} ({unit})"
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    lines = {node.GetName(): node for node in series}
    assert {"White matter", "Cortical grey matter", "White matter: published", "Deep grey nuclei"} <= set(lines)
    assert ("Cerebrospinal fluid" in lines) == (quantity == "PD"), "fluid's T1 and T2 lie far beyond the axis"
    white, table = lines["White matter"], lines["White matter"].GetTableNode()
    heights = slicer.util.arrayFromTableColumn(table, white.GetYColumnName())
    places = slicer.util.arrayFromTableColumn(table, white.GetXColumnName())
    values = {"PD": 100 * result.maps.pd, "T1": result.maps.t1, "T2": result.maps.t2}[quantity][result.tissue == 0]
    assert heights.sum() == pytest.approx(100, abs=0.5)
    assert (heights * places).sum() / heights.sum() == pytest.approx(values.mean(), rel=0.01)
    bar = lines["White matter: published"]
    ends = slicer.util.arrayFromTableColumn(table, bar.GetXColumnName())
    assert (ends.min(), ends.max()) == {"PD": (62, 75), "T1": (750, 1100), "T2": (60, 90)}[quantity]
    assert slicer.util.arrayFromTableColumn(table, bar.GetYColumnName()).min() > heights.max()


def test_the_plot_is_updated_in_place(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    chart = updateHistogramPlot(maps)
    count, lines = headless.node_count(), chart.GetNumberOfPlotSeriesNodes()
    assert updateHistogramPlot(maps) is chart
    assert (headless.node_count(), chart.GetNumberOfPlotSeriesNodes()) == (count, lines)
    updateHistogramPlot(maps, "T2")
    assert chart.GetXAxisTitle() == "T1 (ms)"


def test_large_heads_are_told_from_a_sample_but_volumes_from_all(headless: HeadlessSlicer, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = map_nodes(headless.scene)
    exact = cells(updateStatisticsTable(maps))
    monkeypatch.setattr(module, "SAMPLE", 400)
    sampled = cells(updateStatisticsTable(maps))
    assert sampled["Volume (ml)"] == exact["Volume (ml)"] and sampled["T1 (ms)"] != exact["T1 (ms)"]
    np.testing.assert_allclose([float(v) for v in sampled["T1 (ms)"]], [float(v) for v in exact["T1 (ms)"]], rtol=0.02)
