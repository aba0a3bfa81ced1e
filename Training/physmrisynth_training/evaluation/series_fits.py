"""Full fits of measured series by standard methods: the references for estimates from two or three of the images."""

from __future__ import annotations

import numpy as np

_STEP = 0.004
"""Step of the logarithm of a time between trial values."""
_INVERSION = (1.7, 2.3)
_T1_MS, _T2_MS = (50.0, 6000.0), (5.0, 3000.0)


def inversion_recovery_t1(images: np.ndarray, inversion_times: np.ndarray) -> np.ndarray:
    """T1 (ms) of magnitudes (times, N) by |a + b·exp(−TI/T1)|, a and b free: the inversion need not be perfect (Barral et al., Magn Reson
    Med 64:1057, 2010). The better sign of the smallest image by least squares; NaN if −b/a is not about 2, as after an inversion."""
    order = np.argsort(inversion_times)
    times, images = inversion_times[order], images[order].astype(float)
    lowest = images.argmin(axis=0)
    number = np.arange(len(times))[:, None]
    signed = [np.where(number < lowest + flipped, -images, images) for flipped in (0, 1)]
    best, found = np.full(images.shape[1], np.inf), np.ones(images.shape[1])
    for t1 in _trials(*_T1_MS):
        design = np.stack([np.ones_like(times), np.exp(-times / t1)], axis=1)
        for y in signed:
            best, found = _better(best, found, _residual(design, y), t1)
    decay = np.exp(-times[:, None] / found)
    fits = [_line(decay, y) for y in signed]
    offset, slope = np.where(fits[0][2] <= fits[1][2], fits[0][:2], fits[1][:2])
    low, high = _INVERSION
    return np.where((-slope > low * offset) & (-slope < high * offset), found, np.nan)


def _line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Offset, slope and residual sum of squares (3, N) of straight lines through N sets of points (points, N)."""
    across, up = x - x.mean(axis=0), y - y.mean(axis=0)
    slope = (across * up).sum(axis=0) / (across**2).sum(axis=0)
    return np.stack([y.mean(axis=0) - slope * x.mean(axis=0), slope, ((up - slope * across) ** 2).sum(axis=0)])


def spin_echo_t2(images: np.ndarray, echo_times: np.ndarray) -> np.ndarray:
    """T2 (ms) of magnitudes (echoes, N) by least squares of S·exp(−TE/T2) over all echoes."""
    images = images.astype(float)
    best, found = np.full(images.shape[1], np.inf), np.ones(images.shape[1])
    for t2 in _trials(*_T2_MS):
        best, found = _better(best, found, _residual(np.exp(-echo_times / t2)[:, None], images), t2)
    return found


def _trials(shortest: float, longest: float) -> np.ndarray:
    return np.exp(np.arange(np.log(shortest), np.log(longest), _STEP))


def _residual(design: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Residual sum of squares (N,) of a linear model (images, terms)."""
    q, _ = np.linalg.qr(design)
    return (y**2).sum(axis=0) - ((q.T @ y) ** 2).sum(axis=0)


def _better(best: np.ndarray, found: np.ndarray, left: np.ndarray, value: float) -> tuple[np.ndarray, np.ndarray]:
    lower = left < best
    return np.where(lower, left, best), np.where(lower, value, found)


def variable_flip_angle_t1(images: np.ndarray, degrees: np.ndarray, tr: float, transmit: np.ndarray) -> np.ndarray:
    """T1 (ms) of spoiled gradient echoes (angles, N) by the line of S/sin over S/tan (Fram et al., Magn Reson Imaging 5:201, 1987);
    ``transmit`` (N,) scales the angles. NaN where the line has no such slope."""
    angles = np.radians(degrees)[:, None] * transmit
    x, y = images / np.tan(angles), images / np.sin(angles)
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    slope = (x * y).sum(axis=0) / np.maximum((x * x).sum(axis=0), 1e-12)
    possible = (slope > 0.0) & (slope < 1.0)
    return np.where(possible, -tr / np.log(np.where(possible, slope, 0.5)), np.nan)


def dual_angle_t1(pd_weighted: np.ndarray, t1_weighted: np.ndarray, degrees: tuple[float, float], tr: tuple[float, float]) -> np.ndarray:
    """T1 (ms) of two spoiled gradient echoes of small angles (Helms et al., Magn Reson Med 59:667, 2008); NaN without a solution."""
    a, b = np.radians(degrees)
    rate = 0.5 * (t1_weighted * b / tr[1] - pd_weighted * a / tr[0]) / np.maximum(pd_weighted / a - t1_weighted / b, 1e-9)
    return np.where(rate > 0, 1.0 / np.where(rate > 0, rate, 1.0), np.nan)
