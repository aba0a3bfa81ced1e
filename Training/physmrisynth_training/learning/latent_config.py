"""Training configurations of the sampling model and the second stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from PhysMRISynthLib.errors import PhysMRISynthError

from .training_config import TrainingConfig, require


@dataclass(frozen=True)
class LatentTrainingConfig(TrainingConfig):
    """Configuration of a training on latents.

    ``heads`` simulated heads are for training and ``held_out`` ones of other anatomy for validation. ``epochs`` count passes over latents.
    """

    at_least_one: ClassVar[tuple[str, ...]] = (*TrainingConfig.at_least_one, "heads", "held_out")

    heads: int = 280
    held_out: int = 14
    learning_rate: float = 3e-4
    average_decay: float = 0.998


@dataclass(frozen=True)
class LdmTrainingConfig(LatentTrainingConfig):
    """Training configuration of the sampling model.

    Errors shared by neighbours in blocks of ``scales`` positions a side have more weight (:meth:`LatentDiffusion.forward`).
    Each condition value is dropped with probability ``untold``.
    """

    untold: float = 0.3
    scales: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.untold <= 1, "untold", "a number from 0 to 1", self.untold)
        require(all(type(side) is int and side > 1 for side in self.scales), "scales", "whole numbers from 2 on", self.scales)


@dataclass(frozen=True)
class CondenserTrainingConfig(LatentTrainingConfig):
    """Training configuration of the second stage.

    With ``decoder_fixed`` only the encoder is trained, for a decoder that the training started from; with ``codes_fixed`` only the decoder,
    so that sampling models of the codes stay valid. Reconstructions are blurred where the codes hold too little information: a
    ``texture_weight`` above 0 matches their local variation to the original's
    (:func:`~physmrisynth_training.learning.texture_loss.texture_error`). Use it only for a trained decoder: an untrained one learns a
    pattern of the right strength and nothing else.
    """

    decoder_fixed: bool = False
    codes_fixed: bool = False
    texture_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.decoder_fixed and self.codes_fixed:
            raise PhysMRISynthError("'decoder_fixed' and 'codes_fixed' together leave nothing to train. Leave one out.")
        if self.texture_weight and not self.codes_fixed:
            raise PhysMRISynthError("A 'texture_weight' needs a trained condenser. Train without it first, then add 'codes_fixed'.")
