"""Signal equations that users write, such as ``PD * (1 - 2*exp(-TI/T1) + exp(-TR/T1)) * exp(-TE/T2)``.

The text is parsed into Python's syntax tree; only numbers, the named variables, + - * / and integer powers, ``exp``, ``abs``, ``sin`` and
``cos`` are allowed. No code is executed.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Many
from typing import Any

import numpy as np

from ..errors import ProtocolError
from .dual import Array, cos, exp, sin
from .sequences import Parameter, Sequence, sequence_named

TISSUE = ("PD", "T1", "T2")
_LONGEST = 2000
_DEEPEST = 40
_MOST_POWER = 4


def _quotient(one: Array, other: Array) -> Array:
    """Arrays would divide by the number 0 silently."""
    if isinstance(other, (int, float)) and other == 0:
        raise ZeroDivisionError("division by zero")
    return one / other


_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: _quotient,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {"exp": exp, "abs": abs, "sin": sin, "cos": cos}
_ALLOWED = "Use numbers, + - * /, whole powers, exp, abs, sin, cos, PD, T1, T2 and the sequence's own parameters (ms; FA in degrees)."
_PARAMETERS = {
    "TR": ("se", "TR"), "TE": ("se", "TE"), "TI": ("ir", "TI"), "TI1": ("dir", "TI1"), "TI2": ("dir", "TI2"), "FA": ("spgr", "FA"),
    "L": ("tse", "L"), "ESP": ("mprage", "ESP"), "N": ("mprage", "N"),
}  # fmt: skip
"""The allowed parameters of an equation, with title, unit and bounds from a built-in sequence."""

Values = Mapping[str, Array]


def own_sequence(name: str, title: str, text: str, defaults: Mapping[str, float] | None = None, signed: bool = False) -> Sequence:
    """A sequence whose signal is the equation ``text``; its parameters are the variables that occur in it.

    ``defaults`` by parameter replace the usual ones; ``signed`` keeps the sign in the image. Raises ProtocolError when the text cannot be
    parsed, uses disallowed syntax, or is neither proportional to PD nor independent of it.
    """
    tree = _parsed(text)
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {*_FUNCTIONS})
    unknown = [variable for variable in names if variable not in (*TISSUE, *_PARAMETERS)]
    if unknown:
        raise ProtocolError(f"'{unknown[0]}' in the equation is unknown. {_ALLOWED}")
    usual = {"TR": _repetition(names), **(defaults or {})}
    parameters = tuple(_parameter(variable, usual) for variable in _PARAMETERS if variable in names)
    uses_pd = _uses_pd(tree, parameters)

    def equation(r1: Array, r2: Array, **values: Array) -> Array:
        try:
            return _value(tree.body, {**values, "T1": 1.0 / r1, "T2": 1.0 / r2, "PD": 1.0})
        except ArithmeticError as error:
            raise ProtocolError(f"{title}: the equation has no finite value at these parameters ({error}). Choose others.") from error

    sequence = Sequence(name, title, equation, parameters, _checks(names), signed, uses_pd)
    sequence.validate({p.name: p.default for p in parameters if p.default is not None})
    return sequence


def _parsed(text: str) -> ast.Expression:
    if len(text) > _LONGEST:
        raise ProtocolError(f"The equation is longer than {_LONGEST} characters. Shorten it.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ProtocolError(f"The equation '{text[:80]}' cannot be read ({getattr(error, 'msg', error)}). {_ALLOWED}") from None
    _check(tree.body, 0)
    return tree


def _check(node: ast.AST, depth: int) -> None:
    """Raise ProtocolError unless :func:`_value` can evaluate every node of the tree."""
    if depth > _DEEPEST:
        raise ProtocolError("The equation is nested too deeply. Simplify it.")
    if isinstance(node, ast.Constant) and _is_number(node.value):
        return
    if isinstance(node, ast.Name) and node.id not in _FUNCTIONS:
        return
    inner: list[ast.AST] = []
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = [node.operand]
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        inner = [node.left, node.right]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and _power(node.right) is not None:
        inner = [node.left]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and len(node.args) == 1:
        inner = [] if node.keywords else [node.args[0]]
    if not inner:
        raise ProtocolError(f"'{ast.unparse(node)[:80]}' is not allowed in an equation. {_ALLOWED}")
    for part in inner:
        _check(part, depth + 1)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _power(node: ast.AST) -> int | None:
    """A whole exponent from 1 to 4, or None."""
    whole = isinstance(node, ast.Constant) and type(node.value) is int and 1 <= node.value <= _MOST_POWER
    return node.value if whole and isinstance(node, ast.Constant) and isinstance(node.value, int) else None


def _value(node: ast.AST, values: Values) -> Array:
    """The value of a checked tree."""
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.UnaryOp):
        operand = _value(node.operand, values)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Call):
        return _FUNCTIONS[node.func.id](_value(node.args[0], values))  # type: ignore[attr-defined]
    assert isinstance(node, ast.BinOp)
    left = _value(node.left, values)
    if isinstance(node.op, ast.Pow):
        return _product([left] * (_power(node.right) or 1))
    return _OPERATIONS[type(node.op)](left, _value(node.right, values))


def _product(factors: Many[Array]) -> Array:
    """Powers as products, which every array type supports."""
    result = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result


def _parameter(name: str, defaults: Mapping[str, float]) -> Parameter:
    sequence, parameter = _PARAMETERS[name]
    usual = sequence_named(sequence).parameter(parameter)
    return Parameter(name, usual.title, usual.unit, usual.minimum, usual.maximum, float(defaults.get(name, usual.default or usual.minimum)))


def _repetition(names: Many[str]) -> float:
    """A usual TR for an equation of these variables (ms)."""
    like = "dir" if "TI1" in names else "ir" if "TI" in names else "se"
    return sequence_named(like).parameter("TR").default or 0.0


def _checks(names: Many[str]) -> tuple[Any, ...]:
    """Echo and inversion come before the next repetition."""
    found = []
    for name in ("TE", "TI", "TI1", "TI2"):
        if name in names and "TR" in names:
            found.append((lambda values, name=name: values[name] < values["TR"], f"{name} must be shorter than TR."))
    return tuple(found)


def _uses_pd(tree: ast.Expression, parameters: tuple[Parameter, ...]) -> bool:
    """Whether the equation is proportional to PD; False where PD does not occur. Raises ProtocolError for anything else."""
    settings = {p.name: math.radians(p.default or 0.0) if p.unit == "°" else float(p.default or 0.0) for p in parameters}
    tissue = {"T1": np.array([400.0, 900.0, 4000.0]), "T2": np.array([50.0, 100.0, 2000.0])}
    try:
        with np.errstate(all="ignore"):
            single, double = (np.abs(_value(tree.body, {**settings, **tissue, "PD": pd})) for pd in (0.5, 1.0))
    except ArithmeticError:
        single = double = np.array(np.nan)
    if not (np.isfinite(single).all() and np.isfinite(double).all()):
        raise ProtocolError("The equation has no finite value at its parameters' usual values. Check it for a division by zero.")
    if np.allclose(single, double, rtol=1e-9):
        return False
    if not np.allclose(2.0 * single, double, rtol=1e-9):
        raise ProtocolError("The signal must be proportional to PD, or not depend on it. Write the equation as PD * (…).")
    return True
