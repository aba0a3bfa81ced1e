"""Echo trains against an independent simulation of isochromats, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.physics.echo_train import constant_train, echo_amplitudes, train_response, variable_train
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol

T1 = np.array([850.0, 1400.0, 4200.0, 380.0])
T2 = np.array([70.0, 95.0, 1800.0, 80.0])


def _isochromats(flip_angles: np.ndarray, spacing: float, t1: float, t2: float, start: float = 1.0) -> tuple[np.ndarray, float]:
    """Echoes and the mean longitudinal magnetisation at the end of Bloch rotations of spins that a crusher spreads over a turn each half
    echo spacing, after a 90° pulse on a longitudinal magnetisation ``start``."""
    count = 4 * len(flip_angles) + 8
    phase = 2.0 * np.pi * np.arange(count) / count
    e1, e2 = np.exp(-0.5 * spacing / t1), np.exp(-0.5 * spacing / t2)
    transverse, along = np.full(count, start, dtype=complex), np.zeros(count)
    echoes = []
    for angle in np.radians(flip_angles):
        transverse, along = transverse * e2 * np.exp(1j * phase), 1.0 + (along - 1.0) * e1
        x, y = transverse.real, transverse.imag  # about x, along which the magnetisation was tipped
        transverse, along = x + 1j * (np.cos(angle) * y - np.sin(angle) * along), np.sin(angle) * y + np.cos(angle) * along
        transverse, along = transverse * e2 * np.exp(1j * phase), 1.0 + (along - 1.0) * e1
        echoes.append(transverse.mean())
    return np.abs(np.array(echoes)), float(along.mean())


@pytest.mark.parametrize(
    "angles", [constant_train(12, 180.0), constant_train(12, 120.0), constant_train(20, 150.0), variable_train(60, 30)], ids=str
)
def test_echoes_and_recovery_are_those_of_isochromats(angles: np.ndarray) -> None:
    echoes, recovered = echo_amplitudes(angles, 8.0, T1, T2)
    for column, (t1, t2) in enumerate(zip(T1, T2, strict=True)):
        expected, along = _isochromats(angles, 8.0, t1, t2)
        np.testing.assert_allclose(echoes[:, column], expected, atol=2e-3)
        assert recovered[column] == pytest.approx(along, abs=2e-3)


def test_refocusing_by_180_degrees_is_plain_decay() -> None:
    echoes, recovered = echo_amplitudes(np.full(10, 180.0), 10.0, T1, T2)
    np.testing.assert_allclose(echoes, np.exp(-np.outer(10.0 * np.arange(1, 11), 1.0 / T2)), rtol=1e-9)
    np.testing.assert_allclose(recovered, 0.0, atol=5e-3)


def test_the_polynomial_is_the_train() -> None:
    """On times that are not its nodes, from blood to fluid, within 0.1 % of the magnetisation."""
    rng = np.random.default_rng(0)
    t1, t2 = np.exp(rng.uniform(np.log(300.0), np.log(4800.0), 200)), np.exp(rng.uniform(np.log(25.0), np.log(2500.0), 200))
    for count, spacing, echo, angle in ((270, 3.8, 120, None), (220, 3.7, 107, None), (15, 10.0, 10, 150.0), (15, 10.0, 9, 120.0)):
        angles = variable_train(count, echo) if angle is None else constant_train(count, angle)
        echoes, recovered = echo_amplitudes(angles, spacing, t1, t2)
        response = train_response(count, spacing, echo, angle)
        np.testing.assert_allclose(response.echo(1 / t1, 1 / t2), echoes[echo - 1], atol=1.5e-3)
        np.testing.assert_allclose(response.recovered(1 / t1, 1 / t2), recovered, atol=4e-3)


def test_a_nominal_echo_time_of_space_has_the_contrast_of_about_100_ms() -> None:
    """Of white and grey matter, whose T1 counts too: magnetisation is stored along the field during the train."""
    response = train_response(270, 3.8, 120, None)
    white, grey = (response.echo(1 / t1, 1 / t2) for t1, t2 in ((832.0, 74.0), (1331.0, 100.0)))
    effective = np.log(grey / white) / (1 / 74.0 - 1 / 100.0)
    assert 85.0 < effective < 130.0


@pytest.mark.parametrize("spec", [{"sequence": "space"}, {"sequence": "space_flair"}, {"sequence": "tse_rf", "RFA": 140}])
def test_derivatives_are_those_of_the_signal(spec: dict) -> None:
    protocol = Protocol.of(**spec)
    theta = np.log(np.stack([np.full(4, 0.8), T1, T2]))
    _, slopes = protocol.signal_and_derivatives(theta)
    for row in (1, 2):
        nudge = np.zeros((3, 1))
        nudge[row] = 1e-5
        later, earlier = (protocol.signal_and_derivatives(theta + s * nudge)[0] for s in (1, -1))
        np.testing.assert_allclose(slopes[row], (later - earlier) / 2e-5, rtol=1e-4, atol=1e-7)


def test_a_long_train_of_180_degrees_is_the_turbo_spin_echo_equation() -> None:
    train = Protocol.of("tse_rf", TR=4500, TE=100, ETL=15, ESP=10, RFA=180)
    plain = Protocol.of("tse", TR=4500, TE=100, L=150)
    one = np.ones(4)
    np.testing.assert_allclose(train.signal(one, T1, T2), plain.signal(one, T1, T2), rtol=3e-3)


@pytest.mark.parametrize("spec", ["tse_rf,TR=3000,TE=90,ETL=12,ESP=10,RFA=130", "space_flair,TR=3000,TI=1100,TE=160,ETL=60,ESP=5"])
def test_the_whole_sequence_is_what_repeated_isochromats_give(spec: str) -> None:
    protocol = parse_protocol(spec)
    v = protocol.values
    angles = constant_train(12, 130.0) if "RFA" in v else variable_train(60, 32)
    signals = protocol.sequence.signal(1 / T1, 1 / T2, v)
    for signal, t1, t2 in zip(signals, T1, T2, strict=True):
        along = 1.0
        for _ in range(8):  # until nothing changes
            if "TI" in v:
                along = 1.0 + (-along - 1.0) * np.exp(-v["TI"] / t1)
            echoes, end = _isochromats(angles, v["ESP"], t1, t2)
            expected = along * echoes[round(v["TE"] / v["ESP"]) - 1]
            along = 1.0 + (end - 1.0) * np.exp(-(v["TR"] - v.get("TI", 0.0) - v["ETL"] * v["ESP"]) / t1)
        assert signal == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("spec", ["space", "space_flair", "tse_rf"])
def test_times_that_no_tissue_has_give_the_signal_of_the_nearest(spec: str) -> None:
    """Maps hold zeros where there is no head, and values that a fit could not settle."""
    protocol = parse_protocol(spec)
    shortest, longest = np.array([150.0]), np.array([6000.0])
    t2_shortest, t2_longest = np.array([15.0]), np.array([3000.0])
    with np.errstate(divide="ignore"):
        dark = protocol.signal(np.zeros(2), np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal(dark, 0.0)
    echo = protocol.signal(np.ones(1), longest, t2_longest)
    assert protocol.signal(np.ones(1), longest, 2 * t2_longest) == pytest.approx(echo)
    assert 0 <= protocol.signal(np.ones(1), shortest, 0.1 * t2_shortest) <= protocol.signal(np.ones(1), shortest, t2_shortest)
    _, slopes = protocol.signal_and_derivatives(np.log(np.array([[1.0], [900.0], [10.0]])))
    assert slopes[2] == pytest.approx(0.0)
