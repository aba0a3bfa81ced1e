"""Suite ``maps``: errors of PD, T1 and T2 against the truth on simulated heads, for every subset of inputs and noise level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.imaging.head.known_head import coverage, map_errors
from PhysMRISynthLib.physics.tissues import BRAIN_TISSUE, PROPERTIES

from ..simulator.acquisitions import ACQUISITIONS, STANDARD
from ..simulator.standard_acquisition import INFORMATION_BOUND, PROTOCOLS
from .drawing import COLOURS, page, save
from .plan import EXAMPLE, Plan, progress_bar
from .results import PROPERTIES_APART, Findings, Table
from .subjects import SimulatedHead, check_heads, head_notes, simulated_head, title

SUBSETS = tuple(chain.from_iterable(combinations(PROTOCOLS, count) for count in (3, 2, 1)))
TISSUES = (*BRAIN_TISSUE, "csf")
Record = dict[str, Any]
_NOTES = (
    "Median absolute error in % of the truth over voxels; mean over heads and draws, the worst of them in brackets. Noise in % of an "
    "image's 99th percentile. 68 % within one SD would be exact.",
    "× is the error over the information bound, which was derived for the standard acquisition's three inputs without voxel noise: fewer "
    "inputs have less information, and single draws scatter around it.",
)


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if a head of the plan is not available."""
    check_heads(plan)


def measure(plan: Plan, subsets: Sequence[tuple[str, ...]] = SUBSETS) -> Findings:
    """Errors and interval coverage of every head, draw, noise level, subset of inputs and prior."""
    records = list(_records(plan, subsets))
    groups = {name: members for name, members in _groups(plan, records).items() if members}
    tables = [table for name, members in groups.items() for table in _tables(name, members, plan, subsets)]
    acquired = [f"Acquisition {name}: {ACQUISITIONS[name]}" for name in plan.acquisitions]
    return Findings(records, tables, [*_NOTES, *acquired, *head_notes(plan)], partial(_draw, groups, plan, subsets))


def _records(plan: Plan, subsets: Sequence[tuple[str, ...]]) -> Iterator[Record]:
    total = len(plan.heads) * plan.seeds * len(plan.acquisitions) * len(plan.noise_percent) * len(subsets) * len(plan.estimators)
    with progress_bar(total, "maps") as bar:
        for seed, acquisition, noise, simulated in _scans(plan):
            subject = simulated.scan(noise, acquisition)
            for names, prior in product(subsets, plan.estimators):
                case = f"{subject.name}, draw {seed}, {' + '.join(names)}, noise {noise:g} %{_by(acquisition)}"
                found = plan.estimate(prior, subject.only(names), subject.field_strength, case).maps
                yield {
                    "head": subject.name, "seed": seed, "acquisition": acquisition, "noise_percent": noise, "inputs": list(names),
                    "prior": prior,
                    "error_percent": map_errors(found, simulated.truth),
                    "within_one_sd_percent": coverage(found, simulated.truth),
                }  # fmt: skip
                bar.update()


def _scans(plan: Plan) -> Iterator[tuple[int, str, float, SimulatedHead]]:
    """Every draw of every head by every acquisition at every noise level."""
    for head, seed in product(plan.heads, range(plan.seeds)):
        simulated = simulated_head(plan, head, seed)
        for acquisition, noise in product(plan.acquisitions, plan.noise_percent):
            yield seed, acquisition, noise, simulated


def _groups(plan: Plan, records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records to average, by group: the example's anatomy and every acquisition are separate groups."""
    labelled = tuple(title(head) for head in plan.heads if head != EXAMPLE)
    return {
        f"{', '.join(heads)}{_by(acquisition)}": [r for r in records if r["head"] in heads and r["acquisition"] == acquisition]
        for heads in (labelled, (title(EXAMPLE),))
        for acquisition in plan.acquisitions
    }


def _by(acquisition: str) -> str:
    return "" if acquisition == STANDARD else f", acquisition {acquisition}"


def _tables(name: str, records: Sequence[Record], plan: Plan, subsets: Sequence[tuple[str, ...]]) -> list[Table]:
    priors = list(plan.estimators)
    compared = ("network / literature (PD / T1 / T2)",) if set(priors) == {"network", "literature"} else ()
    whole, parts = [], []
    for names in subsets:
        for noise in plan.noise_percent:
            runs = {prior: _runs(records, names, noise, prior) for prior in priors}
            start = (" + ".join(names), f"{noise:g}")
            cells = [cell for prior in priors for cell in (*_errors(runs[prior], "brain"), _coverages(runs[prior]))]
            whole.append((*start, *cells, *(_ratios(runs, "brain") for _ in compared)))
            for tissue in TISSUES:
                if all(tissue in run["error_percent"] for prior in priors for run in runs[prior]):
                    cells = [cell for prior in priors for cell in _bound_ratios(runs[prior], tissue)]
                    parts.append((*start, tissue.replace("_", " "), *cells, *(_ratios(runs, tissue) for _ in compared)))
    values = [f"{prior}: {p} %" for prior in priors for p in PROPERTIES]
    columns = [c for i, p in enumerate(priors) for c in (*values[3 * i : 3 * i + 3], f"{p}: within one SD % (PD / T1 / T2)")]
    heading = ("inputs", "noise %")
    return [
        Table(f"Brain tissue, {name}", (*heading, *columns, *compared), tuple(whole)),
        Table(f"By tissue, {name} (× the information bound)", (*heading, "tissue", *values, *compared), tuple(parts)),
    ]


def _runs(records: Sequence[Record], names: Sequence[str], noise: float, prior: str) -> list[Record]:
    return [r for r in records if r["inputs"] == list(names) and r["noise_percent"] == noise and r["prior"] == prior]


def _of(runs: Sequence[Record], tissue: str, p: str) -> np.ndarray:
    """Errors of the runs in %."""
    return np.array([run["error_percent"][tissue][p] for run in runs])


def _errors(runs: Sequence[Record], tissue: str) -> list[str]:
    worst = [f" ({_of(runs, tissue, p).max():.1f})" if len(runs) > 1 else "" for p in PROPERTIES]
    return [f"{_of(runs, tissue, p).mean():.1f}{w}" for p, w in zip(PROPERTIES, worst, strict=True)]


def _bound_ratios(runs: Sequence[Record], tissue: str) -> list[str]:
    means = [_of(runs, tissue, p).mean() for p in PROPERTIES]
    return [f"{mean:.1f} ({mean / bound:.1f}×)" for mean, bound in zip(means, INFORMATION_BOUND[tissue], strict=True)]


def _coverages(runs: Sequence[Record]) -> str:
    return PROPERTIES_APART.join(f"{np.mean([run['within_one_sd_percent'][p] for run in runs]):.0f}" for p in PROPERTIES)


def _ratios(runs: Mapping[str, Sequence[Record]], tissue: str) -> str:
    """Error with the network over error with the literature prior."""
    return PROPERTIES_APART.join(
        f"{_of(runs['network'], tissue, p).mean() / max(_of(runs['literature'], tissue, p).mean(), 1e-9):.2f}" for p in PROPERTIES
    )


def _draw(groups: Mapping[str, Sequence[Record]], plan: Plan, subsets: Sequence[tuple[str, ...]], path: Path) -> None:
    """Per group of heads: error over brain tissue by inputs and noise, and error by tissue from all inputs with the bound."""
    figure, axes = page(2 * len(groups), len(PROPERTIES), 4.6, 2.9)
    for row, (name, members) in enumerate(groups.items()):
        for column, p in enumerate(PROPERTIES):
            _draw_subsets(axes[2 * row, column], members, p, plan, subsets)
            _draw_tissues(axes[2 * row + 1, column], members, p, plan, subsets[0])
            axes[2 * row, column].set_title(f"{p}, brain tissue: {name}", fontsize=9)
            axes[2 * row + 1, column].set_title(f"{p} by tissue, all inputs: {name}", fontsize=9)
    handles = [handle for row in (0, 1) for handle in axes[row, 0].get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    for ax in axes.ravel():
        ax.tick_params(labelsize=7)
        ax.set_ylim(bottom=0)
        ax.set_ylabel("median absolute error (%)", fontsize=7)
    save(figure, path)


def _draw_subsets(ax: Any, records: Sequence[Record], p: str, plan: Plan, subsets: Sequence[tuple[str, ...]]) -> None:
    """Larger rings mean more noise."""
    ring = {"linestyle": "", "marker": "o", "markeredgewidth": 1.5, "fillstyle": "none"}
    places = np.arange(len(subsets))
    for number, prior in enumerate(plan.estimators):
        shift = 0.12 * (number - (len(plan.estimators) - 1) / 2)
        for level, noise in enumerate(sorted(plan.noise_percent)):
            means = [_of(_runs(records, names, noise, prior), "brain", p).mean() for names in subsets]
            label = f"{prior}, noise {noise:g} %"
            ax.plot(places + shift, means, **ring, color=COLOURS.get(prior), markersize=3 + 2 * level, label=label)
    ax.set_xticks(places, ["\n".join(names) for names in subsets])
    ax.set_xlim(-0.5, len(subsets) - 0.5)
    ax.grid(axis="y", alpha=0.3)


def _draw_tissues(ax: Any, records: Sequence[Record], p: str, plan: Plan, names: tuple[str, ...]) -> None:
    noise = sorted(plan.noise_percent)[len(plan.noise_percent) // 2]
    shown = [t for t in TISSUES if all(t in r["error_percent"] for r in records)]
    places, width = np.arange(len(shown)), 0.8 / len(plan.estimators)
    for number, prior in enumerate(plan.estimators):
        runs = _runs(records, names, noise, prior)
        shift = width * (number - (len(plan.estimators) - 1) / 2)
        heights = [_of(runs, t, p).mean() for t in shown]
        ax.bar(places + shift, heights, width, color=COLOURS.get(prior), label=f"{prior}, noise {noise:g} %")
    bounds = [INFORMATION_BOUND[t][PROPERTIES.index(p)] for t in shown]
    ax.hlines(bounds, places - 0.45, places + 0.45, color="black", label="information bound")
    ax.set_xticks(places, [t.replace("_", "\n") for t in shown])
