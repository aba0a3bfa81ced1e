"""Cohorts on a dask cluster: every visit once, whatever its workers do; what is missing is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.workflow.cohort.data_set import Batch, estimate_cohort
from PhysMRISynthLib.workflow.cohort.processes import Patience
from PhysMRISynthLib.workflow.cohort.visit import FAILED
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from Testing.refusals import refused
from Testing.workflow.cohorts import made, quick, touch
from Testing.workflow.test_cohort import complete, statuses


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers, each a process."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as found:
        yield found.scheduler_address


@pytest.mark.slow
def test_a_cluster_does_every_visit_and_tells_of_those_whose_workers_die(cluster: str, tmp_path: Path) -> None:
    root, out = touch(tmp_path / "bids", "01", "02", "03", "04", "bad", "killed"), tmp_path / "out"
    rows = estimate_cohort(root, out, EstimateOrder(), Batch(scheduler=cluster), make=quick)
    assert {name for name, status in statuses(rows).items() if status == FAILED} == {"sub-bad", "sub-killed"}
    assert "worker" in next(row.reason for row in rows if row.participant == "sub-killed")
    assert sorted(made(root)) == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert not list(out.glob("*killed*")) and not list(out.glob(".writing*")) and len(complete(out)) == 4


@pytest.mark.slow
def test_a_visit_in_the_queue_of_a_worker_that_dies_is_done_all_the_same(tmp_path: Path) -> None:
    from distributed import LocalCluster

    root, out = touch(tmp_path / "bids", "1killed", "2"), tmp_path / "out"
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0") as one:
        rows = estimate_cohort(root, out, EstimateOrder(), Batch(scheduler=one.scheduler_address), make=quick)
    assert {name for name, status in statuses(rows).items() if status == FAILED} == {"sub-1killed"}
    assert made(root) == ["sub-2"] and len(complete(out)) == 1


def test_a_cluster_without_workers_ends_in_rows(tmp_path: Path) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as empty:
        batch = Batch(scheduler=empty.scheduler_address, patience=Patience(look=0.1, workers=0.3))
        rows = estimate_cohort(touch(tmp_path / "bids", "01"), tmp_path / "out", EstimateOrder(), batch, make=quick)
    assert [row.status for row in rows] == [FAILED] and "No worker" in rows[0].reason


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, out = touch(tmp_path / "bids", "01"), tmp_path / "out"
    batch = Batch(scheduler="tcp://127.0.0.1:1", patience=Patience(connect=0.3))
    with pytest.raises(EstimationError, match="No dask scheduler answers at tcp://127"):
        estimate_cohort(root, out, EstimateOrder(), batch, make=quick)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refused(EstimationError, r"physmrisynth\[cluster\]"):
        estimate_cohort(root, out, EstimateOrder(), batch, make=quick)
