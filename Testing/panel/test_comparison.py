"""Another visit beside the present one, recent protocols, and voxels that hold tissue and fluid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer

from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.rendering.two_compartments import fluid_signal
from PhysMRISynthLib.workflow.worker.jobs import Finished, Result
from Testing.panel.estimates import FakeClient, addImages, estimated, finish, result, voxels
from Testing.panel.harness import DrivenPanel

FLUID = 1.0, 4600.0, 2000.0
SHARE = 0.3


@pytest.fixture
def visits(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    """The panel after estimates of two visits, the second of which is selected."""
    estimated(driven, client)
    driven.click("applyButton")
    finish(driven, client, known=small_head(1.5), fieldStrength=1.5)
    driven.panel.protocol.buttons["synthetic-flair"].click()
    driven.rest()
    return driven


def background(driven: DrivenPanel, view: str = "Red") -> Any:
    return slicer.mrmlScene.GetNodeByID(driven.slicer.views[view].GetSliceCompositeNode().GetBackgroundVolumeID())


def window(node: Any) -> tuple[float, float]:
    return node.GetDisplayNode().GetWindowLevelMin(), node.GetDisplayNode().GetWindowLevelMax()


def other(driven: DrivenPanel) -> TissueMapNodes:
    """The visit that is not selected."""
    (found,) = (maps for maps in TissueMapNodes.all(slicer.mrmlScene) if maps.node is not driven.parameters.maps)
    return found


def test_b_is_the_same_contrast_of_another_visit_in_the_same_window(visits: DrivenPanel) -> None:
    first, nodes = other(visits), visits.slicer.node_count()
    visits.choose("compareComboBox", f"This contrast of {first.node.GetName()}")
    visits.click("compareButton")
    protocol, shown = visits.panel.protocol.state.protocol(), background(visits)
    np.testing.assert_allclose(voxels(shown), render(first.tissueMaps(), protocol, scale=1000.0), rtol=1e-4, atol=0.01)
    assert window(shown) == window(visits.panel.protocol.live.preview.node)
    assert first.title in visits.message("compareLabel") and "FLAIR" in visits.message("compareLabel")
    visits.click("compareButton")
    assert background(visits) is visits.panel.protocol.live.preview.node and visits.slicer.node_count() == nodes


def test_another_visit_beside_the_present_one_follows_the_sliders(visits: DrivenPanel) -> None:
    first, nodes = other(visits), visits.slicer.node_count()
    visits.choose("compareComboBox", f"This contrast of {first.node.GetName()}")
    visits.click("sideBySideButton")
    visits.slide("flair", "TE", 0.3)
    visits.rest()
    protocol, shown = visits.panel.protocol.state.protocol(), background(visits, "Yellow")
    assert shown.GetAttribute("PhysMRISynth.Protocol") == protocol.spec
    np.testing.assert_allclose(voxels(shown), render(first.tissueMaps(), protocol, scale=1000.0), rtol=1e-4, atol=0.01)
    visits.click("sideBySideButton")
    assert visits.slicer.node_count() == nodes
    first.remove()
    visits.panel.update()
    assert not visits.ui.compareButton.enabled, "the other visit is gone"


def test_the_ten_protocols_that_were_saved_last_are_offered_the_last_one_first(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client)
    for echo in range(10, 22):
        driven.panel.protocol.useProtocol(Protocol.of("se", TR=600, TE=echo))
        driven.click("keepButton")
    listed = [driven.ui.presetComboBox.itemText(i) for i in range(driven.ui.presetComboBox.count)]
    recent = [text.split()[-1] for text in listed if text.startswith("Recent:")]
    assert recent == [str(echo) for echo in range(21, 11, -1)]
    driven.choose("presetComboBox", next(text for text in listed if text.endswith("TE 15")))
    assert driven.panel.protocol.state.values == {"TR": 600.0, "TE": 15.0}


def withRims(known: Result) -> Result:
    """As an estimate of a head whose cortex holds a share of fluid in every voxel: the water's mean rates, and the share."""
    maps, rim = known.maps, known.tissue == 1
    own, fluid = (1.0 - SHARE) * maps.pd, SHARE * FLUID[0]
    pd = np.where(rim, own + fluid, maps.pd).astype(np.float32)
    with np.errstate(all="ignore"):
        t1, t2 = (pd / (own / whole + fluid / theirs) for whole, theirs in ((maps.t1, FLUID[1]), (maps.t2, FLUID[2])))
    mixed = {"pd": pd, "t1": np.where(rim, t1, maps.t1).astype(np.float32), "t2": np.where(rim, t2, maps.t2).astype(np.float32)}
    share = np.where(rim, np.float32(SHARE), np.float32(0.0))
    report = {**known.report, "fluid": {"PD_percent": 100.0 * FLUID[0], "T1_ms": FLUID[1], "T2_ms": FLUID[2]}}
    return replace(known, maps=replace(maps, **mixed, fluid_fraction=share, fluid=FLUID), report=report)


def test_a_rendered_flair_has_no_bright_rims(driven: DrivenPanel, client: FakeClient) -> None:
    """Fluid is nulled in voxels that hold some, too: what is left is the tissue's share."""
    addImages("t1w", "flair")
    driven.enter()
    driven.click("applyButton")
    pure = result()
    client.told.append(Finished(withRims(pure)))
    driven.waitFor(lambda: not driven.panel.estimate.running)
    driven.panel.protocol.buttons["synthetic-flair"].click()
    driven.rest()
    protocol, rim = driven.panel.protocol.state.protocol(), pure.tissue == 1
    assert abs(fluid_signal(protocol, FLUID)) < 1e-3  # the fluid that is rendered, not the median of the report
    cortex = render(pure.maps, protocol, scale=1000.0)[rim]
    shown = voxels(driven.panel.protocol.live.preview.node)[rim]
    np.testing.assert_allclose(shown, (1.0 - SHARE) * cortex, rtol=0.03)
    driven.slide("flair", "TE", 0.3)
    driven.settle(30)  # what the views show, while the slider moves
    protocol = driven.panel.protocol.state.protocol()
    k = int(np.argmax(rim.sum(axis=(1, 2))))
    driven.rest()
    expected = (1.0 - SHARE) * render(pure.maps, protocol, scale=1000.0)[k][rim[k]]
    np.testing.assert_allclose(voxels(driven.panel.protocol.live.preview.node)[k][rim[k]], expected, rtol=0.03)
    driven.choose("quantityComboBox", "Fluid fraction")
    assert background(driven) is driven.panel.maps.volume("fluid_fraction")
