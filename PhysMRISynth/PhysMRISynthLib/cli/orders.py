"""Options of the command line from the fields of orders, and orders from options."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from ..workflow.orders import Limits, Order

AnyOrder = TypeVar("AnyOrder", bound=Order)


def add_field(parser: Any, order: type[Order], name: str, option: str | None = None, **how: Any) -> None:
    """Add an option for a field of an order, which says what it may be and what it is by default; ``how`` as argparse has it."""
    entry = next(entry for entry in fields(order) if entry.name == name)
    limits: Limits | None = entry.metadata.get("limits")
    if limits is not None and limits.choices:
        how["choices"] = limits.choices
    elif limits is not None:
        bounds = [] if math.isinf(limits.high) else [limits.text.replace("%", "%%")]  # argparse formats its helps
        usual = [] if entry.default is None else [f"default {entry.default:g}"]
        how |= {"type": _within(limits), "help": f"{how['help']} ({', '.join(bounds + usual)})"}
    parser.add_argument(option or f"--{name.replace('_', '-')}", dest=name, default=entry.default, **how)


def order_from(options: argparse.Namespace, order: type[AnyOrder], **others: Any) -> AnyOrder:
    """The order of a command: the options that have its fields' names, and ``others``. Raises a PhysMRISynthError as the order does."""
    given = {entry.name: getattr(options, entry.name) for entry in fields(order) if hasattr(options, entry.name)}
    return order(**given | others)


def _within(limits: Limits) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = int(text) if limits.whole else float(text)
        if not limits.permits(value):
            raise argparse.ArgumentTypeError(limits.rule)
        return value

    return number
