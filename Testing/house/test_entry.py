"""The Slicer entry without Qt: its metadata, its parameter node, and that importing it loads nothing else."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer

from Testing.mrml.scene import HeadlessSlicer, headless_slicer
from Testing.standins import install

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def headless() -> Iterator[HeadlessSlicer]:
    """A real scene as ``slicer.mrmlScene``."""
    with headless_slicer() as made:
        yield made


@pytest.fixture
def entry(headless: HeadlessSlicer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module PhysMRISynth, imported where there is no window."""
    install(slicer, headless.scene)
    monkeypatch.delitem(sys.modules, "PhysMRISynth", raising=False)
    return importlib.import_module("PhysMRISynth")


def test_metadata(entry: Any) -> None:
    parent = SimpleNamespace(path=slicer.modules.physmrisynth.path)
    entry.PhysMRISynth(parent)
    assert parent.title == "PhysMRISynth"
    assert parent.categories == ["Image Synthesis"]
    assert parent.contributors == ["PhysMRISynth team"]
    assert "not for diagnostic use" in parent.helpText
    assert parent.acknowledgementText.strip()


def test_importing_the_entry_loads_nothing_but_slicer() -> None:
    script = (
        "import sys, slicer, slicer.util\n"
        "from Testing.standins import install\n"
        "install(slicer)\n"
        "before = set(sys.modules)\n"
        "import PhysMRISynth\n"
        "from types import SimpleNamespace\n"
        "PhysMRISynth.PhysMRISynth(SimpleNamespace(path=PhysMRISynth.__file__))\n"
        "print(sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))\n"
    )
    paths = [str(ROOT / "PhysMRISynth"), str(ROOT)]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['PhysMRISynth', 'Testing']" or done.stdout.strip() == "['PhysMRISynth']", done.stdout


def test_what_the_user_chose_survives_a_saved_scene(entry: Any, headless: HeadlessSlicer, tmp_path: Path) -> None:
    chosen = entry.PhysMRISynthLogic().getParameterNode()
    values = {"TR": 9000.5, "spec": 'flair,"TE"=90 % & <ü>'}
    chosen.t1w = headless.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "T1w")
    chosen.maps = headless.scene.AddNewNodeByClass("vtkMRMLTextNode", "Maps")
    chosen.values, chosen.previous, chosen.snr, chosen.live, chosen.noiseSeed = json.dumps(values), "se,TR=600,TE=15", 12.5, False, 7
    headless.scene.SetURL(str(tmp_path / "scene.mrml"))
    assert headless.scene.Commit()
    headless.scene.Clear()
    assert entry.PhysMRISynthLogic().getParameterNode().preset == "synthetic-flair"  # as new
    assert headless.scene.Connect()
    found = entry.PhysMRISynthLogic().getParameterNode()
    assert json.loads(found.values) == values
    assert (found.previous, found.snr, found.live, found.noiseSeed) == ("se,TR=600,TE=15", 12.5, False, 7)
    assert found.t1w.GetName() == "T1w" and found.maps.GetName() == "Maps" and found.t2w is None


@pytest.mark.parametrize(("name", "wrong"), [("fieldStrength", 7.0), ("spacing", 5.5), ("snr", 0.5), ("noiseSeed", -1), ("sampleCount", 0)])
def test_values_that_cannot_be_are_refused(entry: Any, name: str, wrong: float) -> None:
    node = entry.PhysMRISynthLogic().getParameterNode()
    before = getattr(node, name)
    with pytest.raises(ValueError):
        setattr(node, name, wrong)
    assert getattr(node, name) == before
