"""The lower part of the panel, what people do with maps, from a .ui file of its own."""

from __future__ import annotations

from typing import Any

import slicer
import slicer.util


def insertUses(panelWidget: Any, uses: Any, scene: Any) -> None:
    """Put the widgets of ``PhysMRISynthUses.ui`` above the virtual heads of the panel's widget, before its children are listed."""
    below = slicer.util.findChild(panelWidget, "sampleCollapsibleButton")
    layout = panelWidget.layout()
    layout.insertWidget(layout.indexOf(below), uses)
    uses.setMRMLScene(scene)
