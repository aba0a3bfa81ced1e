"""One preview that changes in place: the views show the equation's image, and nothing piles up."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import psutil
import pytest
import slicer
import slicer.util

from PhysMRISynthLib.errors import ImageError, ProtocolError
from PhysMRISynthLib.mrml import display
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.preview import Preview, renderContrast
from PhysMRISynthLib.mrml.volumes import arrayOf, gridOf, ijkToWorld, voxelsChanged
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.workflow.rendering.live import Noise
from PhysMRISynthLib.workflow.rendering.render import render
from Testing.imaging.phantoms import rotation
from Testing.mrml.results import input_nodes, map_nodes, small_result
from Testing.mrml.scene import HeadlessSlicer, linear_transform


def pictures(headless: HeadlessSlicer) -> np.ndarray:
    return np.stack([headless.picture(name) for name in headless.views])


def spin_echo(tr: float, te: float = 15.0) -> Protocol:
    return Protocol.of("se", TR=tr, TE=te)


def turn_slices(headless: HeadlessSlicer, node: Any) -> None:
    for logic in headless.views.values():
        matrix = logic.GetSliceNode().GetSliceToRAS()
        turned = np.eye(4)
        turned[:3, :3] = rotation(15, -10, 25)
        matrix.DeepCopy(slicer.util.vtkMatrixFromArray(turned @ slicer.util.arrayFromVTKMatrix(matrix)))
        logic.GetSliceNode().UpdateMatrices()


def turn_volume(headless: HeadlessSlicer, node: Any) -> None:
    turned = np.eye(4)
    turned[:3, :3] = rotation(7, 8, 9)
    node.SetAndObserveTransformNodeID(linear_transform(turned).GetID())


def leave(headless: HeadlessSlicer, node: Any) -> None:
    pass


@pytest.mark.parametrize("arrange", [leave, turn_slices, turn_volume])
@pytest.mark.parametrize("noise", [None, Noise(20.0, 3)], ids=["clean", "noisy"])
def test_views_show_after_a_region_what_they_show_after_all(headless: HeadlessSlicer, arrange: Any, noise: Noise | None) -> None:
    preview = Preview(map_nodes(headless.scene))
    preview.showAll(spin_echo(400))
    headless.show(preview.node)
    arrange(headless, preview.node)
    preview.showRegion(spin_echo(3000, 90), noise)
    region = pictures(headless)
    partly = arrayOf(preview.node).copy()
    preview.showAll(spin_echo(3000, 90), noise)
    np.testing.assert_array_equal(pictures(headless), region)
    assert (arrayOf(preview.node) != partly).any(), "only the region had been rendered"


def spin_echo_by_hand(protocol: Protocol) -> np.ndarray:
    """1000 · PD · (1 − 2·exp(−(TR − TE/2)/T1) + exp(−TR/T1)) · exp(−TE/T2), refocused at TE/2."""
    maps, (tr, te) = small_result().maps, (protocol.values["TR"], protocol.values["TE"])
    with np.errstate(divide="ignore", invalid="ignore"):
        recovered = 1.0 - 2.0 * np.exp(-(tr - te / 2.0) / maps.t1.astype(float)) + np.exp(-tr / maps.t1.astype(float))
        signal = 1000.0 * maps.pd * recovered * np.exp(-te / maps.t2.astype(float))
    return np.where(maps.pd > 0, np.abs(signal), 0.0)


def test_pixels_change_as_the_equation_says(headless: HeadlessSlicer) -> None:
    preview = Preview(map_nodes(headless.scene))
    preview.showAll(spin_echo(500))
    display.setWindow(preview.node, 0.0, 1000.0)
    preview.node.GetDisplayNode().SetInterpolate(False)  # one voxel a pixel
    headless.show(preview.node)
    for protocol in (spin_echo(500), spin_echo(2500), spin_echo(2500, 90)):
        preview.showRegion(protocol)
        signal = spin_echo_by_hand(protocol)
        for name, logic in headless.views.items():
            shown = headless.picture(name)[::-1, :, 0]
            to_voxels = np.linalg.inv(ijkToWorld(preview.node)) @ slicer.util.arrayFromVTKMatrix(logic.GetSliceNode().GetXYToRAS())
            rows, columns = np.indices(shown.shape)
            place = np.einsum("ij,j...->i...", to_voxels, np.stack([columns, rows, 0 * rows, 1 + 0 * rows]))[2::-1]
            nearest = np.rint(place).astype(int)
            inside = ((nearest >= 0) & (nearest < np.reshape(signal.shape, (3, 1, 1)))).all(axis=0)
            inside &= (np.abs(np.abs(place - nearest) - 0.5) > 1e-3).all(axis=0)  # halfway between voxels either may be shown
            expected = np.clip(signal[tuple(nearest[:, inside])] * 0.255, 0, 255)
            assert expected.size > 2000 and expected.std() > 20
            np.testing.assert_allclose(shown[inside], expected, atol=1.01)


def test_a_thousand_moves_leave_no_nodes_and_no_memory(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    preview = Preview(maps)
    preview.showAll(spin_echo(400))
    headless.show(preview.node)
    node, shown = preview.node, preview.node.GetDisplayNode()
    window = (shown.GetWindowLevelMin(), shown.GetWindowLevelMax())

    def move(times: int) -> int:
        for step in range(times):
            preview.showRegion(spin_echo(400 + step % 97))
            if step % 50 == 0:
                pictures(headless)
        gc.collect()
        return psutil.Process().memory_info().rss

    before, count = move(100), headless.node_count()
    after = move(1000)
    assert headless.node_count() == count and preview.node is node
    assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) == window and not shown.GetAutoWindowLevel()
    assert after - before < 2**20, "a leak of one slice a move would be 12 MB"


def test_attributes_tell_what_is_shown_and_how_to_get_it_again(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    preview = Preview(maps)
    assert preview.node is None
    preview.showRegion(spin_echo(500), Noise(25.0, 7))
    node = preview.node
    assert node.GetAttribute("PhysMRISynth.Protocol") == "se,TR=500,TE=15"
    assert (node.GetAttribute("PhysMRISynth.SNR"), node.GetAttribute("PhysMRISynth.Seed")) == ("25.0", "7")
    again = render(maps.tissueMaps(), parse_protocol(node.GetAttribute("PhysMRISynth.Protocol")), 25.0, 7, 1000.0)
    np.testing.assert_allclose(arrayOf(node), again, rtol=0.02, atol=1.0)
    preview.showAll(spin_echo(500))
    assert node.GetAttribute("PhysMRISynth.SNR") is None
    np.testing.assert_allclose(arrayOf(node), render(small_result().maps, spin_echo(500), scale=1000.0), rtol=1e-4, atol=1e-2)
    assert Preview(maps).node is node, "another wrapper finds the same preview"


def test_an_image_is_kept_whole_beside_the_maps(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    preview = Preview(maps)
    with pytest.raises(ImageError, match="no preview"):
        preview.keep()
    preview.showAll(spin_echo(500))
    headless.show(preview.node)
    preview.showRegion(spin_echo(2000))
    kept = preview.keep()
    assert "synthetic" in kept.GetName() and "synthetic" in preview.node.GetName(), "a name must not pass for a scan's"
    preview.showAll(spin_echo(100))
    np.testing.assert_allclose(arrayOf(kept), render(small_result().maps, spin_echo(2000), scale=1000.0), rtol=1e-4, atol=1e-2)
    assert kept.GetName() == "visit 1 t1w synthetic se TR=2000 TE=15" and kept.GetAttribute("PhysMRISynth.Protocol") == "se,TR=2000,TE=15"
    assert kept.GetNodeReference("PhysMRISynth.TissueMaps") is maps.node
    hierarchy = headless.scene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(kept))
    assert hierarchy.GetItemName(item) == maps.node.GetName()
    maps.remove()
    assert headless.scene.IsNodePresent(kept)


def test_the_window_shows_the_brain_and_only_changes_when_asked(headless: HeadlessSlicer) -> None:
    preview = Preview(map_nodes(headless.scene))
    preview.showAll(Protocol.of("mprage"))
    shown = preview.node.GetDisplayNode()
    first = shown.GetWindowLevelMax()
    brain = arrayOf(preview.node)[small_result().brain]
    assert shown.GetWindowLevelMin() == 0.0 and first == pytest.approx(np.percentile(brain, 99.5), rel=1e-3)
    preview.showAll(Protocol.of("flair"))
    assert shown.GetWindowLevelMax() == first
    preview.resetWindow()
    assert shown.GetWindowLevelMax() == pytest.approx(np.percentile(arrayOf(preview.node)[small_result().brain], 99.5), rel=1e-3)
    preview.showAll(Protocol.of("psir"))
    preview.resetWindow()
    assert shown.GetWindowLevelMin() < 0 <= shown.GetWindowLevelMax()


def test_the_window_of_a_region_is_that_of_the_whole(headless: HeadlessSlicer) -> None:
    preview = Preview(map_nodes(headless.scene))
    preview.showAll(spin_echo(500))
    headless.show(preview.node)
    preview.showRegion(spin_echo(3000, 90))
    preview.resetWindow()
    shown = preview.node.GetDisplayNode()
    window = shown.GetWindowLevelMax()
    preview.showAll(spin_echo(3000, 90))
    preview.resetWindow()
    assert shown.GetWindowLevelMax() == window and window > 0


def test_what_is_whole_is_known_and_kept_without_rendering_again(headless: HeadlessSlicer, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = map_nodes(headless.scene)
    preview, noise = Preview(maps), Noise(20.0, 3)
    preview.showAll(spin_echo(500), noise)
    headless.show(preview.node)
    assert preview.shows(spin_echo(500), noise) and preview.ready(noise) and not preview.ready(Noise(20.0, 4))
    assert not preview.shows(spin_echo(500), None) and not preview.shows(spin_echo(600), noise)
    with monkeypatch.context() as patched:
        patched.setattr(Preview, "steps", None)
        preview.keep()
    voxelsChanged(maps.volume("PD"))
    assert not preview.shows(spin_echo(500), noise), "an edited map"
    preview.showAll(spin_echo(500))
    arrayOf(preview.node)[...] = 0
    voxelsChanged(preview.node)
    assert not preview.shows(spin_echo(500), None), "an edited preview"
    steps = preview.steps(spin_echo(600))
    next(steps)
    assert not preview.shows(spin_echo(600), None) and sum(1 for _ in steps) == 0 and preview.shows(spin_echo(600), None)
    preview.showRegion(spin_echo(700))
    assert not preview.shows(spin_echo(700), None)


def test_a_preview_holds_no_copies_of_what_it_only_reads(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    shown = maps.shownMaps()
    assert (
        not shown.sd and np.shares_memory(shown.t1, arrayOf(maps.volume("T1"))) and np.shares_memory(shown.t2, arrayOf(maps.volume("T2")))
    )
    copied = maps.tissueMaps()
    assert not np.shares_memory(copied.t1, shown.t1) and set(copied.sd) == {"PD", "T1", "T2"}
    np.testing.assert_array_equal(copied.pd, shown.pd)


def test_a_first_image_that_cannot_be_leaves_no_preview_without_a_window(headless: HeadlessSlicer) -> None:
    preview = Preview(map_nodes(headless.scene))
    with pytest.raises(ProtocolError):
        preview.showRegion(spin_echo(500), Noise(-1.0))
    assert preview.node is None
    preview.showRegion(spin_echo(500))
    assert not preview.node.GetDisplayNode().GetAutoWindowLevel() and preview.node.GetDisplayNode().GetWindowLevelMax() > 0


def test_an_edited_map_counts(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    preview = Preview(maps)
    preview.showAll(spin_echo(500))
    headless.show(preview.node)
    before, shown = arrayOf(preview.node).copy(), pictures(headless)
    arrayOf(maps.volume("PD"))[...] /= 2
    voxelsChanged(maps.volume("PD"))
    preview.showAll(spin_echo(500))
    np.testing.assert_allclose(arrayOf(preview.node), before / 2, rtol=1e-4, atol=1e-3)
    assert pictures(headless)[..., 0].mean() < 0.6 * shown[..., 0].mean()


def test_contrasts_into_new_and_given_volumes(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    new = renderContrast(maps, spin_echo(500))
    expected = render(small_result().maps, spin_echo(500), scale=1000.0)
    np.testing.assert_allclose(arrayOf(new), expected, rtol=1e-4, atol=1e-2)
    given = headless.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "out")
    assert renderContrast(maps, spin_echo(500), given, Noise(20.0, 1)) is given
    assert gridOf(given).GetOrigin() == pytest.approx(gridOf(maps.volume("T1")).GetOrigin())
    assert given.GetAttribute("PhysMRISynth.SNR") == "20.0" and given.GetName() == "out"
    uniform = renderContrast(maps, Protocol.of("mp2rage"))
    assert np.abs(arrayOf(uniform)).max() <= 0.5 + 1e-6


def test_maps_and_inputs_are_never_overwritten(headless: HeadlessSlicer) -> None:
    nodes = input_nodes(headless.scene)
    maps = TissueMapNodes.create(small_result(), nodes["t1w"], nodes, headless.scene)
    other = map_nodes(headless.scene)
    for node in (maps.volume("T1"), maps.volume("mask"), other.volume("T1"), other.volume("fit_t1w"), nodes["flair"], maps.node):
        with pytest.raises(ImageError, match="Choose"):
            renderContrast(maps, spin_echo(500), node)
    np.testing.assert_array_equal(arrayOf(maps.volume("T1")), small_result().maps.t1)


def test_faults_are_told(headless: HeadlessSlicer) -> None:
    maps = map_nodes(headless.scene)
    preview = Preview(maps)
    with pytest.raises(ProtocolError):
        preview.showAll(spin_echo(500), Noise(-1.0))
    headless.scene.RemoveNode(maps.volume("T2"))
    with pytest.raises(ImageError, match="T2 map"):
        preview.showAll(spin_echo(500))
