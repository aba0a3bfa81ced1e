"""The table of ``docs/validation/inputs.md``: what becomes of each defect, errors against the truth, and the first reason that is given.

``PYTHONPATH=PhysMRISynth:Testing python Testing/validation/inputs.py [--step 2] [--prior literature] [--only WORDS]`` prints the table as
Markdown. It also runs on versions without a verdict, whose first warning then stands in the last column.
"""

from __future__ import annotations

import argparse
import logging
import time
from typing import Any

import numpy as np
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.known_head import KnownHead, map_errors
from PhysMRISynthLib.workflow.estimate import estimate_tissue_maps
from validation.defects import DEFECTS, Defect, acquisitions, clean_scans, known_head

_SHOWN = 110


def outcome(defect: Defect, head: KnownHead, prior: str) -> tuple[str, str, str]:
    """Errors (median of brain tissue in %, T1 T2 PD), verdict, and what is said first."""
    try:
        found: Any = estimate_tissue_maps(acquisitions(defect.change(clean_scans(head), head)), prior=prior)
    except PhysMRISynthError as error:
        return "–", "refused", str(error)
    errors = map_errors(found.maps, head)["brain"]
    shown = " ".join(f"{errors[name]:.1f}" for name in ("T1", "T2", "PD"))
    if not all(np.isfinite(errors[name]) for name in ("T1", "T2", "PD")):
        shown = "NaN"
    if not hasattr(found, "verdict"):
        return shown, "–", found.warnings[0] if found.warnings else ""
    return shown, found.verdict.level.value, found.verdict.reasons[0].sentence if found.verdict.reasons else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=float, default=2.0, help="mm between voxels (2)")
    parser.add_argument("--prior", default="literature", choices=("literature", "network", "auto"))
    parser.add_argument("--only", help="only defects with these words in their name")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    head = known_head(options.step)
    print("| defect | errors T1 T2 PD, % | verdict | said first | seconds |\n|---|---|---|---|---|")
    for defect in DEFECTS:
        if options.only and options.only not in defect.name:
            continue
        start = time.perf_counter()
        errors, verdict, told = outcome(defect, head, options.prior)
        told = told if len(told) <= _SHOWN else f"{told[:_SHOWN]}…"
        print(f"| {defect.name} | {errors} | {verdict} | {told} | {time.perf_counter() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
