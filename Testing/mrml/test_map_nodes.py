"""Tissue maps as nodes: units, colours, folder, provenance; saved and loaded again as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.mrml import display
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.preview import Preview, renderContrast
from PhysMRISynthLib.mrml.statistics import updateHistogramPlot, updateStatisticsTable
from PhysMRISynthLib.mrml.volumes import arrayOf, gridOf, voxelsChanged
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.rendering.render import render
from Testing.imaging.phantoms import rotation
from Testing.mrml.results import input_nodes, map_nodes, small_result, with_fluid
from Testing.mrml.scene import HeadlessSlicer, linear_transform

EXPECTED = ("PD", "T1", "T2", "PD_sd", "T1_sd", "T2_sd", "tissue", "mask", "residual_flair", "residual_t1w", "fit_flair", "fit_t1w")


def test_every_map_is_there_with_its_voxels_and_units(headless: HeadlessSlicer) -> None:
    maps, result = map_nodes(headless.scene), small_result()
    assert sorted(maps.names()) == sorted(EXPECTED) and maps.names()[:8] == EXPECTED[:8]
    np.testing.assert_allclose(arrayOf(maps.volume("PD")), result.maps.pd * 100, rtol=1e-6)
    np.testing.assert_array_equal(arrayOf(maps.volume("T1_sd")), result.maps.sd["T1"])
    units = {name: maps.volume(name).GetVoxelValueUnits().GetCodeValue() for name in EXPECTED[:6]}
    assert units == {"PD": "%", "T1": "ms", "T2": "ms", "PD_sd": "%", "T1_sd": "ms", "T2_sd": "ms"}
    codes = {name: maps.volume(name).GetVoxelValueQuantity().GetValueSchemeMeaning()[:2] for name in ("PD", "T1", "T2")}
    assert codes == {"PD": ("113058", "DCM"), "T1": ("113063", "DCM"), "T2": ("113065", "DCM")}
    assert maps.volume("T1").GetVoxelValueUnits().GetCodingSchemeDesignator() == "UCUM"
    assert maps.volume("T1").GetName() == "visit 1 t1w T1 (ms)"
    assert maps.node.GetName() == "Tissue maps of visit 1 t1w"


def test_the_share_of_fluid_is_a_volume_that_renderings_go_through(headless: HeadlessSlicer) -> None:
    result, flair = small_result(), Protocol.of("flair", TI=2800)
    maps = with_fluid(result)
    nodes = TissueMapNodes.create(maps, None, {}, headless.scene)
    assert nodes.names()[8] == "fluid_fraction" and nodes.volume("fluid_fraction").GetName() == "head Fluid fraction (%)"
    share = arrayOf(nodes.volume("fluid_fraction"))
    np.testing.assert_allclose(share, 100.0 * maps.maps.fluid_fraction, rtol=1e-6)
    expected = render(maps.maps, flair, scale=1000.0)
    assert np.abs(expected - render(result.maps, flair, scale=1000.0)).max() > 10.0
    np.testing.assert_allclose(arrayOf(renderContrast(nodes, flair)), expected, rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(render(nodes.tissueMaps(), flair, scale=1000.0), expected, rtol=1e-3, atol=0.05)
    preview = Preview(nodes)
    preview.showAll(flair)
    share[...] = 0.0
    voxelsChanged(nodes.volume("fluid_fraction"))
    assert not preview.shows(flair, None), "an edited map counts"
    nodes.node.SetText("{}")  # a report that does not tell the fluid's values
    assert nodes.shownMaps().fluid_fraction is None


def test_ranges_are_physical_and_stay_when_voxels_change(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    for name in (*EXPECTED[:6], "residual_t1w"):
        shown, wanted = maps.volume(name).GetDisplayNode(), display.appearanceOf(name)
        assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) == pytest.approx((wanted.low, wanted.high))
        arrayOf(maps.volume(name))[...] *= 3
        voxelsChanged(maps.volume(name))
        assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) == pytest.approx((wanted.low, wanted.high))
        assert display.isColored(maps.volume(name)) and display.legendShown(maps.volume(name))
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(maps.volume(name))
        assert legend.GetTitleText() == f"{wanted.title} ({wanted.unit[0]})"


def test_colours_and_legends_can_be_switched(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    node = maps.volume("T1")
    own = node.GetDisplayNode().GetColorNode()
    display.setColored(node, False)
    assert not display.isColored(node) and node.GetDisplayNode().GetColorNode().GetName() == "Grey"
    display.setColored(node, True)
    assert node.GetDisplayNode().GetColorNode() is own, "one table for all maps of a kind"
    display.setLegendShown(node, False)
    assert not display.legendShown(node)
    display.setLegendShown(maps.volume("mask"), True)  # has none


def test_a_map_takes_the_background_and_our_labels_go(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    composites = [logic.GetSliceCompositeNode() for logic in headless.views.values()]
    display.showInSlices(maps.volume("T1"))
    display.showInSlices(maps.volume("tissue"), headless.scene)
    shown = {(composite.GetBackgroundVolumeID(), composite.GetLabelVolumeID()) for composite in composites}
    assert shown == {(maps.volume("T1").GetID(), maps.volume("tissue").GetID())}
    display.showInSlices(maps.volume("T2"))
    assert {composite.GetLabelVolumeID() for composite in composites} == {None}
    users = headless.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "lesions drawn by hand")
    display.showInSlices(users)
    display.showInSlices(maps.volume("PD"))
    assert {composite.GetLabelVolumeID() for composite in composites} == {users.GetID()}


def test_white_grey_matter_and_fluid_have_their_own_colours(headless: HeadlessSlicer) -> None:
    """Literature T1 and T2 of white and grey matter are told apart at a glance, and fluid from both."""
    from PhysMRISynthLib.mrml.colours import labColours

    middles = {entry.name: np.exp(entry.theta) * (100, 1, 1) for entry in tissue_table()}
    for position, name, least in ((0, "PD", 10), (1, "T1", 18), (2, "T2", 10)):
        wanted = display.appearanceOf(name)
        colours = [
            labColours(wanted.colours)[int(np.clip(255 * (middles[t][position] - wanted.low) / (wanted.high - wanted.low), 0, 255))]
            for t in ("white_matter", "cortex", "csf")
        ]
        white, grey, fluid = colours
        assert np.linalg.norm(white - grey) > least and np.linalg.norm(grey - fluid) > 1.5 * least


def test_residuals_are_per_cent_of_the_inputs_median_in_the_brain(headless: HeadlessSlicer) -> None:
    maps, result = map_nodes(headless.scene), small_result()
    image = result.fits["t1w"] + result.residuals["t1w"]
    expected = 100 * result.residuals["t1w"] / np.median(np.abs(image[result.brain]))
    np.testing.assert_allclose(arrayOf(maps.volume("residual_t1w")), expected, rtol=1e-5, atol=1e-6)


def test_tissue_labels_start_at_one_and_brain_tissue_lies_in_the_brain(headless: HeadlessSlicer) -> None:
    result = small_result()
    brain = result.brain.copy()
    brain[:20] = False
    nodes = input_nodes(headless.scene)
    maps = TissueMapNodes.create(replace(result, brain=brain), nodes["t1w"], nodes, headless.scene)
    regions = np.array([entry.region == "brain" for entry in tissue_table()])
    tissue = maps.tissue()
    known = tissue != 255
    np.testing.assert_array_equal(tissue[known], result.tissue[known])
    assert not regions[tissue[:20][known[:20]]].any()
    assert (tissue[20:] == result.tissue[20:])[result.brain[20:]].all()
    table = maps.volume("tissue").GetDisplayNode().GetColorNode()
    white = arrayOf(maps.volume("tissue"))[(tissue == 0)]
    assert set(np.unique(white)) == {1} and table.GetColorName(1) == "White matter"


def test_the_maps_come_back_as_a_fraction_with_their_report(headless: HeadlessSlicer) -> None:
    maps, result = map_nodes(headless.scene), small_result()
    back = maps.tissueMaps()
    np.testing.assert_allclose(back.pd, result.maps.pd, rtol=1e-6)
    np.testing.assert_array_equal(back.t2, result.maps.t2)
    np.testing.assert_allclose(back.sd["PD"], result.maps.sd["PD"], rtol=1e-6)
    np.testing.assert_array_equal(back.mask, result.maps.mask)
    assert back.grid.GetOrigin() == pytest.approx(result.maps.grid.GetOrigin(), abs=1e-9)
    assert back.provenance["warnings"] == ["t1w: größer als erwartet"]
    before = maps.voxelsTime()
    arrayOf(maps.volume("T1"))[...] = 1234.0
    voxelsChanged(maps.volume("T1"))
    assert (maps.tissueMaps().t1 == 1234.0).all() and (back.t1 != 1234.0).any()
    assert maps.voxelsTime() > before


def test_provenance_names_the_inputs(headless: HeadlessSlicer) -> None:
    nodes = input_nodes(headless.scene)
    maps = TissueMapNodes.create(small_result(), nodes["t1w"], nodes, headless.scene)
    assert maps.report["nodes"]["inputs"]["flair"] == {"id": nodes["flair"].GetID(), "name": "visit 1 flair"}
    assert maps.report["network"]["sha256"] == "ab" * 32
    assert maps.node.GetNodeReference("input_flair") is nodes["flair"]
    assert maps.volume("T1").GetNodeReference("PhysMRISynth.TissueMaps") is maps.node
    assert maps.volume("T1").GetAttribute("PhysMRISynth.Quantity") == "T1"


def test_a_run_has_a_folder_beside_its_input(headless: HeadlessSlicer) -> None:
    nodes = input_nodes(headless.scene)
    hierarchy = headless.scene.GetSubjectHierarchyNode()
    visit = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "visit 1")
    hierarchy.CreateItem(visit, nodes["t1w"])
    maps = TissueMapNodes.create(small_result(), nodes["t1w"], nodes, headless.scene)
    items = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in (maps.node, *(maps.volume(n) for n in EXPECTED))}
    assert len(items) == 1
    run = items.pop()
    assert hierarchy.GetItemName(run) == "Tissue maps of visit 1 t1w" and hierarchy.GetItemParent(run) == visit


def test_maps_follow_their_references_transform(headless: HeadlessSlicer) -> None:
    nodes = input_nodes(headless.scene)
    turn = np.eye(4)
    turn[:3, :3] = rotation(10, 20, 30)
    turn[:3, 3] = (5, 6, 7)
    moved = linear_transform(turn)
    nodes["t1w"].SetAndObserveTransformNodeID(moved.GetID())
    grid = gridOf(nodes["t1w"])
    result = replace(small_result(), maps=replace(small_result().maps, grid=grid))
    maps = TissueMapNodes.create(result, nodes["t1w"], nodes, headless.scene)
    assert all(maps.volume(name).GetParentTransformNode() is moved for name in maps.names())
    np.testing.assert_allclose(gridOf(maps.volume("T2")).GetOrigin(), grid.GetOrigin(), atol=1e-6)


@pytest.mark.parametrize("how", ["moved", "emptied", "removed"])
def test_maps_lie_right_when_their_reference_does_not_any_more(headless: HeadlessSlicer, how: str) -> None:
    nodes = input_nodes(headless.scene)
    reference = nodes.pop("t1w")
    if how == "moved":
        reference.SetOrigin(1, 2, 3)
    elif how == "emptied":
        reference.SetAndObserveImageData(None)
    else:
        headless.scene.RemoveNode(reference)
    maps = TissueMapNodes.create(small_result(), reference, nodes, headless.scene)
    np.testing.assert_allclose(gridOf(maps.volume("T2")).GetOrigin(), small_result().maps.grid.GetOrigin(), atol=1e-6)


def test_sampled_maps_need_no_reference(headless: HeadlessSlicer) -> None:
    maps = TissueMapNodes.create(replace(small_result(), fits={}, residuals={}), None, {}, headless.scene, name="Sampled head 7")
    assert maps.node.GetName() == "Sampled head 7" and maps.names() == EXPECTED[:8]


def test_removal_leaves_the_scene_as_it_was(headless: HeadlessSlicer) -> None:
    map_nodes(headless.scene).remove()  # colour tables stay for the next
    hierarchy = headless.scene.GetSubjectHierarchyNode()
    nodes = input_nodes(headless.scene)
    count, items = headless.node_count(), hierarchy.GetNumberOfItemChildren(hierarchy.GetSceneItemID(), True)
    maps = TissueMapNodes.create(small_result(), nodes["t1w"], nodes, headless.scene)
    Preview(maps).showAll(Protocol.of("se"))
    updateStatisticsTable(maps)
    updateHistogramPlot(maps)
    maps.remove()
    assert headless.node_count() == count
    assert hierarchy.GetNumberOfItemChildren(hierarchy.GetSceneItemID(), True) == items
    assert TissueMapNodes.all(headless.scene) == []


def test_nothing_is_left_of_maps_that_could_not_be_made(headless: HeadlessSlicer) -> None:
    map_nodes(headless.scene).remove()
    nodes = input_nodes(headless.scene)
    count = headless.node_count()
    broken = replace(small_result(), tissue=small_result().tissue[:-1])
    with pytest.raises((ImageError, ValueError, IndexError)):
        TissueMapNodes.create(broken, nodes["t1w"], nodes, headless.scene)
    assert headless.node_count() == count


def test_what_stands_for_no_maps_is_refused(headless: HeadlessSlicer) -> None:
    plain = headless.scene.AddNewNodeByClass("vtkMRMLTextNode", "notes")
    maps = map_nodes(headless.scene)
    for node, told in ((None, "No tissue maps"), (plain, "'notes' does not stand for"), (maps.volume("T1"), "does not stand for")):
        with pytest.raises(ImageError, match=told):
            TissueMapNodes.wrap(node)
    maps.node.SetText("{ edited")
    with pytest.raises(ImageError, match="no report any more"):
        _ = maps.report
    headless.scene.RemoveNode(maps.volume("T1"))
    with pytest.raises(ImageError, match="T1 map of 'Tissue maps of visit 1 t1w' is not in the scene"):
        TissueMapNodes.wrap(maps.node).tissueMaps()


def state_of(maps: TissueMapNodes) -> dict[str, Any]:
    """Everything that must survive saving."""
    hierarchy = maps.node.GetScene().GetSubjectHierarchyNode()
    found: dict[str, Any] = {"text": maps.node.GetText(), "names": maps.names(), "roles": sorted(maps.roles())}
    for name in maps.names():
        node = maps.volume(name)
        shown = node.GetDisplayNode()
        colours = shown.GetColorNode()
        units, quantity = node.GetVoxelValueUnits(), node.GetVoxelValueQuantity()
        item = hierarchy.GetItemByDataNode(node)
        found[name] = {
            "name": node.GetName(),
            "class": node.GetClassName(),
            "attributes": {a: node.GetAttribute(a) for a in sorted(node.GetAttributeNames()) if a.startswith("PhysMRISynth")},
            "units": units.GetAsString() if units else None,
            "quantity": quantity.GetAsString() if quantity else None,
            "window": window_of(shown),
            "colours": [colours.GetColorName(i) for i in range(colours.GetNumberOfColors())],
            "colour 200": slice_colour(colours, min(200, colours.GetNumberOfColors() - 1)),
            "legend": display.legendShown(node),
            "folder": hierarchy.GetItemName(hierarchy.GetItemParent(item)),
            "maps": node.GetNodeReference("PhysMRISynth.TissueMaps").GetName(),
        }
    return found


def window_of(shown: Any) -> tuple[float, float, int] | None:
    if shown.IsA("vtkMRMLLabelMapVolumeDisplayNode"):
        return None
    return round(shown.GetWindowLevelMin(), 1), round(shown.GetWindowLevelMax(), 1), shown.GetAutoWindowLevel()  # files hold six digits


def slice_colour(colours: Any, index: int) -> list[float]:
    rgba = [0.0] * 4
    colours.GetColor(index, rgba)
    return [round(channel, 3) for channel in rgba]


def reload(headless: HeadlessSlicer, folder: Path, how: str) -> None:
    if how == "MRB":
        path = folder / "visit.mrb"
        assert headless.scene.WriteToMRB(str(path))
        headless.scene.Clear(0)
        assert headless.scene.ReadFromMRB(str(path))
        return
    headless.scene.SetRootDirectory(str(folder))
    for index in range(headless.scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
        node = headless.scene.GetNthNodeByClass(index, "vtkMRMLStorableNode")
        if node.GetSaveWithScene() and node.AddDefaultStorageNode():
            storage = node.GetStorageNode()
            if storage is not None:
                storage.SetFileName(str(folder / f"{node.GetID()}.{storage.GetDefaultWriteFileExtension()}"))
                assert storage.WriteData(node), node.GetName()
    headless.scene.SetURL(str(folder / "visit.mrml"))
    assert headless.scene.Commit()
    headless.scene.Clear(0)
    assert headless.scene.Connect()


@pytest.mark.parametrize("how", ["MRB", "scene with files"])
def test_a_saved_scene_has_the_same_maps(headless: HeadlessSlicer, tmp_path: Path, how: str) -> None:
    maps = map_nodes(headless.scene)
    Preview(maps).showAll(Protocol.of("flair", TR=8000))
    before, voxels = state_of(maps), {name: arrayOf(maps.volume(name)).copy() for name in (*maps.names(), "preview")}
    reload(headless, tmp_path, how)
    again = TissueMapNodes.all(headless.scene)
    assert len(again) == 1
    back = TissueMapNodes.wrap(again[0].node)
    after = state_of(back)
    assert after.keys() == before.keys()
    for key, kept in before.items():
        assert after[key] == kept
    for name, array in voxels.items():
        np.testing.assert_array_equal(arrayOf(back.volume(name)), array)
    assert back.node.GetNodeReference("input_flair").GetName() == "visit 1 flair"
    assert json.loads(back.node.GetText())["warnings"] == ["t1w: größer als erwartet"]
    preview = Preview(back)
    assert preview.node.GetAttribute("PhysMRISynth.Protocol").startswith("flair,TR=8000,")
    tables = headless.scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")
    TissueMapNodes.create(small_result(), back.node.GetNodeReference("input_t1w"), {}, headless.scene)
    assert headless.scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode") == tables, "the colour tables of the file are used again"
