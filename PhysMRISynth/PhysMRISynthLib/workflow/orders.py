"""Common base of all orders: limits in one place, checks on construction, and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from ..errors import OrderError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class Limits:
    """Limits of a value: one of ``choices``, else a number from ``low`` to ``high``, ``above`` another, in a ``unit``, or ``whole``."""

    title: str
    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    whole: bool = False
    above: float = -math.inf
    choices: tuple[Any, ...] = ()

    @property
    def text(self) -> str:
        """``1 to 50``, ``0 or more``, ``auto, cpu``."""
        if self.choices:
            return ", ".join(map(str, self.choices))
        if self.above == 0.0:
            return "a positive number"
        unit = f" {self.unit}" if self.unit else ""
        if math.isinf(self.high):
            return f"{self.low:g} or more{unit}"
        return f"{self.low:g} to {self.high:g}{unit}"

    def permits(self, value: Any) -> bool:
        """Whether a value is within the limits; texts and NaN are not numbers."""
        if self.choices:
            return any(value is choice or (isinstance(value, str) and value == choice) for choice in self.choices)
        number = isinstance(value, int if self.whole else (int, float)) and not isinstance(value, bool)
        return number and math.isfinite(value) and self.low <= value <= self.high and value > self.above

    @property
    def rule(self) -> str:
        """``must be from 1 to 50``."""
        between = not self.choices and not math.isinf(self.high)
        return f"must be {'from ' if between else 'one of ' if self.choices else ''}{self.text}"


def limited(default: Any, title: str, **limits: Any) -> Any:
    """A field of an order with its :class:`Limits`; None is allowed if it is the default."""
    return field(default=default, metadata={"limits": Limits(title, **limits)})


def limits_of(order: type[Order], name: str) -> Limits:
    """The limits of a field of an order. Raises LookupError for a field without any."""
    return next(entry.metadata["limits"] for entry in fields(order) if entry.name == name)


@dataclass(frozen=True)
class Order:
    """The parameters of a job, the same object from the skin to the kernel.

    Raises OrderError for a value outside its field's limits.
    """

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if getattr(value, "shape", None) == ():  # a number of NumPy, which JSON does not know
                value = value.item()
                object.__setattr__(self, entry.name, value)
            _check(entry, value)

    def as_json(self) -> dict[str, Any]:
        """The order as JSON values; :meth:`from_json` is the inverse."""
        return {entry.name: _json(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The order of JSON values. Raises OrderError for unknown fields and invalid values."""
        unknown = sorted(set(values) - {entry.name for entry in fields(cls)})
        if unknown:
            raise OrderError(f"There is no option '{unknown[0]}'. Use {', '.join(entry.name for entry in fields(cls))}.")
        return cls(**values)


def _check(entry: Field[Any], value: Any) -> None:
    limits: Limits | None = entry.metadata.get("limits")
    if entry.default_factory is dict and not isinstance(value, Mapping):
        raise OrderError(f"The {entry.name} must be given by name, not as {value!r}. Give {{name: value, …}}, or leave it out.")
    if limits is None or (value is None and entry.default is None) or limits.permits(value):
        return
    shown = f"{value:g}" if isinstance(value, float) else f"{value}"
    raise OrderError(f"The {limits.title} {limits.rule}, not {shown}. Give {limits.text}, or leave it out.")


def _json(value: Any) -> Any:
    if hasattr(value, "as_json"):
        return value.as_json()
    if isinstance(value, Mapping):
        return {name: _json(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return [_json(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def check_field_strength(tesla: Any) -> None:
    """Raise OrderError for a non-number, ProtocolError for a field strength without tissue values."""
    from ..physics.tissues import tissue_table

    if isinstance(tesla, bool) or not isinstance(tesla, (int, float)):
        raise OrderError(f"The field strength must be a number in tesla, not {tesla!r}. Give 1 to 4.")
    tissue_table(float(tesla))
