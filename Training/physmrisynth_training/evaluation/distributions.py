"""Suite ``distributions``: T1 and T2 in the brain with and without the prior, as in the paper's Figure 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.physics.tissues import tissue_table

from ..simulator.standard_acquisition import NOISE
from .drawing import COLOURS, page, save
from .plan import Plan, progress_bar
from .refit import fit_without_prior
from .results import Findings, Table
from .subjects import Subject, check_heads, has_patient_07, head_notes, patient_07, simulated_head

WITHOUT = "without prior"
TRUTH = "truth"
_PROPERTIES = ("T1", "T2")
_HIGHEST_SHOWN = {"T1": 5000.0, "T2": 400.0}
_BINS = 100
PERCENTILES = (5, 25, 50, 75, 95)
_PUBLISHED = ("white_matter", "cortex")
_NOTES = (
    "T1 and T2 (ms) of all voxels in the brain mask, fluid included. 'Without prior' is the fit of the same images in which every voxel "
    "has one broad log-normal prior (a factor of e about PD 75 %, T1 1000 ms, T2 100 ms: the paper's medians of T1 and T2) instead of a "
    "tissue's; gains, receive fields and echo times are those of the literature's estimate (of the network's where it is alone), since "
    "without them proton density cannot be separated from brightness. Published: the tissue table's medians of white matter and cortex at "
    "the field strength.",
)
Record = dict[str, Any]


@dataclass(frozen=True)
class Distribution:
    """T1 and T2 (ms; N voxels each) of one ``subject`` by one ``method``."""

    subject: str
    method: str
    values: Mapping[str, np.ndarray]


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if the plan's first head is not available."""
    check_heads(plan)


def measure(plan: Plan) -> Findings:
    """The first simulated head, with its truth, and the real patient at 3 T if the data folder holds the scans."""
    subjects = [simulated_head(plan, plan.heads[0], 0).scan(100.0 * NOISE)]
    if has_patient_07(plan):
        subjects.append(patient_07(plan))
    return compare(plan, subjects)


def compare(plan: Plan, subjects: Sequence[Subject]) -> Findings:
    """The suite on any subjects with inputs on one grid."""
    found: list[Distribution] = []
    with progress_bar(len(subjects) * len(plan.estimators), "distributions") as bar:
        for subject in subjects:
            found += _distributions(plan, subject, bar)
    records = [_record(d) for d in found]
    strengths = {subject.name: subject.field_strength for subject in subjects}
    return Findings(records, [_table(records, strengths)], [*_NOTES, *head_notes(plan)], partial(_draw, found, strengths))


def _distributions(plan: Plan, subject: Subject, bar: Any) -> list[Distribution]:
    estimates = {}
    for prior in plan.estimators:
        estimates[prior] = plan.estimate(prior, subject.acquisitions, subject.field_strength, subject.name)
        bar.update()
    base = estimates.get("literature") or next(iter(estimates.values()))
    brain = subject.brain_of(base)
    found = [Distribution(subject.name, prior, {"T1": e.maps.t1[brain], "T2": e.maps.t2[brain]}) for prior, e in estimates.items()]
    _, t1, t2 = fit_without_prior(base, subject.acquisitions, brain)
    found.append(Distribution(subject.name, WITHOUT, {"T1": t1, "T2": t2}))
    if subject.truth is not None:
        maps = subject.truth.maps
        found.append(Distribution(subject.name, TRUTH, {"T1": maps.t1[brain], "T2": maps.t2[brain]}))
    return found


def _record(d: Distribution) -> Record:
    percentiles = {p: dict(zip(map(str, PERCENTILES), np.percentile(v, PERCENTILES).tolist(), strict=True)) for p, v in d.values.items()}
    histograms = {
        p: {"upper_edge": _HIGHEST_SHOWN[p], "counts": np.histogram(v, _BINS, (0.0, _HIGHEST_SHOWN[p]))[0].tolist()}
        for p, v in d.values.items()
    }
    return {"subject": d.subject, "method": d.method, "percentiles": percentiles, "histograms": histograms}


def published_medians(field_strength: float) -> dict[str, dict[str, float]]:
    """T1 and T2 medians (ms) of white matter and cortex."""
    table = {tissue.name: np.exp(tissue.theta) for tissue in tissue_table(field_strength)}
    return {name: {"T1": float(table[name][1]), "T2": float(table[name][2])} for name in _PUBLISHED}


def _table(records: Sequence[Record], strengths: Mapping[str, float]) -> Table:
    columns = ("subject", "method", *(f"{p} at {q} %" for p in _PROPERTIES for q in PERCENTILES))
    rows = []
    for subject, strength in strengths.items():
        for record in (r for r in records if r["subject"] == subject):
            values = [f"{record['percentiles'][p][str(q)]:.0f}" for p in _PROPERTIES for q in PERCENTILES]
            rows.append((subject, record["method"], *values))
        for tissue, medians in published_medians(strength).items():
            values = [f"{medians[p]:.0f}" if q == 50 else "" for p in _PROPERTIES for q in PERCENTILES]
            rows.append((subject, f"published: {tissue.replace('_', ' ')} at {strength:g} T", *values))
    return Table("Percentiles over the brain's voxels (ms)", columns, tuple(rows))


def _draw(found: Sequence[Distribution], strengths: Mapping[str, float], path: Path) -> None:
    """Per subject a histogram of T1 and one of T2; the dashed lines are published medians."""
    figure, axes = page(len(strengths), len(_PROPERTIES), 5.2, 3.2)
    for line, (subject, strength) in zip(axes, strengths.items(), strict=True):
        for ax, p in zip(line, _PROPERTIES, strict=True):
            for d in (d for d in found if d.subject == subject):
                ax.hist(
                    d.values[p], _BINS, range=(0.0, _HIGHEST_SHOWN[p]), weights=np.full(d.values[p].size, 100.0 / d.values[p].size),
                    histtype="step", color=COLOURS.get(d.method), label=d.method, linestyle=":" if d.method == TRUTH else "-",
                )  # fmt: skip
            for tissue, medians in published_medians(strength).items():
                ax.axvline(medians[p], color="black", linewidth=0.8, linestyle="--")
                side = "right" if tissue == _PUBLISHED[0] else "left"
                ax.text(
                    medians[p], 0.97, f" {tissue.replace('_', ' ')} ", transform=ax.get_xaxis_transform(), fontsize=6, va="top", ha=side
                )
            ax.set_title(f"{p} in the brain: {subject}", fontsize=9)
            ax.set_xlabel(f"{p} (ms)", fontsize=8)
            ax.set_ylabel("% of voxels a bin", fontsize=8)
            ax.tick_params(labelsize=7)
    axes[0, 0].legend(loc="upper right", fontsize=7, frameon=False)
    save(figure, path)
