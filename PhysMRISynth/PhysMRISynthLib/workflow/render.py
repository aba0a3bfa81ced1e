"""From tissue maps to the image of any protocol."""

from __future__ import annotations

import numpy as np

from ..imaging.tissue_maps import TissueMaps
from ..physics.noise import add_noise, sigma_for_snr
from ..physics.protocol import Protocol
from .chunks import for_each_chunk

_CHUNK = 1 << 18
"""Voxels at a time: few enough for the equation's temporaries to stay in cache, enough for threads not to wait for one another."""
_SHORTEST = np.float32(1e-3)


def render_arrays(protocol: Protocol, pd: np.ndarray, t1: np.ndarray, t2: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """The protocol's noise-free image of ``pd`` (fraction), ``t1``, ``t2`` (ms), arrays of one shape; float32, in ``out`` if given.

    Voxels without tissue (PD not above 0) are 0, whatever their T1 and T2.
    """
    image = np.empty(pd.shape, dtype=np.float32) if out is None else out
    density, long, short, target = (np.atleast_1d(array) for array in (pd, t1, t2, image))

    def work(slab: slice) -> None:
        box = _tissue_box(density[slab])
        target[slab] = 0.0
        if box is not None:
            _render_box(protocol, density[slab][box], long[slab][box], short[slab][box], target[slab][box])

    planes = max(1, _CHUNK // max(1, density[:1].size))
    for_each_chunk(len(density), planes, work)
    return image


def _tissue_box(pd: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds every voxel of tissue (None: there is no tissue): most of the air around a head is left out."""
    tissue = pd > 0
    box: tuple[slice, ...] = ()
    for axis in range(pd.ndim):
        inside = np.flatnonzero(tissue.any(axis=tuple(other for other in range(pd.ndim) if other != axis)))
        if not inside.size:
            return None
        box += (slice(int(inside[0]), int(inside[-1]) + 1),)
    return box


def _render_box(protocol: Protocol, pd: np.ndarray, t1: np.ndarray, t2: np.ndarray, out: np.ndarray) -> None:
    """The image of arrays that may hold air too, whose T1 and T2 mean nothing (0 or NaN)."""
    density = np.fmax(pd, np.float32(0.0))
    out[...] = protocol.signal(density, np.fmax(t1, _SHORTEST), np.fmax(t2, _SHORTEST))
    if not protocol.sequence.uses_pd:
        out[density == 0] = 0.0


def render(maps: TissueMaps, protocol: Protocol, snr: float | None = None, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Image of ``maps`` under ``protocol``, float32 (z, y, x) in units of ``scale`` · the equation's signal.

    ``snr`` adds magnitude (signed sequences: Gaussian) noise at that ratio to the mean signal over the head; ``seed`` makes it repeatable.
    """
    image = render_arrays(protocol, maps.pd, maps.t1, maps.t2) * np.float32(scale)
    if snr is None:
        return image
    sigma = sigma_for_snr(np.abs(image[maps.mask]), snr)
    return add_noise(image, sigma, np.random.default_rng(seed), signed=protocol.sequence.signed)
