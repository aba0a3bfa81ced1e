"""A process that is killed while it writes: earlier results stay whole, nothing half-written has a result's name, the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.whole_file import TEMPORARY
from PhysMRISynthLib.workflow.results.outputs import REPORT, whole_folder
from Testing.faults.fault import full_disk, listing
from Testing.faults.results import maps

DIES = """
import os, signal, sys
from pathlib import Path
import SimpleITK
from PhysMRISynthLib.cli import main

write, calls = SimpleITK.WriteImage, []

def dies(image, name, **options):
    write(image, name, **options)
    calls.append(name)
    if len(calls) == int(sys.argv[1]):
        Path(name).write_bytes(Path(name).read_bytes()[:40])
        os.kill(os.getpid(), signal.SIGKILL)

SimpleITK.WriteImage = dies
main(sys.argv[2:])
"""
"""The command line, killed when so many images are written and the last one of them is half there."""


def killed_at(image: int, arguments: list[str]) -> int:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.run([sys.executable, "-c", DIES, str(image), *arguments], env=environment, check=False).returncode


def results(folder: Path) -> dict[str, str]:
    """What has a result's name."""
    return {name: kind for name, kind in listing(folder).items() if not name.startswith(TEMPORARY)}


@pytest.mark.parametrize(
    ("command", "out", "image"),
    ((["render", "--protocol", "se", "--snr", "9"], "se.nii.gz", 1), (["simulate", "--seed", "3"], ".", 2)),
    ids=("render", "simulate"),
)
def test_a_kill_while_writing_leaves_the_earlier_results(tmp_path: Path, command: list[str], out: str, image: int) -> None:
    maps()(tmp_path)
    place = tmp_path / "out"
    arguments = [command[0], "--maps", str(tmp_path / "maps"), "--out", str(place / out)]
    assert main(arguments + (["--protocol", "flair"] if command[0] == "render" else [])) == 0
    before = results(place)
    again = [*arguments, *command[1:], "--overwrite"]
    assert killed_at(image, again) == -signal.SIGKILL
    assert results(place) == before
    assert main(again) == 0
    after = results(place)
    assert set(after) == set(before) and after != before


def test_a_first_run_that_was_killed_is_repeated_without_overwriting(tmp_path: Path) -> None:
    maps()(tmp_path)
    arguments = ["simulate", "--maps", str(tmp_path / "maps"), "--out", str(tmp_path / "out")]
    assert killed_at(2, arguments) == -signal.SIGKILL
    (left,) = (tmp_path / "out").iterdir()
    assert left.name.startswith(TEMPORARY)
    os.utime(left, (0, 0))  # so old that nobody is at it any more
    assert main(arguments) == 0
    assert not left.exists() and len(list((tmp_path / "out").iterdir())) == 6


def in_a_child(work: Callable[[], None]) -> int:
    """The exit code of ``work`` in a process of its own."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write(out: Path, text: str, names: tuple[str, ...]) -> None:
    with whole_folder(out, overwrite=True) as folder:
        for name in names:
            (folder / name).write_text(text)
        (folder / REPORT).write_text(json.dumps({"text": text, "files": [*names, REPORT]}))


@pytest.mark.parametrize("moves", range(5))
def test_a_folder_with_a_report_holds_the_whole_run_that_it_reports(tmp_path: Path, moves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "old", ("PD", "T1", "zzz"))
    left, replace = [moves], Path.replace

    def dies(self: Path, target: Path) -> Path:
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dies)
    code = in_a_child(lambda: write(tmp_path, "new", ("PD", "T1", "zoo")))
    assert code == (9 if moves < 4 else 0)
    if (tmp_path / REPORT).exists():
        report = json.loads((tmp_path / REPORT).read_text())
        assert {(tmp_path / name).read_text() for name in report["files"] if name != REPORT} == {report["text"]}
    else:
        assert 0 <= moves < 4


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from physmrisynth_training.learning.checkpoint import load_checkpoint, save_atomically

    save_atomically({"step": 1}, tmp_path / "checkpoint.pt")
    with full_disk(), pytest.raises((PhysMRISynthError, OSError)):
        save_atomically({"step": 2, "weights": torch.zeros(100_000)}, tmp_path / "checkpoint.pt")
    assert load_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
