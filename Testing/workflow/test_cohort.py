"""Cohorts: every visit once, whole or not at all, whatever dies on the way; names and units as BIDS has them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.head.known_head import map_errors
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps, read_tissue_maps
from PhysMRISynthLib.workflow.cohort import data_set
from PhysMRISynthLib.workflow.cohort import visit as cohort_visit
from PhysMRISynthLib.workflow.cohort.data_set import TABLE, Batch, estimate_cohort, plan
from PhysMRISynthLib.workflow.cohort.index_page import INDEX
from PhysMRISynthLib.workflow.cohort.processes import Patience
from PhysMRISynthLib.workflow.cohort.visit import ESTIMATED, FAILED, KEPT, Row
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.results import bids_derivatives
from PhysMRISynthLib.workflow.results.bids_derivatives import begin_dataset
from PhysMRISynthLib.workflow.results.map_set import with_sds
from Testing.refusals import refused
from Testing.workflow.cohorts import SUFFIXES, made, quick, small_visit, touch

ROOT = Path(__file__).resolve().parents[2]
TEN = [f"{number:02d}" for number in range(10)]
DRIVER = """
import sys
from pathlib import Path
from PhysMRISynthLib.workflow.cohort.data_set import Batch, estimate_cohort
from Testing.workflow.cohorts import quick

if __name__ == "__main__":
    estimate_cohort(Path(sys.argv[1]), Path(sys.argv[2]), batch=Batch(jobs=2), make=quick)
"""


def statuses(rows: list[Row]) -> dict[str, str]:
    return {"_".join(label for label in (row.participant, row.session) if label): row.status for row in rows}


def complete(out: Path) -> dict[str, int]:
    """The visits' folders that have their names, with the time of their report."""
    return {folder.parent.name: next(folder.glob("*_report.json")).stat().st_mtime_ns for folder in sorted(out.glob("sub-*/anat"))}


def lines(out: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The table's lines by participant and session."""
    with (out / TABLE).open(encoding="utf-8") as file:
        return {(line["participant_id"], line["session_id"]): line for line in csv.DictReader(file, delimiter="\t")}


# --- stopped, killed, failed -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to kill")
def test_ten_visits_killed_in_the_middle_go_on_where_they_were(tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", *TEN), tmp_path / "out"
    (tmp_path / "driver.py").write_text(DRIVER, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in (ROOT / "PhysMRISynth", ROOT))}
    program = [sys.executable, str(tmp_path / "driver.py"), str(root), str(out)]
    with subprocess.Popen(program, env=environment, start_new_session=True) as process:
        end = time.monotonic() + 120
        while len(complete(out)) < 3:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
    before, worked = complete(out), made(root)
    assert 3 <= len(before) < 10
    rows = estimate_cohort(root, out, EstimateOrder(), Batch(jobs=2), make=quick)
    assert statuses(rows) == {f"sub-{n}": KEPT if f"sub-{n}" in before else ESTIMATED for n in TEN}
    after = complete(out)
    assert {name: after[name] for name in before} == before
    assert sorted(made(root)[len(worked) :]) == sorted(set(after) - set(before))
    assert {path.name for path in out.iterdir()} == {f"sub-{n}" for n in TEN} | {TABLE, INDEX, "dataset_description.json", ".bidsignore"}
    files = {f"sub-07_{suffix}.nii.gz" for suffix in SUFFIXES} | {"sub-07_report.json"}
    assert {path.name for path in (out / "sub-07" / "anat").iterdir()} == files


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_whatever_happens_to_a_visit_is_its_row_and_stops_no_other(tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", "bad", "good/a", "good/b", "killed", "mistake"), tmp_path / "out"
    (root / "sub-empty" / "func").mkdir(parents=True)
    rows = estimate_cohort(root, out, EstimateOrder(), Batch(jobs=2), make=quick)
    assert statuses(rows) == {
        "sub-bad": FAILED, "sub-empty": FAILED, "sub-good_ses-a": ESTIMATED, "sub-good_ses-b": ESTIMATED, "sub-killed": FAILED,
        "sub-mistake": FAILED,
    }  # fmt: skip
    told = {row.participant: row.reason for row in rows if row.status == FAILED}
    assert told["sub-bad"] == "The image is bad. Choose another one."
    assert "killed (signal 9)" in told["sub-killed"] and "fewer jobs" in told["sub-killed"]
    assert "ZeroDivisionError" in told["sub-mistake"] and "no T1w" in told["sub-empty"]
    table = lines(out)
    assert len(table) == 6
    assert table["sub-good", "ses-a"]["white_matter_T1"] == "850.0" and table["sub-good", "ses-a"]["inputs"] == "t1w,flair"
    assert table["sub-bad", "n/a"]["reason"] == told["sub-bad"]
    assert {path.name for path in out.iterdir()} == {"sub-good", TABLE, INDEX, "dataset_description.json", ".bidsignore"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("at", [1, 2])
def test_maps_that_were_being_overwritten_survive_a_kill_between_two_renamings(at: int, tmp_path: Path) -> None:
    """The first renaming takes the old maps away, the second puts the new ones there."""
    root, out = touch(tmp_path / "bids", "01"), tmp_path / "out"
    (task,) = tasks(root, out)
    assert cohort_visit.estimate_visit(task).status == ESTIMATED
    before = complete(out)
    begun = os.fork()
    if begun == 0:
        killed_at_renaming_of_folders(at)
        cohort_visit.estimate_visit(replace(task, overwrite=True))
    assert os.waitpid(begun, 0)[1] == signal.SIGKILL and len(list(out.glob(".writing-*"))) == 1
    assert cohort_visit.estimate_visit(task).status == KEPT  # whole: the old ones or, once these were away, the new ones
    assert list(complete(out)) == ["sub-01"] and (complete(out) == before) == (at == 1)
    assert not list(out.glob(".writing-*"))


def test_old_maps_come_back_where_the_new_ones_cannot_take_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = touch(tmp_path / "bids", "01"), tmp_path / "out"
    (task,) = tasks(root, out)
    cohort_visit.estimate_visit(task)
    before, rename = complete(out), Path.replace

    def failing(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", failing)
    assert "Input/output error" in cohort_visit.estimate_visit(replace(task, overwrite=True)).reason
    assert complete(out) == before and not list(out.glob(".writing-*"))


def tasks(root: Path, out: Path) -> list[cohort_visit.Task]:
    """The visits of a data set, to be made in this process or one that is forked from it (without ITK, whose threads are then gone)."""

    def make(visit: cohort_visit.Visit, order: EstimateOrder, root: Path, folder: Path) -> dict[str, Any]:
        (folder / "maps").touch()
        return {"warnings": []}

    begin_dataset(root, out, overwrite=False)
    return [cohort_visit.Task(visit, EstimateOrder(), root, out, make=make) for visit in plan(root)[0]]


def killed_at_renaming_of_folders(number: int) -> None:
    """This process ends at its ``number``-th renaming of a folder, before that is done."""
    rename, count = Path.replace, 0

    def replace_or_die(path: Path, target: Path) -> Path:
        nonlocal count
        count += path.is_dir()
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(path, target)

    Path.replace = replace_or_die  # type: ignore[method-assign]


def test_a_process_whose_parent_is_killed_does_not_go_on(tmp_path: Path) -> None:
    """Else it would work beside those of the run that resumes."""
    script = (
        "import multiprocessing, sys, threading, time\n"
        "from PhysMRISynthLib.workflow.cohort.processes import _end_with_parent\n"
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

    def run(order: EstimateOrder, overwrite: bool = False) -> Row:
        (row,) = estimate_cohort(root, out, order, Batch(overwrite=overwrite), make=quick)
        return row

    assert run(EstimateOrder()).status == ESTIMATED
    (out / "sub-01" / "anat" / "old.txt").touch()
    assert run(EstimateOrder()).status == KEPT
    other = run(EstimateOrder(spacing_mm=1.0))
    assert other.status == FAILED and "other options" in other.reason and "allow overwriting" in other.reason
    assert run(EstimateOrder(spacing_mm=1.0), overwrite=True).status == ESTIMATED
    assert not (out / "sub-01" / "anat" / "old.txt").exists()
    assert made(root) == ["sub-01"] * 2


@pytest.mark.parametrize("change", ["an image more", "another image", "another header", "another version"])
def test_maps_of_what_a_visit_no_longer_is_are_not_kept(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = touch(tmp_path / "bids", "01"), tmp_path / "out"
    monkeypatch.setattr(data_set, "in_processes", lambda tasks, jobs: map(cohort_visit.estimate_visit, tasks))
    (first,) = estimate_cohort(root, out, EstimateOrder(), make=quick)
    anat = root / "sub-01" / "anat"
    os.utime(anat / "sub-01_T1w.nii.gz", (1, 1))  # a copy of the same is the same
    (second,) = estimate_cohort(root, out, EstimateOrder(), make=quick)
    assert (first.status, second.status) == (ESTIMATED, KEPT)
    if change == "an image more":
        (anat / "sub-01_T2w.nii.gz").touch()
    elif change == "another image":
        (anat / "sub-01_T1w.nii.gz").write_bytes(b"new")
    elif change == "another header":
        (anat / "sub-01_T1w.json").write_text('{"RepetitionTime": 2.3}', encoding="utf-8")
    else:
        monkeypatch.setattr(cohort_visit, "__version__", "999")
    (third,) = estimate_cohort(root, out, EstimateOrder(), make=quick)
    assert third.status == FAILED and ("another version" if change == "another version" else "other images or headers") in third.reason
    (fourth,) = estimate_cohort(root, out, EstimateOrder(), Batch(overwrite=True), make=quick)
    assert fourth.status == ESTIMATED and fourth.inputs == ("t1w,t2w,flair" if change == "an image more" else "t1w,flair")


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_maps_of_one_data_set_are_not_taken_for_those_of_another(overwrite: bool, tmp_path: Path) -> None:
    first, second, out = touch(tmp_path / "a", "01"), touch(tmp_path / "b", "01"), tmp_path / "out"
    begin_dataset(first, out, overwrite=False)
    before = (out / "dataset_description.json").read_bytes()
    with refused(ImageError, r"holds maps of the data set file:.*/a\. If that data set has moved.*Choose another --out"):
        estimate_cohort(second, out, EstimateOrder(), Batch(overwrite=overwrite), make=quick)
    assert (out / "dataset_description.json").read_bytes() == before


def test_files_of_others_are_never_touched(tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", "01", "02"), tmp_path / "out"
    with pytest.raises(ImageError, match="is the data set itself"):
        estimate_cohort(root, root, EstimateOrder(), make=quick)
    out.mkdir()
    (out / "notes.txt").touch()
    with pytest.raises(ImageError, match="holds no cohort"):
        estimate_cohort(root, out, EstimateOrder(), make=quick)
    (out / "notes.txt").unlink()
    (out / "sub-01" / "anat").mkdir(parents=True)
    (out / "sub-01" / "anat" / "mine.nii.gz").touch()
    rows = estimate_cohort(root, out, EstimateOrder(), Batch(overwrite=True), make=quick)
    assert statuses(rows) == {"sub-01": FAILED, "sub-02": ESTIMATED}
    assert [path.name for path in (out / "sub-01" / "anat").iterdir()] == ["mine.nii.gz"]


def test_participants_are_chosen_by_label(tmp_path: Path) -> None:
    root = touch(tmp_path, "01", "02/a", "02/b", "03")
    (root / "sub-02" / "ses-c").mkdir()
    visits, rows = plan(root, ["sub-02", "03", "99"])
    assert [visit.name for visit in visits] == ["sub-02_ses-a", "sub-02_ses-b", "sub-03"]
    assert [(row.participant, row.session) for row in rows] == [("sub-02", "ses-c"), ("sub-99", None)]
    assert "Check the participant's label" in rows[1].reason


def test_a_run_of_some_participants_keeps_the_rows_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = touch(tmp_path / "bids", "01/a", "01/b", "02", "bad"), tmp_path / "out"
    monkeypatch.setattr(data_set, "in_processes", lambda tasks, jobs: map(cohort_visit.estimate_visit, tasks))
    for participant in ("bad", "02", "01"):  # as an array of jobs does
        estimate_cohort(root, out, EstimateOrder(), Batch(participants=[participant]), make=quick)
    before = lines(out)
    assert list(before) == [("sub-01", "ses-a"), ("sub-01", "ses-b"), ("sub-02", "n/a"), ("sub-bad", "n/a")]
    assert before["sub-bad", "n/a"]["status"] == FAILED and before["sub-02", "n/a"]["status"] == ESTIMATED
    (row,) = estimate_cohort(root, out, EstimateOrder(), Batch(participants=["02"]), make=quick)
    assert row.status == KEPT
    assert lines(out) == {**before, ("sub-02", "n/a"): {**before["sub-02", "n/a"], "status": KEPT, "seconds": "n/a"}}
    shutil.rmtree(root / "sub-bad")
    estimate_cohort(root, out, EstimateOrder(), make=quick)
    assert [participant for participant, _session in lines(out)] == ["sub-01", "sub-01", "sub-02"]


def test_runs_that_end_in_the_same_moment_lose_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = [f"{number:02d}" for number in range(12)]
    root, out = touch(tmp_path / "bids", *visits), tmp_path / "out"
    monkeypatch.setattr(data_set, "in_processes", lambda tasks, jobs: (task.row(ESTIMATED) for task in tasks))
    with ThreadPoolExecutor(len(visits)) as pool:
        list(pool.map(lambda visit: estimate_cohort(root, out, EstimateOrder(), Batch(participants=[visit]), make=quick), visits))
    assert [participant for participant, _session in lines(out)] == [f"sub-{visit}" for visit in visits]
    (out / ".writing-cohort.tsv").mkdir()  # left by a run that was killed
    estimate_cohort(root, out, EstimateOrder(), Batch(participants=["03"], patience=Patience(table=0.1)), make=quick)
    assert len(lines(out)) == 12 and not list(out.glob(".writing-*"))


def test_runs_that_begin_in_the_same_moment_share_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out, look = touch(tmp_path / "bids", "01"), tmp_path / "out", bids_derivatives.is_taken

    def another_begins(path: Path) -> bool:
        monkeypatch.setattr(bids_derivatives, "is_taken", look)
        begin_dataset(root, out, overwrite=False)
        return look(path)

    monkeypatch.setattr(bids_derivatives, "is_taken", another_begins)
    begin_dataset(root, out, overwrite=False)
    assert (out / "dataset_description.json").is_file()


def test_a_download_of_oasis3_gets_bids_labels(tmp_path: Path) -> None:
    folder = tmp_path / "OAS30001_MR_d0129" / "anat2" / "NIFTI"
    folder.mkdir(parents=True)
    (folder / "sub-OAS30001_ses-d0129_run-01_T1w.nii.gz").touch()
    (visit,), _ = plan(tmp_path)
    assert visit.folder == Path("sub-OAS30001", "ses-d0129", "anat")


def test_a_download_of_oasis3_in_a_folder_of_its_own_gets_bids_labels(tmp_path: Path) -> None:
    for visit, number, role in (("d0129", 2, "T1w"), ("d0129", 3, "T2w"), ("d0757", 1, "T1w")):
        folder = tmp_path / "data" / "OAS3" / f"OAS30001_MR_{visit}" / f"anat{number}" / "NIFTI"
        folder.mkdir(parents=True)
        (folder / f"sub-OAS30001_ses-{visit}_{role}.nii.gz").touch()
    for root in (tmp_path, tmp_path / "data"):
        visits, rows = plan(root)
        assert not rows and [visit.name for visit in visits] == ["sub-OAS30001_ses-d0129", "sub-OAS30001_ses-d0757"]
        assert set(visits[0].files) == {"t1w", "t2w"}


def test_visits_of_one_name_are_a_row_and_stop_no_other(tmp_path: Path) -> None:
    root = touch(tmp_path / "bids", "01", "02")
    shutil.copytree(root / "sub-01", root / "sub-0-1")
    (visit,), (row,) = plan(root)
    assert visit.name == "sub-02" and (row.participant, row.session, row.status) == ("sub-01", None, FAILED)
    assert "sub-0-1/anat" in row.reason and "sub-01/anat" in row.reason
    assert plan(root, ["02"])[1] == []


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
    again = with_sds(read_tissue_maps(anat), anat)
    assert np.allclose(again.t1, maps.t1) and np.array_equal(again.mask, maps.mask)
    assert np.allclose(again.sd["T2"], 1000 * read("desc-sd_T2map"))
    assert again.provenance["made_from"]["images"]["t1w"]["source"] == told["T1map"]["Sources"][0]
    rendering = tmp_path / "stir.nii.gz"
    assert main(["render", "--maps", str(anat), "--protocol", "stir,TR=4000,TE=40,TI=260", "--out", str(rendering)]) == 0
    over = str(anat / "sub-01_ses-a_T1map.nii.gz")
    assert main(["render", "--maps", str(anat), "--protocol", "stir,TR=4000,TE=40,TI=260", "--out", over, "--overwrite"]) == 2
    assert "is one of the maps" in capfd.readouterr().err
    described = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))
    assert described["DatasetType"] == "derivative" and described["GeneratedBy"][0]["Name"] == "PhysMRISynth"
    before = complete(out / "sub-01")
    assert main([*command, "--participants", "01"]) == 0
    assert complete(out / "sub-01") == before and "complete before" in capfd.readouterr().out
