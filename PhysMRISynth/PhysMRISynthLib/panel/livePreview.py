"""When to compute what of the preview: the shown voxels while a slider moves, all of them, a few at a time, when it rests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import qt

from ..errors import PhysMRISynthError
from ..mrml.display import setWindow, showInSlices
from ..mrml.mapNodes import TissueMapNodes
from ..mrml.preview import Preview
from ..physics.protocol import Protocol
from ..workflow.rendering.live import SLAB, Noise
from .remedies import inPanel

_MOVE_MS = 10
"""Moves within this time are rendered once, the last of them."""
_REST_MS = 250
"""A slider that has not moved for this long rests."""


def _timer(milliseconds: int, slot: Callable[[], None]) -> Any:
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", slot)
    return timer


class LivePreview:
    """Keeps the preview of one set of maps up to date without ever rendering twice for one moment.

    ``rested(protocol)`` is called when a protocol stays. When the maps cannot be rendered any more, ``trouble`` says why, ``preview`` is
    None and ``failed()`` is called. A whole volume is rendered in steps of ``slab`` voxels, for ``turnSeconds`` before Slicer may do
    something else.
    """

    def __init__(self, rested: Callable[[Protocol], None], failed: Callable[[], None]) -> None:
        self._rested, self._failed = rested, failed
        self._moveTimer, self._restTimer = _timer(_MOVE_MS, self._renderShown), _timer(_REST_MS, self._rest)
        self._stepTimer = _timer(0, self._goOn)
        self._steps: Iterator[None] | None = None
        self._wanted: tuple[Protocol, Noise | None] | None = None
        self._windowed = ""
        self._windows: dict[str, tuple[float, float]] = {}
        self.preview: Preview | None = None
        self.trouble = ""
        self.slab, self.turnSeconds = SLAB, 0.04

    def setMaps(self, maps: TissueMapNodes | None) -> None:
        """Preview these maps from now on; nothing is rendered yet."""
        self.stop()
        self._windows.clear()
        self.preview, self.trouble = None, ""
        if maps is not None:
            self._guarded(lambda: self._take(maps))

    def _take(self, maps: TissueMapNodes) -> None:
        self.preview = Preview(maps, self.slab)
        shown = self.preview.node.GetAttribute("PhysMRISynth.Protocol") if self.preview.node else None
        self._windowed = (shown or "").partition(",")[0]  # a loaded scene's window stays

    def moved(self, protocol: Protocol, noise: Noise | None, live: bool) -> None:
        """A slider moved: with ``live`` what is shown follows soon; everything follows when it rests."""
        self._dropSteps()
        self._wanted = protocol, noise
        if live and not self._moveTimer.active:
            self._moveTimer.start()
        self._restTimer.start()

    def show(self, protocol: Protocol, noise: Noise | None, newWindow: bool = False) -> None:
        """Render what is shown now and the rest right after, as for a preset, with a new window and level where asked for."""
        self._wanted = protocol, noise
        self._keepWindow()
        if newWindow:
            self._windows.pop(protocol.sequence.name, None)
            self._windowed = ""
        self._rest()

    @property
    def resting(self) -> bool:
        """Whether nothing that was asked for is still to be rendered."""
        return not (self._moveTimer.active or self._restTimer.active or self._stepTimer.active)

    def stop(self) -> None:
        """Forget what was wanted."""
        self._moveTimer.stop()
        self._restTimer.stop()
        self._dropSteps()
        self._wanted = None

    def _dropSteps(self) -> None:
        self._stepTimer.stop()
        self._steps = None

    def _renderShown(self) -> None:
        if self._wanted is not None and self.preview is not None:
            preview, (protocol, noise) = self.preview, self._wanted
            self._guarded(lambda: self._showRegion(preview, protocol, noise))

    def _showRegion(self, preview: Preview, protocol: Protocol, noise: Noise | None) -> None:
        preview.begin(protocol, noise)
        showInSlices(preview.node)  # first: what is not shown would not be rendered
        if preview.ready(noise) and not preview.shows(protocol, noise):
            preview.showRegion(protocol, noise)
            self._fitWindow(preview, protocol)

    def _keepWindow(self) -> None:
        """Remember the window of the sequence that is shown, for when it comes back as in a comparison."""
        node = self.preview.node if self.preview is not None else None
        if node is not None and self._windowed:
            display = node.GetDisplayNode()
            self._windows[self._windowed] = display.GetWindowLevelMin(), display.GetWindowLevelMax()

    def _fitWindow(self, preview: Preview, protocol: Protocol) -> None:
        name = protocol.sequence.name
        if name == self._windowed:  # brightness is comparable within a sequence only
            return
        self._windowed = name
        if name in self._windows:
            setWindow(preview.node, *self._windows[name])
        else:
            preview.resetWindow()

    def _rest(self) -> None:
        self._moveTimer.stop()
        self._restTimer.stop()
        self._dropSteps()
        self._renderShown()
        if self._wanted is not None and self.preview is not None and not self.preview.shows(*self._wanted):
            self._steps = self.preview.steps(*self._wanted)
        self._goOn()

    def _goOn(self) -> None:
        """Take steps of the whole volume for a turn; at their end the picture stays."""
        self._guarded(self._takeSteps)
        if self._steps is not None:
            self._stepTimer.start()
        elif self._wanted is not None:
            self._rested(self._wanted[0])

    def _takeSteps(self) -> None:
        end = time.monotonic() + self.turnSeconds
        for _ in self._steps or ():
            if time.monotonic() >= end:
                return
        self._steps = None
        if self._wanted is not None and self.preview is not None:
            self._fitWindow(self.preview, self._wanted[0])

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except PhysMRISynthError as error:
            self.stop()
            self.preview, self.trouble = None, inPanel(error)
            self._failed()
