"""A whole BIDS data set: which visits there are, their derivatives, and a table of what became of each."""

from __future__ import annotations

import csv
import io
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from ...errors import ImageError
from ...imaging.intake.sessions import Session, find_sessions
from ...whole_file import TEMPORARY
from ..estimation.order import USUAL, EstimateOrder
from ..results.bids_derivatives import begin_dataset, write_text
from .index_page import INDEX, index_html
from .processes import PATIENT, Patience, in_processes, on_cluster
from .visit import FAILED, Make, Row, Task, Visit, make_derivative

TABLE = "cohort.tsv"
_NO_IMAGES = "It has no T1w, T2w or FLAIR image. Expected are anat/…_T1w.nii.gz and so on."
_TWICE = "Several visits are called so: {}. Give each a name and session (ses-…) of its own."
_UNKNOWN = "The data set has no such participant. Check the participant's label."
_COLUMNS = {
    "participant": "participant_id", "session": "session_id", "white_matter_t1": "white_matter_T1", "white_matter_t2": "white_matter_T2",
}  # fmt: skip
"""Columns that are not called as the row's attributes are."""
Done = Callable[[Row, int, int], None]
"""Told each row, how many there are so far, and how many there will be."""


@dataclass(frozen=True)
class Batch:
    """Which visits of a data set, and how: those of some ``participants`` (labels) or all, ``jobs`` at a time in processes of their own or
    on the workers of a dask ``scheduler``; ``overwrite`` earlier results; ``done`` is called with each row; how long it waits is its
    ``patience``."""

    participants: Sequence[str] | None = None
    jobs: int = 1
    scheduler: str | None = None
    overwrite: bool = False
    done: Done = lambda row, count, total: None
    patience: Patience = PATIENT


ALL = Batch()
"""Every visit, one at a time."""


def estimate_cohort(
    root: Path,
    out: Path,
    order: EstimateOrder = USUAL,
    batch: Batch = ALL,
    make: Make = make_derivative,
) -> list[Row]:
    """Estimate visits of the data set ``root`` (BIDS, OASIS-3) into the derivatives ``out``.

    Visits that are complete are kept, so that a run that was stopped goes on; a failure is a row of the table and stops nothing. The rows,
    sorted, are also ``cohort.tsv``; a run of some participants keeps the rows of the others there.
    Raises ImageError when there is no visit, or the results cannot be written; EstimationError for a cluster that does not answer.
    """
    root, out = Path(root).absolute(), Path(out).absolute()  # a cluster's workers are in other folders
    visits, rows = plan(root, batch.participants)
    tasks = [Task(visit, order, root, out, batch.overwrite, make) for visit in visits]
    return run_visits(root, out, tasks, rows, batch)


def run_visits(
    root: Path,
    out: Path,
    tasks: Sequence[Task],
    rows: list[Row],
    batch: Batch,
    made: str = "Tissue maps",
) -> list[Row]:
    """Do the ``tasks`` of a data set ``root``, whose derivatives in ``out`` are what was ``made``; their rows and those given, sorted,
    which are also the table. Everything as :func:`estimate_cohort`."""
    begin_dataset(root, out, batch.overwrite, made)
    total = len(tasks) + len(rows)
    for count, row in enumerate(rows, start=1):
        batch.done(row, count, total)
    elsewhere = batch.scheduler
    for row in in_processes(tasks, batch.jobs) if elsewhere is None else on_cluster(tasks, elsewhere, batch.patience):
        rows.append(row)
        batch.done(row, len(rows), total)
    rows.sort(key=lambda row: (row.participant, row.session or ""))
    try:
        with _alone_at_table(out, batch.patience):
            text = table(rows, None if batch.participants is None else _earlier(out / TABLE))
            write_text(text, out / TABLE)
            write_text(index_html(text, out), out / INDEX)
    except OSError as error:
        raise ImageError(f"{out / TABLE} could not be written ({error.strerror or error}). Check free space and permissions.") from error
    return rows


def plan(root: Path, participants: Sequence[str] | None = None) -> tuple[list[Visit], list[Row]]:
    """The visits to estimate, and rows of those of one name and of participants who have no images or do not exist.

    Raises ImageError when the data set has no visit.
    """
    if not root.is_dir():
        raise ImageError(f"{root} is not a folder. Give the folder of a BIDS data set.")
    visits = [_visit(session) for session in find_sessions(root)]
    if not visits:
        raise ImageError(f"There is no T1w, T2w or FLAIR volume in {root}. Expected are sub-*/[ses-*/]anat/…_T1w.nii.gz as in BIDS.")
    empty = _folders(root) - {(visit.participant, visit.session) for visit in visits}
    everybody = {visit.participant for visit in visits} | {participant for participant, _session in empty}
    wanted = everybody if participants is None else {_label("sub", name) for name in participants}
    missing = [Row(participant, session, FAILED, _NO_IMAGES) for participant, session in empty if participant in wanted]
    missing += [Row(name, None, FAILED, _UNKNOWN) for name in wanted - everybody]
    by_name: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        if visit.participant in wanted:
            by_name[visit.name].append(visit)
    twice = [_twice(several, root) for several in by_name.values() if len(several) > 1]
    return [several[0] for several in by_name.values() if len(several) == 1], [*missing, *twice]


def _twice(visits: Sequence[Visit], root: Path) -> Row:
    """The row of visits of one name, whose maps would overwrite each other."""
    folders = [next(iter(visit.files.values())).parent.relative_to(root).as_posix() for visit in visits]
    return Row(visits[0].participant, visits[0].session, FAILED, _TWICE.format(", ".join(folders)))


def _folders(root: Path) -> set[tuple[str, str | None]]:
    """Labels of the visits that BIDS' folders announce."""
    found: set[tuple[str, str | None]] = set()
    for folder in root.glob("sub-*/"):
        sessions = [session.name for session in folder.glob("ses-*/")]
        found |= {(_label("sub", folder.name), _label("ses", name)) for name in sessions} or {(_label("sub", folder.name), None)}
    return found


def table(rows: Sequence[Row], earlier: Sequence[Mapping[str, str]] | None = None) -> str:
    """Rows as tab-separated values, n/a where there is none, as BIDS writes tables. T1 and T2 are in ms.

    Of the ``earlier`` lines of the table, those of other visits stay.
    """
    columns = [_COLUMNS.get(column.name, column.name) for column in fields(Row)]
    lines = [dict(zip(columns, ("n/a" if value in (None, "") else str(value) for value in astuple(row)), strict=True)) for row in rows]
    by_visit = {(line[columns[0]], line[columns[1]]): line for line in [*(earlier or ()), *lines]}
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="n/a", extrasaction="ignore", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(by_visit[visit] for visit in sorted(by_visit))
    return text.getvalue()


def _earlier(path: Path) -> list[dict[str, str]]:
    """The lines of a table that is there; none of one that this command did not write. Raises OSError."""
    if not path.exists():
        return []
    lines = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8", errors="replace")), delimiter="\t")
    keys = [_COLUMNS["participant"], _COLUMNS["session"]]
    return [dict(line) for line in lines if all(line.get(key) for key in keys)]


@contextmanager
def _alone_at_table(out: Path, patience: Patience) -> Iterator[None]:
    """Wait until no other run writes the table: those of a cluster's array of jobs may end in the same moment. Raises OSError."""
    lock, end = out / f"{TEMPORARY}{TABLE}", time.monotonic() + patience.table
    while True:
        try:
            lock.mkdir()
            break
        except FileExistsError:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
    try:
        yield
    finally:
        with suppress(OSError):  # another run that has waited too long has removed it
            lock.rmdir()


def _visit(session: Session) -> Visit:
    """A session with BIDS labels: those of its files' names, else of its folders."""
    names = " ".join([*(path.name for path in session.files.values()), session.name])
    subject, visit = (re.search(rf"\b{key}-([A-Za-z0-9]+)", names.replace("_", " ")) for key in ("sub", "sess?"))
    rest = "" if subject else session.name.removeprefix(session.subject)
    label = visit[1] if visit else re.sub("[^A-Za-z0-9]", "", rest)
    participant = _label("sub", subject[1] if subject else session.subject)
    return Visit(participant, _label("ses", label) if label else None, session.files, session.notes)


def _label(key: str, name: str) -> str:
    """BIDS' label: the key and letters and figures only."""
    return f"{key}-{re.sub('[^A-Za-z0-9]', '', name.removeprefix(f'{key}-'))}"
