"""What a train of refocusing pulses below 180° does: the echo's amplitude and the recovery, by extended phase graphs.

Weigel, J Magn Reson Imaging 41:266 (2015). The pulses meet the condition of Carr, Purcell, Meiboom and Gill, so that real numbers serve.
What an equation needs of a train is a smooth function of the relaxation rates: it is computed at a few rates once, and a polynomial of
them is what the fit and the live preview evaluate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .dual import Array, exp, sqrt

_ORDERS = 64
"""Dephasing orders that are followed; what goes beyond does not come back within a train's echo that matters (tested)."""
_T1 = (150.0, 6000.0)
_T2 = (15.0, 3000.0)
"""ms: where the polynomial is made; beyond, the nearest rates count."""
_NODES = (12, 14)
_DEGREES = (4, 6)


def echo_amplitudes(flip_angles: np.ndarray, spacing: float, t1: np.ndarray, t2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Transverse magnetisation (echoes, P) at every echo per unit of longitudinal magnetisation before the 90° pulse, and the longitudinal
    magnetisation (P,) that has recovered one half echo spacing after the last echo.

    ``flip_angles`` (echoes,) in degrees, ``spacing`` in ms from echo to echo, ``t1`` and ``t2`` (P,) in ms.
    """
    _, echoes = _graph(flip_angles, spacing, t1, t2, excited=True)
    recovered, _ = _graph(flip_angles, spacing, t1, t2, excited=False)
    return echoes, recovered


def _graph(flip_angles: np.ndarray, spacing: float, t1: np.ndarray, t2: np.ndarray, excited: bool) -> tuple[np.ndarray, np.ndarray]:
    """Longitudinal magnetisation at the end and the echoes: of what was ``excited``, or of what recovers during the train.

    These two never mix: what recovers is a quarter turn out of phase and is dephased at the echoes.
    """
    e1, e2 = np.exp(-0.5 * spacing / t1), np.exp(-0.5 * spacing / t2)
    orders = min(_ORDERS, 2 * len(flip_angles) + 2)
    up, down, along = (np.zeros((orders, len(t1))) for _ in range(3))
    mirrored = -1.0 if excited else 1.0
    if excited:
        up[0], down[0] = 1.0, -1.0
    echoes = np.zeros((len(flip_angles), len(t1)))
    for number, angle in enumerate(np.radians(flip_angles)):
        up, down, along = _evolved(up, down, along, e1, e2, mirrored, recovers=not excited)
        c, s, sine = np.cos(angle / 2) ** 2, np.sin(angle / 2) ** 2, np.sin(angle)
        up, down, along = (
            c * up - s * down + sine * along,
            -s * up + c * down + sine * along,
            -0.5 * sine * (up + down) + np.cos(angle) * along,
        )
        up, down, along = _evolved(up, down, along, e1, e2, mirrored, recovers=not excited)
        echoes[number] = up[0]
    return along[0], np.abs(echoes)


def _evolved(
    up: np.ndarray, down: np.ndarray, along: np.ndarray, e1: np.ndarray, e2: np.ndarray, mirrored: float, recovers: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half an echo spacing: relaxation and dephasing by one order."""
    along = along * e1
    if recovers:
        along[0] += 1.0 - e1
    raised, lowered = np.empty_like(up), np.zeros_like(down)
    raised[1:] = up[:-1] * e2
    lowered[:-1] = down[1:] * e2
    raised[0] = mirrored * lowered[0]
    return raised, lowered, along


def constant_train(count: int, flip_angle: float) -> np.ndarray:
    """Flip angles (count,) in degrees of a TSE train: the first pulse halfway to 180°, so that the echoes are even from the start."""
    angles = np.full(count, float(flip_angle))
    angles[0] = 90.0 + flip_angle / 2.0
    return angles


def variable_train(count: int, centre: int) -> np.ndarray:
    """Flip angles (count,) in degrees of a 3D train as SPACE, CUBE and VISTA run it.

    From near 180° they fall to a lowest angle within the first pulses, rise to a middle one at echo number ``centre`` (k-space centre) and
    to a highest at the end (Busse et al., Magn Reson Med 55:1030, 2006, and 60:640, 2008; Mugler, J Magn Reson Imaging 39:745, 2014). The
    angles themselves are the scanner's secret: these give a nominal echo time of 455 ms the contrast of about 100 ms, as is reported.
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
    return (sqrt(rate) - low) * (2.0 / (high - low)) - 1.0


def _polynomial(coefficients: np.ndarray, x: Array, y: Array) -> Array:
    """Σ c_ij x^i y^j by Horner's scheme."""
    total: Array = 0.0
    for row in coefficients[::-1]:
        inner: Array = 0.0
        for coefficient in row[::-1]:
            inner = inner * y + float(coefficient)
        total = total * x + inner
    return total


def train_response(count: int, spacing: float, echo: float, flip_angle: float | None, transmit: float = 1.0) -> TrainResponse:
    """The response of a train of ``count`` echoes, ``spacing`` ms apart, at the ``echo`` (counted from 1; between echoes: interpolated).

    ``flip_angle`` of constant refocusing in degrees, or None for a 3D train of variable angles whose k-space centre is that echo;
    ``transmit`` scales all of them.
    """
    echo = min(max(echo, 1.0), float(count))
    below = min(int(echo), max(count - 1, 1))
    first = _response(count, spacing, below, flip_angle, transmit)
    if count == 1:
        return first
    second, share = _response(count, spacing, below + 1, flip_angle, transmit), echo - below
    return TrainResponse(
        first.amplitude + share * (second.amplitude - first.amplitude), first.recovery + share * (second.recovery - first.recovery)
    )


@lru_cache(maxsize=512)
def _response(count: int, spacing: float, echo: int, flip_angle: float | None, transmit: float) -> TrainResponse:
    angles = transmit * (variable_train(count, echo) if flip_angle is None else constant_train(count, flip_angle))
    x, y = (np.cos(np.pi * (np.arange(n) + 0.5) / n) for n in _NODES)
    t1, t2 = (grid.ravel() for grid in np.meshgrid(_time(x, *_T1), _time(y, *_T2), indexing="ij"))
    echoes, recovered = echo_amplitudes(angles, spacing, t1, t2)
    log_amplitude = np.log(np.maximum(echoes[echo - 1], 1e-8))
    powers = [np.vander(nodes, degree + 1, increasing=True) for nodes, degree in zip((x, y), _DEGREES, strict=True)]
    terms = np.einsum("pi,qj->pqij", *powers).reshape(len(t1), -1)
    weight = np.maximum(echoes[echo - 1], 0.02)  # what counts is the signal, not its logarithm
    amplitude = np.linalg.lstsq(terms * weight[:, None], log_amplitude * weight, rcond=None)[0]
    recovery = np.linalg.lstsq(terms, recovered, rcond=None)[0]
    shape = (_DEGREES[0] + 1, _DEGREES[1] + 1)
    return TrainResponse(amplitude.reshape(shape), recovery.reshape(shape))


def _time(scaled: np.ndarray, shortest: float, longest: float) -> np.ndarray:
    """Times (ms) at scaled rates: the inverse of :func:`_scaled`."""
    low, high = longest**-0.5, shortest**-0.5
    return (low + (scaled + 1.0) * (high - low) / 2.0) ** -2.0
