"""What the steps of a training need of whatever is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from .run_options import Run

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Schedule(Protocol):
    """The part of a training's configuration that its steps follow."""

    @property
    def log_every(self) -> int: ...

    @property
    def validate_every(self) -> int: ...

    @property
    def checkpoint_minutes(self) -> float: ...


class Trainer(Protocol):
    """What is trained, with all that a checkpoint must hold; ``step`` and ``seconds`` count over all runs."""

    run: Run
    fabric: Fabric
    step: int
    seconds: float

    @property
    def config(self) -> Schedule: ...

    def save(self) -> None: ...

    def learn(self, batch: Any) -> dict[str, float]: ...

    def batches(self) -> Iterable[Any]: ...
