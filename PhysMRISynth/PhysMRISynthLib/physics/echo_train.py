"""Response of a train of refocusing pulses below 180°: echo amplitude and recovery, by extended phase graphs.

Weigel, J Magn Reson Imaging 41:266 (2015). The pulses meet the condition of Carr, Purcell, Meiboom and Gill, so real numbers suffice.
The response is a smooth function of the relaxation rates: it is computed once at a few rates; the fit and the live preview evaluate a
polynomial through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .dual import Array, clip, exp, sqrt

_ORDERS = 64
"""Dephasing orders in the computation; higher ones do not return in time to affect a relevant echo (tested)."""
_T1 = (150.0, 6000.0)
_T2 = (15.0, 3000.0)
"""ms: range of the polynomial; beyond it, the nearest rates are used."""
_NODES = (12, 14)
_DEGREES = (4, 6)
_EVERY, _SMOOTH_FROM = 8, 32
"""Trains of variable angles are computed for every eighth echo from number 32 on, so that the slider of their echo time stays smooth. The
difference is a few tenths of a per cent, less than the uncertainty of the vendor's unpublished angles."""


def echo_amplitudes(flip_angles: np.ndarray, spacing: float, t1: np.ndarray, t2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transverse magnetisation (echoes, P) at every echo per unit of longitudinal magnetisation before the 90° pulse, and the longitudinal
    magnetisation (P,) that has recovered one half echo spacing after the last echo.

    ``flip_angles`` (echoes,) in degrees, ``spacing`` in ms from echo to echo, ``t1`` and ``t2`` (P,) in ms.
    """
    return _echoes(flip_angles, spacing, t1, t2), _recovered(flip_angles, spacing, t1, t2)


def _echoes(flip_angles: np.ndarray, spacing: float, t1: np.ndarray, t2: np.ndarray) -> np.ndarray:
    """The echoes (echoes, P) of the excited magnetisation, which is dephased by odd numbers of half spacings at every pulse."""
    e1, half, e2 = np.exp(-spacing / t1), np.exp(-0.5 * spacing / t2), np.exp(-spacing / t2)
    up, down, along = (np.zeros((_rows(flip_angles), len(t1))) for _ in range(3))
    up[0] = half
    echoes = np.empty((len(flip_angles), len(t1)))
    for number, angle in enumerate(np.radians(flip_angles)):
        _turn(up, down, along, angle)
        np.abs(down[0] * half, out=echoes[number])
        first = -down[0] * e2
        _dephase(up, down, e2)
        up[0] = first
        along *= e1
    return echoes


def _recovered(flip_angles: np.ndarray, spacing: float, t1: np.ndarray, t2: np.ndarray) -> np.ndarray:
    """The longitudinal magnetisation (P,) that recovers during a train, dephased by even numbers of half spacings at every pulse.

    It never mixes with the excited magnetisation: it is a quarter turn out of phase, and dephased at the echoes.
    """
    e1, half, e2 = np.exp(-spacing / t1), np.exp(-0.5 * spacing / t1), np.exp(-spacing / t2)
    up, down, along = (np.zeros((_rows(flip_angles), len(t1))) for _ in range(3))
    along[0] = 1.0 - half
    for angle in np.radians(flip_angles):
        _turn(up, down, along, angle)
        left = along[0].copy()
        _dephase(up, down, e2)
        up[0] = down[0]
        along *= e1
        along[0] += 1.0 - e1
    return left * half + 1.0 - half


def _rows(flip_angles: np.ndarray) -> int:
    return min(_ORDERS, 2 * len(flip_angles) + 2) // 2


def _turn(up: np.ndarray, down: np.ndarray, along: np.ndarray, angle: float) -> None:
    """A refocusing pulse, in place: it rotates the sum of both transverse states and the longitudinal one, and keeps their difference."""
    difference = (up - down) * 0.5
    total = (up + down) * 0.5
    turned = np.cos(angle) * total + np.sin(angle) * along
    along *= np.cos(angle)
    along -= np.sin(angle) * total
    np.add(turned, difference, out=up)
    np.subtract(turned, difference, out=down)


def _dephase(up: np.ndarray, down: np.ndarray, e2: np.ndarray) -> None:
    """A whole echo spacing, in place: relaxation and dephasing by two orders; the caller sets the lowest order of ``up``."""
    up[1:] = up[:-1] * e2
    down[:-1] = down[1:] * e2
    down[-1] = 0.0


def constant_train(count: int, flip_angle: float) -> np.ndarray:
    """Flip angles (count,) in degrees of a TSE train: the first pulse halfway to 180°, so that the echoes are even from the start."""
    angles = np.full(count, float(flip_angle))
    angles[0] = 90.0 + flip_angle / 2.0
    return angles


def variable_train(count: int, centre: int) -> np.ndarray:
    """Flip angles (count,) in degrees of a 3D train as in SPACE, CUBE and VISTA.

    From near 180° they fall to a lowest angle within the first pulses, rise to a middle one at echo number ``centre`` (k-space centre) and
    to a highest at the end (Busse et al., Magn Reson Med 55:1030, 2006, and 60:640, 2008; Mugler, J Magn Reson Imaging 39:745, 2014). The
    vendors' angles are not published: these give a nominal echo time of 455 ms the contrast of about 100 ms, as reported.
    """
    number = np.arange(count, dtype=float)
    corners = [0.0, _PREPARATION, max(centre, _PREPARATION + 1.0), max(count - 1.0, centre + 1.0)]
    ramp = np.interp(number, corners, [_LOWEST, _LOWEST, _MIDDLE, _HIGHEST])
    return ramp + (_FIRST_ANGLE - ramp) * np.exp(-3.0 * number / _PREPARATION)


_PREPARATION, _FIRST_ANGLE = 6.0, 150.0
_LOWEST, _MIDDLE, _HIGHEST = 18.0, 36.0, 110.0


@dataclass(frozen=True)
class TrainResponse:
    """A train as a polynomial of √(1/T1) and √(1/T2): the echo's log ``amplitude`` and the ``recovery`` (degrees + 1), of scaled rates."""

    amplitude: np.ndarray
    recovery: np.ndarray

    def echo(self, r1: Array, r2: Array) -> Array:
        """The echo per unit of longitudinal magnetisation before the excitation, at rates in 1/ms."""
        return exp(_polynomial(self.amplitude, _scaled(r1, *_T1), _scaled(r2, *_T2)))

    def recovered(self, r1: Array, r2: Array) -> Array:
        """Longitudinal magnetisation at the end of the train, per unit of equilibrium magnetisation."""
        return _polynomial(self.recovery, _scaled(r1, *_T1), _scaled(r2, *_T2))


def _scaled(rate: Array, shortest: float, longest: float) -> Array:
    """−1 to 1 from the longest to the shortest time, even in the square root of the rate."""
    low, high = longest**-0.5, shortest**-0.5
    return (sqrt(clip(rate, 1.0 / longest, 1.0 / shortest)) - low) * (2.0 / (high - low)) - 1.0


def _polynomial(coefficients: np.ndarray, x: Array, y: Array) -> Array:
    """Σ c_ij x^i y^j by Horner's scheme."""

    def horner(values: Sequence[Array], at: Array) -> Array:
        total = values[-1]
        for value in values[-2::-1]:
            total = total * at + value
        return total

    return horner([horner(row, y) for row in coefficients.tolist()], x)


def train_response(count: int, spacing: float, echo: float, flip_angle: float | None, transmit: float = 1.0) -> TrainResponse:
    """The response of a train of ``count`` echoes, ``spacing`` ms apart, at the ``echo`` (counted from 1; between echoes: interpolated).

    ``flip_angle`` of constant refocusing in degrees, or None for a 3D train of variable angles whose k-space centre is that echo;
    ``transmit`` scales all of them.
    """
    echo, every = min(max(echo, 1.0), float(count)), 1 if flip_angle is not None or echo < _SMOOTH_FROM else _EVERY
    below = min(int(echo) // every * every, max(count - 1, 1))
    first = _response(count, spacing, below, flip_angle, transmit)
    if count == 1:
        return first
    above = min(below + every, count)
    second, share = _response(count, spacing, above, flip_angle, transmit), (echo - below) / (above - below)
    return TrainResponse(
        first.amplitude + share * (second.amplitude - first.amplitude), first.recovery + share * (second.recovery - first.recovery)
    )


@lru_cache(maxsize=512)
def _response(count: int, spacing: float, echo: int, flip_angle: float | None, transmit: float) -> TrainResponse:
    angles = transmit * (variable_train(count, echo) if flip_angle is None else constant_train(count, flip_angle))
    x, y = (np.cos(np.pi * (np.arange(n) + 0.5) / n) for n in _NODES)
    t1, t2 = (grid.ravel() for grid in np.meshgrid(_time(x, *_T1), _time(y, *_T2), indexing="ij"))
    signal, recovered = _echoes(angles[:echo], spacing, t1, t2)[-1], _recovered(angles, spacing, t1, t2)
    log_amplitude = np.log(np.maximum(signal, 1e-8))
    powers = [np.vander(nodes, degree + 1, increasing=True) for nodes, degree in zip((x, y), _DEGREES, strict=True)]
    terms = np.einsum("pi,qj->pqij", *powers).reshape(len(t1), -1)
    weight = np.maximum(signal, 0.02)  # fit the signal, not its logarithm
    amplitude = np.linalg.lstsq(terms * weight[:, None], log_amplitude * weight, rcond=None)[0]
    recovery = np.linalg.lstsq(terms, recovered, rcond=None)[0]
    shape = (_DEGREES[0] + 1, _DEGREES[1] + 1)
    return TrainResponse(amplitude.reshape(shape), recovery.reshape(shape))


def _time(scaled: np.ndarray, shortest: float, longest: float) -> np.ndarray:
    """Times (ms) at scaled rates: the inverse of :func:`_scaled`."""
    low, high = longest**-0.5, shortest**-0.5
    return (low + (scaled + 1.0) * (high - low) / 2.0) ** -2.0
