"""Targets of virtual heads: a field for each condition that the weights know; it reaches the order, and what cannot be is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6 import QtWidgets

from PhysMRISynthLib.network.diffusion_config import CONDITIONS, DiffusionConfig
from PhysMRISynthLib.network.known_conditions import FORMAT, known_conditions
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from Testing.panel.estimates import FakeClient
from Testing.panel.harness import DrivenPanel

OF_PEOPLE = {"brain_volume": (947.3, 1402.6), "atrophy": (19.3, 29.15), "age": (19.5, 88.2), "sex": (0.0, 1.0)}


def weights(path: Path, trained: dict[str, tuple[float, float]]) -> Path:
    """The head of a file of weights with these conditions, as far as the panel reads it."""
    config = DiffusionConfig(3, 2, 4, (32, 48, 32), (8, 16), (False, True), fold=2, head_channels=8, condition=tuple(trained)).mapping()
    ends = np.array([*trained.values()], "<f4").T
    entry = {"dtype": "F32", "shape": ends.shape, "data_offsets": [0, ends.nbytes]}
    head = json.dumps({"__metadata__": {"format": FORMAT, "config": json.dumps(config)}, "condition_range": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + ends.tobytes())
    return path


@pytest.fixture
def own(tmp_path: Path) -> str:
    return str(weights(tmp_path / "people.safetensors", OF_PEOPLE))


@pytest.fixture
def ready(driven: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> DrivenPanel:
    """The panel with the section open and everything that sampling needs."""
    monkeypatch.setattr(driven.panel, "ensureSampling", lambda: True)
    driven.ui.sampleCollapsibleButton.collapsed = False
    driven.settle()
    return driven


def field(driven: DrivenPanel, name: str) -> Any:
    return driven.panel.sample.rows.field(name)


def offered(driven: DrivenPanel) -> set[str]:
    return {name for name in CONDITIONS if QtWidgets.QWidget.isVisible(field(driven, name))}


def test_a_field_for_each_condition_that_the_weights_know(ready: DrivenPanel, own: str) -> None:
    assert offered(ready) == set(known_conditions())
    ready.ui.sampleWeightsEdit.text = own
    assert offered(ready) == set(OF_PEOPLE) and field(ready, "age").text == field(ready, "sex").currentText == "Any"
    field(ready, "age").setValue(500.0)
    assert field(ready, "age").text == "88 years"  # the greatest whole year
    field(ready, "atrophy").setValue(25.04)
    assert field(ready, "atrophy").text == "25.0 %" and "19.3 to 29.15 %" in field(ready, "atrophy").toolTip
    ready.ui.sampleWeightsEdit.text = ""
    assert offered(ready) == set(known_conditions())


def test_every_condition_has_a_title(ready: DrivenPanel, tmp_path: Path) -> None:
    everything = {name: (condition.least, condition.greatest) for name, condition in CONDITIONS.items()}
    ready.parameters.sampleWeights = str(weights(tmp_path / "all.safetensors", everything))
    assert offered(ready) == set(CONDITIONS)
    fields = [field(ready, name) for name in CONDITIONS]
    titles = [label.text for label in ready.parent.findChildren(QtWidgets.QLabel) if label.buddy() in fields]
    assert len({*titles}) == len(CONDITIONS) and not {*titles} & {*CONDITIONS}


def test_targets_reach_the_order_and_can_be_left_open_again(ready: DrivenPanel, client: FakeClient, own: str) -> None:
    ready.parameters.sampleWeights = own
    field(ready, "brain_volume").setValue(1200.0)
    field(ready, "atrophy").stepUp()
    field(ready, "sex").setCurrentIndex(field(ready, "sex").findText("Male"))
    ready.ui.sampleGuidanceSpinBox.value = 1.5
    targets = {"brain_volume": 1200.0, "atrophy": 19.3, "sex": 1.0}
    assert json.loads(ready.parameters.sampleCondition) == pytest.approx(targets)
    field(ready, "atrophy").stepDown()
    assert field(ready, "atrophy").text == "Any"
    ready.click("sampleButton")
    assert client.jobs == [SampleOrder(0, condition={"brain_volume": 1200.0, "sex": 1.0}, guidance=1.5, weights=own)]


def test_a_value_beyond_the_range_is_refused_with_it(ready: DrivenPanel, own: str) -> None:
    ready.parameters.sampleWeights = own
    ready.parameters.sampleCondition = json.dumps({"age": 95.0})
    assert not ready.ui.sampleButton.enabled and field(ready, "age").text == "95 years"
    assert "Age must be from 19.5 to 88.2 years" in ready.message("sampleReasonLabel")
    field(ready, "age").setValue(80.0)
    assert ready.ui.sampleButton.enabled and ready.message("sampleReasonLabel") == ""


def test_a_target_that_other_weights_know_waits_in_the_scene(ready: DrivenPanel, client: FakeClient, own: str, tmp_path: Path) -> None:
    ready.parameters.sampleCondition = json.dumps({"age": 70.0, "brain_volume": 1100.0})
    ready.parameters.sampleWeights = str(weights(tmp_path / "other.safetensors", {"brain_volume": (900.0, 1400.0)}))
    assert offered(ready) == {"brain_volume"} and "do not know: Age" in ready.message("sampleReasonLabel")
    ready.click("sampleButton")
    assert client.jobs[0].condition == {"brain_volume": 1100.0}
    ready.parameters.sampleWeights = own
    assert field(ready, "age").value == 70.0


@pytest.mark.parametrize("told", ["{", "[1]", '{"age": "old", "sex": 1}', '{"age": NaN}', '{"height": 3}'])
def test_what_cannot_be_understood_is_left_open(ready: DrivenPanel, own: str, told: str) -> None:
    ready.parameters.sampleWeights = own
    ready.parameters.sampleCondition = told
    assert field(ready, "age").text == "Any" and ready.ui.sampleButton.enabled


def test_weights_that_cannot_be_read_say_why_and_offer_nothing(ready: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(b"\x08" + bytes(7) + b"{")
    monkeypatch.setattr("qt.QFileDialog.getOpenFileName", lambda *arguments: str(cut))
    ready.click("sampleWeightsButton")
    assert ready.ui.sampleWeightsEdit.text == str(cut)
    assert not ready.ui.sampleButton.enabled and offered(ready) == set() and "damaged" in ready.message("sampleReasonLabel")
    ready.ui.sampleWeightsEdit.text = str(tmp_path / "none")
    assert "no network weights at" in ready.message("sampleReasonLabel")
    assert not QtWidgets.QWidget.isVisible(ready.ui.sampleGuidanceSpinBox)
