"""The panel as a whole: cheap to open, explained everywhere, fitting Slicer's narrow column."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PySide6 import QtWidgets

from PhysMRISynthLib.errors import ARGUMENTS, ImageError, Remedy
from PhysMRISynthLib.physics.sequences import SEQUENCES
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from Testing.panel.estimates import FakeClient, estimated, finish
from Testing.panel.harness import NARROWEST, DrivenPanel, importedFromPanel

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "PhysMRISynth" / "Resources" / "UI" / "PhysMRISynth.ui"
CONTROLS = (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QSlider)


def controls(driven: DrivenPanel) -> list[QtWidgets.QWidget]:
    """What a user can operate, parts of other controls left out."""
    widgets = QtWidgets.QWidget.findChildren(driven.parent, QtWidgets.QWidget)
    found = [widget for widget in widgets if isinstance(widget, CONTROLS)]
    return [w for w in found if not isinstance(QtWidgets.QWidget.parentWidget(w), (*CONTROLS, QtWidgets.QAbstractScrollArea))]


def test_every_control_explains_itself(driven: DrivenPanel) -> None:
    for name in ("mprage", "dir", "bssfp"):
        driven.choose("sequenceComboBox", SEQUENCES[name].title)
    found = controls(driven)
    assert len(found) > 50
    short = {QtWidgets.QWidget.objectName(w): QtWidgets.QWidget.toolTip(w) for w in found if len(QtWidgets.QWidget.toolTip(w)) < 15}
    assert not short


def test_opening_loads_neither_torch_nor_weights() -> None:
    script = (
        "import sys; from Testing.panel.harness import drivenPanel\n"
        "with drivenPanel() as driven: driven.settle()\n"
        "heavy = {'torch', 'pydicom', 'matplotlib', 'monai', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    paths = [str(ROOT), str(ROOT / "PhysMRISynth")]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{script}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_wider_than_slicers_panel(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client, "t1w", "t2w", "flair")
    driven.panel.protocol.render()
    for section in ("inputs", "estimate", "design", "regions", "visits", "contrasts", "measured", "sample", "advanced"):
        getattr(driven.ui, f"{section}CollapsibleButton").collapsed = False
    for name in ("valuesButton", "moreButton", "detailsButton", "exportDicomButton"):
        driven.click(name)
    assert driven.picture(NARROWEST).width() == NARROWEST
    for button in (c for c in controls(driven) if isinstance(c, QtWidgets.QPushButton) and QtWidgets.QWidget.isVisible(c)):
        text = QtWidgets.QWidget.fontMetrics(button).horizontalAdvance(QtWidgets.QPushButton.text(button))
        assert text + 8 <= QtWidgets.QWidget.width(button), QtWidgets.QPushButton.text(button)


def test_ui_file_links_every_slicer_widget_to_the_scene() -> None:
    tree = ElementTree.parse(UI)
    widgets = {w.get("name") for w in tree.iter("widget") if w.get("class", "").startswith("qMRML")} - {"PhysMRISynth"}
    linked = {c.findtext("receiver") for c in tree.iter("connection") if c.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"}
    assert widgets == linked


def test_classes_that_qt_does_not_have_are_declared() -> None:
    tree = ElementTree.parse(UI)
    used = {w.get("class", "") for w in tree.iter("widget")}
    declared = {c.findtext("class") for c in tree.iter("customwidget")}
    assert {name for name in used if not name.startswith("Q")} == declared


@pytest.mark.parametrize("name", ["t1w", "maps", "noisy", "snr", "noiseSeed", "live", "sampleSeed", "sampleCount", "fieldStrength"])
def test_ui_file_names_parameters_that_exist(driven: DrivenPanel, name: str) -> None:
    named = [p.findtext("string") for p in ElementTree.parse(UI).iter("property") if p.get("name") == "SlicerParameterName"]
    assert name in named
    assert hasattr(driven.parameters, name)


def test_what_the_images_are_not_is_always_in_view(driven: DrivenPanel) -> None:
    for section in ("inputs", "estimate", "protocol"):
        getattr(driven.ui, f"{section}CollapsibleButton").collapsed = True
    assert QtWidgets.QWidget.isVisible(driven.ui.researchLabel)
    assert "not for diagnosis" in driven.message("researchLabel")
    assert "synthetic" in driven.message("researchLabel")


def test_a_head_is_sampled_by_a_click_and_shown(driven: DrivenPanel, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PhysMRISynthLib.panel.sampleSection.present_weights", lambda kind: Path(kind))
    driven.panel.update()
    driven.ui.sampleSeedSpinBox.value, driven.ui.sampleCountSpinBox.value = 7, 2
    assert driven.ui.sampleButton.enabled and "belongs to no person" in driven.ui.sampleButton.toolTip
    with monkeypatch.context() as declined:
        declined.setattr(driven.panel, "ensureSampling", lambda: False)
        driven.click("sampleButton")
    assert not client.jobs and driven.ui.sampleButton.enabled
    driven.click("sampleButton")
    assert client.jobs == [SampleOrder(7, count=2)]
    assert not driven.ui.sampleButton.enabled and driven.ui.applyButton.text == "Cancel"
    finish(driven, client)
    assert driven.parameters.maps is not None and driven.ui.sampleButton.enabled
    driven.ui.sampleAttemptSpinBox.value = 3
    driven.click("sampleButton")
    assert client.jobs[1] == SampleOrder(7, count=2, attempt=3, attempts=1)


def test_sampling_says_why_it_is_not_possible(driven: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PhysMRISynthLib.panel.sampleSection.present_weights", lambda kind: None)
    driven.panel.update()
    assert not driven.ui.sampleButton.enabled
    assert "No weights for sampling" in driven.message("sampleReasonLabel")
    assert driven.ui.sampleButton.toolTip == driven.message("sampleReasonLabel")


def test_advanced_choices_reach_the_parameter_node_and_come_back(driven: DrivenPanel) -> None:
    driven.choose("registerComboBox", "Never")
    driven.choose("priorComboBox", "Atlas only")
    driven.ui.fieldStrengthSpinBox.value = 1.5
    assert (driven.parameters.register, driven.parameters.prior, driven.parameters.fieldStrength) == ("never", "literature", 1.5)
    driven.parameters.register = "always"
    assert driven.ui.registerComboBox.currentText == "Always"


def test_where_an_estimate_runs_is_said_in_plain_words(driven: DrivenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    driven.choose("priorComboBox", "Atlas only")
    assert driven.ui.deviceLabel.text == "Processor with 8 cores, without the neural network"
    driven.choose("priorComboBox", "Automatic")
    assert driven.ui.deviceLabel.text == "Graphics card where one works, otherwise the processor"
    driven.choose("deviceComboBox", "Processor (CPU)")
    assert driven.ui.deviceLabel.text == "Processor with 8 cores"


def test_leaving_and_reloading_the_module_leaves_nothing_behind(driven: DrivenPanel, client: FakeClient) -> None:
    estimated(driven, client)
    driven.widget.cleanup()
    assert client.closed
    driven.slicer.scene.Clear()  # observers that were left would raise
    driven.settle()


def test_every_remedy_has_a_place_in_the_panel() -> None:
    words = importedFromPanel("remedies").panelWords()
    assert set(words) == set(Remedy)
    for remedy, text in words.items():
        assert text.format_map(dict.fromkeys(ARGUMENTS.get(remedy, ()), "x"))
    error = ImageError("The T1w was taken after a contrast agent.", Remedy.ALLOW_CONTRAST_AGENT)
    assert "Tick 'Allow contrast agent' under 'Advanced'" in importedFromPanel("remedies").inPanel(error)
