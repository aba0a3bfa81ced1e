"""What the README promises: its console snippets run as they stand, and the messages it explains are those that the module says."""

from __future__ import annotations

import ast
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
from mrml.scene import headless_slicer
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.smallHead import imagesOfSmallHead
from PhysMRISynthLib.workflow.small_head import small_head
from standins import install

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VISIT = "/data/OAS30001_MR_d0129"


def section(title: str) -> str:
    """The README's text below a heading, up to the next one of any level."""
    body = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#+ )", README, re.MULTILINE | re.DOTALL)
    assert body, f"the README has no section '{title}'"
    return body[1]


def snippets() -> list[str]:
    return re.findall(r"```python\n(.*?)```", section("Python console"), re.DOTALL)


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


def test_the_console_snippets_run(console: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimate, look, visit, sample, dicom = snippets()
    exec(estimate, console)
    maps, contrast = TissueMapNodes.wrap(console["maps"]), console["contrast"]
    assert contrast.GetAttribute("PhysMRISynth.Protocol") == "stir,TR=4000,TE=40,TI=260"
    brain = small_head().brain_tissue()
    assert np.median(np.abs(maps.tissueMaps().t1[brain] / small_head().maps.t1[brain] - 1.0)) < 0.1
    exec(look, console)
    assert re.search(r"white matter: T1 \d{3,4} ± \d+ ms", capsys.readouterr().out)
    assert VISIT in visit
    exec(visit.replace(VISIT, write_visit(tmp_path).as_posix()), console)
    assert set(console["visit"]) == {"t1w", "t2w"} and "run-01_T1w.nii.gz is taken" in capsys.readouterr().out
    assert len(TissueMapNodes.all(slicer.mrmlScene)) == 1, "what was cancelled left maps behind"
    exec(sample.replace("steps=20", "steps=2"), console)
    drawn = TissueMapNodes.wrap(console["head"])
    assert drawn.node.GetName() == "Tissue maps of sampled head, seed 7" and 400 < drawn.report["volumes_ml"]["brain"] < 2500
    assert drawn.report["sampled"]["condition"] == {"brain_volume": 1100.0}
    exec(dicom.replace("/data/export", (tmp_path / "export").as_posix()), console)
    assert (tmp_path / "export" / "T1.dcm").exists()


# --- messages -------------------------------------------------------------------------------------------------------------------


def text_of(node: ast.AST) -> str | None:
    """A text in the source as a user may see it: what is put in is an ellipsis."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^{}]*\}", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "…" for part in node.values)
    return None


def texts_of_the_sources() -> str:
    """Every text in the module's sources."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "PhysMRISynth").rglob("*.py"))
    return "\n".join(text for tree in trees for node in ast.walk(tree) if (text := text_of(node)))


def test_the_explained_messages_are_those_that_the_module_says() -> None:
    messages = re.findall(r"^\| `(.+?)` \|", section("When something goes wrong"), re.MULTILINE)
    said = texts_of_the_sources() + (ROOT / "PhysMRISynth/Resources/UI/PhysMRISynth.ui").read_text(encoding="utf-8")
    assert len(messages) > 10
    unknown = [message for message in messages if message.rstrip("…").strip() not in said]
    assert not unknown


def test_the_fresh_machine_needs_two_commands() -> None:
    commands = re.findall(r"^python3 .*", section("Two commands for a fresh machine (Python 3.11 or later)"), re.MULTILINE)
    assert [command.split("#")[0].split() for command in commands] == [["python3", "dev.py", "demo"], ["python3", "dev.py", "test"]]


def test_pictures_and_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"\]\(((?:Resources|Testing|PhysMRISynth)[^)]+)\)", README)
    assert named and not [name for name in named if not (ROOT / name).exists()]
