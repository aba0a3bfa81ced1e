"""Convert an estimate into the worker's result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..estimation.estimate import Estimate
from ..results.report import estimate_report
from ..sampling.sample import SampledHead
from .jobs import Result


def result_of(estimate: Estimate) -> Result:
    """The result of an estimate; its report is the maps' provenance too."""
    report = estimate_report(estimate)
    maps = replace(estimate.maps, provenance=report)
    residuals = {name: _residual(estimate, name) for name in estimate.fits}
    return Result(maps, dict(estimate.fits), residuals, estimate.tissue, estimate.brain, report)


def result_of_sample(head: SampledHead) -> Result:
    """The result of a sampled head: it has no inputs to compare with."""
    return Result(head.maps, {}, {}, head.tissue, head.brain, head.report)


def _residual(estimate: Estimate, name: str) -> np.ndarray:
    """The aligned input minus its fit, in the input's units; 0 outside the head and where the input does not cover it."""
    seen = estimate.maps.mask & estimate.alignments[name].covered
    return np.where(seen, estimate.inputs[name] - estimate.fits[name], np.float32(0.0))
