"""Noise of magnitude and signed images, and receive fields."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ImageError, ProtocolError

_STRONGEST_FIELD = 3.0
"""A factor of 20 either way; no coil comes near half of it."""
FIELD_WAVES = 6
"""Plane waves in a receive field: enough for variety, too few to average out to a flat field."""


def add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator, coils: int = 1, signed: bool = False) -> np.ndarray:
    """The image with complex Gaussian noise of SD ``sigma`` in each channel's real and imaginary part.

    ``image`` is the noise-free signal, of any shape; the result is float32 of that shape. Magnitude images follow the Rice distribution
    (Gudbjartsson & Patz, Magn Reson Med 34:910, 1995), or the non-central chi distribution for the root sum of squares of ``coils``
    channels of independent noise (Constantinides et al., Magn Reson Med 38:852, 1997). ``signed`` images are real parts after the phase
    has been corrected: their noise is Gaussian, and ``coils`` makes no difference.
    Raises ImageError when a voxel is not finite, ProtocolError when ``sigma`` is negative or there is no coil.
    """
    signal = np.asarray(image, dtype=np.float32)
    if not np.isfinite(signal).all():
        raise ImageError("Noise cannot be added to an image with voxels that are not finite numbers.")
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ProtocolError(f"The noise level must be a number of at least 0, not {sigma}.")
    if coils < 1:
        raise ProtocolError(f"The number of receive coils must be at least 1, not {coils}.")
    real = signal + _gaussian(signal.shape, sigma, rng)
    if signed:
        return real
    # The root sum of squares does not depend on how the channels share the signal: put it all in one. The other channels' noise,
    # real and imaginary, then adds a chi-square of 2·(coils − 1) degrees of freedom, that is twice a gamma variate of shape coils − 1.
    power = real**2 + _gaussian(signal.shape, sigma, rng) ** 2
    if coils > 1:
        power += np.float32(2.0 * sigma**2) * rng.standard_gamma(coils - 1, signal.shape, dtype=np.float32)
    return np.sqrt(power)


def _gaussian(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    return np.float32(sigma) * rng.standard_normal(shape, dtype=np.float32)


def sigma_for_snr(reference: ArrayLike, snr: float) -> float:
    """The noise SD at which the mean of ``reference`` (one signal, or those of a region, in image units) is ``snr`` times the SD.

    Raises ProtocolError when the SNR is not positive, or when the reference has no signal.
    """
    level = float(np.mean(np.abs(np.asarray(reference, dtype=float)))) if np.size(reference) else 0.0
    if not (math.isfinite(snr) and snr > 0):
        raise ProtocolError(f"The signal-to-noise ratio must be a positive number, not {snr}.")
    if not (math.isfinite(level) and level > 0):
        raise ProtocolError("The reference for the signal-to-noise ratio has no signal: choose a tissue or region that is not dark.")
    return level / snr


def receive_field(
    shape: Sequence[int], spacing_mm: Sequence[float], amplitude: float, rng: np.random.Generator, shortest_mm: float = 150.0
) -> np.ndarray:
    """A smooth random multiplicative field, float32 of ``shape`` (one to any number of axes, ``spacing_mm`` apart).

    Its logarithm is a sum of a few plane waves of random direction, phase and wavelength (``shortest_mm`` to three times that), with mean
    0 over the image and ``amplitude`` as its largest absolute value: 0.3 gives factors within exp(±0.3). Wavelengths are in millimetres:
    a field does not depend on the sampling of the image, and in an image much smaller than the wavelengths it is nearly a ramp. An image
    of a single voxel gets the factor 1.
    Raises ProtocolError when ``amplitude`` or ``shortest_mm`` is invalid, ImageError when shape or spacing is.
    """
    if len(shape) != len(spacing_mm) or len(shape) == 0 or min(shape) < 1 or not all(math.isfinite(s) and s > 0 for s in spacing_mm):
        raise ImageError(f"An image of shape {tuple(shape)} cannot have the voxel spacing {tuple(spacing_mm)} mm.")
    if not 0 <= amplitude <= _STRONGEST_FIELD:
        raise ProtocolError(f"The receive field's amplitude must be a number from 0 to {_STRONGEST_FIELD:g}, not {amplitude}.")
    if not (math.isfinite(shortest_mm) and shortest_mm > 0):
        raise ProtocolError(f"The receive field's shortest wavelength must be a positive length in mm, not {shortest_mm}.")
    log_field = _plane_waves(shape, spacing_mm, shortest_mm, rng)
    log_field -= log_field.mean(dtype=float)
    largest = max(float(log_field.max()), -float(log_field.min()))
    if largest > 0:
        log_field *= amplitude / largest
    return np.exp(log_field)


def _plane_waves(shape: Sequence[int], spacing_mm: Sequence[float], shortest_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Σ weight · cos(wave vector · position + phase), float32 of ``shape``."""
    direction = rng.standard_normal((FIELD_WAVES, len(shape)))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    wave_vectors = direction * (2.0 * np.pi / (shortest_mm * rng.uniform(1.0, 3.0, (FIELD_WAVES, 1))))
    weights, phase = rng.uniform(0.3, 1.0, FIELD_WAVES), rng.uniform(0.0, 2.0 * np.pi, FIELD_WAVES)
    *angles, last = (
        wave_vectors[:, axis, None] * spacing * (np.arange(n) - (n - 1) / 2.0)
        for axis, (n, spacing) in enumerate(zip(shape, spacing_mm, strict=True))
    )
    plane = phase[:, None]
    for angle in angles:
        plane = (plane[:, :, None] + angle[:, None, :]).reshape(FIELD_WAVES, -1)
    # cos(a + b) = cos a · cos b − sin a · sin b: the whole volume is one matrix product of its planes and its last axis.
    left = np.concatenate([np.cos(plane), np.sin(plane)]).astype(np.float32)
    right = np.concatenate([weights[:, None] * np.cos(last), -weights[:, None] * np.sin(last)]).astype(np.float32)
    return (left.T @ right).reshape(shape)
