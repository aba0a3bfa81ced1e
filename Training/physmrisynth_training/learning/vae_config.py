"""Training configuration of the variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import NetworkConfig, check_known

from .training_config import TrainingConfig, require


@dataclass(frozen=True)
class VaeTrainingConfig(TrainingConfig):
    """Training configuration of the autoencoder.

    Steps sample from ``crops``, shapes in voxels of 1 mm: (z, y, x) of a 3D network, (y, x) of axial slices for a 2D one.
    ``kl_weight`` multiplies the divergence's mean over the latent's numbers. ``values_weight`` is for label maps; the weights from
    ``signal_weight`` to ``tissue_prior`` are for images (0: that term is omitted, except the signal's). ``gain_regression``: a CNN
    predicts the gain of every image, which is 1 otherwise. ``published_equations``: images are rendered by the paper's own equations, with
    similar brightness for all contrasts, as scanners' images have at that gain. ``modality_dropout``: use a random subset of a session's
    inputs. ``adversarial_after`` passes over the real scans the adversarial loss begins (with label maps: at once). ``scan_share`` of the
    steps use real scans if there are label maps too; ``epochs`` count passes over the real scans.
    """

    at_least_one: ClassVar[tuple[str, ...]] = (*TrainingConfig.at_least_one, "workers", "discriminator_channels", "discriminator_layers")

    crops: tuple[tuple[int, ...], ...] = ()
    kl_weight: float = 1e-4
    values_weight: float = 0.05
    signal_weight: float = 10.0
    perceptual_weight: float = 0.0
    adversarial_weight: float = 0.0
    adversarial_after: float = 0.0
    tissue_prior: float = 0.0
    gain_regression: bool = False
    published_equations: bool = False
    modality_dropout: bool = True
    discriminator_rate: float = 1e-4
    discriminator_channels: int = 64
    discriminator_layers: int = 3
    scan_share: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.scan_share <= 1, "scan_share", "a number from 0 to 1", self.scan_share)
        whole = all(crop and all(isinstance(side, int) and side > 0 for side in crop) for crop in self.crops)
        require(bool(self.crops) and whole, "crops", "a list of shapes in voxels", self.crops)

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> Self:
        """Read from JSON's types. Raises PhysMRISynthError that names an unknown, missing or impossible field."""
        check_known(cls, values, "a training")
        if not values.get("crops"):
            raise PhysMRISynthError("A training needs 'crops': a list of shapes in voxels of 1 mm.")
        try:
            given: dict[str, Any] = {**values, "crops": tuple(tuple(crop) for crop in values["crops"])}
            if isinstance(given.get("betas"), list):
                given["betas"] = tuple(given["betas"])
            return cls(**given)
        except TypeError:
            raise PhysMRISynthError("A training's 'crops' must be a list of shapes, for example [[48, 48, 48]].") from None

    def check(self, shape: NetworkConfig) -> None:
        """Raise PhysMRISynthError if this training does not fit the network."""
        if shape.head == "classes" and (self.gain_regression or self.perceptual_weight or self.adversarial_weight or self.tissue_prior):
            raise PhysMRISynthError(
                "gain_regression, perceptual_weight, adversarial_weight and tissue_prior are for the head 'exp'. Leave them out."
            )
        for crop in self.crops:
            if len(crop) != shape.spatial_dims or any(side % shape.multiple for side in crop):
                raise PhysMRISynthError(
                    f"The crop {list(crop)} does not fit the network: it needs {shape.spatial_dims} sides that are "
                    f"multiples of {shape.multiple}."
                )
