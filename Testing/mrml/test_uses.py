"""What users do with maps in the scene: tissues as segments, regions measured, contrasts and sweeps."""

from __future__ import annotations

import json

import numpy as np
import pytest
import slicer

from PhysMRISynthLib.errors import ImageError, ProtocolError
from PhysMRISynthLib.mrml.regions import measureRegions, regionsOf
from PhysMRISynthLib.mrml.segmentation import tissueSegmentation
from PhysMRISynthLib.mrml.sweep import renderContrasts, sweepParameter
from PhysMRISynthLib.mrml.uses import MapUses
from PhysMRISynthLib.mrml.volumes import arrayOf, newVolume
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.rendering.order import RenderOrder
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.rendering.rendered import rendered
from PhysMRISynthLib.workflow.rendering.scanner_effects import ScannerEffects
from Testing.mrml.results import map_nodes, small_result
from Testing.mrml.scene import HeadlessSlicer


def rows(table: object) -> list[dict[str, str]]:
    names = [table.GetColumnName(c) for c in range(table.GetNumberOfColumns())]
    return [{name: table.GetCellText(row, c) for c, name in enumerate(names)} for row in range(table.GetNumberOfRows())]


def test_tissues_are_named_and_coded_segments(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    node = tissueSegmentation(maps)
    segments = [node.GetSegmentation().GetNthSegment(n) for n in range(node.GetSegmentation().GetNumberOfSegments())]
    white = next(segment for segment in segments if segment.GetName() == "White matter")
    assert "SCT^389080008^White matter" in white.GetTerminology()
    assert not any("SegmentedFrom" in segment.GetName() or segment.GetName().isdigit() for segment in segments)
    count = headless.node_count()
    assert tissueSegmentation(maps) is node and headless.node_count() == count
    assert node.GetSegmentation().GetNumberOfSegments() == len(segments)


def test_segments_are_measured_into_a_table(headless: HeadlessSlicer) -> None:
    maps, result = map_nodes(headless.scene), small_result()
    table = measureRegions(maps, tissueSegmentation(maps))
    found = {(row["region"], row["quantity"]): row for row in rows(table)}
    t1 = found["White matter", "T1"]
    assert float(t1["mean"]) == pytest.approx(result.maps.t1[result.tissue == 0].mean(), rel=0.02)
    assert float(t1["mean_sd"]) > 0 and t1["published_low"] == "750"
    assert ("White matter", "residual_t1w") in found and ("Thalamus", "R2") in found
    count = headless.node_count()
    assert measureRegions(maps, tissueSegmentation(maps), table) is table and headless.node_count() == count


def test_overlapping_segments_are_measured_each_by_itself(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    node = headless.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    white = (arrayOf(maps.volume("tissue")) == 1).astype(np.uint8)
    for label in (1, 2):
        labels = newVolume(f"label {label}", white * np.uint8(label), maps.volume("T1"), label=True)
        slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(labels, node)
    found = regionsOf(maps, node)
    assert len(found) == 2 and found[0].voxels == found[1].voxels == white.sum()


def test_label_volumes_are_measured_and_other_grids_refused(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    found = regionsOf(maps, maps.volume("tissue"))
    assert found[0].name == "White matter"
    labels = newVolume("moved", np.ones(arrayOf(maps.volume("T1")).shape, dtype=np.uint8), maps.volume("T1"), label=True)
    labels.SetOrigin(50.0, 0.0, 0.0)
    with pytest.raises(ImageError, match="different grids"):
        regionsOf(maps, labels)
    empty = headless.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    with pytest.raises(ImageError, match="has no segment"):
        regionsOf(maps, empty)
    with pytest.raises(ImageError, match="Choose one"):
        regionsOf(maps, maps.volume("T1"))


def test_several_contrasts_at_once_or_none(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    volumes = renderContrasts(maps, ["se,TR=500,TE=15", "synthetic-flair"])
    assert len({volume.GetID() for volume in volumes}) == 2
    assert volumes[0].GetAttribute("PhysMRISynth.Protocol") == "se,TR=500,TE=15"
    count = headless.node_count()
    with pytest.raises(ProtocolError):
        renderContrasts(maps, ["mprage", "epi"])
    assert headless.node_count() == count


def test_scans_have_their_own_slices_and_say_what_was_added(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    (scan,) = MapUses(maps.node).renderContrasts(["se,TR=500,TE=15"], snr=20.0, seed=2, sliceThickness=6.0, ringing=30.0)
    effects = ScannerEffects(slice_thickness=6.0, ringing=30.0)
    expected = rendered(maps.tissueMaps(), RenderOrder("se,TR=500,TE=15", snr=20.0, seed=2, effects=effects))
    np.testing.assert_allclose(arrayOf(scan), expected.voxels, rtol=1e-3, atol=0.1)
    assert scan.GetSpacing()[2] == 6.0 and "synthetic" in scan.GetName() and "slices 6 mm axial, ringing 30 %" in scan.GetName()
    assert json.loads(scan.GetAttribute("PhysMRISynth.ScannerEffects"))["ringing"] == 30.0
    count = headless.node_count()
    with pytest.raises(ProtocolError, match="ratio of two images"):
        MapUses(maps.node).renderContrasts(["se,TR=500,TE=15", "mp2rage"], ringing=30.0)
    assert headless.node_count() == count


def test_a_sweep_plays_the_parameter(headless: HeadlessSlicer) -> None:
    headless.scene.RegisterNodeClass(slicer.vtkMRMLSequenceBrowserNode())  # as Slicer's Sequences module does
    maps = map_nodes(headless.scene)
    browser = sweepParameter(maps, "ir,TR=4000,TE=20,TI=500", "TI", [300.0, 800.0, 2000.0])
    frames = browser.GetMasterSequenceNode()
    assert [frames.GetNthIndexValue(n) for n in range(3)] == ["300", "800", "2000"]
    assert (frames.GetIndexName(), frames.GetIndexUnit()) == ("TI", "ms")
    expected = render(maps.tissueMaps(), protocol_from_spec("ir,TR=4000,TE=20,TI=800"), scale=1000.0)
    assert np.abs(arrayOf(frames.GetNthDataNode(1)) - expected).max() < 0.5
    count = headless.node_count()
    for parameter, values in (("TD", [1.0, 2.0]), ("TI", [300.0, 9000.0]), ("TI", [300.0])):
        with pytest.raises(ProtocolError):
            sweepParameter(maps, "ir,TR=4000,TE=20,TI=500", parameter, values)
    assert headless.node_count() == count
