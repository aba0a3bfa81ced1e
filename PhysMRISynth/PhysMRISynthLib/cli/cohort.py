"""``physmrisynth estimate --bids``: every visit of a data set."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import EstimationError
from ..headers.roles import ROLES
from ..workflow.estimation.verdict import Level
from .dry_run import show_data_set
from .progress import progress_bar

if TYPE_CHECKING:
    from ..workflow.cohort.visit import Row
    from ..workflow.estimation.order import EstimateOrder


EXIT_DO_NOT_USE = 3
"""With ``--strict``, where maps were written that are not to be used."""


def estimate_data_set(options: argparse.Namespace, order: EstimateOrder) -> int:
    """Estimate the visits of ``options.bids`` and return the exit code. Raises EstimationError after the last one when some failed."""
    if options.session is not None or any(getattr(options, role) for role in ROLES):
        raise EstimationError("--bids takes its images from the data set. Leave --session, --t1w, --t2w and --flair out.")
    if options.dry_run:
        return show_data_set(options.bids, options.participants, order)
    from ..workflow.cohort.data_set import TABLE, Batch, estimate_cohort
    from ..workflow.cohort.visit import FAILED

    start = time.perf_counter()
    with progress_bar() as bar:

        def done(row: Row, count: int, total: int) -> None:
            bar.close()
            print(f"{count} of {total}: {_told(row)}", flush=True)
            bar(f"{count} of {total} visits", count / total)

        batch = Batch(options.participants, options.jobs, options.scheduler, options.overwrite, done)
        rows = estimate_cohort(options.bids, options.out, order, batch)
    counts = Counter(row.status for row in rows)
    print(*_summary(rows), sep="\n")
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{told} after {time.perf_counter() - start:.0f} s: {options.out / TABLE}")
    if counts[FAILED]:
        raise EstimationError(f"{counts[FAILED]} of {len(rows)} visits failed; the table says why. Run again: what is complete is kept.")
    unusable = sum(row.verdict == Level.DO_NOT_USE for row in rows)
    if unusable:
        print(f"{unusable} of {len(rows)} visits have maps that are not to be used; their reports say why.")
    return EXIT_DO_NOT_USE if options.strict and unusable else 0


def _told(row: Row) -> str:
    """A row in words."""
    name = "_".join(label for label in (row.participant, row.session) if label)
    seconds = "" if row.seconds is None else f" in {row.seconds:.0f} s"
    return f"{name} {row.status}{seconds}{f': {row.reason}' if row.reason else ''}"


def _summary(rows: Sequence[Row]) -> list[str]:
    """The table as the terminal shows it: T1 and T2 of white matter in ms."""
    head = ("participant", "session", "status", "inputs", "T1 WM", "T2 WM", "verdict", "reason")
    cells = [head] + [
        (
            row.participant, row.session or "", row.status, row.inputs,
            *("" if value is None else f"{value:g}" for value in (row.white_matter_t1, row.white_matter_t2)), row.verdict,
            row.reason,
        )
        for row in rows
    ]  # fmt: skip
    widths = [max(len(line[column]) for line in cells) for column in range(len(head) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip() for line in cells]
