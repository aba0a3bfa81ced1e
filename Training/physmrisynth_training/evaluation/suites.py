"""The evaluation suites by name, and running them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PhysMRISynthLib.errors import PhysMRISynthError

from . import contrasts, distributions, harmonise, inputs, maps, measured, reconstruction, retest, series, visits, volumes
from .plan import Plan
from .results import Findings, read_results, write_findings


@dataclass(frozen=True)
class Suite:
    """``check`` raises PhysMRISynthError if requirements of ``measure`` are missing; ``settings`` are the relevant fields of the plan."""

    check: Callable[[Plan], None]
    measure: Callable[[Plan], Findings]
    settings: tuple[str, ...] = ()


def _check_samples(plan: Plan) -> None:
    """Estimates can be evaluated without torch, samples cannot."""
    try:
        from . import samples
        from .heads import suite
    except ImportError as error:
        raise PhysMRISynthError(f"Evaluating samples needs {error.name}. Install physmrisynth[training].") from None
    (samples if plan.people is None else suite).check(plan)


def _measure_samples(plan: Plan) -> Findings:
    from . import samples
    from .heads import suite

    return (samples if plan.people is None else suite).measure(plan)


def _check_segmenting(plan: Plan) -> None:
    """Its networks need torch."""
    try:
        import monai  # noqa: F401

        from .heads import segmenting
    except ImportError as error:
        raise PhysMRISynthError(f"Training a network to segment needs {error.name}. Install physmrisynth[training].") from None
    segmenting.check(plan)


def _measure_segmenting(plan: Plan) -> Findings:
    from .heads import segmenting

    return segmenting.measure(plan)


def _check_paper(plan: Plan) -> None:
    """The 2D model needs torch, too."""
    try:
        from .paper import suite
    except ImportError as error:
        raise PhysMRISynthError(f"Evaluating the paper's model needs {error.name}. Install physmrisynth[training].") from None
    suite.check(plan)


def _measure_paper(plan: Plan) -> Findings:
    from .paper import suite

    return suite.measure(plan)


SUITES = {
    "contrasts": Suite(contrasts.check, contrasts.measure),
    "retest": Suite(retest.check, retest.measure),
    "distributions": Suite(distributions.check, distributions.measure, ("heads", "step")),
    "reconstruction": Suite(reconstruction.check, reconstruction.measure, ("heads", "step")),
    "maps": Suite(maps.check, maps.measure, ("heads", "acquisitions", "noise_percent", "seeds", "step")),
    "volumes": Suite(volumes.check, volumes.measure, ("heads",)),
    "harmonise": Suite(harmonise.check, harmonise.measure),
    "inputs": Suite(inputs.check, inputs.measure, ("heads", "seeds", "step")),
    "visits": Suite(visits.check, visits.measure, ("heads", "seeds", "step")),
    "series": Suite(series.check, series.measure),
    "measured": Suite(measured.check, measured.measure),
    "samples": Suite(_check_samples, _measure_samples, ("samples",)),
    "segmenting": Suite(_check_segmenting, _measure_segmenting),
    "paper": Suite(_check_paper, _measure_paper, ("slices",)),
}
"""The quick ones first: each suite's results are written as soon as it has finished."""
ALL, _APART = "all", ("volumes", "harmonise", "inputs", "visits", "series", "measured", "samples", "segmenting", "paper")


def suites_named(name: str) -> list[str]:
    """The suites named by ``name``; "all" are those on the maps themselves. Raises PhysMRISynthError for an unknown one."""
    if name != ALL and name not in SUITES:
        raise PhysMRISynthError(f"There is no suite '{name}': use {', '.join(SUITES)} or {ALL}.")
    return [suite for suite in SUITES if suite not in _APART] if name == ALL else [name]


def evaluate(plan: Plan, names: Sequence[str], out: Path) -> None:
    """Run suites one after the other and write their findings into the folder ``out``; entries of other suites there are kept.

    Raises PhysMRISynthError, before anything runs, when data or packages are missing or ``out`` holds something else's results.
    """
    read_results(out)
    for name in names:
        SUITES[name].check(plan)
    for name in names:
        suite = SUITES[name]
        write_findings(out, name, suite.measure(plan), plan.settings(suite.settings), plan.notes)
