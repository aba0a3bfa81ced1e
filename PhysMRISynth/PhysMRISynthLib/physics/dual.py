"""Forward-mode derivatives with respect to (log T1, log T2), so that every signal equation is written once.

A :class:`Dual` carries a value and its two derivatives through ``+ - * /``, ``exp`` and ``sqrt``. A derivative that is zero
everywhere is ``None`` and costs nothing: most equations factor into a T1 part and a T2 part. The values may be NumPy arrays or
torch tensors; the functions :func:`exp`, :func:`sin` and :func:`cos` serve plain arrays, tensors, numbers and duals alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any  # a NumPy array, a torch tensor or a number: the equations ask for arithmetic and ``exp`` only


class Dual:
    """A value with its derivatives ``d1`` = ∂/∂log T1 and ``d2`` = ∂/∂log T2 (``None``: zero everywhere)."""

    __slots__ = ("d1", "d2", "value")
    __array_ufunc__ = None  # a NumPy array on the left hands the operation to this class

    def __init__(self, value: Array, d1: Array | None = None, d2: Array | None = None) -> None:
        self.value, self.d1, self.d2 = value, d1, d2

    def _chain(self, value: Array, slope: Array) -> Dual:
        return Dual(value, _times(self.d1, slope), _times(self.d2, slope))

    def __neg__(self) -> Dual:
        return self._chain(-self.value, -1.0)

    def __add__(self, other: Any) -> Dual:
        if not isinstance(other, Dual):
            return Dual(self.value + other, self.d1, self.d2)
        return Dual(self.value + other.value, _plus(self.d1, other.d1), _plus(self.d2, other.d2))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Dual:
        return self + (-other)

    def __rsub__(self, other: Any) -> Dual:
        return (-self) + other

    def __mul__(self, other: Any) -> Dual:
        if not isinstance(other, Dual):
            return self._chain(self.value * other, other)
        return Dual(
            self.value * other.value,
            _plus(_times(self.d1, other.value), _times(other.d1, self.value)),
            _plus(_times(self.d2, other.value), _times(other.d2, self.value)),
        )

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Dual:
        return self * (other.reciprocal() if isinstance(other, Dual) else 1.0 / other)

    def __rtruediv__(self, other: Any) -> Dual:
        return self.reciprocal() * other

    def reciprocal(self) -> Dual:
        """1/x."""
        inverse = 1.0 / self.value
        return self._chain(inverse, -inverse * inverse)

    def exp(self) -> Dual:
        """eˣ."""
        value = exp(self.value)
        return self._chain(value, value)

    def sqrt(self) -> Dual:
        """√x."""
        value = sqrt(self.value)
        return self._chain(value, 0.5 / value)

    def clip(self, low: float, high: float) -> Dual:
        """x kept between ``low`` and ``high``."""
        return self._chain(clip(self.value, low, high), (self.value >= low) * (self.value <= high))


def _times(a: Array | None, b: Array) -> Array | None:
    return None if a is None else a * b


def _plus(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _function(name: str) -> Callable[[Array], Array]:
    """A function that numbers keep as Python floats (NumPy's own would promote float32 arrays to float64)."""
    of_number, of_array = getattr(math, name), getattr(np, name)

    def function(x: Array) -> Array:
        if isinstance(x, (int, float)):
            return of_number(x)
        return getattr(x, name)() if hasattr(x, name) else of_array(x)

    function.__name__ = name
    function.__doc__ = f"``{name}`` of a number, NumPy array, torch tensor or, where it has a derivative here, :class:`Dual`."
    return function


def clip(x: Array, low: float, high: float) -> Array:
    """A number, NumPy array, torch tensor or :class:`Dual`, kept between ``low`` and ``high``."""
    return min(max(x, low), high) if isinstance(x, (int, float)) else x.clip(low, high)


exp, log, sin, cos, sqrt = (_function(name) for name in ("exp", "log", "sin", "cos", "sqrt"))
