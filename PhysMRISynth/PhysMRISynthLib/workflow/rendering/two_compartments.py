"""Voxels that hold both tissue and cerebrospinal fluid: their signals add up with their signs.

The maps hold the mean rates of a voxel's water. Rendered from these alone, partly nulled fluid would look like a mixture of fluid and
tissue: a FLAIR would have bright rims.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...imaging.tissue_maps import TissueMaps
from ...physics.arrays import Array, namespace
from ...physics.protocol import Protocol

_T1_RANGE, _T2_RANGE = (150.0, 6000.0), (15.0, 3000.0)
"""ms: range of a voxel's tissue without its fluid; the same as for echo trains (:mod:`..physics.echo_train`)."""


@dataclass(frozen=True)
class Compartments:
    """PD (fraction of water), T1 and T2 (ms) of the tissue alone, and the water of the ``fluid`` (fraction); float32 of one shape."""

    pd: Array
    t1: Array
    t2: Array
    fluid: Array


def are_apart(maps: TissueMaps, protocol: Protocol) -> bool:
    """Whether tissue and fluid are rendered separately: the fluid fraction is known, and the image is not a ratio of two."""
    return maps.fluid_fraction is not None and maps.fluid is not None and protocol.sequence.uses_pd


def compartments(pd: Array, t1: Array, t2: Array, fraction: Array, fluid: tuple[float, float, float]) -> Compartments:
    """Remove the ``fraction`` of ``fluid`` (its PD, T1 and T2) from voxels with these values; arrays of one shape."""
    water, fluid_t1, fluid_t2 = fluid
    of_fluid = fraction * float(water)
    of_tissue = (pd - of_fluid).clip(min=0.0)

    def left(whole: Array, own: float, shortest: float, longest: float) -> Array:
        with np.errstate(all="ignore"):  # air has no T1 and T2, and pure fluid no tissue
            time = of_tissue / (pd / whole - of_fluid / float(own))
        return namespace(time).where(time > 0, time, longest).clip(shortest, longest)

    return Compartments(of_tissue, left(t1, fluid_t1, *_T1_RANGE), left(t2, fluid_t2, *_T2_RANGE), of_fluid)


def with_fluid(tissue: np.ndarray, water: np.ndarray, fluid: tuple[float, float, float]) -> np.ndarray:
    """PD, T1 and T2 (3, N) of voxels with ``tissue`` (3, N) and so much ``water`` (N,) of a ``fluid``: water and its rates add up, the
    inverse of :func:`compartments`."""
    pd, t1, t2 = tissue
    total = pd + water
    return np.stack([total, total / (pd / t1 + water / fluid[1]), total / (pd / t2 + water / fluid[2])])


def with_sign(protocol: Protocol) -> Protocol:
    """The same protocol with an image that keeps the sign of the signal."""
    return replace(protocol, sequence=replace(protocol.sequence, signed=True))


def fluid_signal(protocol: Protocol, fluid: tuple[float, float, float]) -> float:
    """The signed signal of the fluid per unit of its water."""
    _water, t1, t2 = fluid
    return float(with_sign(protocol).signal(np.array(1.0), np.array(t1), np.array(t2)))
