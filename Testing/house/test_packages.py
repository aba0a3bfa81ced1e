"""The project works with the packages that Slicer brings along: the tests run with them, and no requirement asks for more."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LIST = (ROOT / "slicer-packages.txt").read_text(encoding="utf-8")


def versions(text: str) -> dict[str, Version]:
    """The versions of lines NAME==VERSION."""
    return {canonicalize_name(name): Version(version) for name, version in re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE)}


def requirements() -> list[Requirement]:
    """What users and developers are asked to install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    for line in (ROOT / "PhysMRISynth" / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines():
        lines += [line] if line and not line.startswith("#") else []
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("name", versions(LIST))
def test_the_tests_run_with_slicers_version(name: str) -> None:
    assert versions((ROOT / "constraints.txt").read_text(encoding="utf-8"))[name] == versions(LIST)[name]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_no_requirement_is_newer_than_what_slicer_has(requirement: Requirement) -> None:
    present = versions(LIST).get(canonicalize_name(requirement.name))
    assert present is None or present in requirement.specifier, f"Slicer has {requirement.name} {present}"


def test_slicers_python_is_new_enough() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = re.search(r"Python (\d+\.\d+\.\d+)", LIST)
    assert found and found[1] in Requirement(f"python{project['requires-python']}").specifier
