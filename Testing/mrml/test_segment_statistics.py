"""Slicer's Segment Statistics with the plugin of the tissue maps: its table has the measurements of every segment."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
import slicer

from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.regions import regionsOf
from PhysMRISynthLib.mrml.segmentation import tissueSegmentation
from Testing.mrml.results import input_nodes, small_result, with_fluid
from Testing.mrml.scene import HeadlessSlicer, linear_transform
from Testing.standins import install

PLUGIN = "TissueMapStatisticsPlugin"


@pytest.fixture
def statistics(headless: HeadlessSlicer) -> Any:
    """Slicer's module Segment Statistics, after the extension's start."""
    installed = install(slicer, headless.scene)
    entry = importlib.import_module("PhysMRISynth")
    importlib.reload(entry).PhysMRISynth(type("Parent", (), {})())
    installed.app.send("startupCompleted()")
    return importlib.import_module("SegmentStatistics")


@pytest.fixture
def maps(headless: HeadlessSlicer) -> TissueMapNodes:
    nodes = input_nodes(headless.scene)
    return TissueMapNodes.create(with_fluid(small_result()), nodes["t1w"], nodes, headless.scene)


def computed(statistics: Any, segmentation: Any, volume: Any = None, *keys: str) -> tuple[dict[Any, Any], Any]:
    """The statistics by segment and key, and the table. ``keys`` are requested besides the default ones."""
    logic = statistics.SegmentStatisticsLogic()
    node = logic.getParameterNode()
    node.SetParameter("Segmentation", segmentation.GetID())
    if volume is not None:
        node.SetParameter("ScalarVolume", volume.GetID())
    for key in keys:
        node.SetParameter(f"{PLUGIN}.{key}.enabled", "True")
    logic.computeStatistics()
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    logic.exportToTable(table)
    return logic.getStatistics(), table


def column(table: Any, name: str) -> list[float]:
    return [table.GetTable().GetColumnByName(name).GetValue(row) for row in range(table.GetNumberOfRows())]


def test_a_table_has_what_regions_are_measured_to_be(statistics: Any, maps: TissueMapNodes) -> None:
    segmentation = tissueSegmentation(maps)
    found, table = computed(statistics, segmentation, maps.volume("T1"), "R2_mean", "T2_median", "T1_voxel_sd")
    regions = {region.name: region.measurements for region in regionsOf(maps, segmentation)}
    names = [found[segment, "Segment"] for segment in found["SegmentIDs"]]
    for name, segment in zip(names, found["SegmentIDs"], strict=True):
        t1, r2 = regions[name]["T1"], regions[name]["R2"]
        assert found[segment, f"{PLUGIN}.T1_mean"] == pytest.approx(t1.mean)
        assert found[segment, f"{PLUGIN}.T1_mean_sd"] == pytest.approx(t1.mean_sd) and t1.mean_sd < t1.mean
        assert found[segment, f"{PLUGIN}.T1_voxel_sd"] == pytest.approx(t1.voxel_sd)
        assert found[segment, f"{PLUGIN}.T2_median"] == pytest.approx(regions[name]["T2"].median)
        assert found[segment, f"{PLUGIN}.R2_mean"] == pytest.approx(r2.mean)
    assert 950 < column(table, "T1 mean")[names.index("White matter")] < 1050
    assert table.GetColumnUnitLabel("R2 mean") == "1/s" and table.GetColumnUnitLabel("PD mean") == "%"
    assert "uncertainty" in table.GetColumnTitle("T1 uncertainty of the mean")
    assert column(table, "Fluid fraction mean")[names.index("Cortical grey matter")] == pytest.approx(30.0, abs=0.5)
    assert "R1 mean" not in [table.GetColumnName(c) for c in range(table.GetNumberOfColumns())]  # nobody asked for it


def test_the_maps_of_the_panel_serve_where_the_volume_has_none(statistics: Any, maps: TissueMapNodes) -> None:
    segmentation = tissueSegmentation(maps)
    assert not [key for key in computed(statistics, segmentation)[0] if PLUGIN in str(key)]
    chosen = importlib.import_module("PhysMRISynth").PhysMRISynthLogic().getParameterNode()
    chosen.maps = maps.node
    assert [key for key in computed(statistics, segmentation, maps.volume("input_t1w"))[0] if PLUGIN in str(key)]


def test_a_segment_beside_the_head_has_empty_cells_and_a_moved_one_is_measured_where_it_is(statistics: Any, maps: TissueMapNodes) -> None:
    segmentation = tissueSegmentation(maps)
    _found, table = computed(statistics, segmentation, maps.volume("T1"))
    here = column(table, "T1 mean")
    segmentation.SetAndObserveTransformNodeID(linear_transform(np.diag([1.0, 1.0, 1.0, 1.0]) + 500.0 * np.eye(4, k=3)).GetID())
    found, table = computed(statistics, segmentation, maps.volume("T1"))
    assert not [key for key in found if PLUGIN in str(key)]
    segmentation.SetAndObserveTransformNodeID(linear_transform(np.eye(4)).GetID())
    _found, table = computed(statistics, segmentation, maps.volume("T1"))
    assert column(table, "T1 mean") == pytest.approx(here) and not any(math.isnan(value) for value in here)


def test_edited_maps_are_measured_anew(statistics: Any, maps: TissueMapNodes) -> None:
    segmentation = tissueSegmentation(maps)
    before = column(computed(statistics, segmentation, maps.volume("T1"))[1], "T1 mean")
    slicer.util.arrayFromVolume(maps.volume("T1"))[:] *= 2
    slicer.util.arrayFromVolumeModified(maps.volume("T1"))
    assert column(computed(statistics, segmentation, maps.volume("T1"))[1], "T1 mean") == pytest.approx([2 * value for value in before])


def test_a_reload_replaces_the_plugin(statistics: Any) -> None:
    entry = importlib.import_module("PhysMRISynth")
    entry.registerStatistics()
    assert [kind.__name__ for kind in statistics.SegmentStatisticsLogic.registeredPlugins] == [PLUGIN]


def test_codes_are_those_of_the_dicom_standard(statistics: Any) -> None:
    from pydicom.sr.codedict import codes

    known = {"PD": codes.DCM.ProtonDensity, **{name: getattr(codes.DCM, name) for name in ("T1", "T2", "R1", "R2")}}
    quantities = importlib.import_module("PhysMRISynthLib.mrml.segmentStatistics").QUANTITIES
    assert {name: (code.value, code.scheme_designator) for name, code in known.items()} == {
        n: code[:2] for n, (code, _u) in quantities.items()
    }
