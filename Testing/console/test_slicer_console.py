"""What the page on Slicer's Python console promises: its snippets run as they stand."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.smallHead import imagesOfSmallHead
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.mrml.scene import headless_slicer
from Testing.standins import install

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "slicer-python.md").read_text(encoding="utf-8")
VISIT = "/data/OAS30001_MR_d0129"
ESTIMATE, LOOK, VISITS, SAMPLE, DICOM = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of Slicer's console; the sample is a small head, so that nothing is downloaded and seconds are enough."""

    def downloadSamples(name: str) -> list[Any]:
        assert name == "MS patient, 1.5 T"
        return list(imagesOfSmallHead({"t1w": "mprage", "t2w": "tse", "flair": "flair,L=150"}).values())

    sample = ModuleType("SampleData")
    sample.downloadSamples = downloadSamples
    monkeypatch.setitem(sys.modules, "SampleData", sample)
    with headless_slicer() as headless:
        install(slicer, headless.scene)
        names: dict[str, Any] = {"slicer": slicer}
        yield names
        if "logic" in names:
            names["logic"].close()


def write_visit(folder: Path) -> Path:
    """A visit of OASIS-3 as it is downloaded, with two runs of one contrast."""
    images = {"anat1": "run-01_T1w", "anat2": "run-02_T1w", "anat3": "T2w"}
    maps = small_head().maps
    for inner, name in images.items():
        path = folder / "OAS30001_MR_d0129" / inner / "NIFTI" / f"sub-OAS30001_ses-d0129_{name}.nii.gz"
        path.parent.mkdir(parents=True)
        sitk.WriteImage(maps.image(maps.t1), str(path))
    return folder / "OAS30001_MR_d0129"


def test_estimates_contrasts_and_exports_run(console: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(ESTIMATE, console)
    maps, contrast = TissueMapNodes.wrap(console["maps"]), console["contrast"]
    assert contrast.GetAttribute("PhysMRISynth.Protocol") == "stir,TR=4000,TE=40,TI=260"
    brain = small_head().brain_tissue()
    assert np.median(np.abs(maps.tissueMaps().t1[brain] / small_head().maps.t1[brain] - 1.0)) < 0.1
    exec(LOOK, console)
    assert re.search(r"white matter: T1 \d{3,4} ± \d+ ms", capsys.readouterr().out)
    exec(DICOM.replace("/data/export", (tmp_path / "export").as_posix()), console)
    assert (tmp_path / "export" / "T1.dcm").exists()


def test_visits_are_loaded_and_estimates_cancelled(console: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(ESTIMATE.partition("t1w, t2w")[0], console)
    assert VISIT in VISITS
    exec(VISITS.replace(VISIT, write_visit(tmp_path).as_posix()), console)
    assert set(console["visit"]) == {"t1w", "t2w"} and "run-01_T1w.nii.gz is taken" in capsys.readouterr().out
    assert not TissueMapNodes.all(slicer.mrmlScene), "what was cancelled left maps behind"


@pytest.mark.nightly
def test_heads_are_sampled(console: dict[str, Any]) -> None:
    """By the shipped model; a tiny one is sampled in a worker in Testing/workflow/test_sample.py."""
    exec(ESTIMATE.partition("t1w, t2w")[0], console)
    exec(SAMPLE.replace("steps=20", "steps=2, attempts=1"), console)
    drawn = TissueMapNodes.wrap(console["head"])
    assert drawn.node.GetName() == "Tissue maps of sampled head, seed 7" and 400 < drawn.report["volumes_ml"]["brain"] < 2500
    assert drawn.report["sampled"]["condition"] == {"brain_volume": 1100.0}
