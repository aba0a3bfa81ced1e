"""Files of an estimate: what could not be had is null in JSON, so that every parser reads it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PhysMRISynthLib.workflow.outputs import _write_json


def strictly(path: Path) -> Any:
    """The content of a JSON file in which NaN and Infinity are errors."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf, np.float64("nan")), ids=repr)
def test_what_is_not_finite_is_null_at_any_depth(tmp_path: Path, value: float) -> None:
    _write_json({"a": value, "b": {"c": [1.5, value, {"d": value}], "e": (value, 2)}}, tmp_path / "report.json")
    assert strictly(tmp_path / "report.json") == {"a": None, "b": {"c": [1.5, None, {"d": None}], "e": [None, 2]}}


def test_everything_else_is_written_as_it_is(tmp_path: Path) -> None:
    values: dict[str, Any] = {"name": "größe, NaN °", "none": None, "yes": True, "count": 3, "tiny": 1e-300, "list": [0.1, -0.0], "no": {}}
    _write_json(values, tmp_path / "report.json")
    assert strictly(tmp_path / "report.json") == values
    assert "größe, NaN °" in (tmp_path / "report.json").read_text(encoding="utf-8")
