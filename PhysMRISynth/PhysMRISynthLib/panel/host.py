"""What a section may ask of the panel that holds it, and of its neighbours: all of it stands here."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any

from ..mrml.annotation import SyntheticLabels
from ..mrml.mapNodes import TissueMapNodes
from ..physics.contrast import TissuePoint
from ..physics.protocol import Protocol
from ..workflow.estimation.knowledge import Knowledge
from .keyboard import WheelGuard
from .protocolState import ProtocolState


class Inputs(typing.Protocol):
    """The images to estimate from."""

    @property
    def knowledge(self) -> Knowledge: ...

    def problem(self) -> str | None: ...

    def doubt(self) -> str: ...

    def protocols(self) -> list[str]: ...

    def estimateArguments(self) -> dict[str, Any]: ...

    def fold(self) -> None: ...


class Jobs(typing.Protocol):
    """The one job that can run at a time."""

    running: bool

    def start(self, begin: Callable[[Callable[[Any], None]], None], installed: Callable[[], bool]) -> None: ...


class Contrast(typing.Protocol):
    """The synthetic contrast that the views show."""

    @property
    def state(self) -> ProtocolState: ...

    @property
    def points(self) -> Mapping[str, TissuePoint] | None: ...

    def useProtocol(self, protocol: Protocol) -> None: ...

    def render(self) -> None: ...

    def remember(self, protocol: Protocol) -> None: ...


class MapTable(typing.Protocol):
    """The maps' colours and medians."""

    def contrastShown(self) -> None: ...


class Design(typing.Protocol):
    """The signal curves."""

    def contrastChanged(self) -> None: ...


class Contrasts(typing.Protocol):
    """The list of several contrasts."""

    @property
    def ticked(self) -> list[str]: ...


class Host(typing.Protocol):
    """The panel, as its sections know it."""

    parameterNode: Any
    maps: TissueMapNodes | None
    report: dict[str, Any]
    shown: bool
    logic: Any
    labels: SyntheticLabels
    guard: WheelGuard

    @property
    def inputs(self) -> Inputs: ...

    @property
    def estimate(self) -> Jobs: ...

    @property
    def protocol(self) -> Contrast: ...

    @property
    def mapsSection(self) -> MapTable: ...

    @property
    def design(self) -> Design: ...

    @property
    def contrasts(self) -> Contrasts: ...

    def useMaps(self, node: Any) -> None: ...

    def update(self) -> None: ...

    def ensureInstalled(self) -> bool: ...

    def ensureSampling(self) -> bool: ...

    def log(self, text: str) -> None: ...
