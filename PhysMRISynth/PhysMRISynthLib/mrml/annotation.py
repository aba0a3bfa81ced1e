"""The word SYNTHETIC with the protocol, in every slice view that shows a rendering, and therefore in every screenshot of one."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from slicer.util import VTKObservationMixin

from ..errors import ProtocolError
from ..physics.protocol import parse_protocol
from ..workflow.rendering.contrast_choice import caption
from .display import PINNED
from .headers import PROTOCOL, QUANTITY

_LEFT, _BOTTOM = 0.02, 0.93
_FONT_SIZE = 13


def syntheticText(composite: Any, scene: Any) -> str:
    """What a slice view must say: ``SYNTHETIC · DIR · TR … · not for diagnosis`` where it shows a rendering, else nothing."""
    layers = (composite.GetForegroundVolumeID() if composite.GetForegroundOpacity() > 0 else None, composite.GetBackgroundVolumeID())
    shown = (scene.GetNodeByID(identifier) for identifier in layers if identifier)
    rendering = next((node for node in shown if node is not None and node.GetAttribute(QUANTITY) == "rendering"), None)
    if rendering is None:
        return ""
    prefix = "B: " if composite.GetAttribute(PINNED) else ""
    return f"{prefix}SYNTHETIC · {_described(rendering.GetAttribute(PROTOCOL))} · not for diagnosis"


def _described(spec: str | None) -> str:
    try:
        return caption(parse_protocol(spec or "", "view"))
    except ProtocolError:  # an equation of another user's
        return (spec or "unknown protocol").replace(",", " ")


class SyntheticLabels(VTKObservationMixin):
    """Keeps the text of every slice view of the layout up to date, whoever changes what the view shows."""

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self._actors: dict[str, Any] = {}

    def update(self, caller: Any = None, event: Any = None) -> None:
        """Write what each view must say now; nothing happens where there are no windows."""
        manager = slicer.app.layoutManager() if hasattr(slicer, "app") else None
        if manager is None:
            return
        for name in manager.sliceViewNames():
            widget = manager.sliceWidget(name)
            composite = widget.mrmlSliceCompositeNode()
            if composite is not None:
                self._observe(composite)
                self._write(name, widget.sliceView(), syntheticText(composite, slicer.mrmlScene))

    def _observe(self, composite: Any) -> None:
        if not self.hasObserver(composite, vtk.vtkCommand.ModifiedEvent, self.update):
            self.addObserver(composite, vtk.vtkCommand.ModifiedEvent, self.update)

    def _write(self, name: str, view: Any, text: str) -> None:
        actor = self._actors.get(name)
        if actor is None:
            actor = self._actors[name] = _actor()
            view.renderWindow().GetRenderers().GetFirstRenderer().AddViewProp(actor)
        if actor.GetInput() != text:
            actor.SetInput(text)
            actor.SetVisibility(bool(text))
            view.scheduleRender()

    def remove(self) -> None:
        """Take the texts out of the views."""
        self.removeObservers()
        manager = slicer.app.layoutManager() if hasattr(slicer, "app") else None
        for name, actor in self._actors.items():
            if manager is not None and name in manager.sliceViewNames():
                view = manager.sliceWidget(name).sliceView()
                view.renderWindow().GetRenderers().GetFirstRenderer().RemoveViewProp(actor)
                view.scheduleRender()
        self._actors.clear()


def _actor() -> Any:
    actor = vtk.vtkTextActor()
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(_LEFT, _BOTTOM)
    text = actor.GetTextProperty()
    text.SetFontSize(_FONT_SIZE)
    text.SetColor(1.0, 0.85, 0.3)
    text.ShadowOn()
    return actor
