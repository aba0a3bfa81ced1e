"""The command: what is missing is said before anything runs, results of several runs stand together, figures are drawn."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physmrisynth_training.evaluation import contrasts, distributions, maps, plan, reconstruction, retest, suites
from physmrisynth_training.evaluation.drawing import Picture, draw_pictures
from physmrisynth_training.evaluation.plan import Plan, estimators_for
from physmrisynth_training.evaluation.results import Findings, Table, read_results, write_findings
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import PhysMRISynthError, WeightsError
from PhysMRISynthLib.network import manifest
from PhysMRISynthLib.network import weights as network_weights
from PhysMRISynthLib.workflow.estimation import estimate as estimation
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder

PICTURES = [[Picture("a plane", np.eye(30), 0.0, 1.0)]]


def findings(number: float) -> Findings:
    table = Table("One number", ("name", "value"), (("it", f"{number:g}"),))
    return Findings([{"value": number}], [table], ["A note."], partial(draw_pictures, PICTURES))


# --- files ----------------------------------------------------------------------------------------------------------------------


def test_a_suite_replaces_its_own_entry_and_keeps_the_others(tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    write_findings(out, "maps", findings(1.0), {"step": 2})
    write_findings(out, "retest", findings(2.0), {"step": 3})
    write_findings(out, "maps", findings(math.inf), {"step": 4}, ["Of the whole run."])
    suites_found = read_results(out)
    assert suites_found["retest"]["records"] == [{"value": 2.0}] and suites_found["retest"]["settings"] == {"step": 3}
    assert suites_found["maps"]["records"] == [{"value": None}], "infinity is null"
    assert suites_found["maps"]["notes"] == ["Of the whole run.", "A note."]
    text = (out / "results.md").read_text(encoding="utf-8")
    assert "| it | 2 |" in text and "| it | inf |" in text and "| it | 1 |" not in text and "step 4" in text
    assert "![retest](retest.png)" in text
    assert {path.name for path in out.iterdir()} == {"results.json", "results.md", "maps.png", "retest.png"}
    assert (out / "maps.png").read_bytes().startswith(b"\x89PNG")


def test_a_suite_that_cannot_be_drawn_leaves_the_results_as_they_were(tmp_path: Path) -> None:
    write_findings(tmp_path, "maps", findings(1.0), {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 3

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_findings(tmp_path, "maps", Findings([], [], [], fail), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "told"),
    [("{", "cannot be read"), ("[]", "was not written"), ('{"format": "another", "suites": {}}', "was not written")],
)
def test_results_of_something_else_are_not_touched(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(content, encoding="utf-8")
    with pytest.raises(PhysMRISynthError, match=told):
        write_findings(tmp_path, "maps", findings(1.0), {})
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == content


# --- priors ---------------------------------------------------------------------------------------------------------------------


def test_without_a_network_the_literature_stands_alone_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "shipped_weights", lambda kind="vae": None)
    found, sha256, notes = estimators_for(("network", "literature"), None, "auto")
    assert list(found) == ["literature"] and sha256 is None
    assert len(notes) == 1 and "No network weights are installed" in notes[0]
    with pytest.raises(WeightsError):
        estimators_for(("network",), None, "auto")


def test_weights_that_were_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no network weights at"):
        estimators_for(("network", "literature"), tmp_path / "none.safetensors", "auto")


def test_each_prior_is_estimated_with_its_own_weights_and_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Loaded:
        sha256 = "abc"

    calls: list[tuple[EstimateOrder, Any]] = []
    monkeypatch.setattr(network_weights, "load_weights", lambda path: Loaded)
    monkeypatch.setattr(plan, "estimate_tissue_maps", lambda inputs, order, weights: calls.append((order, weights)))
    found, sha256, notes = estimators_for(("network", "literature"), tmp_path / "some.safetensors", "cuda")
    for estimator in found.values():
        estimator([], 1.5)
    assert sha256 == "abc" and not notes
    assert calls == [
        (EstimateOrder(field_strength=1.5, prior="network", device="cuda"), Loaded),
        (EstimateOrder(field_strength=1.5, prior="literature"), None),
    ]


def test_given_weights_stand_in_for_the_installed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(estimation, "loadable_weights", lambda prior, file: asked.append(prior))
    monkeypatch.setattr(estimation, "reference_of", lambda *given: None)
    for prior in ("network", "auto", "literature"):
        with pytest.raises(AttributeError):  # there is no input to go on with
            estimation.estimate_tissue_maps([], EstimateOrder(prior=prior), weights=object())  # type: ignore[arg-type]
    assert asked == ["literature"]


# --- running --------------------------------------------------------------------------------------------------------------------


def test_suites_run_in_order_and_write_as_they_finish(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(given: Plan) -> Findings:
        raise PhysMRISynthError("stopped")

    there = {"retest": suites.Suite(lambda given: None, lambda given: findings(given.step)), "maps": suites.Suite(lambda given: None, stop)}
    monkeypatch.setattr(suites, "SUITES", there)
    with pytest.raises(PhysMRISynthError, match="stopped"):
        suites.evaluate(Plan({}, step=7, notes=("Said first.",)), suites.suites_named("all"), tmp_path)
    found = read_results(tmp_path)
    assert list(found) == ["retest"] and found["retest"]["records"] == [{"value": 7}]
    assert found["retest"]["notes"][0] == "Said first."


def test_nothing_runs_when_something_is_missing_for_a_later_suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = {"retest": suites.Suite(lambda given: None, lambda given: findings(1.0)), "maps": suites.SUITES["maps"]}
    monkeypatch.setattr(suites, "SUITES", there)
    with pytest.raises(PhysMRISynthError, match="head_labels/head_16"):
        suites.evaluate(Plan({}), suites.suites_named("all"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suite", (contrasts, retest, distributions, reconstruction, maps))
def test_every_suite_says_which_file_is_missing_and_what_to_do(suite: Any, tmp_path: Path) -> None:
    for given in (Plan({}), Plan({}, tmp_path)):
        with pytest.raises(PhysMRISynthError, match=r"(real/|head_labels/).*--data"):
            suite.check(given)


def test_heads_that_helped_to_train_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = maps.head_notes(Plan({}, heads=("3", "16", "example")))
    assert len(notes) == 1 and notes[0].startswith("head 3:")
    assert maps.head_notes(Plan({})) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--suite", "everything"], "There is no suite 'everything'"),
        (["--suite", "maps"], "--data"),
        (["--suite", "retest", "--data", "nowhere"], "does not exist"),
        (["--suite", "maps", "--heads", "../16", "--data", "."], "is not a head"),
        (["--suite", "maps", "--heads", "example", "--weights", "none.safetensors"], "no network weights at"),
    ],
)
def test_bad_input_exits_2_and_leaves_nothing(changed: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--out", str(tmp_path / "out"), *changed]) == 2
    message = capsys.readouterr().err
    assert told in message and "Traceback" not in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changed", (["--noise", "0"], ["--noise", "nan"], ["--step", "0"], ["--seeds", "-1"], ["--priors", "none"]))
def test_values_that_cannot_be_are_refused(changed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--suite", "maps", "--out", str(tmp_path / "out"), *changed])
    assert stopped.value.code == 2
    capsys.readouterr()
