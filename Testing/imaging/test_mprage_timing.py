"""The times of an MPRAGE from what vendors and converters write: between inversions, between pulses, pulses in a train."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.headers.header_protocol import protocol_from_sidecar
from PhysMRISynthLib.physics.protocol import Protocol

BASE = {"Manufacturer": "Siemens", "SequenceName": "*tfl3d1", "EchoTime": 0.003, "InversionTime": 0.9, "FlipAngle": 9}


def read(**fields: object) -> Protocol:
    return protocol_from_sidecar({**BASE, **fields}, "t1w", "x.json")


@pytest.mark.parametrize(
    "fields",
    (
        {"RepetitionTime": 2.3, "RepetitionTimeExcitation": 0.0071},
        {"RepetitionTime": 0.0071, "RepetitionTimePreparation": 2.3},
        {"RepetitionTime": 0.0071, "RepetitionTimeInversion": 2.3},
        {"RepetitionTime": 2.3, "RepetitionTimeInversion": 0.0071},  # as dcm2niix has been seen to exchange them
        {"RepetitionTime": 2.3, "EchoSpacing": 0.0071},
        {"RepetitionTime": 2.3, "RepetitionTimePreparation": 2.31, "RepetitionTimeExcitation": 0.0071},
    ),
)
def test_long_times_run_between_inversions_and_short_ones_between_pulses_whatever_they_are_called(fields: dict[str, float]) -> None:
    found = read(**fields)
    assert found.values["TR"] == pytest.approx(2300, abs=11) and found.values["ESP"] == pytest.approx(7.1)
    assert found.sources["TR"].startswith("x.json") and found.sources["ESP"].startswith("x.json") and found.notes == ()


def test_contradicting_times_are_told_and_the_first_kind_counts() -> None:
    found = read(RepetitionTime=2.0, RepetitionTimePreparation=2.3, RepetitionTimeExcitation=0.0071, EchoSpacing=0.008)
    assert (found.values["TR"], found.values["ESP"]) == (2300, pytest.approx(7.1))
    assert found.notes == (
        "The header states two repetition times: RepetitionTimePreparation 2300 and RepetitionTime 2000 ms. "
        "RepetitionTimePreparation is used.",
        "The header states two echo spacings: RepetitionTimeExcitation 7.1 and EchoSpacing 8 ms. RepetitionTimeExcitation is used.",
    )


def test_a_time_between_inversions_that_no_field_states_is_assumed_aloud() -> None:
    found = read(RepetitionTime=0.0082)
    assert (found.values["TR"], found.values["ESP"]) == (2400, pytest.approx(8.2))
    assert found.sources["TR"].startswith("assumed: ") and "TR=2400 ms" in found.assumed and found.sources["ESP"] == "x.json"
    (note,) = found.notes
    assert "RepetitionTime of 8.2 ms runs from pulse to pulse" in note and "Give TR with the protocol" in note
    assert read(RepetitionTime=0.0082, InversionTime=1.5).values["TR"] == 3000


def test_the_note_tells_what_a_wrong_repetition_time_does_to_t1() -> None:
    """Cortex, read off its ratio to white matter at 500 ms more or less than assumed."""
    t1 = np.linspace(900, 2000, 1101)

    def ratio(protocol: Protocol) -> np.ndarray:
        return protocol.signal(0.8, t1, 90.0) / protocol.signal(0.68, 900.0, 75.0)

    assumed = read(RepetitionTime=0.0068)
    for period in (1900.0, 2900.0):
        truth = ratio(assumed.changed("truth", TR=period))[500]  # T1 1400 ms
        error = abs(np.interp(-truth, -ratio(assumed), t1) / 1400.0 - 1.0)
        assert 0.05 < error < 0.09
    assert "±500 ms shift T1 by about 7 %" in assumed.notes[0]


@pytest.mark.parametrize("fields", ({"RepetitionTime": 0.0082}, {"RepetitionTimeExcitation": 0.0082}, {"RepetitionTime": 0.2}))
def test_without_both_times_of_inversions_nothing_is_guessed(fields: dict[str, float]) -> None:
    with pytest.raises(ProtocolError, match=r"x\.json: a repetition time of .* ms runs from pulse to pulse.*Give the protocol"):
        read(**fields, InversionTime=None if fields != {"RepetitionTime": 0.2} else 0.9)


@pytest.mark.parametrize(
    ("fields", "pulses", "told"),
    (
        ({"NumberShots": 192}, 192, "(NumberShots)"),
        ({"NumberShots": [80, 112]}, 192, "(NumberShots)"),
        ({"PhaseEncodingStepsOutOfPlane": 176}, 176, "(PhaseEncodingStepsOutOfPlane)"),
        ({"PhaseEncodingStepsOutOfPlane": 176, "ParallelReductionFactorOutOfPlane": 2}, 88, "(PhaseEncodingStepsOutOfPlane)"),
        ({"EchoTrainLength": 160}, 160, "(EchoTrainLength)"),
        ({"EchoTrainLength": 1}, 176, "assumed: usual train"),
        ({"NumberShots": 1, "EchoTrainLength": 140}, 140, "(EchoTrainLength)"),
        ({"InversionTime": 0.4}, 100, "assumed: as many as fit around the inversion time"),
    ),
)
def test_the_pulses_of_a_train_come_from_the_header_or_say_why_not(fields: dict[str, object], pulses: float, told: str) -> None:
    found = read(RepetitionTime=2.3, **fields)
    assert found.values["N"] == pulses and told in found.sources["N"]


def test_a_train_that_does_not_fit_around_the_inversion_time_is_shortened_aloud() -> None:
    found = read(RepetitionTime=2.3, InversionTime=0.4, NumberShots=200)
    assert found.values["N"] == 100 and found.sources["N"].startswith("assumed: as many of 200 as fit")
    assert "200 pulses every 7.6 ms do not fit around an inversion time of 400 ms" in found.notes[0]


def test_an_assumed_echo_spacing_is_longer_than_the_echo_time() -> None:
    found = read(RepetitionTime=2.3, EchoTime=0.009)
    assert found.values["ESP"] == 18 and found.sources["ESP"] == "assumed: twice the echo time"


def test_times_between_pulses_that_no_train_has_do_not_count() -> None:
    assert read(RepetitionTime=2.5, EchoSpacing=0.0005).values["ESP"] == 7.6
    assert read(RepetitionTime=2.5, RepetitionTimeExcitation=-0.007).values["ESP"] == 7.6


@pytest.mark.parametrize(("times", "angle", "spacing"), (((2.3, 0.9), 9, 7.1), ((2.4, 1.0), 8, 7.6)))
def test_angle_and_spacing_that_are_missing_are_those_of_the_protocol_with_these_times(
    times: tuple[float, float], angle: float, spacing: float
) -> None:
    found = read(RepetitionTime=times[0], InversionTime=times[1], FlipAngle=None)
    assert (found.values["FA"], found.values["ESP"]) == (angle, spacing)
    assert all(found.sources[name].startswith("assumed: as in other MPRAGE scans with TR") for name in ("FA", "ESP"))
    stated = read(RepetitionTime=times[0], InversionTime=times[1], FlipAngle=12, RepetitionTimeExcitation=0.0066)
    assert (stated.values["FA"], stated.values["ESP"]) == (12, pytest.approx(6.6))


@pytest.mark.parametrize("fields", ({"RepetitionTime": 2.3, "InversionTime": 1.1}, {"RepetitionTime": 0.0076, "InversionTime": 1.0}))
def test_angles_of_times_that_no_widespread_protocol_has_are_not_looked_up(fields: dict[str, float]) -> None:
    assert read(**fields, FlipAngle=None).sources["FA"] == "default"
