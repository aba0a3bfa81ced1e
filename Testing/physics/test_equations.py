"""Every signal equation against a brute-force Bloch recursion, its limits, its derivatives and both array libraries."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.physics import equations
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from Testing.physics import bloch

# White matter, grey matter, cerebrospinal fluid and fat at 3 T (ms).
T1 = np.array([832.0, 1331.0, 4300.0, 370.0])
T2 = np.array([79.0, 110.0, 2000.0, 70.0])
CLOSE = 1e-8  # of M; the recursion itself is exact to about 1e-12

Simulation = Callable[[np.ndarray, np.ndarray, dict[str, float]], np.ndarray]


def _star(t2: np.ndarray) -> np.ndarray:
    return t2 * equations.T2_STAR_RATIO


def _mprage(t1: np.ndarray, t2: np.ndarray, v: dict[str, float]) -> np.ndarray:
    return bloch.mprage(t1, _star(t2), **{**v, "N": round(v["N"])})


def _mp2rage(t1: np.ndarray, t2: np.ndarray, v: dict[str, float]) -> np.ndarray:
    return bloch.uniform_image(*bloch.mp2rage(t1, **{**v, "N": round(v["N"])}))


def _inversion_image(number: int) -> Simulation:
    def simulate(t1: np.ndarray, t2: np.ndarray, v: dict[str, float]) -> np.ndarray:
        echo_time = v.pop("TE")
        return bloch.mp2rage(t1, **{**v, "N": round(v["N"])})[number] * np.exp(-echo_time / _star(t2))

    return simulate


RECURSION: dict[str, Simulation] = {
    "mprage": _mprage,
    "mprage_simple": lambda t1, t2, v: bloch.mprage_simple(t1, **v),
    "se": lambda t1, t2, v: bloch.spin_echo(t1, t2, **v),
    "tse": lambda t1, t2, v: bloch.turbo_spin_echo(t1, t2, **v),
    "ir": lambda t1, t2, v: bloch.inversion_recovery(t1, t2, **v),
    "flair": lambda t1, t2, v: bloch.inversion_recovery(t1, t2, **v),
    "stir": lambda t1, t2, v: bloch.inversion_recovery(t1, t2, **v),
    "psir": lambda t1, t2, v: bloch.inversion_recovery(t1, t2, **v),
    "dir": lambda t1, t2, v: bloch.double_inversion_recovery(t1, t2, **v),
    "spgr": lambda t1, t2, v: bloch.spoiled_gradient_echo(t1, _star(t2), **v),
    "bssfp": lambda t1, t2, v: bloch.balanced_ssfp(t1, t2, **v),
    "mp2rage": _mp2rage,
    "mp2rage_inv1": _inversion_image(0),
    "mp2rage_inv2": _inversion_image(1),
}

ECHO_TRAINS = ("tse_rf", "space", "space_flair")
"""Approximated by polynomials: test_echo_train.py has their simulation and its tolerances."""

PROTOCOLS = [
    "mprage",
    "mprage,TR=2300,TI=900,TE=2.98,FA=9,ESP=7.1,N=176",
    "mprage,TR=2000,TI=880,TE=2.01,FA=8,ESP=6.1,N=208",
    "mprage_simple",
    "mprage_simple,TR=1900,TI=600",
    "se",
    "se,TR=3200,TE=100",
    "tse",
    "tse,TR=3200,TE=100,L=1000",
    "tse,TR=8000,TE=90,L=0",
    "ir",
    "ir,TR=2000,TE=20,TI=800",
    "flair",
    "flair,TR=9000,TE=90,TI=2500,L=150",
    "flair,TR=5000,TE=100,TI=1800,L=700",
    "stir",
    "stir,TR=3500,TE=30,TI=180,L=90",
    "psir",
    "psir,TR=4500,TE=10,TI=500,L=60",
    "dir",
    "dir,TR=7500,TE=90,TI1=3000,TI2=450",
    "spgr",
    "spgr,TR=9.8,TE=4.6,FA=8",
    "bssfp",
    "bssfp,TR=4,TE=2,FA=60",
    "mp2rage",
    "mp2rage,TR=6000,TI1=800,TI2=2700,FA1=7,FA2=5,ESP=5.9,N=160",
    "mp2rage_inv1",
    "mp2rage_inv1,TR=6000,TI1=800,TI2=2700,FA1=7,FA2=5,ESP=5.9,N=160,TE=2.5",
    "mp2rage_inv2",
    "mp2rage_inv2,TR=6000,TI1=800,TI2=2700,FA1=7,FA2=5,ESP=5.9,N=160,TE=2.5",
]


def protocol_of(spec: str) -> Protocol:
    name, *values = spec.split(",")
    return Protocol.of(name, **{key: float(number) for key, number in (value.split("=") for value in values)})


def signed(protocol: Protocol, t1: Any, t2: Any) -> Any:
    return protocol.sequence.signal(1.0 / t1, 1.0 / t2, protocol.values)


def theta_of(pd: np.ndarray, t1: np.ndarray = T1, t2: np.ndarray = T2) -> np.ndarray:
    return np.log(np.stack([pd, t1, t2]))


def test_every_sequence_has_its_recursion() -> None:
    assert set(RECURSION) | set(ECHO_TRAINS) == set(SEQUENCES)
    assert {spec.partition(",")[0] for spec in PROTOCOLS} == set(RECURSION)


def test_the_recursion_shares_nothing_with_the_package() -> None:
    assert "PhysMRISynthLib" not in inspect.getsource(bloch)


# --- against the recursion ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", PROTOCOLS)
def test_signal_is_what_the_bloch_recursion_gives(spec: str) -> None:
    protocol = protocol_of(spec)
    expected = RECURSION[protocol.sequence.name](T1, T2, dict(protocol.values))
    np.testing.assert_allclose(signed(protocol, T1, T2), expected, rtol=0, atol=CLOSE)


INVERTING = [
    spec
    for spec in PROTOCOLS
    if spec.partition(",")[0] in ("mprage", "ir", "flair", "stir", "psir", "dir", "mp2rage", "mp2rage_inv1", "mp2rage_inv2")
]


@pytest.mark.parametrize("spec", INVERTING)
def test_an_inversion_that_is_not_perfect(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = protocol_of(spec)
    monkeypatch.setattr(bloch.Spins, "inversion_efficiency", 0.94)
    expected = RECURSION[protocol.sequence.name](T1, T2, dict(protocol.values))
    found = protocol.sequence.signal(1.0 / T1, 1.0 / T2, protocol.values, 1.0, {"inversion_efficiency": 0.94})
    np.testing.assert_allclose(found, expected, rtol=0, atol=CLOSE)
    assert np.abs(signed(protocol, T1, T2) - expected).max() > 2 * CLOSE  # it matters


def test_imperfections_reach_the_image() -> None:
    protocol = replace(protocol_of("mprage"), imperfections={"transmit_field": 0.9, "t2_star_ratio": 0.5, "inversion_efficiency": 0.95})
    values = {**protocol.values, "FA": 0.9 * protocol.values["FA"]}
    beside = {"t2_star_ratio": 0.5, "inversion_efficiency": 0.95}
    expected = np.abs(protocol.sequence.signal(1 / T1, 1 / T2, values, 1.0, beside))
    np.testing.assert_allclose(protocol.signal(1.0, T1, T2), expected)
    np.testing.assert_allclose(np.abs(protocol.signal_and_derivatives(theta_of(np.ones_like(T1)))[0]), expected)


PLAIN = sorted(name for name in RECURSION if not name.startswith(("mprage", "mp2rage")) or name == "mprage_simple")


@st.composite
def protocols(draw: st.DrawFn, name: str) -> Protocol:
    """Any valid protocol of a sequence, drawn within a realistic part of each parameter's bounds."""
    values = {}
    for p in SEQUENCES[name].parameters:
        if p.default is None and draw(st.booleans()):
            continue
        low, high = max(p.minimum, (p.default or 100.0) / 4), min(p.maximum, (p.default or 100.0) * 3)
        values[p.name] = draw(st.floats(low, high))
    if "N" in values:
        values["N"] = 2.0 * round(values["N"] / 8.0 + 1.0)  # an even number of pulses, few enough to follow one by one
    try:
        return Protocol.of(name, **values)
    except ProtocolError:
        assume(False)
        raise


TISSUE = st.tuples(st.floats(200.0, 5000.0), st.floats(0.02, 1.0)).map(lambda pair: (pair[0], max(pair[0] * pair[1], 15.0)))


@pytest.mark.parametrize("name", RECURSION)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_signal_of_any_protocol_and_tissue_is_what_the_recursion_gives(name: str, data: st.DataObject) -> None:
    protocol = data.draw(protocols(name))
    t1, t2 = (np.array([value]) for value in data.draw(TISSUE))
    expected = RECURSION[name](t1, t2, dict(protocol.values))
    if name == "mp2rage":  # the ratio of two signals that both vanish is not defined
        assume(np.hypot(*bloch.mp2rage(t1, **{**protocol.values, "N": round(protocol.values["N"])})) > 1e-3)
        np.testing.assert_allclose(signed(protocol, t1, t2), expected, rtol=0, atol=1e-6)
    else:
        np.testing.assert_allclose(signed(protocol, t1, t2), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("centre", [0.0, 0.25, 0.5, 0.75])
def test_mprage_with_any_k_space_centre(centre: float) -> None:
    values = {"TR": 2400.0, "TI": 1100.0, "TE": 3.0, "ESP": 7.6}
    signal = equations.mprage(1 / T1, 1 / T2, FA=math.radians(9), N=120, centre=centre, **values)
    expected = bloch.mprage(T1, _star(T2), FA=9, N=120, centre=centre, **values)
    np.testing.assert_allclose(signal, expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("TR, TE, L", [(3200.0, 100.0, 1000.0), (4500.0, 100.0, 150.0)])
def test_a_train_of_real_refocusing_pulses_approaches_the_ideal_train(TR: float, TE: float, L: float) -> None:
    """The idealisation "no longitudinal magnetisation until the train ends" costs less than (echo spacing/T1)²."""
    ideal = signed(Protocol.of("tse", TR=TR, TE=TE, L=L), T1, T2)
    errors = []
    for spacing in (10.0, 5.0):
        real = bloch.refocused_train(T1, T2, TR=TR, TE=TE, L=L, echoes=round(L / spacing))
        assert np.all(np.abs(real - ideal) < (spacing / T1) ** 2)
        errors.append(np.abs(real - ideal).max())
    assert errors[1] < 0.3 * errors[0]


# --- limits ---------------------------------------------------------------------------------------------------------------------


def test_spin_echo_becomes_the_papers_form_at_short_echo_times() -> None:
    paper = 1.0 - np.exp(-3200.0 / T1)
    np.testing.assert_allclose(signed(protocol_of("se,TR=3200,TE=0"), T1, T2), paper, rtol=0, atol=1e-14)
    differences = [np.abs(signed(protocol_of(f"se,TR=3200,TE={te}"), T1, T2) - paper * np.exp(-te / T2)).max() for te in (20.0, 2.0, 0.2)]
    assert differences[0] > 1e-3
    assert differences[1] < 0.15 * differences[0]
    assert differences[2] < 0.15 * differences[1]


def test_inversion_recovery_becomes_the_papers_form() -> None:
    paper = 1.0 - 2.0 * np.exp(-2500.0 / T1) + np.exp(-9000.0 / T1)
    np.testing.assert_allclose(signed(protocol_of("ir,TR=9000,TE=0,TI=2500"), T1, T2), paper, rtol=0, atol=1e-14)
    with_train = signed(protocol_of("flair,TR=9000,TE=90,TI=2500,L=0"), T1, T2)
    np.testing.assert_allclose(with_train, paper * np.exp(-90.0 / T2), rtol=0, atol=1e-14)


def test_a_train_of_no_length_is_ideal_saturation_recovery() -> None:
    signal = signed(protocol_of("tse,TR=4500,TE=100,L=0"), T1, T2)
    np.testing.assert_allclose(signal, (1.0 - np.exp(-4500.0 / T1)) * np.exp(-100.0 / T2), rtol=0, atol=1e-14)


def test_longer_trains_leave_less_time_to_recover() -> None:
    signals = [signed(Protocol.of("tse", L=length), T1, T2) for length in (0.0, 100.0, 400.0, 1200.0)]
    assert np.all(np.diff(signals, axis=0) < 0)


def test_mprage_with_vanishing_flip_angle_is_the_papers_form() -> None:
    tiny = 1e-5
    exact = equations.mprage(1 / T1, 1 / T2, TR=2400, TI=1000, TE=0, FA=tiny, ESP=7.6, N=176) / math.sin(tiny)
    np.testing.assert_allclose(exact, equations.mprage_simple(1 / T1, 1 / T2, TR=2400, TI=1000), rtol=0, atol=1e-6)


def test_spoiled_gradient_echo_at_90_degrees_is_saturation_recovery() -> None:
    signal = signed(protocol_of("spgr,TR=500,TE=0,FA=90"), T1, T2)
    np.testing.assert_allclose(signal, 1.0 - np.exp(-500.0 / T1), rtol=0, atol=1e-14)


def test_balanced_ssfp_with_short_repetitions_depends_on_t1_over_t2_only() -> None:
    flip = math.radians(40)
    short = equations.balanced_ssfp(1 / T1, 1 / T2, TR=1e-3, TE=0, FA=flip)
    expected = math.sin(flip) / (1 + math.cos(flip) + (1 - math.cos(flip)) * T1 / T2)
    np.testing.assert_allclose(short, expected, rtol=1e-4)


def test_two_inversions_at_once_cancel() -> None:
    twice = equations.double_inversion_recovery(1 / T1, 1 / T2, TR=5000, TE=30, TI1=400, TI2=400)
    np.testing.assert_allclose(twice, equations.spin_echo(1 / T1, 1 / T2, TR=5000, TE=30), rtol=0, atol=1e-14)


def test_mp2rage_stays_between_minus_and_plus_a_half() -> None:
    signal = signed(Protocol.of("mp2rage"), np.geomspace(100, 6000, 200), np.full(200, 80.0))
    assert np.all(np.abs(signal) <= 0.5)
    assert signal.max() > 0.4 and signal.min() < -0.4


# --- check values, recomputed ---------------------------------------------------------------------------------------------------


def null(signal: Callable[[float], float], low: float, high: float) -> float:
    """Where a signal that changes sign between ``low`` and ``high`` vanishes."""
    assert signal(low) * signal(high) < 0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if signal(low) * signal(middle) > 0 else (low, middle)
    return (low + high) / 2


def one(value: float) -> np.ndarray:
    return np.array([value])


@pytest.mark.parametrize("t1, expected", [(4300.0, 0.0051), (4000.0, 0.0349)])
def test_flair_leaves_little_of_csf(t1: float, expected: float) -> None:
    recursion = bloch.inversion_recovery(one(t1), one(2000), TR=9000, TE=0, TI=2500)[0]
    assert recursion == pytest.approx(expected, abs=1e-4)
    assert signed(Protocol.of("flair", TR=9000, TE=0, TI=2500), one(t1), one(2000))[0] == pytest.approx(recursion, abs=CLOSE)


@pytest.mark.parametrize("length, expected", [(0.0, 0.011), (700.0, 0.066)])
def test_a_long_train_moves_the_null_of_flair(length: float, expected: float) -> None:
    values = {"TR": 5000.0, "TE": 0.0, "TI": 1800.0, "L": length}
    recursion = bloch.inversion_recovery(one(4000), one(2000), **values)[0]
    assert recursion == pytest.approx(expected, abs=6e-4)
    assert signed(Protocol.of("flair", **values), one(4000), one(2000))[0] == pytest.approx(recursion, abs=CLOSE)


MPRAGE_TABLE = [  # T1, the paper's form, exact with the train
    (832.0, 0.431, 0.357), (1331.0, 0.190, 0.210), (1820.0, 0.089, 0.139), (4000.0, -0.006, 0.045), (370.0, 0.866, 0.648),
]  # fmt: skip


@pytest.mark.parametrize("t1, paper, exact", MPRAGE_TABLE)
def test_mprage_with_and_without_its_train(t1: float, paper: float, exact: float) -> None:
    simple = bloch.mprage_simple(one(t1), TR=2400, TI=1000)[0]
    full = bloch.mprage(one(t1), one(50), TR=2400, TI=1000, TE=0, FA=8, ESP=7.6, N=176)[0] / math.sin(math.radians(8))
    assert simple == pytest.approx(paper, abs=6e-4)
    assert full == pytest.approx(exact, abs=6e-4)
    by_package = signed(Protocol.of("mprage", TE=0), one(t1), one(50))[0] / math.sin(math.radians(8))
    assert by_package == pytest.approx(full, abs=CLOSE)
    assert signed(Protocol.of("mprage_simple"), one(t1), one(50))[0] == pytest.approx(simple, abs=CLOSE)


@pytest.mark.parametrize("t1, misread", [(832.0, 944.0), (1331.0, 1269.0), (1820.0, 1529.0)])
def test_the_papers_form_compresses_t1_of_exact_data(t1: float, misread: float) -> None:
    exact = bloch.mprage(one(t1), one(50), TR=2400, TI=1000, TE=0, FA=8, ESP=7.6, N=176)[0] / math.sin(math.radians(8))
    inverted = null(lambda x: signed(Protocol.of("mprage_simple"), x, 100.0) - exact, 200, 4000)
    assert inverted == pytest.approx(misread, abs=2)


@pytest.mark.parametrize("t1, with_train, paper", [(4000.0, 0.423, 0.551), (1331.0, 0.808, 0.910)])
def test_a_long_tse_train_dims_what_recovers_slowly(t1: float, with_train: float, paper: float) -> None:
    recursion = bloch.refocused_train(one(t1), one(1e9), TR=3200, TE=100, L=1000, echoes=250)[0]
    assert recursion == pytest.approx(with_train, abs=6e-4)
    assert signed(Protocol.of("tse", TR=3200, TE=100, L=1000), one(t1), one(1e9))[0] == pytest.approx(recursion, abs=1e-5)
    assert signed(Protocol.of("tse", TR=3200, TE=100, L=0), one(t1), one(1e9))[0] == pytest.approx(paper, abs=6e-4)


@pytest.mark.parametrize("t1, ti", [(4000.0, 2372.0), (4300.0, 2481.0), (4500.0, 2548.0)])
def test_inversion_time_that_nulls_csf(t1: float, ti: float) -> None:
    found = null(lambda x: bloch.inversion_recovery(one(t1), one(2000), TR=9000, TE=0, TI=x)[0], 1000, 4000)
    assert found == pytest.approx(ti, abs=1)
    assert abs(signed(Protocol.of("flair", TR=9000, TE=0, TI=found), one(t1), one(2000))[0]) < CLOSE
    with_train = null(lambda x: signed(Protocol.of("flair", TR=9000, TE=90, TI=x, L=500), t1, 2000.0), 1000, 4000)
    assert with_train == pytest.approx(t1 * math.log(2 / (1 + math.exp(-8500 / t1))), abs=1e-6)


@pytest.mark.parametrize("t1, ti", [(260.0, 180.0), (382.0, 265.0)])
def test_stir_nulls_fat_between_180_and_265_ms(t1: float, ti: float) -> None:
    found = null(lambda x: bloch.inversion_recovery(one(t1), one(70), TR=4000, TE=0, TI=x)[0], 50, 600)
    assert found == pytest.approx(ti, abs=1)
    assert abs(signed(Protocol.of("stir", TR=4000, TE=0, TI=found), one(t1), one(70))[0]) < CLOSE
