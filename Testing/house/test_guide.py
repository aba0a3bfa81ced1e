"""The guide is built without a warning: every page has its place, and every name of the API is documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_guide_is_built_without_a_warning(tmp_path: Path) -> None:
    command = ["-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html", "-d", str(tmp_path / "doctrees"), "docs"]
    done = subprocess.run([sys.executable, *command, str(tmp_path / "html")], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    assert all(f"PhysMRISynthLib.api.{name}" in api for name in ("estimate", "load_maps", "save_maps", "render", "sample", "export_dicom"))
