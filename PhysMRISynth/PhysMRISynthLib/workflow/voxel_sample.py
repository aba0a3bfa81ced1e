"""A sample of voxels, where using all of them would take too long."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SAMPLE = 50_000
"""Voxels: a mean is known to 0.3 % of the spread, a median to 0.6 %."""
_TRIES = 8


def sampled_voxels(array: np.ndarray, holds: Callable[[np.ndarray], np.ndarray], most: int = SAMPLE) -> np.ndarray:
    """Flat indices, ascending, of at most ``most`` voxels of ``array`` for whose values ``holds`` is True; the same at every call.

    All of them if a small array has no more; a large one is sampled at random, so that it need not be searched.
    """
    flat = array.reshape(-1)
    if flat.size > _TRIES * most:
        tried = np.random.default_rng(0).integers(0, flat.size, _TRIES * most)
        found = tried[holds(flat[tried])]
        if found.size >= most:
            return np.sort(found[:most])
    return thinned(np.flatnonzero(holds(flat)), most)


def thinned(indices: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """At most ``most`` of the ``indices``, at equal steps."""
    return indices[:: -(-indices.size // most) or 1]
