"""What the guide's pages promise: their Python snippets run as they stand, and their commands too."""

from __future__ import annotations

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.mrml.segmentation import tissueSegmentation
from PhysMRISynthLib.physics.presets import OWN_PRESETS, protocol_from_spec
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from Testing.mrml.results import map_nodes, visit_nodes
from Testing.mrml.scene import headless_slicer
from Testing.standins import install
from Testing.workflow.cohorts import touch
from Testing.workflow.map_folders import head, write_derivative_maps, write_maps
from Testing.workflow.test_compare import visit

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("tissues", "regions", "two-visits", "cohorts", "measured-maps", "contrasts", "scanner-effects", "posterior")
WITH_COMMANDS = (*PAGES, "command-line", "contrast-design", "dicom")
WITH_SNIPPETS = (*PAGES, "python", "dicom")
IMAGES = {"t1w": "mprage,TR=2400,TI=1000,TE=3.16,FA=8", "t2w": "tse,TR=4500,TE=100", "flair": "flair,TR=9000,TE=90,TI=2500"}


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages call /data."""
    root = tmp_path_factory.mktemp("data")
    (root / "images").mkdir()
    write_maps(root / "maps")
    write_maps(root / "posterior_maps")
    for name, sd in head().maps.sd.items():
        write_image(head().maps.image(sd * np.float32(100.0 if name == "PD" else 1.0)), root / "posterior_maps" / f"{name}_sd.nii.gz")
    for role, spec in (("t1w", "mprage"), ("t2w", "tse"), ("pdw", "tse,TR=3000,TE=14")):
        write_image(head().maps.image(render(head().maps, protocol_from_spec(spec), snr=100.0, scale=1000.0)), root / f"{role}.nii.gz")
    for number in (1, 2):
        found = visit(number)
        write_maps(root / f"visit{number}", found.maps)
    write_derivative_maps(root / "derivatives", "01", "02")
    touch(root / "raw", "01", "02")
    maps = head().maps
    write_image(maps.image(maps.t1), root / "T1map.nii.gz")
    write_image(maps.image(maps.t2), root / "T2map.nii.gz")
    write_image(maps.image(render(maps, protocol_from_spec("flair"))), root / "target.nii.gz")
    for role, image in simulate(maps, {role: protocol_from_spec(spec) for role, spec in IMAGES.items()}, 100.0, 0.1, 1).items():
        write_image(maps.image(image), root / "images" / f"{role}.nii.gz")
    return root


@pytest.fixture(autouse=True)
def nothing_own() -> Iterator[None]:
    """Presets of one's own that a page loads are gone afterwards."""
    yield
    OWN_PRESETS.clear()


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_run_as_they_stand(page: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [line for block in blocks(page, "console") for line in block.splitlines()]
    assert commands and all(line.startswith("physmrisynth ") for line in commands)
    for line in commands:
        assert main(shlex.split(line.replace("/data", data.as_posix()))[1:]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", WITH_SNIPPETS)
def test_snippets_run_as_they_stand(page: str, data: Path) -> None:
    snippets = [block for block in blocks(page, "python") if "mrml" not in block]
    assert snippets
    names: dict[str, Any] = {}
    for snippet in snippets:
        exec(snippet.replace("/data", data.as_posix()), names)


@pytest.fixture
def scene() -> Iterator[Any]:
    with headless_slicer() as headless:
        import slicer

        headless.scene.RegisterNodeClass(slicer.vtkMRMLSequenceBrowserNode())  # as Slicer's Sequences module does
        install(slicer, headless.scene)
        importlib.import_module("PhysMRISynthLib.mrml.segmentStatistics").registerStatistics()
        yield headless.scene


@pytest.mark.parametrize("page", [page for page in PAGES if any("mrml" in block for block in blocks(page, "python"))])
def test_snippets_for_slicer_run_as_they_stand(page: str, scene: Any) -> None:
    names: dict[str, Any] = {"maps": map_nodes(scene), "earlier": visit_nodes(scene, 1).node, "later": visit_nodes(scene, 2).node}
    names["segmentation"] = tissueSegmentation(names["maps"])
    names |= {"t1": names["maps"].volume("T1"), "t2": names["maps"].volume("T2")}
    for snippet in (block for block in blocks(page, "python") if "mrml" in block):
        exec(snippet, names)
    assert {"table", "browser"} & set(names)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_a_picture(page: str) -> None:
    found = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (DOCS / f"{page}.md").read_text(encoding="utf-8"))
    assert found and all(5_000 < (DOCS / name).stat().st_size < 200_000 for name in found)
