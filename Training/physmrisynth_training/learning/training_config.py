"""Configuration common to all trainings: learning rate, logging, validation and saving."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import read_fields


@dataclass(frozen=True)
class TrainingConfig:
    """Configuration common to all trainings; see the shipped configurations.

    A training ends after ``epochs`` passes over the data (0: unlimited). ``workers`` processes make the data.
    ``gradient_clip`` is the gradient's greatest norm (0: any). ``average_decay`` is that of the moving average of the weights, which is
    released.
    """

    at_least_one: ClassVar[tuple[str, ...]] = ("batch", "log_every", "validate_every")

    batch: int = 1
    epochs: int = 0
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    warm_up_steps: int = 100
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average_decay: float = 0.999
    seed: int = 0
    workers: int = 1
    log_every: int = 25
    validate_every: int = 250
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        for f in fields(self):
            self._check(f.name, f.default)
        pair = isinstance(self.betas, tuple) and len(self.betas) == 2 and all(_is_number(beta) and 0 <= beta < 1 for beta in self.betas)
        require(pair, "betas", "two numbers from 0 to below 1", self.betas)
        require(self.average_decay <= 1, "average_decay", "a number from 0 to 1", self.average_decay)

    def _check(self, name: str, default: object) -> None:
        """Raise PhysMRISynthError if a field is not of its default's type, is negative, or is 0 but must be at least 1."""
        value = getattr(self, name)
        if isinstance(default, bool):
            require(isinstance(value, bool), name, "true or false", value)
        elif isinstance(default, int):
            least = int(name in self.at_least_one)
            require(_is_number(value) and isinstance(value, int) and value >= least, name, f"a whole number from {least} on", value)
        elif isinstance(default, float):
            require(_is_number(value) and value >= 0, name, "a number of at least 0", value)

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Self:
        """Read from JSON's types. Raises PhysMRISynthError that names an unknown or impossible field."""
        return read_fields(cls, values, "a training")


def require(holds: bool, name: str, wanted: str, value: object) -> None:
    """Raise PhysMRISynthError that names the field and what is ``wanted``, unless the condition ``holds``."""
    if not holds:
        raise PhysMRISynthError(f"A training's '{name}' must be {wanted}, not {value!r}.")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
