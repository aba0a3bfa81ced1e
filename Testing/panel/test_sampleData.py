"""The sample scans as Slicer's Sample Data module offers and loads them: with the published files' sums, and with their protocols."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import SimpleITK as sitk
import slicer

from PhysMRISynthLib.headers.roles import role_of_name
from PhysMRISynthLib.mrml.headers import inputProtocol
from PhysMRISynthLib.mrml.sampleScans import SAMPLES
from Testing.panel.harness import DrivenPanel
from Testing.standins import install, sample_data

PUBLISHED = {"MS12": "real/raw_patient12/visit1", "MS07": "real/mni_patient07"}
STATED = {
    "MS12 T1w": ("se,TR=600,TE=15", 1.5),
    "MS12 T2w": ("tse,TR=4500,TE=100,L=150", 1.5),
    "MS12 FLAIR": ("flair,TR=11000,TE=140,TI=2800", 1.5),
    "MS07 T1w": ("ir,TR=2000,TE=20,TI=800", 3.0),
    "MS07 T2w": ("tse,TR=6000,TE=120,L=150", 3.0),
    "MS07 FLAIR": ("flair,TR=5000,TE=392,TI=1800", 3.0),
}


@pytest.fixture
def sampleData() -> Iterator[Any]:
    """Slicer's module, with nothing registered."""
    yield sample_data.install()
    sample_data.remove()


def test_the_scans_are_offered_once_slicer_has_started(sampleData: Any) -> None:
    standins = install(slicer)
    entry = importlib.import_module("PhysMRISynth")
    entry.PhysMRISynth(SimpleNamespace(path=slicer.modules.physmrisynth.path))
    assert not slicer.modules.sampleDataSources, "nothing is registered before Slicer has started"
    for _again in range(2):
        standins.app.send("startupCompleted()")
        (sources,) = slicer.modules.sampleDataSources.values()
        assert [source.sampleName for source in sources] == ["MS patient, 1.5 T", "MS patient, 3 T"]
    for source in sources:
        for uri, name, node, checksum in zip(source.uris, source.fileNames, source.nodeNames, source.checksums, strict=True):
            assert uri.startswith("https://raw.githubusercontent.com/muschellij2/open_ms_data/") and name.endswith(".nii.gz")
            assert checksum.startswith("SHA256:") and len(checksum) == 71
            assert role_of_name(node) == node.split()[1].lower()


def test_a_running_slicer_that_gets_the_module_offers_them_too(sampleData: Any, driven: DrivenPanel) -> None:
    driven.widget.cleanup()
    driven.parent.reload()
    assert len(slicer.modules.sampleDataSources["PhysMRISynth"]) == 2


@pytest.mark.parametrize("name", SAMPLES)
def test_loaded_scans_keep_their_protocols(
    sampleData: Any, driven: DrivenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Loaded while another module is open, as in the tutorial; Sample Data leaves no file name."""
    monkeypatch.setitem(SAMPLES, name, {contrast: published(tmp_path, contrast, scan) for contrast, scan in SAMPLES[name].items()})
    module = importlib.import_module("PhysMRISynthLib.panel.sampleData")
    monkeypatch.setattr(slicer.app, "temporaryPath", str(tmp_path))
    slicer.modules.sampleDataSources.clear()
    module.registerSampleData(f"{tmp_path.as_uri()}/")
    driven.parent.exit()
    nodes = sampleData.downloadSamples(module.NAMES[name])
    assert [node.GetName() for node in nodes] == [f"{name} {contrast}" for contrast in ("T1w", "T2w", "FLAIR")]
    assert not any(node.GetStorageNode() for node in nodes)
    driven.parent.enter()
    assert [driven.parameters.t1w, driven.parameters.t2w, driven.parameters.flair] == nodes
    for node in nodes:
        found = inputProtocol(node, node.GetName().split()[1].lower())
        assert (found.protocol.spec, found.fields["MagneticFieldStrength"]) == STATED[node.GetName()]
    assert "assumed" not in driven.message("t1wValuesLabel") and f"{name}-T1w.json" in driven.ui.t1wValuesLabel.text


def test_a_volume_that_is_only_called_like_a_sample_is_not_taken_for_one(driven: DrivenPanel, tmp_path: Path) -> None:
    scans = importlib.import_module("PhysMRISynthLib.mrml.sampleScans")
    scan = replace(SAMPLES["MS12"]["T1w"], size=(8, 8, 8))
    node = slicer.util.loadVolume(str(tmp_path / published(tmp_path, "T1w", scan).path))
    node.SetName("MS12 T1w")
    assert scans.sampleFields(node) is None


def published(folder: Path, contrast: str, scan: Any) -> Any:
    """A file of the published one's size in its place."""
    image = sitk.Image(scan.size, sitk.sitkUInt8)
    sitk.WriteImage(image, str(folder / f"{contrast}.nii.gz"))
    return replace(scan, path=f"{contrast}.nii.gz", sha256=hashlib.sha256((folder / f"{contrast}.nii.gz").read_bytes()).hexdigest())


def test_the_sums_and_sizes_are_those_of_the_published_files(data: Callable[[str], Path]) -> None:
    for name, folder in PUBLISHED.items():
        for contrast, scan in SAMPLES[name].items():
            path = data(folder) / f"{contrast.lower()}.nii.gz"
            assert hashlib.sha256(path.read_bytes()).hexdigest() == scan.sha256 and sitk.ReadImage(str(path)).GetSize() == scan.size
