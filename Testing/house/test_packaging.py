"""What reaches the users: the file lists for Slicer, the extension's metadata, licence and icon."""

from __future__ import annotations

import json
import os
import re
import struct
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "PhysMRISynth"
NAME = "PhysMRISynth"
ICON = Path("Resources", "Icons", f"{NAME}.png")
REPOSITORY = f"https://github.com/PhysMRISynth/Slicer{NAME}"


def listed(variable: str) -> list[str]:
    """The entries of one file list in the module's CMakeLists.txt."""
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    body = re.search(rf"set\({variable}\n(.*?)\n\s*\)", text, re.DOTALL)
    assert body, f"{variable} is not set"
    lines = (line.strip() for line in body[1].splitlines())
    return [line.replace("${MODULE_NAME}", NAME) for line in lines if line and not line.startswith("#")]


def in_tree(*, scripts: bool) -> set[str]:
    """The module's Python files, or its other files, relative to its folder."""
    folders = [MODULE / f"{NAME}Lib", MODULE / "Resources"]
    files = [MODULE / f"{NAME}.py", *(path for folder in folders for path in folder.rglob("*") if path.is_file())]
    relative = [path.relative_to(MODULE) for path in files]
    kept = [path for path in relative if "__pycache__" not in path.parts and not path.name.startswith(".")]
    return {path.as_posix() for path in kept if (path.suffix == ".py") == scripts}


@pytest.mark.parametrize(("variable", "scripts"), [("MODULE_PYTHON_SCRIPTS", True), ("MODULE_PYTHON_RESOURCES", False)])
def test_cmake_lists_what_is_there(variable: str, scripts: bool) -> None:
    entries = listed(variable)
    assert len(entries) == len(set(entries)), "an entry is listed twice"
    assert set(entries) == in_tree(scripts=scripts), "run `python3 dev.py manifest`"


def test_the_wheel_carries_every_resource() -> None:
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = setup["package-data"][f"{NAME}Lib"]
    library = f"{NAME}Lib/"
    for path in (path for path in in_tree(scripts=False) if path.startswith(library)):
        assert any(fnmatch(path.removeprefix(library), pattern) for pattern in patterns), path


def extension_metadata() -> dict[str, str]:
    """The EXTENSION_… values, read as the extensions index reads them: one quoted string on one line."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\((EXTENSION_\w+) "([^"\n]*)"\)$', text, re.MULTILINE))


def test_extension_metadata_is_complete() -> None:
    metadata = extension_metadata()
    for key in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "DEPENDS"):
        assert metadata[f"EXTENSION_{key}"], key
    assert metadata["EXTENSION_HOMEPAGE"] == REPOSITORY
    assert f"project({NAME})" in (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def test_published_pictures_are_in_the_tree() -> None:
    metadata = extension_metadata()
    address = REPOSITORY.replace("github.com", "raw.githubusercontent.com") + "/main/"
    for url in [metadata["EXTENSION_ICONURL"], *metadata["EXTENSION_SCREENSHOTURLS"].split()]:
        assert url.startswith(address)
        assert (ROOT / url.removeprefix(address)).is_file(), url


def test_catalog_entry() -> None:
    content = (ROOT / f"{NAME}.json").read_bytes()
    assert b"\r" not in content, "the index takes no other line ends"
    entry = json.loads(content)
    assert entry["category"] == "Image Synthesis", "one of the categories that the index accepts"
    assert entry["$schema"].startswith(
        "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1"
    )
    assert entry["tier"] in range(1, 6) and entry["build_subdirectory"] == "."
    allowed = {"$schema", "build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_type", "scm_url", "tier"}
    assert {"$schema", "category", "scm_url"} <= set(entry) <= allowed
    assert entry["scm_url"] == REPOSITORY
    assert entry["build_dependencies"] == extension_metadata()["EXTENSION_DEPENDS"].split()
    assert f'"{entry["category"]}"' in (MODULE / f"{NAME}.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [ROOT / f"{NAME}.png", MODULE / ICON], ids=["extension", "module"])
def test_icon_is_a_128_pixel_png(path: Path) -> None:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", header[16:24]) == (128, 128)


def test_licence_is_apache() -> None:
    text = (ROOT / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_slicer_keeps_its_own_packages() -> None:
    lines = (MODULE / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.lower() for line in lines if line.strip() and not line.startswith("#")]
    assert not [line for line in wanted if re.match(r"(numpy|simpleitk|torch|pydicom)\b", line)]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no executable bit")
def test_continuous_integration_can_start() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
