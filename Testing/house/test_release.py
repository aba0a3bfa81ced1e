"""dev.py release: one commit, measured as the index measures it, and an archive that Slicer's Extensions Manager can install."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """release.py, whose rules hold."""
    monkeypatch.syspath_prepend(str(ROOT))
    module = __import__("release")
    monkeypatch.setattr(module, "broken_rules", lambda clone, python: [])
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small extension with a history that holds a large file."""
    root = tmp_path / "project"
    files = {
        "PhysMRISynth/PhysMRISynthLib/__init__.py": '__version__ = "1.2.3"\n',
        "PhysMRISynth/PhysMRISynth.py": "",
        "PhysMRISynth/Resources/icon.png": "png",
        "PhysMRISynth/Resources/not_listed.png": "png",
        "PhysMRISynth/CMakeLists.txt": "  # begin scripts\n  PhysMRISynthLib/__init__.py\n  # end scripts\n"
        "  # begin resources\n  Resources/icon.png\n  # end resources\n",
        "CMakeLists.txt": "".join(
            f'set(EXTENSION_{key} "{key.lower()}")\n'
            for key in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS")
        ),
        "PhysMRISynth.json": '{"scm_url": "https://example.org/SlicerPhysMRISynth", "category": "Image Synthesis"}',
        "LICENSE.txt": "licence",
        "README.md": "read me",
        ".gitignore": "dist/\n",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content, encoding="utf-8")
    (root / "weights.safetensors").write_bytes(bytes(range(256)) * 1000)
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "A")
    git(root, "config", "user.email", "a@example.org")
    commit(root)
    (root / "weights.safetensors").write_bytes(b"small")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "change")


def test_the_published_repository_has_one_commit_and_the_archive_what_slicer_needs(
    release: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.run(project, Path(sys.executable), []) == 0
    told = capsys.readouterr().out
    published = project / "dist" / "SlicerPhysMRISynth"
    assert git(published, "log", "--format=%s %an", "--all") == "PhysMRISynth 1.2.3 A" and git(published, "branch") == "* main"
    assert (published / "weights.safetensors").read_bytes() == b"small" and str(published) in told and "3d-slicer-extension" in told
    with tarfile.open(project / "dist" / "PhysMRISynth-Slicer-5.12.tar.gz") as archive:
        names = set(archive.getnames())
        described = archive.extractfile("PhysMRISynth/share/Slicer-5.12/PhysMRISynth.s4ext")
        assert described is not None and f"scmrevision {git(published, 'rev-parse', 'HEAD')}\n" in described.read().decode()
    module = "PhysMRISynth/lib/Slicer-5.12/qt-scripted-modules"
    assert {f"{module}/PhysMRISynth.py", f"{module}/PhysMRISynthLib/__init__.py", f"{module}/Resources/icon.png"} <= names
    assert f"{module}/Resources/not_listed.png" not in names


@pytest.mark.parametrize(("limit", "told"), [("LARGEST_CLONE", "clone"), ("LARGEST_TREE", "working tree"), ("LARGEST_WEIGHTS", "weights")])
def test_what_is_too_large_is_not_published(
    release: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: str, told: str
) -> None:
    monkeypatch.setattr(release, limit, 4)
    assert release.run(project, Path(sys.executable), []) == 1
    assert f"FAILED: {told}" in capsys.readouterr().out and not (project / "dist").exists()


def test_a_check_leaves_nothing_and_sees_only_what_is_committed(
    release: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.run(project, Path(sys.executable), ["--check"]) == 0
    assert "clone with .git: 0.0 MB of 100" in capsys.readouterr().out and not (project / "dist").exists()
    (project / "README.md").write_text("changed", encoding="utf-8")
    assert release.run(project, Path(sys.executable), ["--check"]) == 1
    assert "not committed" in capsys.readouterr().err
    assert release.run(project, Path(sys.executable), ["--publish"]) == 2


def test_topic_and_pictures_of_the_published_repository(
    release: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served = {
        "https://api.github.com/repos/example.org/SlicerPhysMRISynth/topics": b'{"names": ["3d-slicer-extension"]}',
        "iconurl": b"\x89PNG...", "screenshoturls": b"\x89PNG...",
    }  # fmt: skip

    def open_address(address: str, timeout: float) -> io.BytesIO:
        if address not in served:
            raise OSError("HTTP Error 404: Not Found")
        return io.BytesIO(served[address])

    monkeypatch.setattr("urllib.request.urlopen", open_address)
    assert release.run(project, Path(sys.executable), ["--published"]) == 0
    assert "passed" in capsys.readouterr().out
    served["https://api.github.com/repos/example.org/SlicerPhysMRISynth/topics"] = b'{"names": []}'
    served["iconurl"] = b"<html>"
    del served["screenshoturls"]
    assert release.run(project, Path(sys.executable), ["--published"]) == 1
    told = capsys.readouterr().out
    assert "no topic '3d-slicer-extension'" in told and "iconurl is no PNG" in told and "screenshoturls does not open" in told


def test_broken_rules_of_the_index_are_told(project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    rules = project / "Testing" / "house" / "test_packaging.py"
    rules.parent.mkdir(parents=True)
    rules.write_text("def test_licence():\n    assert False, 'no licence'\n", encoding="utf-8")
    commit(project)
    assert __import__("release").run(project, Path(sys.executable), ["--check"]) == 1
    assert "FAILED: licence" in capfd.readouterr().out
