"""Arithmetic in buffers: the numbers are NumPy's own, nothing in use is overwritten, and what is gone makes room for what comes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from PhysMRISynthLib.physics.dual import exp
from PhysMRISynthLib.physics.scratch import _BUFFERS, Scratch, Workspace

SHAPE = (5, 6, 7)
SIZE = 5 * 6 * 7
OPERATORS = (operator.add, operator.sub, operator.mul, operator.truediv)
Operator = Callable[[Any, Any], Any]


def values(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Numbers of both signs that are safe to divide by."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(0.5, 3.0, shape) * rng.choice([-1.0, 1.0], shape)).astype(np.float32)


def assert_same(result: Scratch, expected: np.ndarray) -> None:
    assert isinstance(result, Scratch)
    assert result.value.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(result.value, expected)


def lies_in(workspace: Workspace, result: Scratch) -> bool:
    return np.shares_memory(result.value, workspace._buffers)


# --- the same numbers as NumPy's ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", (2.5, -0.7, 3, 0.1, np.float32(1.3)), ids=repr)
@pytest.mark.parametrize("operate", OPERATORS)
def test_a_number_may_stand_on_either_side(operate: Operator, number: float) -> None:
    a = values(0)
    (x,) = Workspace(SIZE).arrays(a)
    assert_same(operate(x, number), operate(a, number))
    assert_same(operate(number, x), operate(number, a))


@pytest.mark.parametrize("operate", OPERATORS)
def test_an_array_may_stand_on_either_side(operate: Operator) -> None:
    a, b = values(0), values(1)
    x, y = Workspace(SIZE).arrays(a, b)
    expected = operate(a, b)
    for result in (operate(x, y), operate(x, b), operate(a, y)):
        assert_same(result, expected)
    assert_same(operate(x, x), operate(a, a))


def test_abs_exp_and_negation() -> None:
    a = values(0)
    (x,) = Workspace(SIZE).arrays(a)
    assert_same(abs(x), np.abs(a))
    assert_same(-x, -a)
    assert_same(x.exp(), np.exp(a))
    assert_same(exp(x), np.exp(a))


def test_a_whole_equation_leaves_its_inputs_as_they_were() -> None:
    a, b = values(0), values(1)
    x, y = Workspace(SIZE).arrays(a, b)

    def equation(one: Any, other: Any) -> Any:
        decay = exp(-abs(one) / 3.0)
        return (1.0 - 2.0 * decay + other * decay) / (1.0 + abs(other) - decay * decay)

    assert_same(equation(x, y), equation(a, b))
    np.testing.assert_array_equal(a, values(0))
    np.testing.assert_array_equal(b, values(1))


# --- whose memory ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", (2, _BUFFERS, 3 * _BUFFERS + 1))
def test_results_in_use_are_never_overwritten(count: int) -> None:
    a, b = values(0), values(1)
    x, y = Workspace(SIZE).arrays(a, b)
    kept = [result for n in range(count) for result in ((x + y) * float(n), abs(x * y) - float(n))]
    for n in range(count):
        assert_same(kept[2 * n], (a + b) * float(n))
        assert_same(kept[2 * n + 1], np.abs(a * b) - float(n))
    for one, other in combinations([a, b, *(result.value for result in kept)], 2):
        assert not np.shares_memory(one, other)


def test_a_long_calculation_stays_in_the_workspace() -> None:
    workspace = Workspace(SIZE)
    x, y = workspace.arrays(values(0), values(1))
    result, expected = x, values(0)
    for _ in range(5 * _BUFFERS):
        result = (result + y) / (2.0 + abs(y)) - 0.5
        expected = (expected + values(1)) / (2.0 + np.abs(values(1))) - 0.5
        assert lies_in(workspace, result)
    assert_same(result, expected)


def test_as_many_results_as_there_are_buffers_take_no_fresh_memory_even_after_a_rush() -> None:
    workspace = Workspace(SIZE)
    (x,) = workspace.arrays(values(0))
    for _ in range(3):
        kept = [x + float(n) for n in range(_BUFFERS)]
        assert all(lies_in(workspace, result) for result in kept)
        del kept
    rush = [x + float(n) for n in range(2 * _BUFFERS)]
    places = {result.value.ctypes.data for result in rush}
    del rush
    again = [x * float(n) for n in range(2 * _BUFFERS)]
    assert {result.value.ctypes.data for result in again} == places


def test_one_workspace_serves_one_shape_after_the_other() -> None:
    workspace = Workspace(SIZE)
    for shape in (SHAPE, (3, 4), (SIZE,), (1, 2, 5, 2), (1,)):
        a, b = values(0, shape), values(1, shape)
        x, y = workspace.arrays(a, b)
        kept = [x + y, 1.0 / x, (x - y) * 2.0]
        for result, expected in zip(kept, (a + b, 1.0 / a, (a - b) * 2.0), strict=True):
            assert_same(result, expected)
            assert lies_in(workspace, result)
