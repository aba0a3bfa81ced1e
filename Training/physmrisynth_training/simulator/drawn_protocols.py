"""Random protocols, as used on scanners worldwide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table

_ATTEMPTS = 50


def random_protocol(role: str, field_strength: float, rng: np.random.Generator) -> Protocol:
    """A protocol for ``role`` (t1w, t2w or flair) at a field strength in tesla."""
    families = _DRAWS_BY_ROLE[role]
    for _ in range(_ATTEMPTS):
        family = families[int(rng.choice(len(families), p=[share for share, _ in families]))][1]
        try:
            return family(field_strength, rng)
        except ProtocolError:  # contradictory values: sample again
            continue
    raise ProtocolError(f"No possible {role} protocol was found in {_ATTEMPTS} attempts.")


def _protocol(sequence: str, **values: float) -> Protocol:
    return Protocol.of(sequence, "simulated", **{name: round(float(value), 2) for name, value in values.items()})


def _mprage(strength: float, rng: np.random.Generator) -> Protocol:
    return _protocol("mprage", TR=rng.uniform(1500, 2700), TI=rng.uniform(700, 1150), TE=rng.uniform(2, 4.5), FA=rng.uniform(7, 15),
                     ESP=rng.uniform(5, 10), N=round(rng.uniform(96, 224)))  # fmt: skip


def _mprage_simple(strength: float, rng: np.random.Generator) -> Protocol:
    return _protocol("mprage_simple", TR=rng.uniform(1500, 2700), TI=rng.uniform(700, 1150))


def _t1w_spin_echo(strength: float, rng: np.random.Generator) -> Protocol:
    return _protocol("se", TR=rng.uniform(350, 800), TE=rng.uniform(8, 20))


def _inversion_tse(strength: float, rng: np.random.Generator) -> Protocol:
    return _protocol("ir", TR=rng.uniform(1800, 3200), TI=rng.uniform(600, 1000), TE=rng.uniform(8, 30), L=rng.uniform(0, 200))


def _spgr(strength: float, rng: np.random.Generator) -> Protocol:
    return _protocol("spgr", TR=rng.uniform(6, 35), TE=rng.uniform(2, 6), FA=rng.uniform(12, 35))


def _t2w_spin_echo(strength: float, rng: np.random.Generator) -> Protocol:
    return _protocol("se", TR=rng.uniform(2200, 6000), TE=rng.uniform(70, 120))


def _tse(strength: float, rng: np.random.Generator) -> Protocol:
    length = rng.choice([rng.uniform(50, 250), rng.uniform(250, 1000)])
    return _protocol("tse", TR=rng.uniform(2500, 9000), TE=rng.uniform(70, 140), L=length)


def _flair_tse(strength: float, rng: np.random.Generator) -> Protocol:
    repetition, length = rng.uniform(4800, 12000), rng.choice([rng.uniform(0, 250), rng.uniform(250, 900)])
    return _protocol("flair", TR=repetition, TE=rng.uniform(75, 160), L=length, TI=_nulling(strength, repetition - length, rng))


def _flair_spin_echo(strength: float, rng: np.random.Generator) -> Protocol:
    repetition = rng.uniform(6000, 11000)
    return _protocol("flair", TR=repetition, TE=rng.uniform(80, 140), TI=_nulling(strength, repetition, rng))


def _nulling(strength: float, recovery: float, rng: np.random.Generator) -> float:
    """Approximate inversion time that nulls fluid: T1·ln(2/(1 + E(recovery)))."""
    fluid = next(t for t in tissue_table(strength) if t.name == "csf")
    t1 = float(np.exp(fluid.theta[1]))
    return float(t1 * np.log(2.0 / (1.0 + np.exp(-recovery / t1))) * rng.uniform(0.9, 1.06))


_Family = Callable[[float, np.random.Generator], Protocol]
_DRAWS_BY_ROLE: dict[str, tuple[tuple[float, _Family], ...]] = {
    "t1w": ((0.4, _mprage), (0.1, _mprage_simple), (0.15, _t1w_spin_echo), (0.15, _inversion_tse), (0.2, _spgr)),
    "t2w": ((0.25, _t2w_spin_echo), (0.75, _tse)),
    "flair": ((0.8, _flair_tse), (0.2, _flair_spin_echo)),
}
