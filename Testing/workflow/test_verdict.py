"""The verdict: the worst reason decides, the cause comes before its consequences, and notes do not count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PhysMRISynthLib.fitting.check import FitCheck
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import Volume
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.reasons import fit_reasons, input_reasons
from PhysMRISynthLib.workflow.estimation.verdict import Cause, Level, Reason, Verdict
from Testing.imaging.phantoms import grid, head

REASONS = st.builds(Reason, st.sampled_from(Cause), st.sampled_from(Level), st.sampled_from(("a", "b")), st.sampled_from((None, "t1w")))


@given(st.lists(REASONS, max_size=6))
def test_the_worst_reason_decides_and_causes_come_first(reasons: list[Reason]) -> None:
    verdict = Verdict.of(reasons)
    levels, causes = list(Level), list(Cause)
    assert levels.index(verdict.level) == max([0, *(levels.index(reason.level) for reason in reasons)])
    assert sorted(map(repr, verdict.reasons)) == sorted(repr(reason) for reason in reasons if reason.level is not Level.GOOD)
    order = [causes.index(reason.cause) for reason in verdict.reasons]
    assert order == sorted(order)


def test_the_sentence_is_one_line_with_the_first_reason() -> None:
    fit, image = Reason(Cause.FIT, Level.DO_NOT_USE, "It fits badly.", "t1w"), Reason(Cause.IMAGES, Level.CAUTION, "It is cut.", "t2w")
    assert Verdict.of((fit, image)).sentence == "Do not use these maps. t2w: It is cut."
    assert Verdict.of((image,)).sentence == "Use with caution. t2w: It is cut."
    assert Verdict.of(()).sentence.startswith("Good.")


def acquired(protocol: Protocol, name: str = "t1w") -> Acquisition:
    return Acquisition(name, Volume(head(grid((8, 8, 8), (24.0, 24.0, 24.0), np.eye(3)), 0)), protocol)


@pytest.mark.parametrize(
    ("protocol", "level"),
    (
        (Protocol.of("mprage", "header", TR=2400, TI=1000, TE=3, FA=8, ESP=7.6, N=176), Level.GOOD),
        (Protocol.of("mprage", "header", TR=2400, TI=1000, TE=3, FA=8), Level.GOOD),  # the train's length matters little
        (Protocol.of("mprage", "header", TR=2400, TE=3, FA=8), Level.CAUTION),
    ),
)
def test_an_assumed_value_counts_where_it_decides(protocol: Protocol, level: Level) -> None:
    assert Verdict.of(input_reasons([acquired(protocol, name) for name in ("t1w", "t2w")])).level is level


def test_protocols_are_not_blamed_for_what_the_images_explain() -> None:
    blamed, explained = (next(iter(fit_reasons({}, 7.0, (), known))) for known in (False, True))
    assert blamed.cause is Cause.PROTOCOL and "Check the sequences" in blamed.text
    assert explained.cause is Cause.FIT and "protocol" not in explained.text and "7 times" in explained.text


def test_a_bad_fit_is_a_caution_and_a_hopeless_one_forbids_the_maps() -> None:
    levels = [Verdict.of(fit_reasons({"t1w": FitCheck(rms, 0.0, "Bad.")}, 1.0, ())).level for rms in (5.0, 40.0, float("nan"))]
    assert levels == [Level.CAUTION, Level.DO_NOT_USE, Level.DO_NOT_USE]
