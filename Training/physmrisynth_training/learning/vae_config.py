"""How to train, as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import NetworkConfig, check_known

_AT_LEAST_ONE = ("batch", "workers", "log_every", "validate_every", "discriminator_channels", "discriminator_layers")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: see the shipped configurations.

    ``crops`` are shapes in voxels of 1 mm that steps draw from: (z, y, x) of a 3D network, (y, x) of axial slices for a 2D one.
    ``kl_weight`` multiplies the divergence's mean over the latent's numbers. ``values_weight`` is for label maps; the weights from
    ``signal_weight`` to ``tissue_prior`` are for images (0: that part is left out, except the signal's). ``gain_regression``: a CNN
    tells the gain of every image, which is 1 otherwise. ``published_equations``: images are rendered by the paper's own equations, of
    a like brightness for all contrasts, as scanners' images are at that gain. ``modality_dropout``: a random subset of a session's
    inputs is shown. ``scan_share`` of the steps come from real scans where there are label maps too. ``epochs`` passes over the real
    scans are a whole training (0: it goes on until told to stop). ``workers`` processes make batches.
    """

    crops: tuple[tuple[int, ...], ...]
    batch: int = 1
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    warm_up_steps: int = 100
    weight_decay: float = 0.01
    kl_weight: float = 1e-4
    values_weight: float = 0.05
    signal_weight: float = 10.0
    perceptual_weight: float = 0.0
    adversarial_weight: float = 0.0
    tissue_prior: float = 0.0
    gain_regression: bool = False
    published_equations: bool = False
    modality_dropout: bool = True
    discriminator_rate: float = 1e-4
    discriminator_channels: int = 64
    discriminator_layers: int = 3
    scan_share: float = 0.25
    epochs: int = 0
    gradient_clip: float = 1.0
    average_decay: float = 0.999
    seed: int = 0
    workers: int = 1
    log_every: int = 25
    validate_every: int = 250
    checkpoint_minutes: float = 5.0

    def __post_init__(self) -> None:
        check_fields(self, _AT_LEAST_ONE)
        _require(0 <= self.scan_share <= 1, "scan_share", "a number from 0 to 1", self.scan_share)
        whole = all(crop and all(isinstance(side, int) and side > 0 for side in crop) for crop in self.crops)
        _require(bool(self.crops) and whole, "crops", "a list of shapes in voxels", self.crops)

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> TrainingConfig:
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
        """Raise PhysMRISynthError where this training does not fit the network."""
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


def check_fields(config: Any, at_least_one: Sequence[str]) -> None:
    """Raise PhysMRISynthError where a field of a training's ``config`` is not of its default's type, is negative, or, if it is one of
    ``at_least_one``, is 0; and where its ``betas`` are none."""
    for f in fields(config):
        value = getattr(config, f.name)
        if isinstance(f.default, bool):
            _require(isinstance(value, bool), f.name, "true or false", value)
        elif isinstance(f.default, int):
            least = int(f.name in at_least_one)
            _require(_is_number(value) and isinstance(value, int) and value >= least, f.name, f"a whole number from {least} on", value)
        elif isinstance(f.default, float):
            _require(_is_number(value) and value >= 0, f.name, "a number of at least 0", value)
    betas = config.betas
    pair = isinstance(betas, tuple) and len(betas) == 2 and all(_is_number(beta) and 0 <= beta < 1 for beta in betas)
    _require(pair, "betas", "two numbers from 0 to below 1", betas)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _require(holds: bool, name: str, wanted: str, value: object) -> None:
    if not holds:
        raise PhysMRISynthError(f"A training's '{name}' must be {wanted}, not {value!r}.")
