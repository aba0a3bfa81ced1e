"""One code for NumPy arrays and torch tensors: the fit runs on either, as the equations do.

Both libraries spell ``exp``, ``sqrt``, ``where``, ``clip``, ``stack``, ``concatenate``, ``einsum`` and ``amax`` alike and take ``axis``.
Small arrays (matrices of a class, gains) stay in NumPy's double precision; arrays with a value per voxel are float32, since not every
device supports more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any  # a NumPy array or a torch tensor
Move = Callable[[np.ndarray], Array]
"""Moves an array to the device that computes."""


def stay(array: np.ndarray) -> np.ndarray:
    """The :data:`Move` of NumPy: none."""
    return array


def namespace(array: Array) -> Any:
    """The library that an array belongs to, ``numpy`` or ``torch``."""
    return sys.modules[type(array).__module__.partition(".")[0]]


def like(values: np.ndarray, array: Array) -> Array:
    """A few host ``values`` as float32 beside ``array``: of its library and on its device."""
    single = np.asarray(values, dtype=np.float32)
    return single if isinstance(array, np.ndarray) else array.new_tensor(single)


def columns(array: Array, index: Array) -> Array:
    """The elements at ``index`` along the last axis, (…, n)."""
    return array.take(index, axis=-1) if isinstance(array, np.ndarray) else array.index_select(-1, index)


def put_columns(array: Array, index: Array, values: Array) -> None:
    """Write ``values`` (rows, n) at ``index`` along the last axis of an ``array`` (rows, N)."""
    for row, own in zip(array, values, strict=True):  # far quicker in NumPy than all rows at once
        row[index] = own


def on_host(array: Array) -> np.ndarray:
    """A NumPy array of the same values."""
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def total(array: Array) -> np.ndarray:
    """Sums along the last axis, in double precision."""
    return on_host(array).sum(axis=-1, dtype=float)
