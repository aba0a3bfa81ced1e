"""A brute-force Bloch recursion: the yardstick against which every signal equation is tested.

Magnetisation vectors are rotated by instantaneous pulses, relax in between, lose their transverse part where a sequence spoils, and
whole repetitions follow each other until nothing changes any more. Nothing here is derived from, or shared with, the closed-form
equations of the package. Times in ms, angles in degrees, M0 = 1; every simulator returns the signed signal of shape (n,) for ``n``
tissues with relaxation times ``t1`` and ``t2`` of shape (n,).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

Signals = list[np.ndarray]
REPETITIONS_LOG2 = 50
"""Steady state is what 2⁵⁰ repetitions lead to: far beyond any relaxation time."""


@lru_cache(maxsize=1024)
def rotation(flip: float, phase: float) -> np.ndarray:
    """Right-handed rotation by ``flip`` about the transverse axis at ``phase`` (0: x, 90: y), shape (3, 3) (Rodrigues' formula)."""
    axis = np.array([np.cos(np.radians(phase)), np.sin(np.radians(phase)), 0.0])
    cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
    angle = np.radians(flip)
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


class Spins:
    """Magnetisation vectors ``m`` of shape (3, n, k): ``n`` tissues, ``k`` starting states followed side by side."""

    def __init__(self, t1: np.ndarray, t2: np.ndarray, m: np.ndarray) -> None:
        self.t1, self.t2, self.m = t1[:, None], t2[:, None], m

    def pulse(self, flip: float, phase: float = 90.0) -> None:
        """An instantaneous pulse; at the default phase it turns +z towards +x."""
        self.m = (rotation(flip, phase) @ self.m.reshape(3, -1)).reshape(self.m.shape)

    inversion_efficiency = 1.0

    def invert(self) -> None:
        """An inversion pulse, as perfect as ``inversion_efficiency``; what is transverse after it is spoiled."""
        self.pulse(float(np.degrees(np.arccos(-self.inversion_efficiency))), phase=0.0)
        self.spoil()

    def refocus(self) -> None:
        """A 180° pulse about the axis along which the default excitation leaves the magnetisation."""
        self.pulse(180.0, phase=0.0)

    def wait(self, time: float) -> None:
        """Relaxation for ``time``, on resonance."""
        assert time > -1e-9, f"a sequence ran {-time} ms backwards"
        e1, e2 = np.exp(-time / self.t1), np.exp(-time / self.t2)
        self.m = np.stack([self.m[0] * e2, self.m[1] * e2, 1.0 + (self.m[2] - 1.0) * e1])

    def spoil(self) -> None:
        """Perfect spoiling: no transverse magnetisation is left."""
        self.m = self.m * np.array([0.0, 0.0, 1.0])[:, None, None]

    def saturate(self) -> None:
        """No magnetisation is left at all."""
        self.m = np.zeros_like(self.m)

    def transverse(self) -> np.ndarray:
        """The signal along +x, shape (n,), of the first starting state."""
        return self.m[0, :, 0].copy()

    def longitudinal(self) -> np.ndarray:
        """Mz, shape (n,), of the first starting state."""
        return self.m[2, :, 0].copy()


Repetition = Callable[[Spins], Signals]


def steady_state(t1: np.ndarray, t2: np.ndarray, repetition: Repetition) -> Signals:
    """The signals that ``repetition`` returns once the magnetisation repeats itself.

    A repetition is an affine map of the magnetisation; where it takes the origin and the three unit vectors tells that map, and
    putting it after itself again and again runs 2, 4, 8, … repetitions.
    """
    n = len(t1)
    probes = np.concatenate([np.zeros((3, 1)), np.eye(3)], axis=1)
    spins = Spins(t1, t2, np.repeat(probes[:, None, :], n, axis=1))
    repetition(spins)
    offset = spins.m[:, :, 0].T  # (n, 3)
    matrix = np.moveaxis(spins.m[:, :, 1:], 0, 1) - offset[:, :, None]  # (n, 3, 3)
    for _ in range(REPETITIONS_LOG2):
        offset = np.einsum("nij,nj->ni", matrix, offset) + offset
        matrix = matrix @ matrix
    return repetition(Spins(t1, t2, offset.T[:, :, None]))


def mprage_simple(t1: np.ndarray, *, TR: float, TI: float) -> np.ndarray:
    """Inversions TR apart, Mz looked at TI later without disturbing it."""

    def repetition(spins: Spins) -> Signals:
        spins.invert()
        spins.wait(TI)
        signal = spins.longitudinal()
        spins.wait(TR - TI)
        return [signal]

    return steady_state(t1, t1, repetition)[0]


def _spin_echo_readout(spins: Spins, TE: float, rest: float) -> np.ndarray:
    spins.pulse(90.0)
    spins.wait(TE / 2.0)
    spins.refocus()
    spins.wait(TE / 2.0)
    signal = spins.transverse()
    spins.spoil()
    spins.wait(rest)
    return signal


def spin_echo(t1: np.ndarray, t2: np.ndarray, *, TR: float, TE: float) -> np.ndarray:
    """90°, 180°, echo: the refocusing pulse also inverts what recovered meanwhile."""
    return steady_state(t1, t2, lambda spins: [_spin_echo_readout(spins, TE, TR - TE)])[0]


def _train_readout(spins: Spins, TE: float, L: float, rest: float) -> np.ndarray:
    """A 90° pulse and an ideal train: transverse decay with T2 until the echo, Mz held at zero until the train ends."""
    spins.pulse(90.0)
    echo = Spins(spins.t1[:, 0], spins.t2[:, 0], spins.m)
    echo.wait(TE)
    spins.wait(L)
    spins.saturate()
    spins.wait(rest)
    return echo.transverse()


def turbo_spin_echo(t1: np.ndarray, t2: np.ndarray, *, TR: float, TE: float, L: float) -> np.ndarray:
    """90° and an ideal refocusing train of length L."""
    return steady_state(t1, t2, lambda spins: [_train_readout(spins, TE, L, TR - L)])[0]


def refocused_train(t1: np.ndarray, t2: np.ndarray, *, TR: float, TE: float, L: float, echoes: int) -> np.ndarray:
    """90° and a train of ``echoes`` real 180° pulses within L, nothing idealised; the echo nearest to TE is the signal."""
    spacing = L / echoes
    central = max(round(TE / spacing), 1)

    def repetition(spins: Spins) -> Signals:
        spins.pulse(90.0)
        signals = []
        for _ in range(echoes):
            spins.wait(spacing / 2.0)
            spins.refocus()
            spins.wait(spacing / 2.0)
            signals.append(spins.transverse())
        spins.spoil()
        spins.wait(TR - L)
        return [signals[central - 1]]

    return steady_state(t1, t2, repetition)[0]


def inversion_recovery(t1: np.ndarray, t2: np.ndarray, *, TR: float, TE: float, TI: float, L: float | None = None) -> np.ndarray:
    """180°, TI, then a spin echo, or a TSE train of length L when that is given."""

    def repetition(spins: Spins) -> Signals:
        spins.invert()
        spins.wait(TI)
        if L is None:
            return [_spin_echo_readout(spins, TE, TR - TI - TE)]
        return [_train_readout(spins, TE, L, TR - TI - L)]

    return steady_state(t1, t2, repetition)[0]


def double_inversion_recovery(t1: np.ndarray, t2: np.ndarray, *, TR: float, TE: float, TI1: float, TI2: float) -> np.ndarray:
    """Two inversions, TI1 and TI2 before the excitation, and a spin echo."""

    def repetition(spins: Spins) -> Signals:
        spins.invert()
        spins.wait(TI1 - TI2)
        spins.invert()
        spins.wait(TI2)
        return [_spin_echo_readout(spins, TE, TR - TI1 - TE)]

    return steady_state(t1, t2, repetition)[0]


def _spoiled_pulse(spins: Spins, FA: float, TE: float, TR: float) -> np.ndarray:
    spins.pulse(FA)
    spins.wait(TE)
    signal = spins.transverse()
    spins.spoil()
    spins.wait(TR - TE)
    return signal


def spoiled_gradient_echo(t1: np.ndarray, t2_star: np.ndarray, *, TR: float, TE: float, FA: float) -> np.ndarray:
    """One spoiled pulse every TR."""
    return steady_state(t1, t2_star, lambda spins: [_spoiled_pulse(spins, FA, TE, TR)])[0]


def balanced_ssfp(t1: np.ndarray, t2: np.ndarray, *, TR: float, TE: float, FA: float) -> np.ndarray:
    """Pulses of alternating phase every TR, on resonance, nothing spoiled."""

    def repetition(spins: Spins) -> Signals:
        spins.pulse(FA, phase=270.0)
        spins.wait(TR)
        spins.pulse(FA)
        spins.wait(TE)
        signal = spins.transverse()
        spins.wait(TR - TE)
        return [signal]

    return steady_state(t1, t2, repetition)[0]


def _train(spins: Spins, FA: float, TE: float, ESP: float, pulses: int, central: int) -> np.ndarray:
    """The signal of pulse number ``central`` (from 0) of a train of spoiled pulses."""
    return [_spoiled_pulse(spins, FA, TE, ESP) for _ in range(pulses)][central]


def mprage(
    t1: np.ndarray, t2_star: np.ndarray, *, TR: float, TI: float, TE: float, FA: float, ESP: float, N: int, centre: float = 0.5
) -> np.ndarray:
    """Inversion, then N spoiled pulses; the one after ``centre`` · N of them comes TI after the inversion and is the signal."""
    central = round(centre * N)

    def repetition(spins: Spins) -> Signals:
        spins.invert()
        spins.wait(TI - central * ESP)
        signal = _train(spins, FA, TE, ESP, N, central)
        spins.wait(TR - TI - (N - central) * ESP)
        return [signal]

    return steady_state(t1, t2_star, repetition)[0]


def mp2rage(
    t1: np.ndarray, *, TR: float, TI1: float, TI2: float, FA1: float, FA2: float, ESP: float, N: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inversion and two trains of spoiled pulses with their middle pulses TI1 and TI2 after it: the two signals at TE = 0."""
    half = N // 2

    def repetition(spins: Spins) -> Signals:
        spins.invert()
        spins.wait(TI1 - half * ESP)
        first = _train(spins, FA1, 0.0, ESP, N, half)
        spins.wait(TI2 - TI1 - N * ESP)
        second = _train(spins, FA2, 0.0, ESP, N, half)
        spins.wait(TR - TI2 - (N - half) * ESP)
        return [first, second]

    first, second = steady_state(t1, t1, repetition)
    return first, second


def uniform_image(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """MP2RAGE's combination of its two images."""
    return first * second / (first**2 + second**2)
