"""The table of ``docs/validation/inputs.md``: what becomes of each defect and of heads that no atlas expects, errors against the truth, the
first reason that is given, and in how many cases that names the true cause.

``python Testing/validation/inputs.py [--small] [--step 2] [--prior literature] [--only WORDS]`` prints the table as Markdown, with the
checkout, its PhysMRISynth and its Training in PYTHONPATH.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.known_head import KnownHead, map_errors
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.validation.anatomies import ANATOMIES, unequal_halves
from Testing.validation.defects import DEFECTS, ROLES, Defect, Scans, acquisitions, clean_scans, known_head
from Testing.validation.other_defects import OTHERS

_SHOWN = 110


STRANGE = {"tumour": "look like no tissue", "cavity": "look like no tissue", "hydrocephalus": "", "newborn": "smaller than an adult's"}
"""Words of the first reason that name the true cause, by anatomy; empty where there is nothing to tell."""


@dataclass(frozen=True)
class Case:
    """Scans of a known head, and the words that must be ``told`` first."""

    name: str
    head: KnownHead
    scans: Callable[[], Scans]
    told: str
    roles: tuple[str, ...] = ROLES


def cases(step_mm: float | None) -> Iterator[Case]:
    """Every defect on one head (None: the small one), then heads of other anatomies."""
    head = unequal_halves(small_head()) if step_mm is None else known_head(step_mm)
    for defect in (*DEFECTS, *OTHERS):
        yield Case(defect.name, head, partial(_changed, defect, head), defect.told)
    for name, told in STRANGE.items():
        strange = ANATOMIES[name](head).head
        yield Case(name, strange, partial(clean_scans, strange), told)
        if name == "tumour":
            yield Case(f"{name}, T1w and T2w", strange, partial(clean_scans, strange), told, ROLES[:2])


def _changed(defect: Defect, head: KnownHead) -> Scans:
    return defect.change(clean_scans(head), head)


def outcome(case: Case, prior: str) -> tuple[str, str, str]:
    """Errors (median of brain tissue in %, T1 T2 PD), verdict, and what is said first."""
    try:
        scans = {role: scan for role, scan in case.scans().items() if role in case.roles}
        found = estimate_tissue_maps(acquisitions(scans), EstimateOrder(prior=prior))
    except PhysMRISynthError as error:
        return "–", "refused", str(error)
    return _errors(found.maps, case.head), found.verdict.level.value, found.verdict.reasons[0].sentence if found.verdict.reasons else ""


def _errors(maps: TissueMaps, head: KnownHead) -> str:
    if maps.mask.shape != head.tissue.shape:  # of a head that was cut off
        return "–"
    errors = map_errors(maps, head)["brain"]
    return " ".join(f"{errors[name]:.1f}" for name in ("T1", "T2", "PD"))  # also where one is NaN


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the head of the atlas at 4 mm, every voxel one tissue: the quickest")
    parser.add_argument("--step", type=float, default=2.0, help="mm between voxels (2)")
    parser.add_argument("--prior", default="literature", choices=("literature", "network", "auto"))
    parser.add_argument("--only", help="only defects with these words in their name")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| case | errors T1 T2 PD, % | verdict | said first | true cause | seconds |\n|---|---|---|---|---|---|")
    right = []
    for case in cases(None if options.small else options.step):
        if options.only and options.only not in case.name:
            continue
        start = time.perf_counter()
        errors, verdict, told = outcome(case, options.prior)
        right.append(case.told in told if case.told else not told)
        shown = told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
        mark = "yes" if right[-1] else "no"
        print(f"| {case.name} | {errors} | {verdict} | {shown} | {mark} | {time.perf_counter() - start:.0f} |", flush=True)
    print(f"\nThe true cause, or nothing where there is none, is said first in {sum(right)} of {len(right)} cases.")


if __name__ == "__main__":
    main()
