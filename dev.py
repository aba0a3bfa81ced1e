#!/usr/bin/env python3
"""Commands for developers and first-time users; needs only Python 3.11 or later.

    python3 dev.py demo [arguments]    estimate tissue maps of an embedded example, or of --t1w F --t2w F --flair F
    python3 dev.py test [arguments]    lint, types and the test suite; the arguments go to pytest
    python3 dev.py lint                lint, format, spelling and types only
    python3 dev.py docs                build the guide in docs/_build; warnings are errors
    python3 dev.py figures DATA        remake the README's figure of a patient, from the folder with patient 12 of open_ms_data
    python3 dev.py panel [arguments]   run the Slicer panel's tests and remake its pictures in Resources; the arguments go to pytest
    python3 dev.py bench [LABELS]      run every benchmark, a line each: NAME: X s, R x BASELINE; those of a whole head need its label map
    python3 dev.py release --check     measure the release as Slicer's Extensions Index does, and check its other rules
    python3 dev.py release             the same, and leave a repository of one commit and the extension's archive in dist
    python3 dev.py release --published check topic and pictures of the repository on GitHub against the index's rules
    python3 dev.py manifest            list the library's files for Slicer in PhysMRISynth/CMakeLists.txt

The first run makes the virtual environment .venv and installs the package into it; later runs reuse it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)
NEWER = "highdicom==0.28.2"
"""The version for users outside Slicer; constraints.txt has the one that Slicer ships."""
NEWER_TESTS = (
    "Testing/imaging/test_dicom_out.py",
    "Testing/imaging/test_measurement_report.py",
    "Testing/workflow/test_export.py",
    "Testing/mrml/test_dicom_export.py",
)
SHARED_OUT = ("--dist", "loadfile", "--no-loadscope-reorder")
"""A file's tests share what they need, so they run in one process; Testing/conftest.py puts the slow files first."""
UNREACHABLE = ("NewConnectionError", "ProxyError", "ConnectTimeout", "ReadTimeout", "SSLError", "name resolution", "getaddrinfo")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    commands = {
        "demo": demo, "test": test, "lint": lint, "docs": docs, "figures": figures, "panel": panel, "bench": bench, "release": release,
        "manifest": manifest,
    }  # fmt: skip
    if not arguments or arguments[0] not in commands:
        print(__doc__.strip(), file=sys.stderr)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    return commands[arguments[0]](arguments[1:])


def demo(arguments: Sequence[str]) -> int:
    """Run ``physmrisynth demo``; by default its results go to ``physmrisynth-demo`` in this folder."""
    install("demo")
    elsewhere = any(argument.split("=")[0] == "--out" for argument in arguments)
    out = [] if elsewhere else ["--out", str(ROOT / "physmrisynth-demo"), "--overwrite"]
    return subprocess.call([str(program("physmrisynth")), "demo", *out, *arguments])


def test(arguments: Sequence[str]) -> int:
    """Lint, check types and run the test suite; later stages run even if earlier ones fail.

    Without arguments, which select tests, the tests of DICOM output run a second time, with the newer highdicom.
    """
    install("demo", "test")
    stages = {**lint_stages(), "pytest": ["pytest", "-n", "2", *SHARED_OUT, "--durations", "10", *arguments]}
    if not arguments:
        paths = f"pythonpath=PhysMRISynth Training . {install_newer().relative_to(ROOT).as_posix()}"
        stages[f"pytest with {NEWER}"] = ["pytest", "-o", paths, *NEWER_TESTS]
    return run_stages(stages)


def lint(arguments: Sequence[str]) -> int:
    """Lint, check format, spelling and types."""
    install("demo", "test")
    return run_stages(lint_stages())


def lint_stages() -> dict[str, list[str]]:
    """The static checks by name."""
    return {"ruff": ["ruff", "check", "."], "format": ["ruff", "format", "--check", "."], "spelling": ["codespell_lib"], "mypy": ["mypy"]}


def docs(arguments: Sequence[str]) -> int:
    """Build the guide as web pages."""
    install("docs")
    status = run_stages({"sphinx": ["sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-b", "html", "docs", "docs/_build"]})
    print(f"Open {ROOT / 'docs' / '_build' / 'index.html'}" if status == 0 else "The guide was not built.")
    return status


def figures(arguments: Sequence[str]) -> int:
    """Remake the README's figure; see Testing/figures/patient.py."""
    install("demo", "test")
    return subprocess.call([str(program("python")), "Testing/figures/patient.py", *arguments], cwd=ROOT)


def panel(arguments: Sequence[str]) -> int:
    """Run the panel's tests without Slicer; if they pass, write the pictures of the panel and the slice views into Resources."""
    install("demo", "test")
    status = run_stages({"pytest": ["pytest", "Testing/panel", *arguments]})
    return status or subprocess.call([str(program("python")), "Testing/panel/screenshots.py", "Resources"], cwd=ROOT)


def bench(arguments: Sequence[str]) -> int:
    """Run every script in Testing/benchmarks, one after the other; those of a whole head read its label map's path from LABELS."""
    install("demo", "test")
    scripts = sorted((ROOT / "Testing" / "benchmarks").glob("[!_]*.py"))
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "LABELS": str(Path(arguments[0]).resolve()) if arguments else ""}
    statuses = [subprocess.call([str(program("python")), str(script)], cwd=ROOT, env=environment) for script in scripts]
    return next(filter(None, statuses), 0)


def release(arguments: Sequence[str]) -> int:
    """Check, or check and make, the release; see release.py."""
    install("demo", "test")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    import release as publishing

    return publishing.run(ROOT, program("python"), arguments)


def run_stages(stages: Mapping[str, Sequence[str]]) -> int:
    """Run Python modules with their arguments; name those that fail and return the first failure's exit status."""
    failures = {}
    for name, command in stages.items():
        print(f"== {name}", flush=True)
        status = subprocess.call([str(program("python")), "-m", *command], cwd=ROOT)
        if status:
            failures[name] = status
    print(f"FAILED: {', '.join(failures)}" if failures else f"passed: {', '.join(stages)}", flush=True)
    return next(iter(failures.values()), 0)


def program(name: str) -> Path:
    """A program of the virtual environment."""
    windows = os.name == "nt"
    return ROOT / ".venv" / ("Scripts" if windows else "bin") / (f"{name}.exe" if windows else name)


def install(*extras: str) -> None:
    """Install the package with these extras into .venv, unless it is installed already."""
    marker = ROOT / ".venv" / "physmrisynth-installed.json"
    present = installed_extras(marker)
    if present.issuperset(extras):
        return
    marker.unlink(missing_ok=True)
    if not program("python").exists():
        make_environment()
    wanted = sorted({*extras, *present})
    print(f"Installing physmrisynth[{','.join(wanted)}] into .venv; the first time takes minutes.", file=sys.stderr)
    pip_install("--editable", f".[{','.join(wanted)}]", "--constraint", "constraints.txt")
    marker.write_text(json.dumps({"fingerprint": fingerprint(), "extras": wanted}), encoding="utf-8")


def install_newer() -> Path:
    """Install the newer package, without dependencies, into its own folder; returns the folder."""
    folder = ROOT / ".venv" / NEWER
    if not folder.is_dir():
        pip_install("--no-deps", "--target", str(folder), NEWER)
    return folder


def installed_extras(marker: Path) -> set[str]:
    """The extras that were installed for exactly this pyproject.toml and constraints.txt in this place."""
    try:
        record = json.loads(marker.read_text(encoding="utf-8"))
        current = record["fingerprint"] == fingerprint() and program("python").exists()
        return set(record["extras"]) if current else set()
    except (OSError, ValueError, LookupError, TypeError):  # absent or damaged: install
        return set()


def fingerprint() -> str:
    """A hash that changes with the requirements or the location."""
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join([*parts, os.fsencode(ROOT)])).hexdigest()


def make_environment() -> None:
    """Create .venv. Exits with a one-line message when this Python cannot."""
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(ROOT / ".venv")], capture_output=True, text=True, check=False)
    if made.returncode:
        cause = " ".join((made.stdout + made.stderr).split())[:300]
        sys.exit(f"dev.py: cannot make .venv with {sys.executable}; on Debian and Ubuntu install python3-venv first. {cause}")


def pip_install(*arguments: str) -> None:
    """Run pip, showing its latest line on a terminal. Exits with a one-line message when it fails."""
    command = [str(program("python")), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", *arguments]
    log = []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace"
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            log.append(line.strip())
            show_progress(log[-1])
    show_progress("")
    if pip.returncode:
        (ROOT / ".venv" / "pip.log").write_text("\n".join(log), encoding="utf-8")
        sys.exit(f"dev.py: {explain(log)} All that pip said is in .venv/pip.log.")


def show_progress(line: str) -> None:
    """Overwrite the terminal's current line; print nothing to a file."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width]:<{width}}\r", end="", file=sys.stderr, flush=True)


def explain(log: Iterable[str]) -> str:
    """Why pip failed, and the remedy, in one line."""
    lines = list(log)
    if any(word in line for line in lines for word in UNREACHABLE):
        return "pip cannot reach the package index: check the network, or set HTTPS_PROXY or PIP_INDEX_URL, and run again."
    errors = [line for line in lines if line.lower().startswith("error:") and not line.endswith("Exception:")]
    cause = (errors or lines[-1:] or ["it gave no reason"])[0].rstrip(".")
    return f"pip could not install the package: {cause}. Deleting .venv and running again gives a fresh start."


def manifest(arguments: Sequence[str]) -> int:
    """Rewrite the two file lists in PhysMRISynth/CMakeLists.txt."""
    folder = ROOT / "PhysMRISynth"
    library = files_below(folder / "PhysMRISynthLib")
    lists = {
        "scripts": [path for path in library if path.suffix == ".py"],
        "resources": [*files_below(folder / "Resources"), *(path for path in library if path.suffix != ".py")],
    }
    cmake = folder / "CMakeLists.txt"
    text = cmake.read_text(encoding="utf-8")
    for name, paths in lists.items():
        text = replace_list(text, name, [path.relative_to(folder).as_posix() for path in paths])
    cmake.write_text(text, encoding="utf-8", newline="\n")
    return 0


def files_below(folder: Path) -> list[Path]:
    """The files of a folder, without caches and hidden files, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if not any(part == "__pycache__" or part.startswith(".") for part in path.relative_to(folder).parts)]


def replace_list(text: str, name: str, entries: Iterable[str]) -> str:
    """Put one entry a line between the comments ``# begin NAME`` and ``# end NAME``."""
    head, begin, rest = text.partition(f"  # begin {name}\n")
    _, end, tail = rest.partition(f"  # end {name}\n")
    if not begin or not end:
        sys.exit(f"dev.py: the markers '# begin {name}' and '# end {name}' are missing in PhysMRISynth/CMakeLists.txt.")
    return "".join([head, begin, *(f"  {entry}\n" for entry in entries), end, tail])


if __name__ == "__main__":
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"dev.py: Python {'.'.join(map(str, OLDEST_PYTHON))} or later is needed; this is {sys.version.split()[0]}.")
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
