"""How far a job is, and how long it will still take."""

from __future__ import annotations

from collections.abc import Callable

from .jobs import Progress

USUAL_SECONDS = {
    "read the images": 0.5,
    "load the network": 3.0,
    "align": 12.0,
    "find the head": 1.5,
    "place the atlas": 10.0,
    "fit tissues, gains and fields": 8.0,
    "expect tissues": 19.0,
    "fit voxels": 6.0,
    "check the fit": 4.0,
    "hand over the maps": 0.5,
}
"""Stages of an estimate in their order, and how long each takes with three inputs of 1 mm on two cores: only the shares matter. To "expect
tissues" is to wait for the network, which is at work while tissues are fitted."""
SAMPLE_SECONDS = {"load the network": 4.0, "sample heads": 40.0, "hand over the maps": 0.5}
"""The same of sampling a head."""
NETWORK_STAGES = ("load the network", "expect tissues")
_TELLING_SECONDS, _TELLING_SHARE = 2.0, 0.03
"""When enough of a job is done to tell from it how long the rest takes."""


class Pace:
    """The progress of one job that began at its creation, of the stages ``seconds`` (usual duration by name)."""

    def __init__(self, clock: Callable[[], float], seconds: dict[str, float]) -> None:
        self._clock, self._began, self._overall = clock, clock(), 0.0
        self._seconds = seconds

    def at(self, stage: str, fraction: float) -> Progress:
        """The progress when ``fraction`` of a stage is done; stages that are not known leave the whole as it was."""
        if stage in self._seconds:
            names = list(self._seconds)
            before = sum(self._seconds[name] for name in names[: names.index(stage)])
            done = (before + fraction * self._seconds[stage]) / sum(self._seconds.values())
            self._overall = max(self._overall, min(done, 1.0))
        elapsed = self._clock() - self._began
        telling = elapsed >= _TELLING_SECONDS and self._overall >= _TELLING_SHARE
        remaining = elapsed * (1.0 - self._overall) / self._overall if telling else None
        return Progress(stage, fraction, self._overall, remaining)
