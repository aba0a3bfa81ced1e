"""estimate --dry-run: what an estimate would be worth, at once, and nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

from PhysMRISynthLib.cli import main

KNOWN = {"RepetitionTime": 0.6, "EchoTime": 0.015, "MagneticFieldStrength": 1.5, "ScanningSequence": "SE"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set of two participants: of one the header is there, of the other it is not."""
    image = sitk.Cast(sitk.GaussianSource(sitk.sitkFloat32, (40, 48, 40), [14.0] * 3, [20.0, 24.0, 20.0], 1000.0), sitk.sitkInt16)
    image.SetSpacing([4.0] * 3)
    for name in ("sub-1", "sub-2"):
        anat = tmp_path / name / "anat"
        anat.mkdir(parents=True)
        sitk.WriteImage(image, str(anat / f"{name}_T1w.nii.gz"))
    (tmp_path / "sub-1" / "anat" / "sub-1_T1w.json").write_text(json.dumps(KNOWN), encoding="utf-8")
    return tmp_path


def test_protocols_sources_and_the_expected_verdict_are_told_and_nothing_is_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(root.rglob("*"))
    assert main(["estimate", "--session", str(root / "sub-1"), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "t1w: se,TR=600,TE=15" in told and "sidecar" in told and "field strength: 1.5 T (header)" in told
    assert "Expected verdict: at best" in told
    assert main(["estimate", "--session", str(root / "sub-2"), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "○ t1w" in told and "at best 'caution'" in told
    assert sorted(root.rglob("*")) == before
    assert main(["estimate", "--session", str(root / "sub-1")]) == 2
    assert "--out" in capsys.readouterr().err


def test_every_visit_of_a_data_set_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(root.rglob("*"))
    assert main(["estimate", "--bids", str(root), "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert told.index("sub-1") < told.index("TR=600") < told.index("sub-2") < told.rindex("at best 'caution'")
    (root / "sub-2" / "anat" / "sub-2_T1w.nii.gz").write_bytes(b"no image")
    assert main(["estimate", "--bids", str(root), "--dry-run"]) == 2
    heard = capsys.readouterr()
    assert "1 of 2 visits cannot be estimated" in heard.err and "TR=600" in heard.out
    assert sorted(root.rglob("*")) == before


def test_it_loads_nothing_that_takes_time(root: Path) -> None:
    slow = ("torch", "scipy", "matplotlib", "pydicom", "jinja2", "monai")
    code = (
        "import sys; from PhysMRISynthLib.cli import main; "
        f"code = main(['estimate', '--session', {str(root / 'sub-1')!r}, '--dry-run']); "
        f"sys.exit(str([name for name in {slow} if name in sys.modules]) if code == 0 else 'failed')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("[]"), done.stderr
