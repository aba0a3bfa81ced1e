"""Cohorts in one contrast: ``physmrisynth render --bids``, ``complete`` and ``match``."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EstimationError, ProtocolError
from ..headers.roles import ROLES
from ..workflow.rendering.order import RenderOrder
from ..workflow.rendering.scanner_effects import ScannerEffects
from .arguments import positive
from .orders import order_from
from .progress import progress_bar

if TYPE_CHECKING:
    from ..workflow.cohort.data_set import Batch
    from ..workflow.cohort.visit import Row


def add_cohort_options(parser: argparse.ArgumentParser) -> None:
    """Which visits, and how many at a time."""
    cohort = parser.add_argument_group("many visits")
    cohort.add_argument("--participants", nargs="+", metavar="LABEL", help="only these participants (sub-01 or 01)")
    cohort.add_argument("--jobs", type=positive, default=1, metavar="N", help="number of visits at a time (1)")
    cohort.add_argument("--scheduler", metavar="ADDRESS", help="dask scheduler whose workers to use, such as tcp://host:8786")


def add_complete(parser: argparse.ArgumentParser) -> None:
    """The options of ``complete``, which sets ``command`` to what runs it."""
    parser.description = "Render the contrasts (T1w, T2w, FLAIR) that visits lack, from their maps; never among the acquired images."
    parser.add_argument("--bids", type=Path, required=True, metavar="ROOT", help="the data set of acquired images")
    parser.add_argument("--maps", type=Path, required=True, metavar="DERIVATIVES", help="its maps, from 'estimate --bids'")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new data set for the rendered images")
    for role in ROLES:
        parser.add_argument(f"--{role}-protocol", metavar="SPEC", help="default: the most common one in the cohort")
    parser.add_argument("--overwrite", action="store_true")
    add_cohort_options(parser)
    parser.set_defaults(command=_complete)


def add_match(parser: argparse.ArgumentParser) -> None:
    """The options of ``match``, which sets ``command`` to what runs it."""
    parser.description = "Find the protocol of a sequence whose rendering is nearest to a given image of the same head."
    parser.add_argument("--image", type=Path, required=True, metavar="TARGET", help="the image to match")
    parser.add_argument("--maps", type=Path, required=True, metavar="DIR", help="maps of the same head")
    parser.add_argument("--sequence", required=True, metavar="NAME", help="sequence family: mprage, spgr, se, tse, flair …")
    parser.add_argument("--register", action=argparse.BooleanOptionalAction, default=None, help="default: only where grids differ")
    parser.set_defaults(command=_match)


def render_data_set(options: argparse.Namespace) -> None:
    """``render --bids``: every visit of a derivative in the same protocol. Raises EstimationError after the last one when some failed."""
    from ..workflow.cohort.harmonise import render_cohort

    if options.snr is not None:
        raise ProtocolError("--snr is for one image. Leave it out with --bids.")
    if order_from(options, ScannerEffects).any:
        raise ProtocolError("Scanner effects are for one image. Leave them out with --bids.")
    if options.protocol is None or options.null:
        raise ProtocolError("A data set is rendered in one protocol for all visits. Give it with --protocol, and leave out --null.")
    _told(options, lambda batch: render_cohort(options.bids, options.out, [order_from(options, RenderOrder, null=())], batch))


def _complete(options: argparse.Namespace) -> None:
    from ..physics.presets import protocol_from_spec
    from ..workflow.cohort.harmonise import complete_cohort

    specs = {role: getattr(options, f"{role}_protocol") for role in ROLES}
    for spec in filter(None, specs.values()):
        protocol_from_spec(spec)  # refused before the first visit
    _told(options, lambda batch: complete_cohort(options.bids, options.maps, options.out, specs, batch))


def _told(options: argparse.Namespace, run: Callable[[Batch], list[Row]]) -> None:
    """Run a cohort with a line for each visit."""
    from ..workflow.cohort.data_set import TABLE, Batch
    from ..workflow.cohort.thumbnails import INDEX
    from ..workflow.cohort.visit import FAILED

    start = time.perf_counter()
    with progress_bar() as bar:

        def done(row: Row, count: int, total: int) -> None:
            bar.close()
            name = "_".join(label for label in (row.participant, row.session) if label)
            print(f"{count} of {total}: {name} {row.status}{f': {row.reason}' if row.reason else ''}", flush=True)
            bar(f"{count} of {total} visits", count / total)

        rows = run(Batch(options.participants, options.jobs, options.scheduler, options.overwrite, done))
    counts = Counter(row.status for row in rows)
    words = ", ".join(f"{count} {status}" for status, count in counts.items())
    print(f"{words} after {time.perf_counter() - start:.0f} s. Table: {options.out / TABLE}; pictures: {options.out / INDEX}")
    if counts[FAILED]:
        raise EstimationError(f"{counts[FAILED]} of {len(rows)} visits failed; the table says why. Run again: what is complete is kept.")


def _match(options: argparse.Namespace) -> None:
    from ..imaging.intake.volumes import read_volume
    from ..workflow.analysis.match import match_protocol
    from ..workflow.results.map_set import read_map_set

    target, head = read_volume(options.image), read_map_set(options.maps)
    with progress_bar() as bar:
        bar("match", 0.0)
        found = match_protocol(target.image, head, options.sequence, options.register)
    for warning in found.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    print(f"{found.protocol.spec}\nThe image rendered with it differs from {options.image.name} by {found.residual_percent:.1f} %.")
