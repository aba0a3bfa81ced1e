"""Renderings in the scene: one preview volume that changes in place while sliders move, and images that are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import slicer
import slicer.util

from ..errors import ImageError
from ..physics.presets import protocol_for
from ..physics.protocol import Protocol, parse_protocol
from ..workflow.rendering.head_points import head_points
from ..workflow.rendering.live import SLAB, LiveRenderer, Noise, Region
from ..workflow.rendering.order import RenderOrder
from ..workflow.rendering.render import scale_of
from ..workflow.rendering.rendered import Rendering, rendered
from ..workflow.rendering.scanner_effects import ScannerEffects
from . import display
from .headers import PROTOCOL, QUANTITY
from .mapNodes import PREVIEW, TissueMapNodes
from .views import shownRegion
from .volumes import arrayOf, newVolume, newVolumeOnGrid, titleOf, voxelsChanged

SNR, SEED, EFFECTS = "PhysMRISynth.SNR", "PhysMRISynth.Seed", "PhysMRISynth.ScannerEffects"
_QUANTITY = "rendering"


class Preview:
    """The preview of a set of maps. The node is made at the first rendering, and found again when the scene has it already.

    Voxels are the equation's signal times :func:`scale_of`. The window is set once and then only by :meth:`resetWindow`, so that a change
    of contrast is seen. An edited map counts from the next rendering.
    """

    def __init__(self, maps: TissueMapNodes, slab: int = SLAB) -> None:
        """Nothing is rendered yet; a whole image is, ``slab`` voxels at a time."""
        self._maps, self._slab = maps, slab
        self._renderer: LiveRenderer | None = None
        self._time = 0
        self._wholeTime: int | None = None

    @property
    def node(self) -> Any:
        """The preview volume, or None before the first rendering."""
        return self._maps.volume(PREVIEW)

    def showRegion(self, protocol: Protocol, noise: Noise | None = None) -> None:
        """Render what the slice views show. Other voxels keep their former values until :meth:`showAll`."""
        if self.node is None:
            self.showAll(protocol, noise)
        else:
            region = shownRegion(self.node, self.node.GetScene())
            self._current().render_region(protocol, arrayOf(self.node), region, noise, scale_of(protocol))
            self._wholeTime = None
            with slicer.util.NodeModify(self.node):  # one event for the views, not one an attribute
                _note(self.node, protocol, noise)
                voxelsChanged(self.node)

    def showAll(self, protocol: Protocol, noise: Noise | None = None) -> None:
        """Render the whole volume. Raises ImageError when a map is missing, ProtocolError when the noise is invalid."""
        for _ in self.steps(protocol, noise):
            pass

    def begin(self, protocol: Protocol, noise: Noise | None = None) -> None:
        """Make the node where there is none, dark but for a sample of the brain, from which it gets its window. Raises as showAll."""
        if self.node is not None:
            return
        renderer, like = self._checked(protocol, noise), self._maps.volume("T1")
        dark = np.broadcast_to(np.float32(0.0), arrayOf(like).shape)
        where = self._maps.brain()
        made = newVolume(f"{self._maps.title} synthetic preview", dark, like, window=(0.0, 1.0))
        renderer.render_region(protocol, arrayOf(made), Region(voxels=where), None, scale_of(protocol))
        display.showAsScan(made, arrayOf(made).reshape(-1)[where])
        _note(made, protocol, noise)
        self._maps.addVolume(made, PREVIEW, _QUANTITY)

    def steps(self, protocol: Protocol, noise: Noise | None = None) -> Iterator[None]:
        """As :meth:`showAll` in steps of some ten milliseconds; the views are told at the last one, of what is whole then.

        Steps of an earlier protocol must not be taken any more when later ones have begun.
        """
        self.begin(protocol, noise)
        renderer, node = self._checked(protocol, noise), self.node
        voxels = arrayOf(node)
        self._wholeTime = None
        _note(node, protocol, noise)
        yield from renderer.steps(protocol, voxels, noise, scale_of(protocol))
        voxelsChanged(node)
        self._wholeTime = _voxelsTime(node)

    def ready(self, noise: Noise | None) -> bool:
        """Whether :meth:`showRegion` is quick: noise of a new seed must be made first, by :meth:`steps`."""
        return self._current().drawn(noise)

    def shows(self, protocol: Protocol, noise: Noise | None) -> bool:
        """Whether all of the preview is the image of the maps as they are now under this protocol and noise."""
        return self._isWhole() and self._time == self._maps.voxelsTime() and _shown(self.node) == (protocol.spec, noise)

    def resetWindow(self) -> None:
        """Set the window from the present image in the brain (in the head where no brain is marked)."""
        node = self.node
        if node is None:
            return
        where = self._maps.brain()
        if not self._isWhole():
            spec, noise = _shown(node)
            protocol = parse_protocol(spec, _QUANTITY)
            self._current().render_region(protocol, arrayOf(node), Region(voxels=where), noise, scale_of(protocol))
        display.showAsScan(node, arrayOf(node).reshape(-1)[where])

    def keep(self, name: str | None = None) -> Any:
        """A copy of the whole preview that stays as it is, with its provenance, beside the maps. Raises ImageError before a rendering."""
        node = self.node
        if node is None:
            raise ImageError("There is no preview to keep yet. Move a slider or choose a preset first.")
        spec, noise = _shown(node)
        protocol = parse_protocol(spec, _QUANTITY)
        if not self._isWhole():
            self.showAll(protocol, noise)
        shown = node.GetDisplayNode()
        window = (shown.GetWindowLevelMin(), shown.GetWindowLevelMax())
        kept = newVolume(name or _nameOf(self._maps, protocol), arrayOf(node), node, window=window)
        _note(kept, protocol, noise)
        self._maps.mark(kept, _QUANTITY)
        return kept

    def _isWhole(self) -> bool:
        return self.node is not None and self._wholeTime is not None and self._wholeTime == _voxelsTime(self.node)

    def _checked(self, protocol: Protocol, noise: Noise | None) -> LiveRenderer:
        """The renderer, once it is known that there will be an image: else the node would tell what it does not show."""
        renderer = self._current()
        if noise is not None:
            renderer.sigma(protocol, noise)
        return renderer

    def _current(self) -> LiveRenderer:
        time = self._maps.voxelsTime()
        if self._renderer is None or time != self._time:
            self._renderer, self._time = LiveRenderer(self._maps.shownMaps(), slab=self._slab), time
        return self._renderer


def renderContrast(maps: TissueMapNodes, protocol: Protocol, outputVolume: Any = None, noise: Noise | None = None) -> Any:
    """The image of ``maps`` under ``protocol`` in a new volume, or in ``outputVolume``, whose voxels and geometry are replaced.

    Returns the volume node. Raises ImageError when the output is one of the maps or no scalar volume.
    """
    like = maps.volume("T1")
    image = np.empty(maps.voxels("T1").shape, np.float32)
    LiveRenderer(maps.shownMaps()).render(protocol, image, noise, scale_of(protocol))
    window = display.scanWindow(image.reshape(-1)[maps.brain()])
    if outputVolume is None:
        outputVolume = newVolume(_nameOf(maps, protocol), image, like, window=window)
    else:
        _fill(outputVolume, image, like, maps)
        if window is not None:
            display.setWindow(outputVolume, *window)
    _note(outputVolume, protocol, noise)
    maps.mark(outputVolume, _QUANTITY)
    return outputVolume


def renderScans(maps: TissueMapNodes, protocols: Sequence[Protocol], effects: ScannerEffects, noise: Noise | None = None) -> list[Any]:
    """Volume nodes of ``protocols`` as a scanner with these ``effects`` might have acquired them, all or none; thick slices have their own
    geometry. Raises ProtocolError for effects that do not fit the maps or a protocol."""
    snr, seed = (None, 0) if noise is None else (noise.snr, noise.seed)
    shown = maps.shownMaps()
    images = [rendered(shown, RenderOrder(protocol, snr=snr, seed=seed, effects=effects)) for protocol in protocols]
    return [_scanNode(maps, image, noise) for image in images]


def _scanNode(maps: TissueMapNodes, image: Rendering, noise: Noise | None) -> Any:
    title = f"{_nameOf(maps, image.protocol)} with {image.order.effects.title}"
    window = display.scanWindow(image.voxels[image.voxels != 0])
    node = newVolumeOnGrid(title, image.voxels, image.grid, maps.node.GetScene(), window=window)
    _note(node, image.protocol, noise)
    node.SetAttribute(SEED, str(image.order.seed))
    node.SetAttribute(EFFECTS, json.dumps(image.order.effects.as_json()))
    maps.mark(node, _QUANTITY)
    return node


def protocolOf(maps: TissueMapNodes, spec: str | Protocol) -> Protocol:
    """The protocol of a text for these maps: what a preset nulls is nulled in this head. Raises ProtocolError, ImageError."""
    if isinstance(spec, Protocol):
        return spec
    return protocol_for(spec, head_points(maps.shownMaps(), maps.report), "script")


def _nameOf(maps: TissueMapNodes, protocol: Protocol) -> str:
    """What it shows and what it is: views, exports and reports carry a node's name."""
    return f"{maps.title} synthetic {protocol.spec.replace(',', ' ')}"


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


def _shown(node: Any) -> tuple[str, Noise | None]:
    """The protocol's spec and the noise that a rendering's attributes tell."""
    snr = node.GetAttribute(SNR)
    noise = Noise(float(snr), int(node.GetAttribute(SEED) or 0)) if snr else None
    return node.GetAttribute(PROTOCOL), noise


def _voxelsTime(node: Any) -> int:
    """A number that grows when the voxels of a node change."""
    return int(node.GetImageData().GetPointData().GetScalars().GetMTime())
