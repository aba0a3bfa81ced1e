"""The sampling model's shape, as data, and the numbers that it can be conditioned on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import PhysMRISynthError
from .config import read_fields

OBJECTIVES = ("epsilon", "epsilon_residual", "v", "flow", "flow_residual")
SCHEDULES = ("linear_beta", "scaled_linear_beta", "cosine")
_LEAST_SHARE = 0.1
"""Per cent: lower bound before the logarithm."""
_GROUPS = 32


@dataclass(frozen=True)
class Condition:
    """A value that a head can be conditioned on: its ``unit`` and ``title``, its bounds, and its transform for the network."""

    title: str
    unit: str
    least: float
    greatest: float
    transform: Callable[[float], float]


CONDITIONS: Mapping[str, Condition] = {
    "brain_volume": Condition("brain tissue without fluid", "ml", 500.0, 2500.0, math.log),
    "ventricle_share": Condition("ventricles over brain tissue", "%", 0.0, 30.0, lambda value: math.log(max(value, _LEAST_SHARE))),
    "lesion_load": Condition("lesions of the white matter", "ml", 0.0, 200.0, math.log1p),
    "intracranial_volume": Condition("space inside the skull: brain, fluid and vessels", "ml", 700.0, 3000.0, math.log),
    "atrophy": Condition("fluid over the space inside the skull, above the lower edge of the thalami", "%", 0.0, 80.0, float),
    "age": Condition("age", "years", 0.0, 120.0, float),
    "sex": Condition("sex: 0 female, 1 male", "", 0.0, 1.0, float),
}
"""Values that heads can be conditioned on, by name."""


def condition_vector(
    names: tuple[str, ...], values: Mapping[str, float], trained: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> np.ndarray:
    """The network's condition vector for ``values`` (units of CONDITIONS): (len(names),) float32, NaN where a value is not given.

    Raises PhysMRISynthError for a name that the network was not conditioned on, and for values that are impossible or beyond those of its
    training heads, whose range by name is ``trained``.
    """
    if unknown := sorted(set(values) - set(names)):
        known = f"it knows {', '.join(names)}" if names else "it knows none"
        raise PhysMRISynthError(f"The sampling model has no condition {', '.join(unknown)}: {known}.")
    for name, value in values.items():
        c = CONDITIONS[name]
        least, greatest = trained.get(name, (c.least, c.greatest))
        if not least <= value <= greatest:
            whose = "" if (least, greatest) == (c.least, c.greatest) else " (the training heads' range)"
            called = name if c.title == name else f"{name} ({c.title})"
            raise PhysMRISynthError(f"{called} must be from {least:.4g} to {greatest:.4g} {c.unit}{whose}, not {value:g}.")
    return np.array([CONDITIONS[name].transform(values[name]) if name in values else np.nan for name in names], dtype=np.float32)


@dataclass(frozen=True)
class DiffusionConfig:
    """Shape of the latent diffusion.

    Latents have ``latent_channels`` numbers per block of ``factor`` voxels a side, for heads of ``shape`` voxels of 1 mm
    ((z, y, x), or (y, x) of an axial slice); blocks of ``fold`` latent positions a side are folded into channels before the UNet of
    ``widths`` with ``blocks`` residual blocks a level and ``attention`` where true, ``head_channels`` for each of its heads.

    ``objective``: the UNet's target: "epsilon" (the noise), "v" (Salimans & Ho, ICLR 2022), both under a noise ``schedule`` of
    ``time_steps`` from ``beta_start`` to ``beta_end``; or "flow" (rectified flow: Liu et al., ICLR 2023), with logit-normal
    times shifted by a factor of ``shift`` towards noise, as redundant neighbours require (Esser et al., ICML 2024); or
    "epsilon_residual", "flow_residual" (the same loss; the UNet predicts the residual of the best linear estimate from each number itself).
    With ``positions`` the UNet also gets each position's coordinates and the mean head there, since heads are aligned in their box.
    ``components``: number of principal axes of the folded channels that are kept, about the mean head (0: all channels, about their own
    means).
    ``condition`` names the values of CONDITIONS that it is conditioned on.
    """

    spatial_dims: int
    latent_channels: int
    factor: int
    shape: tuple[int, ...]
    widths: tuple[int, ...]
    attention: tuple[bool, ...]
    fold: int = 1
    blocks: int = 1
    head_channels: int = 32
    objective: str = "flow"
    time_steps: int = 1000
    schedule: str = "scaled_linear_beta"
    beta_start: float = 0.0015
    beta_end: float = 0.0205
    shift: float = 1.0
    condition: tuple[str, ...] = ()
    positions: bool = False
    components: int = 0

    def __post_init__(self) -> None:
        _require(self.spatial_dims in (2, 3), "spatial_dims 2 or 3", self.spatial_dims)
        _require(self.objective in OBJECTIVES, f"an objective of {', '.join(OBJECTIVES)}", self.objective)
        _require(self.schedule in SCHEDULES, f"a schedule of {', '.join(SCHEDULES)}", self.schedule)
        counts = (self.latent_channels, self.factor, self.fold, self.blocks, self.head_channels, self.time_steps)
        whole = all(type(number) is int and number > 0 for number in (*counts, *self.shape, *self.widths))
        _require(whole, "whole numbers above 0 as channels, factor, fold, blocks, time_steps, shape and widths", counts)
        kept = type(self.components) is int and 0 <= self.components <= self.folded_channels * (self.spatial_dims == 3)
        _require(kept, f"from 0 to {self.folded_channels} components in 3D (in 2D 0: slices have no mean)", self.components)
        _require(0 < self.beta_start < self.beta_end < 1, "0 < beta_start < beta_end < 1", (self.beta_start, self.beta_end))
        _require(self.shift >= 1, "a shift from 1 on", self.shift)
        _require(bool(self.widths) and len(self.attention) == len(self.widths), "as many attention as widths", self.attention)
        attentive = all(width % self.head_channels == 0 for width, there in zip(self.widths, self.attention, strict=True) if there)
        _require(attentive and self.widths[-1] % self.head_channels == 0, "widths that head_channels divides", self.head_channels)
        _require(set(self.condition) <= set(CONDITIONS), f"conditions of {', '.join(CONDITIONS)}", self.condition)
        multiple = self.factor * self.fold * 2 ** (len(self.widths) - 1)
        fits = len(self.shape) == self.spatial_dims and all(side % multiple == 0 for side in self.shape)
        _require(fits, f"a shape of {self.spatial_dims} multiples of {multiple}", self.shape)

    @property
    def groups(self) -> int:
        """Groups of the UNet's normalisation: 32 if all widths are multiples of it, else a common divisor."""
        return math.gcd(_GROUPS, *self.widths)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Positions of a head's latent along each axis."""
        return tuple(side // self.factor for side in self.shape)

    @property
    def folded_channels(self) -> int:
        """Channels of a folded latent."""
        return int(self.latent_channels * self.fold**self.spatial_dims)

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """Channels and positions of the UNet's input."""
        return (self.components or self.folded_channels, *(side // self.fold for side in self.latent_shape))

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> DiffusionConfig:
        """Read from JSON types. Raises PhysMRISynthError that names an unknown, missing or impossible field."""
        return read_fields(cls, values, "a sampling model")

    def mapping(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _require(holds: bool, wanted: str, value: object) -> None:
    if not holds:
        raise PhysMRISynthError(f"A sampling model needs {wanted}, not {value!r}.")
