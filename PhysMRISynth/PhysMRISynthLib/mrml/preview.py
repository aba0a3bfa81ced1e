"""Renderings in the scene: one preview volume that changes in place while sliders move, and images that are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util

from ..errors import ImageError
from ..physics.protocol import Protocol, parse_protocol
from ..physics.tissues import tissue_table
from ..workflow.live import LiveRenderer, Noise, Region
from . import display
from .headers import PROTOCOL, QUANTITY
from .mapNodes import PREVIEW, TissueMapNodes
from .views import shownRegion
from .volumes import arrayOf, newVolume, titleOf, voxelsChanged

SNR, SEED = "PhysMRISynth.SNR", "PhysMRISynth.Seed"
_QUANTITY = "rendering"


def scaleOf(protocol: Protocol) -> float:
    """What the signal is multiplied by in a node, as on the command line: 1000, so that integer formats keep it; ratio images stay."""
    return 1000.0 if protocol.sequence.uses_pd else 1.0


class Preview:
    """The preview of a set of maps. The node is made at the first rendering, and found again when the scene has it already.

    Voxels are the equation's signal times :func:`scaleOf`. The window is set once and then only by :meth:`resetWindow`, so that a change of
    contrast is seen. An edited map counts from the next rendering.
    """

    def __init__(self, maps: TissueMapNodes) -> None:
        """Nothing is rendered yet."""
        self._maps = maps
        self._renderer: LiveRenderer | None = None
        self._time = 0
        self._whole = False

    @property
    def node(self) -> Any:
        """The preview volume, or None before the first rendering."""
        return self._maps.volume(PREVIEW)

    def showRegion(self, protocol: Protocol, noise: Noise | None = None) -> None:
        """Render what the slice views show. Other voxels keep their former values until :meth:`showAll`."""
        if self.node is None:
            self.showAll(protocol, noise)
        else:
            self._show(protocol, noise, shownRegion(self.node, self.node.GetScene()))

    def showAll(self, protocol: Protocol, noise: Noise | None = None) -> None:
        """Render the whole volume. Raises ImageError when a map is missing, ProtocolError when the noise has no sense."""
        if self.node is None:
            self._begin(protocol, noise)
        else:
            self._show(protocol, noise, None)

    def resetWindow(self) -> None:
        """Set the window from the present image in the brain (in the head where no brain is marked)."""
        if self.node is not None:
            display.showAsScan(self.node, arrayOf(self.node)[_brain(self._maps)])

    def keep(self, name: str | None = None) -> Any:
        """A copy of the whole preview that stays as it is, with its provenance, beside the maps. Raises ImageError before a rendering."""
        node = self.node
        if node is None:
            raise ImageError("There is no preview to keep yet. Move a slider or choose a preset first.")
        protocol, noise = _shown(node)
        if not self._whole:
            self.showAll(protocol, noise)
        kept = newVolume(name or f"{self._maps.title} {protocol.spec.replace(',', ' ')}", arrayOf(node), node)
        _note(kept, protocol, noise)
        self._maps.mark(kept, _QUANTITY)
        shown = node.GetDisplayNode()
        display.setWindow(kept, shown.GetWindowLevelMin(), shown.GetWindowLevelMax())
        return kept

    def _begin(self, protocol: Protocol, noise: Noise | None) -> None:
        """The node is made last, so that a protocol without an image leaves none without a window."""
        image = _rendered(self._current(), self._maps, protocol, noise)
        made = newVolume(f"{self._maps.title} preview", image, self._maps.volume("T1"))
        _note(made, protocol, noise)
        self._maps.addVolume(made, PREVIEW, _QUANTITY)
        self._whole = True
        self.resetWindow()

    def _show(self, protocol: Protocol, noise: Noise | None, region: Region | None) -> None:
        renderer, voxels = self._current(), arrayOf(self.node)
        if region is None:
            renderer.render(protocol, voxels, noise, scaleOf(protocol))
        else:
            renderer.render_region(protocol, voxels, region, noise, scaleOf(protocol))
        self._whole = region is None
        with slicer.util.NodeModify(self.node):  # one event for the views, not one an attribute
            _note(self.node, protocol, noise)
            voxelsChanged(self.node)

    def _current(self) -> LiveRenderer:
        time = self._maps.voxelsTime()
        if self._renderer is None or time != self._time:
            self._renderer, self._time = LiveRenderer(self._maps.tissueMaps()), time
        return self._renderer


def renderContrast(maps: TissueMapNodes, protocol: Protocol, outputVolume: Any = None, noise: Noise | None = None) -> Any:
    """The image of ``maps`` under ``protocol`` in a new volume, or in ``outputVolume``, whose voxels and geometry are replaced.

    Returns the volume node. Raises ImageError when the output is one of the maps or no scalar volume.
    """
    like = maps.volume("T1")
    image = _rendered(LiveRenderer(maps.tissueMaps()), maps, protocol, noise)
    if outputVolume is None:
        outputVolume = newVolume(f"{maps.title} {protocol.spec.replace(',', ' ')}", image, like)
    else:
        _fill(outputVolume, image, like, maps)
    _note(outputVolume, protocol, noise)
    maps.mark(outputVolume, _QUANTITY)
    display.showAsScan(outputVolume, image[_brain(maps)])
    return outputVolume


def _rendered(renderer: LiveRenderer, maps: TissueMapNodes, protocol: Protocol, noise: Noise | None) -> np.ndarray:
    image = np.empty(arrayOf(maps.volume("T1")).shape, np.float32)
    renderer.render(protocol, image, noise, scaleOf(protocol))
    return image


def _fill(node: Any, image: np.ndarray, like: Any, maps: TissueMapNodes) -> None:
    if not node.IsA("vtkMRMLScalarVolumeNode") or node.IsA("vtkMRMLLabelMapVolumeNode") or node.IsA("vtkMRMLVectorVolumeNode"):
        raise ImageError(f"{titleOf(node)} cannot hold a rendering. Choose a scalar volume, or a new one.")
    isMap = node.GetAttribute(QUANTITY) not in (None, _QUANTITY)  # of this set or of another
    if isMap or any(maps.volume(role) is node for role in maps.roles() if role != PREVIEW):
        raise ImageError(f"{titleOf(node)} is a map or an input of the maps. Choose another output volume, or a new one.")
    slicer.util.updateVolumeFromArray(node, image)
    node.CopyOrientation(like)
    node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()


def _note(node: Any, protocol: Protocol, noise: Noise | None) -> None:
    """Attributes from which the image can be had again."""
    node.SetAttribute(PROTOCOL, protocol.spec)
    node.SetAttribute(SNR, repr(float(noise.snr)) if noise else None)
    node.SetAttribute(SEED, str(noise.seed) if noise else None)


def _shown(node: Any) -> tuple[Protocol, Noise | None]:
    """What a rendering's attributes say."""
    snr = node.GetAttribute(SNR)
    noise = Noise(float(snr), int(node.GetAttribute(SEED) or 0)) if snr else None
    return parse_protocol(node.GetAttribute(PROTOCOL), _QUANTITY), noise


def _brain(maps: TissueMapNodes) -> np.ndarray:
    """Where the brain's tissues are, else where the head is."""
    if maps.volume("tissue") is not None:
        rows = [row for row, entry in enumerate(tissue_table()) if entry.region == "brain"]
        inside = np.isin(maps.tissue(), rows)
        if inside.any():
            return inside
    return maps.tissueMaps().mask
