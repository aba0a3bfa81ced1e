"""The fit check: how well the maps explain the images that they were estimated from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST_GOOD_RESIDUAL = 5.0
"""Per cent of the input's 99th percentile. Simulated heads with 1 % noise leave 1 to 2 % in voxels of 1 mm, and up to 4.4 % in voxels of
2 mm, which hold several tissues more often."""


@dataclass(frozen=True)
class FitCheck:
    """Residual of one input over the brain: ``rms_percent`` of the input's 99th percentile there, and a ``warning`` or None."""

    rms_percent: float
    bias_percent: float
    warning: str | None


def check_fit(observed: np.ndarray, fitted: np.ndarray, brain: np.ndarray) -> FitCheck:
    """Compare an input with its re-rendering over the ``brain``; all three arrays of one shape."""
    if not brain.any():
        return FitCheck(float("nan"), float("nan"), "No brain was found here: the maps are not to be trusted.")
    residual = observed[brain] - fitted[brain]
    scale = float(np.percentile(np.abs(observed[brain]), 99)) or 1.0
    rms = 100.0 * float(np.sqrt(np.mean(residual**2))) / scale
    bias = 100.0 * float(np.mean(residual)) / scale
    if rms <= LARGEST_GOOD_RESIDUAL:
        return FitCheck(rms, bias, None)
    warning = (
        f"the image made from the maps differs from this one by {rms:.1f} % of its bright tissue (good fits: under "
        f"{LARGEST_GOOD_RESIDUAL:g} %). "
        "Check its protocol, that it shows the same patient, and for motion or contrast agent."
    )
    return FitCheck(rms, bias, warning)
