"""Suite ``paper``: the 2D model's ablation as in Table 1 with errors of its maps, the 3D methods beside it, and its samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.whole_file import whole_file

from ..maps import SUBSETS
from ..plan import Plan, progress_bar
from ..results import Findings
from ..similarity import check_metrics
from . import figures, tables
from .runs import TrainedRun, read_diffusions, read_runs
from .samples import Samples, compare_samples
from .scores import image_records, map_errors
from .slices import KnownSlices, known_slices
from .whole_heads import SUBSETS_3D, Reconstruction, reconstructions

Record = dict[str, Any]
_SEED = 0
_FORMAT = 2
"""Of the scores that are kept."""


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if MONAI, the scans or the runs are missing."""
    check_metrics()
    if plan.scans is None or plan.runs is None:
        raise PhysMRISynthError(
            "The suite 'paper' needs scans with true maps and runs of the 2D model. Give folders with --scans and --runs."
        )
    read_runs(plan.runs)


def measure(plan: Plan) -> Findings:
    """Everything that the runs allow; what takes long is kept in a folder ``evaluated`` beside the runs: a stopped suite resumes."""
    assert plan.scans is not None and plan.runs is not None
    cache = plan.runs / "evaluated"
    chosen = known_slices(plan.scans, cache / "scans", 2 * plan.slices, _SEED)
    slices, others = zip(*(those.alternate() for those in chosen), strict=True)
    runs = {run.name: run for run in read_runs(plan.runs)}
    records = _ablation(list(runs.values()), slices, cache / "scores")
    best = tables.best_run(records, list(runs.values()))
    records += _beside(plan, slices, cache / "estimates")
    shown = {name: [runs[name].reconstruct(those)[ROLES] for those in slices] for name in (best, *_counterpart(runs[best], runs))}
    diffusions = sorted(read_diffusions(plan.runs), key=lambda model: model.of not in runs or not runs[model.of].prior)
    samples = compare_samples(plan, diffusions, slices, others, shown[best], cache / "virtual") if diffusions else None
    maps = _maps_by_method(shown, slices, samples)
    made = [
        *(table(records, list(runs.values())) for table in (tables.ablation, tables.similarity, tables.map_errors)),
        *tables.beside(records, best),
        tables.distributions(maps), *([tables.bright(samples), tables.frechet(samples)] if samples else []),
        tables.cost(list(runs.values()), diffusions),
    ]  # fmt: skip
    return Findings(
        [*(run.description() | {"kind": "run"} for run in runs.values()), *records, *(samples.records() if samples else [])],
        made, tables.notes(slices, best, samples), partial(figures.draw_errors, records, best),
        of={"runs_sha256": " ".join(f"{name}: {run.sha256[:12]}" for name, run in runs.items())},
        figures={
            **({"maps": partial(figures.draw_maps, samples), "contrasts": partial(figures.draw_contrasts, samples)} if samples else {}),
            "distributions": partial(figures.draw_distributions, maps),
            "reconstructions": partial(figures.draw_reconstructions, slices, shown[best]),
        },
    )  # fmt: skip


def _ablation(runs: Sequence[TrainedRun], slices: Sequence[KnownSlices], cache: Path) -> list[Record]:
    """The scores of all runs on all slices from every subset of inputs, kept in the folder ``cache``."""
    records: list[Record] = []
    measured = [_FORMAT, [[those.scans.path.name, those.planes.tolist()] for those in slices]]
    planes = hashlib.sha256(json.dumps(measured).encode()).hexdigest()
    with progress_bar(len(runs) * len(slices), "paper") as bar:
        for run in runs:
            path = cache / f"{run.name}-{run.sha256[:12]}-{planes[:12]}.json"
            if not path.exists():
                found = []
                for those in slices:
                    for names, made in run.reconstruct(those, SUBSETS).items():
                        found += _scores(run.name, names, made, those)
                    bar.update()
                cache.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as temporary:
                    temporary.write_text(json.dumps(found), encoding="utf-8")
            records += json.loads(path.read_text(encoding="utf-8"))
    return records


def _scores(method: str, names: Sequence[str], found: Reconstruction, slices: KnownSlices) -> list[Record]:
    """Errors of the maps, and similarity of the images, also of those that were not inputs where a method gives them."""
    of = {"method": method, "inputs": list(names)}
    errors = {"kind": "maps", **of, "subject": slices.name, "error_percent": map_errors(found.maps, slices)}
    return [errors, *({"kind": "images", **of, **record} for record in image_records(found, slices))]


def _beside(plan: Plan, slices: Sequence[KnownSlices], cache: Path) -> list[Record]:
    """Scores of the 3D methods."""
    records: list[Record] = []
    with progress_bar(len(slices), "paper, 3D") as bar:
        for those in slices:
            for names in SUBSETS_3D:
                for method, found in reconstructions(plan, plan.estimators, those, names, cache):
                    records += _scores(method, names, found, those)
            bar.update()
    return records


def _counterpart(best: TrainedRun, runs: Mapping[str, TrainedRun]) -> list[str]:
    """The run that differs from the best one in the prior and in as little else as there is; none if all are alike in it."""
    others = [run for run in runs.values() if run.prior != best.prior]
    return [min(others, key=lambda run: sum(a != b for a, b in zip(run.switches, best.switches, strict=True))).name] if others else []


def _maps_by_method(
    shown: Mapping[str, Sequence[Reconstruction]], slices: Sequence[KnownSlices], samples: Samples | None
) -> dict[str, np.ndarray]:
    """PD, T1 and T2 (3, N, y, x) whose distributions are compared."""
    found = {f"reconstructions, {name}": np.concatenate([r.maps for r in those], axis=1) for name, those in shown.items()}
    found["truth"] = np.concatenate([those.truth for those in slices], axis=1)
    return ({f"samples, {name}": maps for name, maps in samples.maps.items()} if samples else {}) | found
