"""``physmrisynth estimate`` and ``demo``: tissue maps from a patient's images."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EstimationError, ProtocolError
from ..headers.roles import ROLES
from ..workflow.estimation.more_inputs import MORE_ROLES
from ..workflow.estimation.order import EstimateOrder
from ..workflow.estimation.verdict import Level
from .arguments import positive
from .cohort import EXIT_DO_NOT_USE, estimate_data_set
from .dry_run import show_visit
from .estimate_text import protocol_lines, tissue_lines
from .orders import add_field, order_from
from .progress import progress_bar

if TYPE_CHECKING:
    from ..imaging.intake.acquisition import Acquisition
    from ..workflow.estimation.estimate import Estimate


def add_estimate(parser: argparse.ArgumentParser) -> None:
    """The options of ``estimate``, which sets ``command`` to what runs it."""
    _add_inputs(parser)
    parser.add_argument(
        "--also", nargs=3, action="append", default=[], metavar=("ROLE", "FILE", "SPEC"),
        help=f"a further input ({', '.join(MORE_ROLES)}) with its protocol; may be repeated",
    )  # fmt: skip
    parser.add_argument("--session", type=Path, metavar="DIR", help="a visit's folder: BIDS, OASIS-3, DICOM, or names with T1w, T2w, FLAIR")
    parser.add_argument("--out", type=Path, help="folder for the maps, or for the derivatives")
    add_field(parser, EstimateOrder, "spacing_mm", "--spacing", metavar="MM", help="maps at isotropic voxels over the reference's extent")
    parser.add_argument("--dry-run", action="store_true", help="only show the protocols, their sources and the best verdict to expect")
    cohort = parser.add_argument_group("many visits")
    cohort.add_argument("--bids", type=Path, metavar="ROOT", help="every visit of a data set; complete visits in --out are kept")
    cohort.add_argument("--participants", nargs="+", metavar="LABEL", help="only these participants (sub-01 or 01)")
    cohort.add_argument("--jobs", type=positive, default=1, metavar="N", help="number of visits at a time (1)")
    cohort.add_argument("--scheduler", metavar="ADDRESS", help="dask scheduler whose workers to use, such as tcp://host:8786")
    parser.set_defaults(command=_estimate)


def add_demo(parser: argparse.ArgumentParser) -> None:
    """The options of ``demo``, which sets ``command`` to what runs it."""
    _add_inputs(parser)
    parser.add_argument("--out", type=Path, default=Path("physmrisynth-demo"))
    parser.set_defaults(command=_demo)


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    for role in ROLES:
        parser.add_argument(f"--{role}", type=Path, metavar="FILE")
        parser.add_argument(
            f"--{role}-protocol", metavar="SPEC", help="preset or sequence,TR=…,TE=… (ms, degrees); default: the header's, else assumed"
        )
    parser.add_argument("--allow-contrast-agent", action="store_true", help="accept a contrast-enhanced T1w image, with a warning")
    parser.add_argument("--field-strength", type=float, metavar="TESLA", help="default: from the headers, else 3")
    parser.add_argument("--reference", choices=ROLES, help="input whose grid the maps get (T1w, else T2w, else FLAIR)")
    parser.add_argument(
        "--register",
        action=argparse.BooleanOptionalAction,
        default=EstimateOrder.register,
        help="register the inputs (default: only where grids differ or images moved)",
    )
    add_field(parser, EstimateOrder, "prior")
    add_field(parser, EstimateOrder, "weights", metavar="FILE", help="weights of one's own training in place of the installed network")
    add_field(parser, EstimateOrder, "device", help="auto: the network on a GPU if one works, the rest on the CPU")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--strict", action="store_true", help=f"exit code {EXIT_DO_NOT_USE} if the verdict is 'do not use'")


def _order(options: argparse.Namespace) -> EstimateOrder:
    specs = {role: getattr(options, f"{role}_protocol") for role in ROLES}
    return order_from(options, EstimateOrder, protocols={role: spec for role, spec in specs.items() if spec is not None})


def _estimate(options: argparse.Namespace) -> int:
    order = _order(options)
    if options.out is None and not options.dry_run:
        raise EstimationError("Give the folder for the maps with --out.")
    if options.bids is not None:
        if options.also:
            raise EstimationError("--also is for one visit. Leave it out with --bids.")
        return estimate_data_set(options, order)
    if options.participants or options.scheduler or options.jobs > 1:
        raise EstimationError("--participants, --jobs and --scheduler are for a data set. Give its folder with --bids.")
    if options.dry_run:
        return show_visit(_files(options), order, _more(options))
    from ..workflow.estimation.inputs import read_acquisitions
    from ..workflow.estimation.more_inputs import read_more
    from ..workflow.results.outputs import check_free, check_inputs_survive, write_estimate

    check_free(options.out, options.overwrite)
    start = time.perf_counter()
    files = _files(options)
    with progress_bar() as bar:
        bar("read the images", 0.0)
        acquisitions = [*read_acquisitions(files, order), *read_more(_more(options), order)]
    check_inputs_survive(acquisitions, options.out)
    estimate = _run(acquisitions, order)
    with progress_bar() as bar:
        bar("write the maps", 0.0)
        write_estimate(estimate, options.out, options.overwrite)
    print(f"Tissue maps in {options.out} after {time.perf_counter() - start:.0f} s. Look first at {options.out / 'report.html'}")
    return _judged(estimate, options)


def _judged(estimate: Estimate, options: argparse.Namespace) -> int:
    """Print the verdict, and return the exit code that follows from it."""
    print(f"Verdict: {estimate.verdict.sentence}")
    return EXIT_DO_NOT_USE if options.strict and estimate.verdict.level is Level.DO_NOT_USE else 0


def _more(options: argparse.Namespace) -> list[tuple[str, Path, str]]:
    return [(role, Path(file), spec) for role, file, spec in options.also]


def _files(options: argparse.Namespace) -> dict[str, Path | None]:
    """The images by role: those that are given, else those of the session's folder, of which it is said what was taken."""
    given: dict[str, Path | None] = {role: getattr(options, role) for role in ROLES}
    if options.session is None:
        return given
    from ..imaging.intake.sessions import find_session

    session = find_session(options.session)
    print(*session.notes, *(f"{role}: {path}" for role, path in session.files.items() if given[role] is None), sep="\n")
    return {role: path or session.files.get(role) for role, path in given.items()}


def _run(acquisitions: Sequence[Acquisition], order: EstimateOrder) -> Estimate:
    """Estimate with a progress bar, then say what the user must know."""
    from ..workflow.estimation.estimate import estimate_tissue_maps
    from ..workflow.estimation.inputs import field_strength_of

    strength, source = field_strength_of(acquisitions, order.field_strength)
    assumed = source == "assumed"
    hint = ": give --field-strength if it is another" if assumed else ""
    print(f"field strength: {strength:g} T ({source}{hint})", file=sys.stderr if assumed else sys.stdout)
    print(*protocol_lines(acquisitions), sep="\n")
    with progress_bar() as bar:
        estimate = estimate_tissue_maps(acquisitions, order, bar)
    for warning in estimate.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    print(*tissue_lines(estimate), sep="\n")
    for name, check in estimate.checks.items():
        print(f"fit of {name}: residual {check.rms_percent:.1f} % of its bright tissue")
    return estimate


def _demo(options: argparse.Namespace) -> int:
    from ..workflow.estimation.inputs import read_acquisitions
    from ..workflow.examples.demo import example_acquisitions, write_demo
    from ..workflow.results.outputs import check_free, check_inputs_survive

    check_free(options.out, options.overwrite)
    order, own = _order(options), {role: getattr(options, role) for role in ROLES}
    truth = None
    if any(own.values()):
        acquisitions = read_acquisitions(own, order)
        check_inputs_survive(acquisitions, options.out)
    else:
        if order.protocols:
            raise ProtocolError("The example has protocols of its own. Give --t1w, --t2w or --flair with their protocols.")
        print("Simulating the embedded example: a head of known PD, T1 and T2 …")
        with progress_bar() as bar:
            bar("simulate the example", 0.0)
            truth, acquisitions = example_acquisitions()
    estimate = _run(acquisitions, order)
    with progress_bar() as bar:
        bar("render the contrasts and write all", 0.0)
        lines = write_demo(estimate, truth, options.out, options.overwrite)
    print(*lines, sep="\n")
    return _judged(estimate, options)
