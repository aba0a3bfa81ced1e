"""The module's own test, which a real Slicer runs, passes here too, and says what fails."""

from __future__ import annotations

import importlib
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import slicer

from Testing.panel.harness import DrivenPanel, drivenPanel, importedFromPanel
from Testing.standins import sample_data

STEPS = sorted(name for name in dir(importedFromPanel("selfTest").SelfTest) if name.startswith("step"))


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrivenPanel]:
    """The panel with a worker of its own, and with Sample Data."""
    with drivenPanel() as driven, monkeypatch.context() as kept:
        kept.setattr(slicer.app, "temporaryPath", str(tmp_path))
        sample_data.install()
        yield driven
        sample_data.remove()


@pytest.mark.parametrize("name", [name for name in STEPS if not name.endswith(("reload", "sampledHead"))])
def test_each_step_passes_without_slicer(real: DrivenPanel, name: str) -> None:
    """The others have tests of their own: test_slicer.py reloads, and the README's console example samples, which takes long."""
    test = importlib.import_module("PhysMRISynthLib.panel.selfTest").SelfTest()
    try:
        getattr(test, name)()
    finally:
        test.close()


def test_every_failure_is_told_and_the_other_steps_run(
    real: DrivenPanel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module("PhysMRISynthLib.panel.selfTest")

    class Broken(module.SelfTest):
        """One step that fails, one that cannot run, one that passes."""

    def fail(self: object) -> None:
        raise AssertionError("the image is upside down")

    def skip(self: object) -> None:
        raise unittest.SkipTest("estimating needs threadpoolctl")

    for name in STEPS:
        monkeypatch.setattr(Broken, name, {STEPS[0]: fail, STEPS[1]: skip}.get(name, lambda self: None), raising=False)
    monkeypatch.setattr(module, "SelfTest", Broken)
    entry = importlib.import_module("PhysMRISynth")
    with pytest.raises(AssertionError, match=STEPS[0]):
        entry.PhysMRISynth(SimpleNamespace(path=slicer.modules.physmrisynth.path)).runTest()
    told = capsys.readouterr().out
    assert f"{STEPS[0]}: FAILED, the image is upside down" in told and "Traceback" in told
    assert f"{STEPS[1]}: SKIPPED, estimating needs threadpoolctl" in told
    assert all(f"{name}: passed" in told for name in STEPS[2:])
    monkeypatch.setattr(Broken, STEPS[0], lambda self: None)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(entry.PhysMRISynthTest)
    assert suite.countTestCases() == 1 and unittest.TextTestRunner().run(suite).wasSuccessful()
