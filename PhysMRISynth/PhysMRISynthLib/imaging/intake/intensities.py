"""Processed intensities, recognised in the image itself before the fit.

A signal equation needs a magnitude image in which zero is no signal: a factor and a smooth field are allowed; an offset, a power, an
equalised histogram or clipped values are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

_WRAPPED_LOW, _WRAPPED_HIGH, _WRAP = -16_384.0, 31_000.0, 65_536.0
_ZERO_MEAN, _UNIT = 0.1, 0.02
"""Limits for a z-scored image: |mean| over SD, and deviation of its SD from 1 (over all voxels, or those outside the background)."""
_NEGATIVE_SHARE = 0.05
_BESIDE_BRIGHTEST, _MOST_WRAPPED, _LEAST_VOXELS = 0.5, 0.3, 50
"""Share of strongly negative voxels next to one of the brightest, which only wrapped numbers have."""
_FLAT, _FLAT_FROM = 0.03, (0.3, 0.5)
"""Greatest distance of an equalised histogram from a uniform one, from these shares of the 99.5th percentile on (scans: 0.06 to 0.5)."""
_CORNER = 0.08
"""Fraction of each side of the volume: blocks in its corners show air."""
_BRIGHT_AIR, _GREY_AIR = 0.25, 0.04
"""Air over the 99th percentile of the signal: above the first it is as bright as tissue, above the second it may have an offset."""
_RAYLEIGH, _MANY_CHANNELS = 2.4, 12.0
"""Mean over SD of the noise in air: 1.9 in a magnitude image of one receive channel, 11 in a sum of 64."""
_COMPRESSED = 2.5
"""Noise of tissue over that of air: 3 to 10 in scans (structure counts as noise), less after a power or a logarithm."""
_SOME_CLIPPED, _MUCH_CLIPPED, _MUCH_ZERO = 0.003, 0.03, 0.03
"""Shares of the brain at the image's highest value, and at exactly 0."""
_RANGES, _FULL = (256.0, 4_096.0, 65_536.0), 0.99
"""Of unsigned numbers of 8, 12 and 16 bits; numbers that begin again at 0 reach at least this share of theirs."""
_TOP, _BOTTOM, _FALLEN, _LEAST_TOP = 0.9, 0.1, 0.08, 200
"""Relative to the range: bright and dark voxels. This share of the brain's bright ones has a dark neighbour where 0.5 % of the brain or
more were wrapped (0.1 to 0.8); in whole T1w and T2w images 0.05 at most, but 0.4 in a FLAIR, whose bright cortex lies beside dark fluid."""
HIGHEST = 0.9995
"""Relative to the highest value: tolerance for interpolation."""


@dataclass(frozen=True)
class Finding:
    """A processing step found in an image, as text with the remedy. ``severe``: its maps are wrong; ``hopeless``: it cannot be fitted."""

    text: str
    severe: bool = True
    hopeless: bool = False


def unwrapped(voxels: np.ndarray) -> np.ndarray | None:
    """The voxels, corrected, if unsigned 16-bit numbers were read as signed ones; else None.

    Such numbers reach both ends of the signed range, with almost none between 0 and the upper end's complement.
    """
    if not (voxels.min() < _WRAPPED_LOW and _WRAPPED_HIGH < voxels.max() <= _WRAP / 2):
        return None
    negative = voxels < 0.0
    if not (voxels[negative] < _WRAPPED_LOW).all() or not np.array_equal(voxels[negative], np.rint(voxels[negative])):
        return None
    return np.where(negative, voxels + np.float32(_WRAP), voxels)


def processed(voxels: np.ndarray, missing: np.ndarray | None = None) -> Finding | None:
    """Processing of a magnitude image's intensities (z, y, x; ``missing``: no data), recognised from all its voxels, or None."""
    data = voxels.reshape(-1) if missing is None else voxels[~missing]
    sample = data[:: max(1, data.size // 400_000)]
    positive = sample[sample > 0.0]
    if positive.size < 100:
        return None
    return _negative(voxels, sample) or _flat(positive) or _air(voxels, float(np.percentile(positive, 99)))


def fills_range(voxels: np.ndarray) -> float | None:
    """The range (256, 4096, 65536) that an image of whole numbers from 0 on uses up to its end, as wrapped numbers do; else None."""
    highest = float(voxels.max())
    levels = next((levels for levels in _RANGES if _FULL * levels <= highest < levels), None)
    return levels if levels is not None and voxels.min() >= 0.0 and np.array_equal(voxels, np.rint(voxels)) else None


def begun_again(voxels: np.ndarray, levels: float, brain: np.ndarray) -> Finding | None:
    """Numbers beyond ``levels`` that began again at 0, by dark voxels of the ``brain`` (z, y, x) beside the brightest ones, or None."""
    top = (voxels >= _TOP * levels) & brain
    count = np.count_nonzero(top)
    if count < _LEAST_TOP or np.count_nonzero(top & _beside((voxels <= _BOTTOM * levels) & brain)) < _FALLEN * count:
        return None
    return Finding(
        f"The darkest voxels of the brain lie beside the brightest: numbers beyond {levels - 1:.0f} were wrapped and began again at 0. "
        "Convert the image again with more bits (16, or floating-point numbers)."
    )


def cut_off(signal: np.ndarray, highest: float) -> Finding | None:
    """Clipping of the brain's ``signal`` (N,) in an image whose highest value is ``highest``, or None."""
    top, bottom = float((signal >= HIGHEST * highest).mean()), float((np.abs(signal) <= (1.0 - HIGHEST) * highest).mean())
    # around a brain that was extracted, what was cut off at 0 is not there any more; 1 is no scanner's highest value
    if top > _SOME_CLIPPED and (bottom > _SOME_CLIPPED or highest == 1.0):
        return Finding(
            "The intensities were rescaled between two percentiles and cut off at both: zero no longer means no signal. Give the image as "
            "the scanner made it."
        )
    if top > _SOME_CLIPPED:
        return Finding(
            f"{_per_cent(top)} of the brain is at the image's highest value, {highest:.5g}: brighter tissue was cut off. Export the image "
            "again with its full range (16 bits), or leave it out.",
            top > _MUCH_CLIPPED,
        )
    if bottom > _MUCH_ZERO:
        return Finding(
            f"{_per_cent(bottom)} of the brain is exactly 0, where it is dark: a noise floor or an offset was subtracted. Give the image "
            "as the scanner made it.",
            False,
        )
    return None


def saturation(voxels: np.ndarray) -> float | None:
    """The value at which an image was clipped: its highest one, if many bright voxels have it; else None."""
    highest = float(voxels.max())
    bright = int(np.count_nonzero(voxels > 0.5 * highest))
    return highest if np.count_nonzero(voxels >= highest) > max(_LEAST_VOXELS, _SOME_CLIPPED * bright) else None


def _negative(voxels: np.ndarray, sample: np.ndarray) -> Finding | None:
    negative = sample < 0.0
    if not negative.any():
        return None
    if any(_is_standardised(values) for values in (sample, sample[sample != 0.0])):  # everywhere, or in a brain with 0 around it
        return Finding(
            "The intensities were normalised to mean 0 and SD 1 (z-scores): zero no longer means no signal. Give the image as the "
            "scanner made it.",
            hopeless=True,
        )
    if _beside_brightest(voxels, float(np.percentile(sample, 99))):
        return Finding(
            "Negative voxels lie beside the brightest ones: large numbers were wrapped to negative ones in a conversion. Convert the "
            "image again with unsigned 16-bit or floating-point numbers.",
            hopeless=True,
        )
    return None


def _is_standardised(values: np.ndarray) -> bool:
    mean, sd = float(values.mean()), float(values.std())
    return bool((values < 0.0).mean() > _NEGATIVE_SHARE and abs(mean) < _ZERO_MEAN * sd and abs(sd - 1.0) < _UNIT)


def _beside_brightest(voxels: np.ndarray, bright: float) -> bool:
    """Whether strongly negative voxels are mostly next to one of the brightest."""
    low = voxels < -0.5 * bright
    if np.count_nonzero(low) < _LEAST_VOXELS or low.mean() > _MOST_WRAPPED:
        return False
    edge = low & _beside(voxels > 0.6 * float(voxels.max()))
    return bool(np.count_nonzero(edge) > _BESIDE_BRIGHTEST * np.count_nonzero(low & _has_other_neighbour(low)))


def _beside(mask: np.ndarray) -> np.ndarray:
    """The voxels next to one of a mask, by their faces."""
    near = np.zeros(mask.shape, dtype=bool)
    for axis in range(3):
        a, b = np.moveaxis(near, axis, 0), np.moveaxis(mask, axis, 0)
        a[1:] |= b[:-1]
        a[:-1] |= b[1:]
    return near


def _has_other_neighbour(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask that have a neighbour outside it."""
    inner = np.ones(mask.shape, dtype=bool)
    for axis in range(3):
        a, b = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        a[1:] &= b[:-1]
        a[:-1] &= b[1:]
    return ~inner


def _flat(positive: np.ndarray) -> Finding | None:
    top = float(np.percentile(positive, 99.5))
    for share in _FLAT_FROM:
        kept = np.sort(positive[(positive > share * top) & (positive < top)])
        if kept.size < 100:
            return None
        uniform = np.linspace(0.0, 1.0, kept.size)
        if np.abs((kept / top - share) / (1.0 - share) - uniform).max() > _FLAT:
            return None
    return Finding(
        "The histogram was equalised: all intensities are equally frequent. Give the image as the scanner made it.", hopeless=True
    )


def _air(voxels: np.ndarray, bright: float) -> Finding | None:
    """By the air in the volume's corners: its mean over the ``bright`` signal, and its noise."""
    size = [max(2, int(_CORNER * n)) for n in voxels.shape]
    ends = ((slice(0, n), slice(-n, None)) for n in size)
    corners = [voxels[corner] for corner in product(*ends)]
    mean, sd = (float(np.median([how(corner) for corner in corners])) for how in (np.mean, np.std))
    if mean <= _GREY_AIR * bright or sd <= 0.0:
        return None
    if mean > _BRIGHT_AIR * bright:
        return Finding(
            f"The air around the head is as bright as tissue ({_per_cent(mean / bright)} of the bright signal): this is not a magnitude "
            "image of a head (a uniform image of an MP2RAGE, a ratio, a logarithm), or an offset was added. Give the magnitude image.",
            hopeless=True,
        )
    if mean > _MANY_CHANNELS * sd or (mean > _RAYLEIGH * sd and _tissue_noise(voxels, bright) < _COMPRESSED * sd):
        return Finding(
            f"The air around the head is too bright for its noise ({_per_cent(mean / bright)} of the bright signal): a display gamma or an "
            "offset was applied. Give the image as the scanner made it."
        )
    return None


def _tissue_noise(voxels: np.ndarray, bright: float) -> float:
    """SD of the noise in bright tissue, with its finest structure, by second differences along the quietest axis."""
    levels = []
    for axis in range(3):
        a, b, c = (np.moveaxis(voxels, axis, 0)[start : start + voxels.shape[axis] - 2 : 2] for start in range(3))
        second = np.abs(a - 2.0 * b + c)[(b > 0.4 * bright) & (b < bright)]
        levels.append(1.4826 * float(np.median(second)) / np.sqrt(6.0) if second.size else np.inf)
    return min(levels)


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"
