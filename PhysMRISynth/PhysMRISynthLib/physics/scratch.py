"""Arithmetic in reused buffers: rendering spends more time on allocating temporaries than on the equation itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_BUFFERS = 8
"""Enough for most equations; one that needs more allocates new memory."""


class Workspace:
    """The reusable buffers of one thread, each of ``size`` voxels."""

    def __init__(self, size: int) -> None:
        self._buffers = np.empty((_BUFFERS, size), dtype=np.float32)

    def arrays(self, *values: np.ndarray) -> tuple[Scratch, ...]:
        """Arrays of one shape of at most ``size`` voxels, ready for arithmetic; earlier results are overwritten."""
        shape = values[0].shape
        free = [buffer[: values[0].size].reshape(shape) for buffer in self._buffers]
        return tuple(Scratch(value, free) for value in values)


class Scratch:
    """A float32 array whose results use buffers that are released with their owner.

    It supports the operations of the signal equations (``+ - * /``, ``abs``, ``exp``, ``sqrt``, ``clip``) with arrays of its shape and
    numbers.
    """

    __slots__ = ("_buffer", "_free", "value")
    __array_ufunc__ = None  # a NumPy array on the left hands the operation to this class

    def __init__(self, value: np.ndarray, free: list[np.ndarray], buffer: np.ndarray | None = None) -> None:
        self.value, self._free, self._buffer = value, free, buffer

    def __del__(self) -> None:
        if self._buffer is not None:
            self._free.append(self._buffer)

    def _result(self, operation: Callable[..., np.ndarray], one: Any, other: Any) -> Scratch:
        buffer = self._room()
        operation(one, other.value if isinstance(other, Scratch) else other, buffer)
        return Scratch(buffer, self._free, buffer)

    def _alone(self, operation: Callable[..., np.ndarray]) -> Scratch:
        buffer = self._room()
        operation(self.value, buffer)
        return Scratch(buffer, self._free, buffer)

    def _room(self) -> np.ndarray:
        return self._free.pop() if self._free else np.empty(self.value.shape, dtype=np.float32)

    def __neg__(self) -> Scratch:
        return self * -1.0

    def __abs__(self) -> Scratch:
        return self._alone(np.abs)

    def __add__(self, other: Any) -> Scratch:
        return self._result(np.add, self.value, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Scratch:
        return self._result(np.subtract, self.value, other)

    def __rsub__(self, other: Any) -> Scratch:
        return self._result(np.subtract, other, self)

    def __mul__(self, other: Any) -> Scratch:
        return self._result(np.multiply, self.value, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Scratch:
        return self._result(np.divide, self.value, other)

    def __rtruediv__(self, other: Any) -> Scratch:
        return self._result(np.divide, other, self)

    def exp(self) -> Scratch:
        """eˣ."""
        return self._alone(np.exp)

    def sqrt(self) -> Scratch:
        """√x."""
        return self._alone(np.sqrt)

    def clip(self, low: float, high: float) -> Scratch:
        """Kept between ``low`` and ``high``."""
        return self._alone(lambda value, out: np.clip(value, low, high, out=out))
