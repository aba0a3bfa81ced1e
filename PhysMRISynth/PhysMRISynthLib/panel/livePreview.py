"""When to compute what of the preview: the shown voxels while a slider moves, all of them when it rests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

from ..errors import PhysMRISynthError
from ..mrml.display import showInSlices
from ..mrml.mapNodes import TissueMapNodes
from ..mrml.preview import Preview
from ..physics.protocol import Protocol
from ..workflow.live import Noise

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
    None and ``failed()`` is called.
    """

    def __init__(self, rested: Callable[[Protocol], None], failed: Callable[[], None]) -> None:
        self._rested, self._failed = rested, failed
        self._moveTimer, self._restTimer = _timer(_MOVE_MS, self._renderShown), _timer(_REST_MS, self._rest)
        self._wanted: tuple[Protocol, Noise | None] | None = None
        self._windowed = ""
        self.preview: Preview | None = None
        self.trouble = ""

    def setMaps(self, maps: TissueMapNodes | None) -> None:
        """Preview these maps from now on; nothing is rendered yet."""
        self.stop()
        self.preview, self.trouble = None, ""
        if maps is not None:
            self._guarded(lambda: self._take(maps))

    def _take(self, maps: TissueMapNodes) -> None:
        self.preview = Preview(maps)
        shown = self.preview.node.GetAttribute("PhysMRISynth.Protocol") if self.preview.node else None
        self._windowed = (shown or "").partition(",")[0]  # a loaded scene's window stays

    def moved(self, protocol: Protocol, noise: Noise | None, live: bool) -> None:
        """A slider moved: with ``live`` what is shown follows soon; everything follows when it rests."""
        self._wanted = protocol, noise
        if live and not self._moveTimer.active:
            self._moveTimer.start()
        self._restTimer.start()

    def show(self, protocol: Protocol, noise: Noise | None, newWindow: bool = False) -> None:
        """Render everything now, as after choosing a preset, with a new window and level where asked for."""
        self._wanted = protocol, noise
        self._windowed = "" if newWindow else self._windowed
        self._rest()

    def stop(self) -> None:
        """Forget what was wanted."""
        self._moveTimer.stop()
        self._restTimer.stop()
        self._wanted = None

    def _renderShown(self) -> None:
        self._render(lambda preview, protocol, noise: preview.showRegion(protocol, noise))

    def _rest(self) -> None:
        wanted = self._wanted
        self._moveTimer.stop()
        self._restTimer.stop()
        self._render(lambda preview, protocol, noise: preview.showAll(protocol, noise))
        if wanted is not None:
            self._rested(wanted[0])

    def _render(self, work: Callable[[Preview, Protocol, Noise | None], None]) -> None:
        if self._wanted is None or self.preview is None:
            return
        preview, (protocol, noise) = self.preview, self._wanted
        self._guarded(lambda: self._rendered(work, preview, protocol, noise))

    def _rendered(
        self, work: Callable[[Preview, Protocol, Noise | None], None], preview: Preview, protocol: Protocol, noise: Noise | None
    ) -> None:
        if preview.node is not None:
            showInSlices(preview.node)  # first: what is not shown would not be rendered
        work(preview, protocol, noise)
        if protocol.sequence.name != self._windowed:  # brightness is comparable within a sequence only
            self._windowed = protocol.sequence.name
            preview.resetWindow()
        showInSlices(preview.node)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except PhysMRISynthError as error:
            self.stop()
            self.preview, self.trouble = None, str(error)
            self._failed()
