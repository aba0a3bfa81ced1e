"""Large heads: what is shown follows at once and the rest in steps, between which Slicer goes on."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.mrml.views import shownRegion
from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.rendering.render import render
from Testing.panel.estimates import FakeClient, estimated, voxels
from Testing.panel.harness import DrivenPanel

T1W = load_presets()["synthetic-t1w"].protocol


@pytest.fixture
def stepwise(driven: DrivenPanel, client: FakeClient) -> DrivenPanel:
    """The panel after an estimate of a head that takes many turns to render."""
    driven.panel.protocol.live.slab = 10_000
    estimated(driven, client)
    driven.panel.protocol.render()
    driven.settle(100)
    driven.panel.protocol.live.turnSeconds = 0.0
    return driven


def wrong(driven: DrivenPanel, protocol: Protocol) -> np.ndarray:
    """Where the preview is not the image of the protocol."""
    expected = render(driven.panel.maps.tissueMaps(), protocol, scale=1000.0)
    return ~np.isclose(voxels(driven.panel.protocol.live.preview.node), expected, rtol=1e-4, atol=1e-2)


def test_a_preset_is_seen_at_once_and_whole_soon(stepwise: DrivenPanel) -> None:
    live = stepwise.panel.protocol.live
    live.show(T1W, None, newWindow=True)
    shown = np.zeros(voxels(live.preview.node).shape, bool)
    shown.reshape(-1)[shownRegion(live.preview.node, stepwise.slicer.scene).indices(shown.shape)] = True
    away = wrong(stepwise, T1W)
    assert shown.any() and not away[shown].any() and away[~shown].any()
    display = live.preview.node.GetDisplayNode()
    window = display.GetWindowLevelMax()
    stepwise.waitFor(lambda: not wrong(stepwise, T1W).any())
    live.preview.resetWindow()
    assert display.GetWindowLevelMax() == window, "the window was right from the beginning"


def test_a_move_in_between_wins(stepwise: DrivenPanel) -> None:
    live, other = stepwise.panel.protocol.live, T1W.changed("test", TE=6.0)
    live.show(T1W, None)
    live.moved(other, None, live=False)
    stepwise.settle(100)
    assert wrong(stepwise, other).any() and wrong(stepwise, T1W).any(), "the steps of the first one have ended"
    stepwise.waitFor(lambda: not wrong(stepwise, other).any())


def test_what_is_kept_in_between_is_whole(stepwise: DrivenPanel) -> None:
    live = stepwise.panel.protocol.live
    live.show(T1W, None)
    kept = live.preview.keep()
    assert kept.GetAttribute("PhysMRISynth.Protocol") == T1W.spec
    np.testing.assert_allclose(voxels(kept), render(stepwise.panel.maps.tissueMaps(), T1W, scale=1000.0), rtol=1e-4, atol=1e-2)


def test_closing_the_scene_in_between_does_no_harm(stepwise: DrivenPanel) -> None:
    live = stepwise.panel.protocol.live
    live.show(T1W, None)
    stepwise.slicer.scene.Clear()
    stepwise.settle(100)
    assert live.preview is None
