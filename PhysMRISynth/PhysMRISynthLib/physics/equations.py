"""The signal equations: steady-state signal per unit of M = gain · PD, sign kept.

``inversion_efficiency`` (1: a perfect inversion) and ``t2_star_ratio`` (T2*/T2) are imperfections that no header states.

Every function takes the relaxation rates ``r1`` = 1/T1 and ``r2`` = 1/T2 in 1/ms (arrays, tensors or
:class:`~PhysMRISynthLib.physics.dual.Dual`), times in ms and flip angles in radians, and returns the transverse magnetisation at
the echo. Each is tested against a brute-force Bloch recursion. E(t) = exp(-t/T1) throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .dual import Array, cos, exp, log, sin
from .echo_train import train_response

T2_STAR_RATIO = 0.65
"""T2* is not estimated. Gradient-echo equations use T2* = 0.65 · T2 by default, about that of white and grey matter at 3 T
(53/79 and 66/110 ms, Wansapura et al., JMRI 9:531, 1999)."""


def mprage_simple(r1: Array, r2: Array, *, TR: float, TI: float) -> Array:
    """Inversion recovery sampled at one instant, driven equilibrium ignored: Eq. 1 of the paper (Lüpke et al.)."""
    return 1.0 - 2.0 * exp(-TI * r1) / (1.0 + exp(-TR * r1))


def spin_echo(r1: Array, r2: Array, *, TR: float, TE: float) -> Array:
    """90°–180° spin echo including the refocusing pulse's effect on recovery; → (1 − E(TR))·exp(−TE/T2) for TE ≪ TR."""
    return (1.0 - 2.0 * exp(-(TR - TE / 2.0) * r1) + exp(-TR * r1)) * exp(-TE * r2)


def turbo_spin_echo(r1: Array, r2: Array, *, TR: float, TE: float, L: float) -> Array:
    """TSE/FSE with a train of length ``L``: recovery starts when the train ends. ``L`` = 0 is the ideal (1 − E(TR))·exp(−TE/T2)."""
    return (1.0 - exp(-(TR - L) * r1)) * exp(-TE * r2)


def inversion_recovery(
    r1: Array, r2: Array, *, TR: float, TE: float, TI: float, L: float | None = None, inversion_efficiency: float = 1.0
) -> Array:
    """Inversion recovery: IR, FLAIR, STIR, PSIR. With a spin-echo readout, or a TSE train of length ``L`` when that is given."""
    left = 2.0 * exp(-(TR - TE / 2.0) * r1) - exp(-TR * r1) if L is None else exp(-(TR - L) * r1)
    return (1.0 - (1.0 + inversion_efficiency) * exp(-TI * r1) + inversion_efficiency * left) * exp(-TE * r2)


def refocused_spin_echo(
    r1: Array, r2: Array, *, TR: float, TE: float, ETL: float, ESP: float, TI: float | None = None, RFA: float | None = None,
    inversion_efficiency: float = 1.0, transmit: float = 1.0,
) -> Array:  # fmt: skip
    """A train of ``ETL`` echoes ``ESP`` apart with refocusing angle ``RFA`` (None: the variable angles of SPACE, CUBE and
    VISTA), k-space centre at the echo time ``TE`` (nominal for variable angles), after an inversion if ``TI`` is given. ``transmit`` scales
    the refocusing angles.

    Extended phase graphs (:mod:`.echo_train`); recovery continues from the longitudinal magnetisation at the end of the train.
    """
    train = train_response(round(ETL), ESP, TE / ESP, None if RFA is None else float(np.degrees(RFA)), transmit)
    recovered, length = train.recovered(r1, r2), ETL * ESP
    if TI is None:
        before = 1.0 - (1.0 - recovered) * exp(-(TR - length) * r1)
    else:
        left = (1.0 - recovered) * exp(-(TR - length) * r1)
        before = 1.0 - (1.0 + inversion_efficiency) * exp(-TI * r1) + inversion_efficiency * left
    return before * train.echo(r1, r2)


def double_inversion_recovery(
    r1: Array, r2: Array, *, TR: float, TE: float, TI1: float, TI2: float, inversion_efficiency: float = 1.0
) -> Array:
    """Two inversions, ``TI1`` and ``TI2`` before the excitation (TI1 > TI2), spin-echo readout (Redpath & Smith, BJR 67:1258, 1994)."""
    e = inversion_efficiency
    echo = 2.0 * exp(-(TR - TE / 2.0) * r1) - exp(-TR * r1)
    return (1.0 - (1.0 + e) * exp(-TI2 * r1) + e * (1.0 + e) * exp(-TI1 * r1) - e * e * echo) * exp(-TE * r2)


def spoiled_gradient_echo(r1: Array, r2: Array, *, TR: float, TE: float, FA: Array, t2_star_ratio: float = T2_STAR_RATIO) -> Array:
    """SPGR/FLASH: the Ernst equation with T2* decay."""
    e1 = exp(-TR * r1)
    return sin(FA) * (1.0 - e1) / (1.0 - cos(FA) * e1) * exp(-TE / t2_star_ratio * r2)


def balanced_ssfp(r1: Array, r2: Array, *, TR: float, TE: float, FA: Array) -> Array:
    """Balanced SSFP on resonance with alternating pulse phase (Freeman & Hill, J Magn Reson 4:366, 1971)."""
    e1, e2 = exp(-TR * r1), exp(-TR * r2)
    return sin(FA) * (1.0 - e1) / (1.0 - (e1 - e2) * cos(FA) - e1 * e2) * exp(-TE * r2)


@dataclass(frozen=True)
class _Step:
    """Effect of a sequence step on the longitudinal magnetisation: Mz → keep · Mz + add."""

    keep: Array
    add: Array

    def then(self, following: _Step) -> _Step:
        return _Step(self.keep * following.keep, self.add * following.keep + following.add)

    def apply(self, mz: Array) -> Array:
        return self.keep * mz + self.add

    def steady_state(self) -> Array:
        """The magnetisation that one whole repetition leaves unchanged."""
        return self.add / (1.0 - self.keep)


def _recovery(r1: Array, time: Array) -> _Step:
    e = exp(-time * r1)
    return _Step(e, 1.0 - e)


def _pulse_train(r1: Array, FA: Array, ESP: float, count: float) -> _Step:
    """``count`` spoiled pulses ``ESP`` apart drive Mz to M0* at the rate 1/T1* = 1/T1 − ln(cos FA)/ESP (Deichmann et al. 2000)."""
    e = exp(-ESP * r1)
    m0_star = (1.0 - e) / (1.0 - cos(FA) * e)
    keep = exp(-(count * ESP) * r1 + count * log(cos(FA)))
    return _Step(keep, m0_star * (1.0 - keep))


def mprage(
    r1: Array, r2: Array, *, TR: float, TI: float, TE: float, FA: Array, ESP: float, N: float, centre: float = 0.5,
    inversion_efficiency: float = 1.0, t2_star_ratio: float = T2_STAR_RATIO,
) -> Array:  # fmt: skip
    """MPRAGE with its readout train (Deichmann et al., NeuroImage 12:112, 2000): ``N`` pulses, ``ESP`` apart, k-space centre after
    the fraction ``centre`` of them; ``TI`` runs from the inversion to the k-space centre, ``TR`` between inversions.
    """
    to_centre = _pulse_train(r1, FA, ESP, centre * N)
    after = to_centre if centre == 0.5 else _pulse_train(r1, FA, ESP, (1.0 - centre) * N)
    wait = _recovery(r1, TI - centre * N * ESP)
    inversion = _Step(-inversion_efficiency, 0.0)
    rest = _recovery(r1, TR - TI - (1.0 - centre) * N * ESP)
    before_centre = inversion.then(wait).then(to_centre)
    start = before_centre.then(after).then(rest).steady_state()
    return sin(FA) * before_centre.apply(start) * exp(-TE / t2_star_ratio * r2)


def mp2rage_uni(
    r1: Array, r2: Array, *, TR: float, TI1: float, TI2: float, FA1: Array, FA2: Array, ESP: float, N: float,
    inversion_efficiency: float = 1.0,
) -> Array:  # fmt: skip
    """MP2RAGE's uniform image S1·S2/(S1² + S2²), from −0.5 to 0.5 (Marques et al., NeuroImage 49:1271, 2010).

    PD, T2* and the receive field cancel. ``TI1`` and ``TI2`` run from the inversion to each train's k-space centre.
    """
    s1, s2 = _mp2rage_trains(r1, TR, TI1, TI2, FA1, FA2, ESP, N, inversion_efficiency)
    return s1 * s2 / (s1 * s1 + s2 * s2 + 1e-12)


def mp2rage_inv1(
    r1: Array, r2: Array, *, TR: float, TI1: float, TI2: float, TE: float, FA1: Array, FA2: Array, ESP: float, N: float,
    inversion_efficiency: float = 1.0, t2_star_ratio: float = T2_STAR_RATIO,
) -> Array:  # fmt: skip
    """The image of MP2RAGE's first train (INV1); parameters as those of :func:`mp2rage_uni`."""
    first, _second = _mp2rage_trains(r1, TR, TI1, TI2, FA1, FA2, ESP, N, inversion_efficiency)
    return first * exp(-TE / t2_star_ratio * r2)


def mp2rage_inv2(
    r1: Array, r2: Array, *, TR: float, TI1: float, TI2: float, TE: float, FA1: Array, FA2: Array, ESP: float, N: float,
    inversion_efficiency: float = 1.0, t2_star_ratio: float = T2_STAR_RATIO,
) -> Array:  # fmt: skip
    """The image of MP2RAGE's second train (INV2), close to PD-weighted; parameters as those of :func:`mp2rage_uni`."""
    _first, second = _mp2rage_trains(r1, TR, TI1, TI2, FA1, FA2, ESP, N, inversion_efficiency)
    return second * exp(-TE / t2_star_ratio * r2)


def _mp2rage_trains(
    r1: Array, TR: float, TI1: float, TI2: float, FA1: Array, FA2: Array, ESP: float, N: float, inversion_efficiency: float
) -> tuple[Array, Array]:
    """The signals of two trains after one inversion, at an echo time of 0."""
    half = N * ESP / 2.0
    first, second = _pulse_train(r1, FA1, ESP, N / 2.0), _pulse_train(r1, FA2, ESP, N / 2.0)
    to_first = _Step(-inversion_efficiency, 0.0).then(_recovery(r1, TI1 - half)).then(first)
    to_second = first.then(_recovery(r1, TI2 - TI1 - 2.0 * half)).then(second)
    rest = second.then(_recovery(r1, TR - TI2 - half))
    mz1 = to_first.apply(to_first.then(to_second).then(rest).steady_state())
    return sin(FA1) * mz1, sin(FA2) * to_second.apply(mz1)
