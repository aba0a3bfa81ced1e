"""Files of an estimate: strict JSON, and nobody else's files touched."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PhysMRISynthLib.workflow.results.outputs import whole_folder, write_json


def strictly(path: Path) -> Any:
    """The content of a JSON file in which NaN and Infinity are errors."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.parametrize("value", (math.nan, math.inf, -math.inf, np.float64("nan")), ids=repr)
def test_what_is_not_finite_is_null_at_any_depth(tmp_path: Path, value: float) -> None:
    write_json({"a": value, "b": {"c": [1.5, value, {"d": value}], "e": (value, 2)}}, tmp_path / "report.json")
    assert strictly(tmp_path / "report.json") == {"a": None, "b": {"c": [1.5, None, {"d": None}], "e": [None, 2]}}


def test_everything_else_is_written_as_it_is(tmp_path: Path) -> None:
    values: dict[str, Any] = {"name": "größe, NaN °", "none": None, "yes": True, "count": 3, "tiny": 1e-300, "list": [0.1, -0.0], "no": {}}
    write_json(values, tmp_path / "report.json")
    assert strictly(tmp_path / "report.json") == values
    assert "größe, NaN °" in (tmp_path / "report.json").read_text(encoding="utf-8")


def test_overwriting_takes_only_what_the_earlier_report_lists(tmp_path: Path) -> None:
    for name in ("T1W.nii.gz", "T2W.nii.gz", "report.pdf", "fit_me.txt", "PD.nii.gz", "fit_flair.nii.gz"):
        (tmp_path / name).write_text(name)
    (tmp_path / "report.json").write_text(json.dumps({"files": ["PD.nii.gz", "fit_flair.nii.gz", "../elsewhere", "report.json", 7]}))
    (tmp_path.parent / "elsewhere").write_text("kept")
    with whole_folder(tmp_path, overwrite=True) as folder:
        (folder / "PD.nii.gz").write_text("new")
        (folder / "report.json").write_text("{}")
    kept = {"T1W.nii.gz", "T2W.nii.gz", "report.pdf", "fit_me.txt"}
    assert {file.name for file in tmp_path.iterdir()} == kept | {"PD.nii.gz", "report.json"}
    assert (tmp_path / "PD.nii.gz").read_text() == "new" and (tmp_path.parent / "elsewhere").exists()


def test_a_result_without_a_report_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "PD.nii.gz").write_text("a map")
    (tmp_path / "report.json").write_text(json.dumps({"files": ["PD.nii.gz", "report.json"]}))
    with whole_folder(tmp_path, overwrite=True) as folder:
        (folder / "t1w.nii.gz").write_text("simulated")
    assert {file.name for file in tmp_path.iterdir()} == {"PD.nii.gz", "report.json", "t1w.nii.gz"}


@pytest.mark.parametrize("report", ("", "[]", "{}", '{"files": 3}', '{"files": null}'))
def test_a_report_that_lists_nothing_removes_nothing(tmp_path: Path, report: str) -> None:
    (tmp_path / "report.json").write_text(report)
    (tmp_path / "T1.nii.gz").write_text("somebody's")
    with whole_folder(tmp_path, overwrite=True) as folder:
        (folder / "report.json").write_text("new")
    assert (tmp_path / "T1.nii.gz").exists()
