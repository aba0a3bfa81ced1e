"""The sample scans as Slicer's Sample Data module gets them: complete, with the published files' sums, and with their protocols."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
import slicer
from PhysMRISynthLib.imaging.header_protocol import protocol_from_sidecar, stated_field_strength
from PhysMRISynthLib.imaging.roles import role_of_name
from PhysMRISynthLib.imaging.sidecar import read_sidecar
from standins import install

PUBLISHED = {"MS12": "real/raw_patient12/visit1", "MS07": "real/mni_patient07"}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the module registers when Slicer has started."""
    sources: list[dict[str, Any]] = []
    double = ModuleType("SampleData")
    double.SampleDataLogic = SimpleNamespace(registerCustomSampleDataSource=lambda **source: sources.append(source))
    monkeypatch.setitem(sys.modules, "SampleData", double)
    standins = install(slicer)
    entry = importlib.import_module("PhysMRISynth")
    entry.PhysMRISynth(SimpleNamespace(path=slicer.modules.physmrisynth.path))
    assert not sources, "nothing is registered before Slicer has started"
    standins.app.send("startupCompleted()")
    return sources


def test_every_set_is_whole(registered: list[dict[str, Any]]) -> None:
    assert len(registered) == 2
    for source in registered:
        assert source["category"] == "PhysMRISynth"
        lists = [source[key] for key in ("uris", "fileNames", "nodeNames", "checksums")]
        assert {len(entries) for entries in lists} == {6}
        for uri, name, node, checksum in zip(*lists, strict=True):
            assert (node is None) == name.endswith(".json") and checksum.startswith("SHA256:") and len(checksum) == 71
            assert uri.startswith("file:" if node is None else "https://raw.githubusercontent.com/muschellij2/open_ms_data/")
            assert node is None or role_of_name(node) == node.split()[1].lower()


def test_each_scan_finds_its_protocol_beside_it(registered: list[dict[str, Any]], tmp_path: Path) -> None:
    stated = {}
    for source in registered:
        for uri, name, node, checksum in zip(*(source[key] for key in ("uris", "fileNames", "nodeNames", "checksums")), strict=True):
            if node is None:
                with urlopen(uri) as sidecar:  # as Sample Data fetches it
                    content = sidecar.read()
                assert checksum == f"SHA256:{hashlib.sha256(content).hexdigest()}"
                (tmp_path / name).write_bytes(content)
            else:
                fields = read_sidecar(tmp_path / name.replace(".nii.gz", ".json"))
                stated[node] = protocol_from_sidecar(fields, role_of_name(node) or "", name).spec, stated_field_strength(fields, name)
    assert stated["MS12 T1w"] == ("se,TR=600,TE=15", 1.5)
    assert stated["MS07 FLAIR"] == ("flair,TR=5000,TE=392,TI=1800", 3.0)
    assert len(stated) == 6


def test_the_sums_are_those_of_the_published_files(data: Callable[[str], Path]) -> None:
    samples = importlib.import_module("PhysMRISynthLib.panel.sampleData").SAMPLES
    for name, folder in PUBLISHED.items():
        for contrast, scan in samples[name].items():
            assert hashlib.sha256((data(folder) / f"{contrast.lower()}.nii.gz").read_bytes()).hexdigest() == scan.sha256
