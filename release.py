"""The release: a repository of one commit, measured as Slicer's Extensions Index does, and the extension's archive.

dev.py runs this. The project's history holds earlier weights and exceeds the index's limit; the published repository has a new history.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LARGEST_CLONE, LARGEST_TREE, LARGEST_WEIGHTS = 100_000_000, 45_000_000, 30_000_000
"""Bytes. The first is the index's limit for a clone with its .git; the others leave room for future commits."""
NAME, SLICER = "PhysMRISynth", "5.12"
TOPIC = "3d-slicer-extension"
"""Topic of the repository on GitHub that the index requires."""
LATER = f"Then on GitHub set the topic '{TOPIC}', and run: dev.py release --published"
_PICTURE = b"\x89PNG"


def run(root: Path, python: Path, arguments: Sequence[str]) -> int:
    """``release`` makes the repository and the archive in dist, ``release --check`` only measures, ``release --published`` checks
    GitHub; returns 1 if a rule is broken."""
    if list(arguments) not in ([], ["--check"], ["--published"]):
        print("dev.py: usage: dev.py release [--check | --published]", file=sys.stderr)
        return 2
    if list(arguments) == ["--published"]:
        return _told(amiss_in_public(root), "The index will find topic, icon and screenshots.")
    if _git(root, "status", "--porcelain"):
        print("dev.py: changes that are not committed would not be published. Commit them first.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        repository = one_commit(root, Path(folder) / f"Slicer{NAME}")
        problems = [*too_large(repository, Path(folder) / "clone"), *broken_rules(Path(folder) / "clone", python)]
        if not problems and not arguments:
            publish(repository, root / "dist")
    return _told(problems, LATER)


def _told(problems: Sequence[str], otherwise: str) -> int:
    for problem in problems:
        print(f"FAILED: {problem}")
    print("FAILED" if problems else f"passed. {otherwise}")
    return int(bool(problems))


def amiss_in_public(root: Path) -> list[str]:
    """Problems of the published repository for the index: a missing topic, and addresses that do not open as pictures."""
    stated, entry = _stated(root), _entry(root)
    owner, name = entry["scm_url"].removesuffix(".git").split("/")[-2:]
    problems: list[str] = []
    topics = _fetched(f"https://api.github.com/repos/{owner}/{name}/topics", problems)
    if topics is not None and TOPIC not in json.loads(topics).get("names", ()):
        problems.append(f"the repository on GitHub has no topic '{TOPIC}': add it there, next to About")
    for address in (stated["ICONURL"], *stated["SCREENSHOTURLS"].split()):
        picture = _fetched(address, problems)
        if picture is not None and not picture.startswith(_PICTURE):
            problems.append(f"{address} is no PNG: push the picture, or correct the address in CMakeLists.txt")
    return problems


def _fetched(address: str, problems: list[str]) -> bytes | None:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return bytes(answer.read())
    except OSError as error:
        problems.append(f"{address} does not open ({error})")
        return None


def one_commit(root: Path, repository: Path) -> Path:
    """A new repository with the current commit's files as its only commit, on branch main."""
    repository.mkdir(parents=True)
    files = subprocess.run(["git", "archive", "HEAD"], cwd=root, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(repository, filter="data")
    package = (repository / NAME / f"{NAME}Lib" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"', package, re.MULTILINE)
    author = {key: _git(root, "config", f"user.{key}") or f"{NAME} team" for key in ("name", "email")}
    _git(repository, "init", "--quiet", "--initial-branch", "main")
    _git(repository, "add", "--all", "--force")
    identity = [part for key, value in author.items() for part in ("-c", f"user.{key}={value}")]
    _git(repository, *identity, "commit", "--quiet", "--message", f"{NAME} {version[1] if version else ''}".strip())
    return repository


def too_large(repository: Path, clone: Path) -> list[str]:
    """Clone the repository as the index does, print its sizes, and return those over a limit."""
    subprocess.run(["git", "clone", "--quiet", repository.as_uri(), str(clone)], check=True)
    sizes = {path.relative_to(clone): path.stat().st_size for path in clone.rglob("*") if path.is_file()}
    measured = {
        "clone with .git": (sum(sizes.values()), LARGEST_CLONE),
        "working tree": (sum(size for path, size in sizes.items() if path.parts[0] != ".git"), LARGEST_TREE),
        "weights": (sum(size for path, size in sizes.items() if path.suffix == ".safetensors"), LARGEST_WEIGHTS),
    }
    for name, (size, limit) in measured.items():
        print(f"{name}: {size / 1e6:.1f} MB of {limit / 1e6:.0f}")
    return [f"{name}: {size} bytes, more than {limit}" for name, (size, limit) in measured.items() if size > limit]


def broken_rules(clone: Path, python: Path) -> list[str]:
    """The index's other rules: runs Testing/house/test_packaging.py on the clone."""
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "Testing/house/test_packaging.py"]
    return [] if subprocess.call(command, cwd=clone) == 0 else ["licence, icon, screenshots, description or file lists; see above"]


def publish(repository: Path, dist: Path) -> None:
    """Put the repository and the archive, which Slicer's Extensions Manager installs from its file, into ``dist``."""
    target = dist / repository.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(repository, target)
    print(f"{target}: push it to the address in {NAME}.json.\n{archive(target, dist)}: attach it to the release.")


def archive(repository: Path, dist: Path) -> Path:
    """The extension as packed by Slicer's build, for one version of Slicer on any system: the files listed in CMakeLists.txt, and their
    description."""
    module = repository / NAME
    text = (module / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = [text.split(f"# begin {part}\n")[1].split("# end")[0] for part in ("scripts", "resources")]
    listed = [line.strip() for part in lists for line in part.splitlines()]
    path = dist / f"{NAME}-Slicer-{SLICER}.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        for name in (f"{NAME}.py", *filter(None, listed)):
            packed.add(module / name, f"{NAME}/lib/Slicer-{SLICER}/qt-scripted-modules/{name}")
        for name in ("LICENSE.txt", "README.md"):
            packed.add(repository / name, f"{NAME}/share/Slicer-{SLICER}/{name}")
        content = description(repository).encode()
        entry = tarfile.TarInfo(f"{NAME}/share/Slicer-{SLICER}/{NAME}.s4ext")
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return path


def description(repository: Path) -> str:
    """The extension's description (.s4ext) from CMakeLists.txt and the catalog entry."""
    stated, entry = _stated(repository), _entry(repository)
    lines = {
        "scm": "git", "scmurl": entry["scm_url"], "scmrevision": _git(repository, "rev-parse", "HEAD"), "depends": stated["DEPENDS"],
        "build_subdirectory": ".", "homepage": stated["HOMEPAGE"], "contributors": stated["CONTRIBUTORS"], "category": entry["category"],
        "iconurl": stated["ICONURL"], "description": stated["DESCRIPTION"], "screenshoturls": stated["SCREENSHOTURLS"], "enabled": "1",
    }  # fmt: skip
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def _stated(repository: Path) -> dict[str, str]:
    """The EXTENSION_… values of CMakeLists.txt."""
    cmake = (repository / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'^set\(EXTENSION_(\w+) "(.*)"\)$', cmake, re.MULTILINE))


def _entry(repository: Path) -> dict[str, Any]:
    """The catalog entry."""
    return dict(json.loads((repository / f"{NAME}.json").read_text(encoding="utf-8")))


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False).stdout.strip()
