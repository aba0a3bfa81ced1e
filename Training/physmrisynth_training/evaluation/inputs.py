"""Suite ``inputs``: effect of further inputs on the maps of simulated heads: PD-weighted, a second T1w, dual echo, STIR."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.physics.equations import T2_STAR_RATIO
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import BRAIN_TISSUE, PROPERTIES, tissue_table

from ..simulator.standard_acquisition import PROTOCOLS, standard_acquisition
from .drawing import page, save
from .plan import Plan, progress_bar
from .results import Findings, Table
from .subjects import check_heads, head_notes, simulated_head

MORE = {
    "pdw": Protocol.of("tse", "suite inputs", TR=3000, TE=14),
    "t1w_2": Protocol.of("spgr", "suite inputs", TR=50, TE=4, FA=30),
    "t2w_2": Protocol.of("tse", "suite inputs", TR=3000, TE=85),
    "flair_2": Protocol.of("ir", "suite inputs", TR=4000, TE=40, TI=200),
    "inv1": Protocol.of("mp2rage_inv1", "suite inputs"),
    "inv2": Protocol.of("mp2rage_inv2", "suite inputs"),
    "t2starw": Protocol.of("spgr", "suite inputs", TR=600, TE=20, FA=20),
}
SETS = (
    ("t1w", "t2w"), ("t1w", "t2w", "pdw"), ("t1w", "t2w", "t1w_2"), ("t1w", "pdw", "t2w_2"), ("t1w", "t2w", "t2starw"), ("inv1", "inv2"),
    ("inv1", "inv2", "t2w"), ("t1w", "t2w", "flair"), ("t1w", "t2w", "flair", "pdw"), ("t1w", "t2w", "flair", "t1w_2"),
    ("t1w", "t2w", "flair", "flair_2"), ("t1w", "t2w", "flair", "t2starw"), ("inv1", "inv2", "t2w", "flair"),
)  # fmt: skip
R2_PRIME = {"white_matter": (6.0, 2.0), "cortex": (5.0, 2.0), "deep_grey": (10.0, 4.0), "thalamus": (7.0, 2.5), "csf": (0.8, 0.4)}
"""Mean and SD over heads of R2' = 1/T2* − 1/T2 (1/s) in the simulated T2* weighted image: from T2* of 53 and 66 ms in white and cortical
grey matter (as in ``nuisances.json``); nuclei hold iron. The fit knows none of these."""
_LEAST_R2_PRIME = 0.3
_NOTES = (
    "Median absolute error over brain tissue, in % of the truth, mean over heads and draws. Standard test acquisition, and with the same "
    f"gains, receive fields and noise {', '.join(f'{name}: {protocol.spec}' for name, protocol in MORE.items())}. "
    "pdw with t2w_2 is a dual-echo spin echo; inv1 with inv2 is an MP2RAGE without its uniform image. In t2starw 1/T2* − 1/T2 differs "
    f"among tissues and heads ({', '.join(f'{name} {mean:g} ± {sd:g}' for name, (mean, sd) in R2_PRIME.items())} 1/s).",
)
_NAMES = [tissue.name for tissue in tissue_table()]
Record = dict[str, Any]


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if a head of the plan is not available."""
    check_heads(plan)


def measure(plan: Plan) -> Findings:
    """Errors with every set of inputs."""
    records: list[Record] = []
    with progress_bar(len(plan.heads) * plan.seeds * len(SETS) * len(plan.estimators), "inputs") as bar:
        for number, head in enumerate(plan.heads):
            for seed in range(plan.seeds):
                known = simulated_head(plan, head, seed)
                t2_star = _dephased(known.truth, MORE["t2starw"], np.random.default_rng([number, seed]))
                shown = {**PROTOCOLS, **MORE, "t2starw": t2_star}
                images = standard_acquisition(known.truth.maps, copy.deepcopy(known.state), shown)
                every = {n: Acquisition(n, volume_from_image(image), {**PROTOCOLS, **MORE}[n]) for n, image in images.items()}
                brain = np.isin(known.truth.tissue, [_NAMES.index(name) for name in BRAIN_TISSUE])
                for prior in plan.estimators:
                    for names in SETS:
                        maps = plan.estimate(prior, [every[n] for n in names], 3.0, f"{known.name}, {' + '.join(names)}").maps
                        true = known.truth.maps
                        pairs = {"PD": (maps.pd, true.pd), "T1": (maps.t1, true.t1), "T2": (maps.t2, true.t2)}
                        errors = {p: float(100.0 * np.median(np.abs(a[brain] / b[brain] - 1.0))) for p, (a, b) in pairs.items()}
                        records.append({"head": known.name, "seed": seed, "prior": prior, "inputs": list(names), "error_percent": errors})
                        bar.update()
    return Findings(records, [_table(records)], [*head_notes(plan), *_NOTES], partial(_draw, records))


def _dephased(head: KnownHead, protocol: Protocol, rng: np.random.Generator) -> Protocol:
    """The protocol with the T2*/T2 of every voxel (z, y, x) of a head."""
    ratios = np.full(head.tissue.shape, T2_STAR_RATIO, dtype=np.float32)
    for name, (mean, sd) in R2_PRIME.items():
        where = head.tissue == _NAMES.index(name)
        rate = max(_LEAST_R2_PRIME, rng.normal(mean, sd)) / 1000.0
        ratios[where] = 1.0 / (1.0 + rate * head.maps.t2[where])
    return replace(protocol, imperfections={"t2_star_ratio": ratios})  # type: ignore[dict-item]


def _mean(records: Sequence[Mapping[str, Any]], prior: str, names: Sequence[str], quantity: str) -> float:
    return float(np.mean([r["error_percent"][quantity] for r in records if r["prior"] == prior and r["inputs"] == list(names)]))


def _table(records: Sequence[Record]) -> Table:
    rows = [
        (prior, " + ".join(names), *(f"{_mean(records, prior, names, p):.1f}" for p in PROPERTIES))
        for prior in dict.fromkeys(r["prior"] for r in records)
        for names in SETS
    ]
    return Table("Effect of further inputs", ("prior", "inputs", *(f"{p} %" for p in PROPERTIES)), tuple(rows))


def _draw(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Errors by set of inputs."""
    figure, axes = page(1, 1, 7.0, 3.4)
    for place, quantity in enumerate(PROPERTIES):
        errors = [_mean(records, records[0]["prior"], names, quantity) for names in SETS]
        axes[0, 0].barh(np.arange(len(SETS)) + 0.27 * (place - 1), errors, 0.25, label=quantity)
    axes[0, 0].set_yticks(range(len(SETS)), [" + ".join(names) for names in SETS], fontsize=7)
    axes[0, 0].invert_yaxis()
    axes[0, 0].set_xlabel("median error in brain tissue (%)")
    axes[0, 0].legend(fontsize=7, frameon=False)
    save(figure, path)
