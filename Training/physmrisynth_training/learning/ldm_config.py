"""How to train the sampling model and the condenser before it, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import read_fields

from .vae_config import check_fields

_AT_LEAST_ONE = ("heads", "held_out", "batch", "log_every", "validate_every")


@dataclass(frozen=True)
class LatentTrainingConfig:
    """How to train on latents: see the shipped configurations.

    ``heads`` simulated heads are learned from and ``held_out`` ones of other anatomy validated on; ``workers`` processes simulate them.
    ``epochs`` passes over the latents are a whole training (0: it goes on until told to stop).
    """

    heads: int = 280
    held_out: int = 14
    batch: int = 1
    epochs: int = 0
    learning_rate: float = 3e-4
    betas: tuple[float, float] = (0.9, 0.99)
    warm_up_steps: int = 100
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    average_decay: float = 0.998
    seed: int = 0
    workers: int = 1
    log_every: int = 25
    validate_every: int = 250
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        check_fields(self, _AT_LEAST_ONE)
        if self.average_decay > 1:
            raise PhysMRISynthError("A training's 'average_decay' must be a number from 0 to 1.")

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Self:
        """Read from JSON's types. Raises PhysMRISynthError that names an unknown or impossible field."""
        return read_fields(cls, values, "a training")


@dataclass(frozen=True)
class LdmTrainingConfig(LatentTrainingConfig):
    """How to train the sampling model.

    Errors that neighbours in blocks of ``scales`` positions a side share count more (:meth:`LatentDiffusion.forward`).
    Each number that the model can be conditioned on is left ``untold`` that often.
    """

    untold: float = 0.3
    scales: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.untold > 1:
            raise PhysMRISynthError("A training's 'untold' must be a number from 0 to 1.")
        if not all(type(side) is int and side > 1 for side in self.scales):
            raise PhysMRISynthError(f"A training's 'scales' must be whole numbers from 2 on, not {self.scales!r}.")


@dataclass(frozen=True)
class CondenserTrainingConfig(LatentTrainingConfig):
    """How to train the condenser.

    With ``codes_fixed`` only its expander learns on, so that sampling models of its codes stay good. What comes back is blurred where the
    codes do not tell enough: with a ``texture_weight`` above 0 it is held to vary as strongly around each place as what was condensed
    (:func:`~physmrisynth_training.learning.texture_loss.texture_error`). That is for an expander that has learned what the codes tell: one
    that has not invents a pattern of the right strength and learns nothing else.
    """

    codes_fixed: bool = False
    texture_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.texture_weight and not self.codes_fixed:
            raise PhysMRISynthError("A 'texture_weight' is for a condenser that is trained already. Train without, then add 'codes_fixed'.")
