"""dev.py: reuse of the environment, stages, error messages and the file lists."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dev.py at work in an empty folder, with this interpreter as its environment's."""
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "program", lambda name: Path(sys.executable))
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / ".venv").mkdir()
    return module


@pytest.fixture
def installed(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What dev.py asks pip to install, instead of installing it."""
    requests: list[str] = []
    monkeypatch.setattr(dev, "pip_install", lambda *arguments: requests.extend(a for a in arguments if a[0] == "." or a == "--no-deps"))
    return requests


def test_a_second_run_installs_nothing(dev: ModuleType, installed: list[str]) -> None:
    dev.install("demo")
    dev.install("demo")
    assert installed == [".[demo]"]


def test_a_further_extra_is_added(dev: ModuleType, installed: list[str]) -> None:
    dev.install("demo")
    dev.install("test")
    dev.install("demo")
    assert installed == [".[demo]", ".[demo,test]"]


def test_the_tests_environment_serves_the_demo(dev: ModuleType, installed: list[str]) -> None:
    dev.install("demo", "test")
    dev.install("demo")
    assert installed == [".[demo,test]"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(dev: ModuleType, installed: list[str], name: str) -> None:
    dev.install("demo")
    (dev.ROOT / name).write_text("changed", encoding="utf-8")
    dev.install("demo")
    assert installed == [".[demo]", ".[demo]"]


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"extras": ["demo"]})])
def test_a_damaged_record_means_not_installed(dev: ModuleType, installed: list[str], content: str) -> None:
    (dev.ROOT / ".venv" / "physmrisynth-installed.json").write_text(content, encoding="utf-8")
    dev.install("demo")
    assert installed == [".[demo]"]


def test_a_failed_installation_is_tried_again(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: str) -> None:
        raise SystemExit("dev.py: no network")

    monkeypatch.setattr(dev, "pip_install", fail)
    for _ in range(2):
        with pytest.raises(SystemExit, match="no network"):
            dev.install("demo")


def test_all_stages_run_and_the_first_failure_counts(dev: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    for status in (0, 3, 4):
        (dev.ROOT / f"leave{status}.py").write_text(f"print('ran {status}')\nraise SystemExit({status})", encoding="utf-8")
    stages = {"bad": ["leave3"], "good": ["leave0"], "worse": ["leave4"]}
    assert dev.run_stages(stages) == 3
    output = capfd.readouterr().out
    assert all(f"ran {status}" in output for status in (0, 3, 4))
    assert "FAILED: bad, worse" in output


@pytest.mark.parametrize(("arguments", "runs"), [([], 2), (["Testing/house"], 1)])
def test_what_is_written_as_dicom_is_tested_with_the_newer_package_too(
    dev: ModuleType, installed: list[str], capfd: pytest.CaptureFixture[str], arguments: list[str], runs: int
) -> None:
    for name in ("ruff", "codespell_lib", "mypy"):
        (dev.ROOT / f"{name}.py").write_text("", encoding="utf-8")
    (dev.ROOT / "pytest.py").write_text("import sys\nprint('ran', sys.argv[1:])", encoding="utf-8")
    assert dev.main(["test", *arguments]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("ran")]
    assert len(lines) == runs and all(argument in lines[0] for argument in arguments)
    assert "--no-deps" in installed if runs == 2 else installed == [".[demo,test]"]
    assert all(dev.NEWER in line and name in line for line in lines[1:] for name in dev.NEWER_TESTS)
    assert all((ROOT / name).is_file() for name in dev.NEWER_TESTS)


def test_benchmarks_run_one_after_the_other(dev: ModuleType, installed: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    folder = dev.ROOT / "Testing" / "benchmarks"
    folder.mkdir(parents=True)
    (folder.parent / "helper.py").write_text("", encoding="utf-8")
    (folder / "b.py").write_text(
        "import Testing.helper, os, sys\nprint(sys.argv[1:], os.path.basename(os.environ['LABELS']))", encoding="utf-8"
    )
    (folder / "a.py").write_text("print('render: 1.0 s, 0.2 x NumPy')\nraise SystemExit(1)", encoding="utf-8")
    (folder / "_shared.py").write_text("print('not a benchmark')", encoding="utf-8")
    assert dev.main(["bench", "head.nii.gz"]) == 1
    assert capfd.readouterr().out.splitlines() == ["render: 1.0 s, 0.2 x NumPy", "[] head.nii.gz"]


@pytest.mark.parametrize(("tests", "status", "pictures"), [("", 0, True), ("raise SystemExit(3)", 3, False)])
def test_the_panels_pictures_are_made_where_its_tests_pass(
    dev: ModuleType, installed: list[str], tests: str, status: int, pictures: bool
) -> None:
    folder = dev.ROOT / "Testing" / "panel"
    folder.mkdir(parents=True)
    (dev.ROOT / "pytest.py").write_text(f"import sys\nassert sys.argv[1:] == ['Testing/panel', '-x']\n{tests}", encoding="utf-8")
    (folder / "screenshots.py").write_text("import sys\nopen(sys.argv[1], 'w').close()", encoding="utf-8")
    assert dev.main(["panel", "-x"]) == status
    assert (dev.ROOT / "Resources").exists() is pictures


@pytest.mark.parametrize(("arguments", "out"), [(["--t1w", "a.nii"], "physmrisynth-demo"), (["--out=x"], "--out=x"), (["--out", "x"], "x")])
def test_demo_has_one_output_folder(
    dev: ModuleType, installed: list[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], out: str
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(dev.subprocess, "call", lambda command: calls.append(command) or 0)
    assert dev.main(["demo", *arguments]) == 0
    (command,) = calls
    assert command[1] == "demo"
    assert command[-len(arguments) :] == arguments
    assert sum(part.split("=")[0] == "--out" for part in command) == 1
    assert any(part.endswith(out) for part in command)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (["WARNING: Retrying … NewConnectionError(…)", "ERROR: No matching distribution found for numpy"], "HTTPS_PROXY"),
        (["WARNING: … ProxyError('Cannot connect to proxy.')"], "HTTPS_PROXY"),
        (["ERROR: Package 'physmrisynth' requires a different Python", "more"], "requires a different Python"),
        (["ERROR: Exception:", "Traceback", "TOMLDecodeError: no value"], "no value"),
        ([], "Deleting .venv"),
    ],
)
def test_a_failure_of_pip_is_explained_in_one_line(dev: ModuleType, log: list[str], told: str) -> None:
    message = dev.explain(log)
    assert told in message
    assert "\n" not in message


def test_unknown_commands_print_the_usage(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["tests"]) == 2
    assert "dev.py bench" in capsys.readouterr().err
    assert dev.main(["--help"]) == 0


def test_manifest_lists_new_files_and_drops_old_ones(dev: ModuleType) -> None:
    module = dev.ROOT / "PhysMRISynth"
    for name in ("PhysMRISynthLib/cli.py", "PhysMRISynthLib/__pycache__/cli.pyc", "PhysMRISynthLib/resources/a.json", "Resources/b.png"):
        (module / name).parent.mkdir(parents=True, exist_ok=True)
        (module / name).touch()
    cmake = module / "CMakeLists.txt"
    cmake.write_text(
        "set(A\n  # begin scripts\n  gone.py\n  # end scripts\n  )\nset(B\n  # begin resources\n  # end resources\n  )\n", encoding="utf-8"
    )
    expected = (
        "set(A\n  # begin scripts\n  PhysMRISynthLib/cli.py\n  # end scripts\n  )\n"
        "set(B\n  # begin resources\n  Resources/b.png\n  PhysMRISynthLib/resources/a.json\n  # end resources\n  )\n"
    )
    for _ in range(2):
        assert dev.main(["manifest"]) == 0
        assert cmake.read_text(encoding="utf-8") == expected


def test_manifest_needs_its_markers(dev: ModuleType) -> None:
    with pytest.raises(SystemExit, match="begin scripts"):
        dev.replace_list("set(A)", "scripts", [])


def test_the_slowest_files_are_those_that_are_there() -> None:
    names = re.findall(r'"(\w+/test_\w+)"', (ROOT / "Testing" / "conftest.py").read_text(encoding="utf-8"))
    assert len(names) > 5 and [name for name in names if not (ROOT / "Testing" / f"{name}.py").is_file()] == []
