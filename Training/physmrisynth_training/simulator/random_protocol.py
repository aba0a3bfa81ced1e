"""A random transform for training networks: from tissue maps to the image of a random protocol, seeded and batched on any device."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import PROPERTIES

from .drawn_protocols import random_protocol

_COARSE = 4
"""Knots of a receive field along each axis."""
_BRIGHT = 0.99
_LARGE = 1 << 18
"""Voxels from which on a sample tells the percentile."""


@dataclass(frozen=True)
class Drawn:
    """Random parameters of one image: ``protocol``, noise SD (over the image's 99th percentile), log amplitude of the receive field."""

    protocol: Protocol
    noise: float
    field: float


class RandomProtocol:
    """From PD (fraction), T1 and T2 (ms) to an image of a random protocol, scaled so that its 99th percentile is 1.

    Like the dictionary transforms of MONAI and TorchIO: ``data["PD"]``, ``data["T1"]``, ``data["T2"]`` of shape (1, z, y, x), or
    (batch, 1, z, y, x) with a protocol for each item, on any device; adds ``data["image"]`` and the random parameters
    ``data["drawn"]``. Where PD is 0 the image is pure noise. One instance gives one sequence of random protocols; :meth:`set_random_state`
    restarts it.

    Parameters
    ----------
    roles
        Roles to sample, of "t1w", "t2w" and "flair", with equal probability.
    field_strength
        Of the maps, in tesla.
    noise
        Smallest and largest SD of the Rician noise, relative to the 99th percentile.
    field
        Largest log amplitude of the receive field (0.3: about ±30 %).
    seed
        Seed of the random numbers; None: a new one each time.
    """

    def __init__(
        self, roles: tuple[str, ...] = ROLES, field_strength: float = 3.0, noise: tuple[float, float] = (0.0, 0.04), field: float = 0.3,
        seed: int | None = None,
    ) -> None:  # fmt: skip
        if not roles or set(roles) - set(ROLES):
            raise ImageError(f"Roles are some of {', '.join(ROLES)}, not {roles}.")
        if not (0.0 <= noise[0] <= noise[1] <= 1.0 and 0.0 <= field <= 3.0):
            raise ImageError(f"Noise must be two shares from 0 to 1 and field from 0 to 3, not {noise} and {field}.")
        self.roles, self.field_strength, self.noise, self.field = tuple(roles), field_strength, noise, field
        self.set_random_state(seed)

    def set_random_state(self, seed: int | None = None) -> RandomProtocol:
        """Restart the random numbers."""
        self._rng = np.random.default_rng(seed)
        return self

    def draw(self) -> Drawn:
        """The next protocol, noise level and strength of the receive field."""
        role = self.roles[int(self._rng.integers(len(self.roles)))]
        protocol = random_protocol(role, self.field_strength, self._rng)
        return Drawn(protocol, float(self._rng.uniform(*self.noise)), float(self._rng.uniform(0.0, self.field)))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """``data`` with an image. Raises ImageError when maps are missing or their shapes differ."""
        missing = [name for name in PROPERTIES if name not in data]
        if missing:
            raise ImageError(f"The data lack {missing[0]}. RandomProtocol takes PD (fraction), T1 and T2 (ms).")
        pd, t1, t2 = (torch.as_tensor(data[name]).float() for name in PROPERTIES)
        if not (pd.shape == t1.shape == t2.shape and pd.ndim in (4, 5)):
            raise ImageError(f"PD, T1 and T2 need one shape of 4 or 5 axes, not {[tuple(m.shape) for m in (pd, t1, t2)]}.")
        batch = (pd, t1, t2) if pd.ndim == 5 else (pd[None], t1[None], t2[None])
        drawn = [self.draw() for _ in range(len(batch[0]))]
        images = torch.stack([self._image(*maps) for maps in zip(*batch, drawn, strict=True)])
        single = pd.ndim == 4
        return {**data, "image": images[0] if single else images, "drawn": drawn[0] if single else drawn}

    def _image(self, pd: torch.Tensor, t1: torch.Tensor, t2: torch.Tensor, drawn: Drawn) -> torch.Tensor:
        generator = torch.Generator(pd.device).manual_seed(int(self._rng.integers(2**62)))
        tissue = pd > 0
        clean = drawn.protocol.signal(pd, torch.where(tissue, t1, 1.0).clamp(min=1.0), torch.where(tissue, t2, 1.0).clamp(min=1.0))
        image = torch.where(tissue, clean, 0.0) * _receive_field(pd, drawn.field, generator)
        image = image / _bright(image, tissue)
        real, imaginary = (drawn.noise * torch.randn(image.shape, generator=generator, device=image.device) for _ in range(2))
        return torch.hypot(image + real, imaginary)


def _bright(image: torch.Tensor, tissue: torch.Tensor) -> torch.Tensor:
    """The 99th percentile of the head, of every second voxel along each axis of a large image; 1 without a head."""
    every = (..., *(slice(None, None, 2 if image.numel() > _LARGE else 1),) * 3)
    values = image[every][tissue[every]]
    if not values.numel():
        return torch.ones((), device=image.device)
    return values.kthvalue(max(1, round(_BRIGHT * values.numel()))).values.clamp(min=1e-6)


def _receive_field(like: torch.Tensor, amplitude: float, generator: torch.Generator) -> torch.Tensor:
    """A smooth field (1, z, y, x) whose log has the maximum magnitude ``amplitude``."""
    knots = torch.randn((1, 1, _COARSE, _COARSE, _COARSE), generator=generator, device=like.device)
    log = interpolate(knots, size=like.shape[-3:], mode="trilinear", align_corners=True)[0]
    log = log - log.mean()
    return torch.exp(amplitude * log / log.abs().max().clamp(min=1e-6))
