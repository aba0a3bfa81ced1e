"""A parameter swept through a range, as a sequence of volumes to play; and several contrasts at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..physics.presets import protocol_from_spec
from ..physics.protocol import Protocol
from ..workflow.analysis.sweep import swept
from ..workflow.rendering.live import Noise
from ..workflow.rendering.scanner_effects import NO_EFFECTS, ScannerEffects
from . import folder
from .mapNodes import TissueMapNodes
from .preview import renderContrast, renderScans


def renderContrasts(
    maps: TissueMapNodes, protocols: Iterable[str | Protocol], effects: ScannerEffects = NO_EFFECTS, noise: Noise | None = None
) -> list[Any]:
    """A volume node for each of ``protocols`` (presets, ``sequence,TR=…`` or Protocols), all or none; ideal, or with scanner ``effects``
    and ``noise``.

    Raises ProtocolError, before there is a node, when one of them cannot be.
    """
    chosen = [protocol_from_spec(protocol, "script") if isinstance(protocol, str) else protocol for protocol in protocols]
    if effects.any:
        return renderScans(maps, chosen, effects, noise)
    return [renderContrast(maps, protocol, noise=noise) for protocol in chosen]


def sweepParameter(maps: TissueMapNodes, protocol: str | Protocol, parameter: str, values: Sequence[float]) -> Any:
    """A sequence browser that plays the image of ``protocol`` while its ``parameter`` takes the ``values`` (ms, degrees) in turn.

    The volume that shows the present frame is the browser's proxy. Raises ProtocolError, before anything is rendered, for a parameter
    that the sequence does not have, or a value that cannot be.
    """
    scene = maps.node.GetScene()
    protocols = swept(protocol_from_spec(protocol, "script") if isinstance(protocol, str) else protocol, parameter, values)
    title = f"{maps.title} {protocols[0].sequence.name} {parameter.upper()}"
    frames = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(f"{title} sweep"))
    frames.SetIndexName(parameter.upper())
    frames.SetIndexUnit(protocols[0].sequence.parameter(parameter).unit)
    frames.SetIndexTypeFromString("numeric")
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", scene.GenerateUniqueName(title))
    volume = renderContrast(maps, protocols[0])
    for value, changed in zip(values, protocols, strict=True):
        renderContrast(maps, changed, volume)
        frames.SetDataNodeAtValue(volume, f"{value:g}")
    browser.AddSynchronizedSequenceNode(frames)
    browser.AddProxyNode(volume, frames, False)
    browser.SetSelectedItemNumber(0)
    for node in (frames, browser):
        folder.putInto(scene, folder.folderOf(scene, maps.node), node)
    return browser
