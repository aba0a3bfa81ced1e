"""Orders from the arguments of Slicer's scripts, which are spelt in its way."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import OrderError
from ..workflow.orders import Order

AnyOrder = TypeVar("AnyOrder", bound=Order)


def orderOf(order: type[AnyOrder], **options: Any) -> AnyOrder:
    """An order from ``options`` such as ``fieldStrength``; 0 and "" stand for none where a parameter node cannot hold None.

    Raises OrderError for a name that is no field of the order, and as the order does.
    """
    named = {camelCase(entry.name): entry for entry in fields(order)}
    for name in sorted(set(options) - set(named)):
        close = difflib.get_close_matches(name, named, n=1)
        raise OrderError(f"There is no option '{name}'. Use {' or '.join(close) or ', '.join(named)}.")
    given = {named[name]: value for name, value in options.items()}
    return order(**{entry.name: value for entry, value in given.items() if not _isNone(value, entry.default)})


def camelCase(name: str) -> str:
    """``field_strength`` as Slicer spells it."""
    first, *others = name.removesuffix("_mm").split("_")
    return first + "".join(word.title() for word in others)


def _isNone(value: Any, default: Any) -> bool:
    return value is None or (default is None and value in (0, "") and not isinstance(value, bool))
