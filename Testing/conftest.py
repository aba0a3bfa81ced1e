"""Where real scans are, for the tests that need them; those tests are skipped, and the summary says so, where there are none."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# two test processes share the cores: threads of libraries would fight over them (none is imported yet)
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
    os.environ.setdefault(name, "1")

_REPOSITORY = Path(__file__).parent.parent
_SLOWEST = (
    "workflow/test_defects", "workflow/test_strangers", "cli/test_cli", "workflow/test_geometry", "console/test_docs",
    "training/test_evaluation_samples", "faults/test_faults", "workflow/test_standard_heads", "workflow/test_unexplained",
    "workflow/test_cohort", "fitting/test_head_laws", "imaging/test_alignment", "workflow/test_lesion", "workflow/test_shipped_sampler",
    "workflow/test_remedies", "workflow/test_aligned", "workflow/test_worker_process", "workflow/test_receive_field",
    "workflow/test_sample", "training/test_halves", "training/test_signal_training", "workflow/test_more_inputs", "panel/test_selfTest",
    "training/test_evaluation_measured", "console/test_slicer_console",
)  # fmt: skip
"""Files that take longest come first, so that two processes end at about the same time."""
_REMEDY = "set PHYSMRISYNTH_DATA to the folder that holds it"


def find_data(name: str) -> Path | None:
    """The file or folder ``name`` in the folder PHYSMRISYNTH_DATA, else in ``../shared/data`` beside the repository."""
    named = os.environ.get("PHYSMRISYNTH_DATA")
    folders = [Path(named)] if named else []
    return next((f / name for f in (*folders, _REPOSITORY.parent / "shared" / "data") if (f / name).exists()), None)


def pytest_collection() -> None:
    """Collect no garbage while tests are collected, which makes none to speak of: it takes a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Collect garbage again, but do not go through tests and libraries each time: they stay."""
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest files first; the order of the tests in a file, and of the other files, stays."""
    folder = Path(__file__).parent
    places = {folder / f"{name}.py": place for place, name in enumerate(_SLOWEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def data() -> Callable[[str], Path]:
    """``data("real/raw_patient12")``: that folder of the data, or the test is skipped with the reason."""

    def found(name: str) -> Path:
        path = find_data(name)
        if path is None:
            pytest.skip(f"real data: '{name}' is absent; {_REMEDY}")
        return path

    return found


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For tiny networks: the cores are shared, and waking threads would take longer than the work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line in red for tests that were skipped for want of data, so that a green run is not mistaken for a full one."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "real data:" in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"NOT RUN: {len(skipped)} tests on real scans, which are absent; {_REMEDY}.", red=True, bold=True)
