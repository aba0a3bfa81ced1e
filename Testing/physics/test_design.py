"""Nulls and designed contrasts: what is asked for is what the equation then gives, for every sequence that can."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.physics.contrast import TissuePoint, signals, signed_signals
from PhysMRISynthLib.physics.design import Contrast, Limits, curve, maximised
from PhysMRISynthLib.physics.nulling import inversion_times, nulled
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from PhysMRISynthLib.workflow.rendering.head_points import published_points

POINTS = published_points(3.0)
WHITE, CORTEX, CSF, LESION = (POINTS[name] for name in ("white_matter", "cortex", "csf", "lesion"))


@pytest.mark.parametrize("name", [name for name, sequence in SEQUENCES.items() if len(inversion_times(sequence)) == 1])
@pytest.mark.parametrize("tissue", [CORTEX, CSF], ids=lambda tissue: tissue.name)
def test_one_tissue_is_nulled_by_every_sequence_with_an_inversion(name: str, tissue: TissuePoint) -> None:
    start = Protocol.of(name, TR=9000)
    protocol = nulled(start, [tissue])
    (inversion,) = inversion_times(start.sequence)
    assert {n: v for n, v in protocol.values.items() if n != inversion} == {n: v for n, v in start.values.items() if n != inversion}
    assert abs(signed_signals(protocol.sequence, protocol.values, [tissue])[0]) < 1e-3
    assert protocol.sources[inversion].startswith("null of")


@pytest.mark.parametrize("t1", [(450.0, 2600.0), (650.0, 3500.0), (1100.0, 4500.0)])
@pytest.mark.parametrize("tr", [5000.0, 11000.0])
def test_double_inversion_nulls_two_tissues_in_any_order(t1: tuple[float, float], tr: float) -> None:
    short, long = (TissuePoint("a", "A", 0.7, t1[0], 80.0), TissuePoint("b", "B", 1.0, t1[1], 1500.0))
    start = Protocol.of("dir", TR=tr, TE=25, TI1=0.3 * tr, TI2=0.05 * tr)
    protocols = [nulled(start, pair) for pair in ([short, long], [long, short])]
    assert protocols[0].values == protocols[1].values
    assert np.abs(signed_signals(start.sequence, protocols[0].values, [short, long])).max() < 1e-3


@pytest.mark.parametrize(("name", "tissues", "told"), [
    ("se", [WHITE], "no inversion"), ("flair", [WHITE, CSF], "1 inversion"), ("flair", [], "Name one or two"),
    ("mp2rage", [POINTS["fat"]], "Change TR, TE or the readout"),
])  # fmt: skip
def test_what_cannot_be_nulled_is_refused_with_a_remedy(name: str, tissues: list[TissuePoint], told: str) -> None:
    with pytest.raises(ProtocolError, match=told):
        nulled(Protocol.of(name), tissues)


@pytest.mark.parametrize("name", ["flair", "mprage", "tse", "spgr"])
def test_a_designed_protocol_is_better_than_a_grid_of_others(name: str) -> None:
    limits = Limits({"TR": (None, 6000.0)})
    found = maximised(Protocol.of(name, TR=5000), LESION, WHITE, limits)
    assert found.protocol.values["TR"] <= 6000.0
    start = found.protocol.values
    names = [p.name for p in found.protocol.sequence.parameters if p.name in ("TR", "TE", "TI", "FA")]
    for factors in product((0.5, 0.8, 0.95, 1.0, 1.05, 1.25, 2.0), repeat=len(names)):
        values = {**start, **{n: start[n] * f for n, f in zip(names, factors, strict=True)}}
        if values["TR"] > 6000.0 or values["TE"] < min(10.0, found.protocol.sequence.parameter("TE").default or 0.0):
            continue
        try:
            other = Contrast.of(Protocol(found.protocol.sequence, values), LESION, WHITE)
        except ProtocolError:
            continue
        assert other.contrast <= 1.02 * found.contrast, values


def test_limits_hold() -> None:
    limits = Limits({"TR": (None, 9000.0), "TE": (60.0, 120.0)}, dark=((CSF, 5.0),), least_signal=20.0)
    found = maximised(Protocol.of("flair"), LESION, WHITE, limits)
    brighter = max(found.signals)
    assert found.protocol.values["TR"] <= 9000.0 and 60.0 <= found.protocol.values["TE"] <= 120.0
    assert brighter >= 20.0
    assert 100 * signals(found.protocol, [CSF])[0] <= 0.05 * brighter


def test_equal_scan_time_prefers_a_shorter_tr() -> None:
    quick, slow = (maximised(Protocol.of("spgr"), WHITE, CORTEX, Limits(per_time=per_time)) for per_time in (True, False))
    assert quick.protocol.values["TR"] < 0.2 * slow.protocol.values["TR"]
    assert quick.per_time > slow.per_time and quick.contrast < slow.contrast


@pytest.mark.parametrize(("limits", "told"), [
    (Limits({"TR": (None, 100.0), "TI": (2000.0, None)}), "leave no"), (Limits(least_signal=99.0), "within these limits"),
    (Limits({"TE": (500.0, 100.0)}), "wider limit"), (Limits({"XX": (1.0, 2.0)}), "has no parameter"),
])  # fmt: skip
def test_limits_that_nothing_meets_are_told(limits: Limits, told: str) -> None:
    with pytest.raises(ProtocolError, match=told):
        maximised(Protocol.of("flair"), LESION, WHITE, limits)


def test_a_tissue_cannot_be_told_from_itself() -> None:
    with pytest.raises(ProtocolError, match="the same PD, T1 and T2"):
        maximised(Protocol.of("flair"), WHITE, WHITE)


def test_a_curve_is_the_equation_and_has_gaps_where_values_contradict() -> None:
    protocol, times = Protocol.of("flair", TR=5000, TE=90, TI=1800), np.array([500.0, 2500.0, 4990.0])
    found = curve(protocol, "TI", [WHITE, CSF], times)
    assert np.isnan(found[:, 2]).all()
    np.testing.assert_allclose(found[:, 1], 100 * signals(protocol.changed("test", TI=2500), [WHITE, CSF]))
