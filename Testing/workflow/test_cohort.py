"""Cohorts: every visit once, whole or not at all, whatever dies on the way; names and units as BIDS has them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import EstimationError, ImageError
from PhysMRISynthLib.imaging.known_head import map_errors
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.workflow import cohort_processes
from PhysMRISynthLib.workflow.cohort import TABLE, estimate_cohort, plan
from PhysMRISynthLib.workflow.cohort_visit import ESTIMATED, FAILED, KEPT, Options, Row
from PhysMRISynthLib.workflow.small_head import small_head
from workflow.cohorts import SUFFIXES, made, quick, small_visit, touch

ROOT = Path(__file__).resolve().parents[2]
TWENTY = [f"{number:02d}" for number in range(20)]
DRIVER = """
import sys
from pathlib import Path
from PhysMRISynthLib.workflow.cohort import estimate_cohort
from PhysMRISynthLib.workflow.cohort_visit import Options
from workflow.cohorts import quick

if __name__ == "__main__":
    estimate_cohort(Path(sys.argv[1]), Path(sys.argv[2]), Options(), jobs=2, make=quick)
"""


def statuses(rows: list[Row]) -> dict[str, str]:
    return {"_".join(label for label in (row.participant, row.session) if label): row.status for row in rows}


def complete(out: Path) -> dict[str, int]:
    """The visits' folders that have their names, with the time of their report."""
    return {folder.parent.name: next(folder.glob("*_report.json")).stat().st_mtime_ns for folder in sorted(out.glob("sub-*/anat"))}


# --- stopped, killed, failed -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to kill")
def test_twenty_visits_killed_in_the_middle_go_on_where_they_were(tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", *TWENTY), tmp_path / "out"
    (tmp_path / "driver.py").write_text(DRIVER, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("PhysMRISynth", "Testing"))}
    program = [sys.executable, str(tmp_path / "driver.py"), str(root), str(out)]
    with subprocess.Popen(program, env=environment, start_new_session=True) as process:
        end = time.monotonic() + 120
        while len(complete(out)) < 6:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    before, worked = complete(out), made(root)
    assert 6 <= len(before) < 20
    rows = estimate_cohort(root, out, Options(), jobs=2, make=quick)
    assert statuses(rows) == {f"sub-{n}": KEPT if f"sub-{n}" in before else ESTIMATED for n in TWENTY}
    after = complete(out)
    assert {name: after[name] for name in before} == before
    assert sorted(made(root)[len(worked) :]) == sorted(set(after) - set(before))
    assert {path.name for path in out.iterdir()} == {f"sub-{n}" for n in TWENTY} | {TABLE, "dataset_description.json", ".bidsignore"}
    files = {f"sub-07_{suffix}.nii.gz" for suffix in SUFFIXES} | {"sub-07_report.json"}
    assert {path.name for path in (out / "sub-07" / "anat").iterdir()} == files


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_whatever_happens_to_a_visit_is_its_row_and_stops_no_other(tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", "bad", "good/a", "good/b", "killed", "mistake"), tmp_path / "out"
    (root / "sub-empty" / "func").mkdir(parents=True)
    rows = estimate_cohort(root, out, Options(), jobs=2, make=quick)
    assert statuses(rows) == {
        "sub-bad": FAILED, "sub-empty": FAILED, "sub-good_ses-a": ESTIMATED, "sub-good_ses-b": ESTIMATED, "sub-killed": FAILED,
        "sub-mistake": FAILED,
    }  # fmt: skip
    told = {row.participant: row.reason for row in rows if row.status == FAILED}
    assert told["sub-bad"] == "The image is bad. Choose another one."
    assert "killed (signal 9)" in told["sub-killed"] and "fewer jobs" in told["sub-killed"]
    assert "ZeroDivisionError" in told["sub-mistake"] and "no T1w" in told["sub-empty"]
    with (out / TABLE).open(encoding="utf-8") as file:
        table = {(line["participant_id"], line["session_id"]): line for line in csv.DictReader(file, delimiter="\t")}
    assert len(table) == 6
    assert table["sub-good", "ses-a"]["white_matter_T1"] == "850.0" and table["sub-good", "ses-a"]["inputs"] == "t1w,flair"
    assert table["sub-bad", "n/a"]["reason"] == told["sub-bad"]
    assert {path.name for path in out.iterdir()} == {"sub-good", TABLE, "dataset_description.json", ".bidsignore"}


def test_a_process_whose_parent_is_killed_does_not_go_on(tmp_path: Path) -> None:
    """Else it would work beside those of the run that resumes."""
    script = (
        "import multiprocessing, sys, threading, time\n"
        "from PhysMRISynthLib.workflow.cohort_processes import _end_with_parent\n"
        "def child(file):\n"
        "    threading.Thread(target=_end_with_parent, daemon=True).start()\n"
        "    open(file, 'w').close()\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    process = multiprocessing.get_context('spawn').Process(target=child, args=(sys.argv[1],))\n"
        "    process.start()\n"
        "    print(process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "PhysMRISynth")}
    program = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "begun")]
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        end = time.monotonic() + 60
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        parent.kill()
    while alive(child):
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(process: int) -> bool:
    import psutil

    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


# --- what is made again, and what is not -------------------------------------------------------------------------------------------


def test_complete_visits_are_kept_unless_options_differ_or_they_may_be_overwritten(tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", "01"), tmp_path / "out"

    def run(options: Options, overwrite: bool = False) -> Row:
        (row,) = estimate_cohort(root, out, options, make=quick, overwrite=overwrite)
        return row

    assert run(Options()).status == ESTIMATED
    (out / "sub-01" / "anat" / "old.txt").touch()
    assert run(Options()).status == KEPT
    other = run(Options(spacing_mm=1.0))
    assert other.status == FAILED and "other options" in other.reason and "--overwrite" in other.reason
    assert run(Options(spacing_mm=1.0), overwrite=True).status == ESTIMATED
    assert not (out / "sub-01" / "anat" / "old.txt").exists()
    assert made(root) == ["sub-01"] * 2


def test_files_of_others_are_never_touched(tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", "01", "02"), tmp_path / "out"
    with pytest.raises(ImageError, match="is the data set itself"):
        estimate_cohort(root, root, Options(), make=quick)
    out.mkdir()
    (out / "notes.txt").touch()
    with pytest.raises(ImageError, match="holds no cohort"):
        estimate_cohort(root, out, Options(), make=quick)
    (out / "notes.txt").unlink()
    (out / "sub-01" / "anat").mkdir(parents=True)
    (out / "sub-01" / "anat" / "mine.nii.gz").touch()
    rows = estimate_cohort(root, out, Options(), make=quick, overwrite=True)
    assert statuses(rows) == {"sub-01": FAILED, "sub-02": ESTIMATED}
    assert [path.name for path in (out / "sub-01" / "anat").iterdir()] == ["mine.nii.gz"]


def test_participants_are_chosen_by_label(tmp_path: Path) -> None:
    root = touch(tmp_path, "01", "02/a", "02/b", "03")
    (root / "sub-02" / "ses-c").mkdir()
    visits, rows = plan(root, ["sub-02", "03", "99"])
    assert [visit.name for visit in visits] == ["sub-02_ses-a", "sub-02_ses-b", "sub-03"]
    assert [(row.participant, row.session) for row in rows] == [("sub-02", "ses-c"), ("sub-99", None)]
    assert "--participants" in rows[1].reason


def test_a_download_of_oasis3_gets_bids_labels(tmp_path: Path) -> None:
    folder = tmp_path / "OAS30001_MR_d0129" / "anat2" / "NIFTI"
    folder.mkdir(parents=True)
    (folder / "sub-OAS30001_ses-d0129_run-01_T1w.nii.gz").touch()
    (visit,), _ = plan(tmp_path)
    assert visit.folder == Path("sub-OAS30001", "ses-d0129", "anat")


# --- a cluster ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as found:
        yield found.scheduler_address


@pytest.mark.slow
def test_a_cluster_does_every_visit_and_tells_of_those_whose_workers_die(cluster: str, tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", "01", "02", "03", "04", "bad", "killed"), tmp_path / "out"
    rows = estimate_cohort(root, out, Options(), scheduler=cluster, make=quick)
    assert {name for name, status in statuses(rows).items() if status == FAILED} == {"sub-bad", "sub-killed"}
    assert "worker" in next(row.reason for row in rows if row.participant == "sub-killed")
    assert sorted(made(root)) == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert not list(out.glob("*killed*")) and not list(out.glob(".writing*")) and len(complete(out)) == 4


def test_a_cluster_without_workers_ends_in_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(cohort_processes, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(cohort_processes, "_PATIENCE_SECONDS", 0.3)
    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as empty:
        rows = estimate_cohort(touch(tmp_path / "bids", "01"), tmp_path / "out", Options(), scheduler=empty.scheduler_address, make=quick)
    assert [row.status for row in rows] == [FAILED] and "No worker" in rows[0].reason


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = touch(tmp_path / "bids", "01"), tmp_path / "out"
    monkeypatch.setattr(cohort_processes, "_CONNECT_SECONDS", 0.3)
    with pytest.raises(EstimationError, match="No dask scheduler answers at tcp://127"):
        estimate_cohort(root, out, Options(), scheduler="tcp://127.0.0.1:1", make=quick)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(EstimationError, match=r"physmrisynth\[cluster\]"):
        estimate_cohort(root, out, Options(), scheduler="tcp://127.0.0.1:1", make=quick)


# --- true estimates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_writes_bids_derivatives_of_the_visits_that_can_be_used(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "bids", tmp_path / "bids" / "derivatives" / "physmrisynth"
    small_visit(root / "sub-01" / "ses-a" / "anat", "sub-01_ses-a")
    touch(root, "02")  # files of zero bytes
    command = ["estimate", "--bids", str(root), "--out", str(out), "--prior", "literature", "--jobs", "2"]
    assert main(command) == 2
    printed = capfd.readouterr()
    assert "1 of 2 visits failed" in printed.err and "zero bytes" in printed.out and "1 estimated" in printed.out
    anat = out / "sub-01" / "ses-a" / "anat"

    def read(end: str) -> np.ndarray:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(anat / f"sub-01_ses-a_{end}.nii.gz")))

    head = small_head()
    maps = TissueMaps(read("PDmap") / 100, read("T1map") * 1000, read("T2map") * 1000, read("desc-head_mask") > 0, head.maps.grid)
    errors = map_errors(maps, head)["brain"]
    assert all(error < 3 for error in errors.values()), errors
    told = {suffix: json.loads((anat / f"sub-01_ses-a_{suffix}.json").read_text(encoding="utf-8")) for suffix in SUFFIXES}
    assert {suffix: fields["Units"] for suffix, fields in told.items()} == {"T1map": "s", "T2map": "s", "PDmap": "%"}
    assert told["T1map"]["Sources"][0] == "bids:raw:sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz"
    for suffix in SUFFIXES:
        sd = read(f"desc-sd_{suffix}")[head.brain_tissue()]
        assert 0 < np.median(sd / read(suffix)[head.brain_tissue()]) < 0.2
    assert read("desc-brain_mask").sum() < read("desc-head_mask").sum()
    described = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))
    assert described["DatasetType"] == "derivative" and described["GeneratedBy"][0]["Name"] == "PhysMRISynth"
    before = complete(out / "sub-01")
    assert main([*command, "--participants", "01"]) == 0
    assert complete(out / "sub-01") == before and "complete before" in capfd.readouterr().out
