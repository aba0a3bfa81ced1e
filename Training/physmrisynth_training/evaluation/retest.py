"""Suite ``retest``: differences of the tissue medians between a real patient's two visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.physics.tissues import PROPERTIES
from PhysMRISynthLib.workflow.estimation.tissue_medians import UNITS, Medians

from .drawing import COLOURS, page, save
from .plan import Plan, progress_bar
from .results import Findings, Table
from .subjects import PATIENT_12, PROTOCOLS_DOUBTFUL, Subject, check_patient, patient_12

_VISITS = (1, 2)
_NOTES = (
    "Medians over the voxels that are more probably of a tissue than not, at two visits of one MS patient at 1.5 T (3 mm slices). The "
    "difference is that of the second visit from the first, in % of their mean; it holds the scanner's, the patient's and the method's own "
    f"change. {PROTOCOLS_DOUBTFUL} A prior that dominates repeats well too: small differences are necessary, not sufficient.",
)
Record = dict[str, Any]


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if one of the visits' scans is missing."""
    for visit in _VISITS:
        check_patient(plan, f"{PATIENT_12}/visit{visit}")


def measure(plan: Plan) -> Findings:
    """Tissue medians of both visits and their relative difference."""
    return compare(plan, patient_12(plan, _VISITS[0]), patient_12(plan, _VISITS[1]))


def compare(plan: Plan, first: Subject, second: Subject) -> Findings:
    """The suite on any two scans of one head."""
    records: list[Record] = []
    with progress_bar(2 * len(plan.estimators), "retest") as bar:
        for prior in plan.estimators:
            medians = []
            for subject in (first, second):
                medians.append(plan.estimate(prior, subject.acquisitions, subject.field_strength, subject.name).medians)
                bar.update()
            records += _differences(prior, *medians)
    table = Table(
        f"{first.name} against {second.name}",
        ("prior", "tissue", "property", "first", "second", "difference %"),
        tuple(
            (r["prior"], r["tissue"].replace("_", " "), f"{r['property']} ({UNITS[r['property']]})", f"{r['first']:g}", f"{r['second']:g}",
             f"{r['difference_percent']:+.1f}")
            for r in records
        ),
    )  # fmt: skip
    return Findings(records, [table], _NOTES, partial(_draw, records, list(plan.estimators)))


def _differences(prior: str, first: Medians, second: Medians) -> list[Record]:
    """One record per tissue and property that both visits have."""
    return [
        {
            "prior": prior, "tissue": tissue, "property": p, "first": values[p], "second": second[tissue][p],
            "difference_percent": 200.0 * (second[tissue][p] - values[p]) / (second[tissue][p] + values[p]),
        }
        for tissue, values in first.items()
        if tissue in second
        for p in PROPERTIES
    ]  # fmt: skip


def _draw(records: Sequence[Mapping[str, Any]], priors: Sequence[str], path: Path) -> None:
    """Relative differences by tissue, one panel per property."""
    figure, axes = page(1, len(PROPERTIES), 4.0, 3.0)
    tissues = list(dict.fromkeys(r["tissue"] for r in records))
    width = 0.8 / len(priors)
    greatest = 1.15 * max((abs(r["difference_percent"]) for r in records), default=1.0) or 1.0
    for ax, p in zip(axes[0], PROPERTIES, strict=True):
        for number, prior in enumerate(priors):
            found = {r["tissue"]: r["difference_percent"] for r in records if r["prior"] == prior and r["property"] == p}
            places = np.array([tissues.index(t) for t in found]) + width * (number - (len(priors) - 1) / 2)
            ax.bar(places, list(found.values()), width, color=COLOURS.get(prior), label=prior)
        ax.set_xticks(range(len(tissues)), [t.replace("_", "\n") for t in tissues])
        ax.axhline(0, color="black", linewidth=0.8)
        ax.tick_params(labelsize=7)
        ax.set_ylim(-greatest, greatest)
        ax.set_title(f"{p}: second visit over first (%)", fontsize=9)
    axes[0, 0].legend(loc="upper right", fontsize=7, frameon=False)
    save(figure, path)
