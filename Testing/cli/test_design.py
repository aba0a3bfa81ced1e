"""Contrasts on the command line: nulled for the maps at hand, designed, saved and used again; mistyped names are answered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.cli import COMMANDS, main
from PhysMRISynthLib.physics.own_presets import EQUATIONS
from PhysMRISynthLib.physics.presets import OWN_PRESETS
from PhysMRISynthLib.physics.sequences import OWN_SEQUENCES
from PhysMRISynthLib.workflow.examples.small_head import small_head


@pytest.fixture(autouse=True)
def nothing_own() -> None:
    for known in (OWN_PRESETS, OWN_SEQUENCES, EQUATIONS):
        known.clear()


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps of a head at 1.5 T with a report that says so."""
    folder = tmp_path_factory.mktemp("maps")
    for name, image in small_head(1.5).maps.files().items():
        sitk.WriteImage(image, str(folder / name))
    (folder / "report.json").write_text(json.dumps({"field_strength_tesla": 1.5}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("how", [["--null", "white_matter,csf"], ["--protocol", "synthetic-dir"]])
def test_what_is_nulled_is_dark_in_these_maps(how: list[str], maps: Path, tmp_path: Path) -> None:
    out = tmp_path / "dir.nii.gz"
    assert main(["render", "--maps", str(maps), *how, "--out", str(out)]) == 0
    image, tissue = sitk.GetArrayFromImage(sitk.ReadImage(str(out))), small_head(1.5).tissue
    white, cortex, fluid = (float(np.median(image[tissue == row])) for row in (0, 1, 4))
    assert max(white, fluid) < 0.05 * cortex


def test_a_designed_protocol_is_listed_saved_and_rendered(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "mine.json"
    limits = ["--max-tr", "9000", "--dark", "csf=10"]
    command = ["design", "--maps", str(maps), "--maximise", "lesion/white_matter", "--sequence", "flair", *limits, "--out", str(saved)]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "designed" in told and "synthetic-dir" in told and "flair-lesion-white-matter" in told
    image = tmp_path / "best.nii.gz"
    render = ["render", "--maps", str(maps), "--presets", str(saved), "--protocol", "flair-lesion-white-matter", "--out", str(image)]
    assert main(render) == 0 and image.exists()


@pytest.mark.parametrize(("arguments", "told"), [
    (["--protocol", "syntetic-dir"], "Did you mean 'synthetic-dir'?"), (["--null", "white_mater"], "Did you mean 'white_matter'?"),
    (["--null", "csf", "--protocol", "se"], "no inversion"), ([], "Give --protocol, --null, or both"),
    (["--protocol", "flair,TR=9,TI=2.5"], "Did you mean 9000 ms"),
])  # fmt: skip
def test_mistakes_are_answered_with_what_was_meant(
    arguments: list[str], told: str, maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", "--maps", str(maps), *arguments, "--out", str(tmp_path / "x.nii.gz")]) == 2
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_seconds_in_place_of_milliseconds_are_noticed(maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "--maps", str(maps), "--protocol", "flair,TI=2.5", "--out", str(tmp_path / "x.nii.gz")]) == 0
    assert "Did you mean TI=2500" in capsys.readouterr().out


HELPS = [([name, "--help"], "examples:") for name in COMMANDS]


@pytest.mark.parametrize(("arguments", "told"), [(["rendr"], "Did you mean render?"), *HELPS])
def test_commands_explain_themselves(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    output = capsys.readouterr()
    assert told in output.out + output.err


def test_presets_of_a_role_for_these_maps(maps: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "--role", "flair", "--maps", str(maps)]) == 0
    told = capsys.readouterr().out
    assert "TI=2851" in told and "solved for each head" in told and "ixi-t1w" not in told
