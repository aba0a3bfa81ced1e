"""How to train the sampling model and the condenser before it, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from PhysMRISynthLib.errors import PhysMRISynthError

from .training_config import TrainingConfig, require


@dataclass(frozen=True)
class LatentTrainingConfig(TrainingConfig):
    """How to train on latents.

    ``heads`` simulated heads are learned from and ``held_out`` ones of other anatomy validated on. ``epochs`` count passes over latents.
    """

    at_least_one: ClassVar[tuple[str, ...]] = (*TrainingConfig.at_least_one, "heads", "held_out")

    heads: int = 280
    held_out: int = 14
    learning_rate: float = 3e-4
    average_decay: float = 0.998


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
        require(self.untold <= 1, "untold", "a number from 0 to 1", self.untold)
        require(all(type(side) is int and side > 1 for side in self.scales), "scales", "whole numbers from 2 on", self.scales)


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
