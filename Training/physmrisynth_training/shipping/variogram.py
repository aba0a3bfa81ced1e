"""Variograms: half the mean squared difference of values some distance apart, and the smooth noise that explains them.

Unlike a covariance, a variogram does not depend on what was subtracted as the mean. Noise of variance v and correlation 1/4 at a width
w, as :func:`~PhysMRISynthLib.imaging.smooth.smooth_noise` makes it, has v (1 - 4^-(h/w)²) at distance h.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

LAGS_MM = (1, 2, 3, 4, 5, 6, 8, 10, 12)
_LEAST_PAIRS = 0.03
"""Of those at 1 mm: distances with fewer say little."""


def squared_differences(voxels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums of half the squared differences of ``values`` (n,) at ``voxels`` (n, 3) along the three axes, and their numbers, for each of
    LAGS_MM: (2, lags)."""
    start = voxels.min(axis=0)
    volume = np.full(voxels.max(axis=0) - start + 1, np.nan, dtype=np.float32)
    volume[tuple((voxels - start).T)] = values
    return np.stack([_at(volume, lag) for lag in LAGS_MM], axis=1)


def _at(volume: np.ndarray, lag: int) -> np.ndarray:
    found = np.zeros(2)
    for axis in range(3):
        lines = np.moveaxis(volume, axis, 0)
        difference = (lines[lag:] - lines[:-lag]).ravel()
        difference = difference[np.isfinite(difference)]
        found += [0.5 * float(difference @ difference), difference.size]
    return found


def variogram(sums: np.ndarray) -> np.ndarray:
    """(lags,) from the sums of :func:`squared_differences` of many people; NaN where there are too few pairs."""
    total, pairs = sums
    return np.divide(total, pairs, out=np.full(len(pairs), np.nan), where=pairs > _LEAST_PAIRS * pairs[0])


def rise(width: float, lags: Sequence[float] = LAGS_MM) -> np.ndarray:
    """The variogram (lags,) of smooth noise of variance 1."""
    return 1.0 - 4.0 ** -((np.asarray(lags, dtype=float) / width) ** 2)


def fitted(measured: np.ndarray, widths: Sequence[float], noise: np.ndarray) -> tuple[np.ndarray, float]:
    """Variances (widths,) of the smooth noises, and that of the scan's noise with variogram ``noise`` (lags,; 1 far away, NaN: unknown),
    whose sum is nearest to the variogram ``measured``. A width beyond the measured distances has no variance."""
    used = np.isfinite(measured) & np.isfinite(noise)
    known = [place for place, width in enumerate(widths) if width <= np.array(LAGS_MM)[used].max()]
    columns = np.stack([*(rise(widths[place]) for place in known), noise], axis=1)
    *variances, rough = nnls(columns[used], measured[used])[0]
    found = np.zeros(len(widths))
    found[known] = variances
    return found, float(rough)
