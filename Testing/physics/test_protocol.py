"""Protocols: what is accepted, what is refused and how, where values come from, and that a protocol's text reads back."""

from __future__ import annotations

import math
import pickle
import string

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import PhysMRISynthError, ProtocolError
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES, Parameter, sequence_named

# --- every sequence as it comes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_name_alone_gives_a_valid_protocol_of_defaults(name: str) -> None:
    protocol = parse_protocol(name)
    defaults = {p.name: p.default for p in SEQUENCES[name].parameters if p.default is not None}
    assert protocol.values == defaults
    assert set(protocol.sources.values()) == {"default"}
    assert protocol.notes == ()


@pytest.mark.parametrize("name", SEQUENCES)
def test_bounds_contain_the_default_and_units_are_milliseconds_or_degrees(name: str) -> None:
    for p in SEQUENCES[name].parameters:
        assert p.minimum < p.maximum
        assert p.default is None or p.minimum <= p.default <= p.maximum
        assert p.unit == ("°" if p.name.startswith(("FA", "RFA")) else "" if p.name in ("N", "ETL") else "ms")
        assert p.title and p.name == p.name.upper()


@pytest.mark.parametrize("name", SEQUENCES)
def test_protocols_go_to_other_processes_and_come_back_equal(name: str) -> None:
    protocol = parse_protocol(name)
    assert pickle.loads(pickle.dumps(protocol)) == protocol
    assert pickle.loads(pickle.dumps(SEQUENCES[name])) is SEQUENCES[name]


def test_names_of_sequences_may_be_written_in_any_case() -> None:
    assert sequence_named(" FLAIR ") is SEQUENCES["flair"]
    assert parse_protocol(" Flair , tr = 8000 ").values["TR"] == 8000


# --- text and back --------------------------------------------------------------------------------------------------------------


def thousandths(p: Parameter) -> st.SearchStrategy[float]:
    return st.integers(math.ceil(p.minimum * 1000), math.floor(p.maximum * 1000)).map(lambda n: n / 1000)


@st.composite
def valid_protocols(draw: st.DrawFn) -> Protocol:
    """Any protocol at all; the values that are not drawn stay at their defaults."""
    sequence = SEQUENCES[draw(st.sampled_from(sorted(SEQUENCES)))]
    names = draw(st.sets(st.sampled_from([p.name for p in sequence.parameters])))
    values = {name: draw(thousandths(sequence.parameter(name))) for name in sorted(names)}
    try:
        return Protocol.of(sequence.name, "test", **values)
    except ProtocolError:
        assume(False)
        raise


@given(valid_protocols())
@settings(max_examples=150, deadline=None)
def test_a_protocols_text_reads_back_as_the_same_protocol(protocol: Protocol) -> None:
    again = parse_protocol(protocol.spec)
    assert again.sequence is protocol.sequence
    assert again.values == protocol.values
    assert again.spec == protocol.spec
    assert set(again.sources.values()) == {"command line"}


@given(valid_protocols(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_the_case_and_the_spaces_do_not_matter(protocol: Protocol, random: object) -> None:
    name, *assignments = protocol.spec.split(",")
    random.shuffle(assignments)  # type: ignore[attr-defined]
    text = f" {name.upper()} ," + ",".join(f" {a.lower().replace('=', ' = ')} " for a in assignments)
    assert parse_protocol(text).values == protocol.values


def test_a_parameter_that_may_be_left_out_is_left_out() -> None:
    assert "L" not in parse_protocol("flair").values
    assert "L" not in parse_protocol("flair").spec
    assert parse_protocol("flair,L=0").values["L"] == 0


# --- what is refused ------------------------------------------------------------------------------------------------------------


def refusal(text: str) -> str:
    with pytest.raises(ProtocolError) as caught:
        parse_protocol(text)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "nonsense", "se;TR=600", "T1w", "mprage simple", "=", "TR=600"])
def test_an_unknown_sequence_is_answered_with_those_there_are(text: str) -> None:
    message = refusal(text)
    assert all(name in message for name in SEQUENCES)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("unknown", ["XX", "T1", "TI3", "SOURCE", "SEQUENCE", "SELF"])
def test_an_unknown_parameter_is_answered_with_those_there_are(name: str, unknown: str) -> None:
    message = refusal(f"{name},{unknown}=5")
    assert f"'{unknown}'" in message
    assert all(p.name in message for p in SEQUENCES[name].parameters)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_value_out_of_bounds_is_answered_with_the_bounds(name: str) -> None:
    for p in SEQUENCES[name].parameters:
        for value in (p.minimum - 0.01, p.maximum + 0.01, -1e9, 1e9):
            message = refusal(f"{name},{p.name}={value}")
            assert f"{p.name}=" in message
            assert f"between {p.minimum:g} and {p.maximum:g}" in message


@pytest.mark.parametrize("value", ["nan", "-nan", "NaN", "inf", "-inf", "Infinity", "1e999"])
def test_values_that_are_not_finite_are_refused(value: str) -> None:
    assert "out of bounds" in refusal(f"se,TE={value}")


@pytest.mark.parametrize("text", ["se,", "se,TE", "se,TE=", "se,=15", "se,,TE=15", "se,TE=fifteen", "se,TE=15ms", "se,TE=1,5", "se,TE==5"])
def test_text_that_is_not_name_equals_value_is_refused(text: str) -> None:
    assert "NAME=VALUE" in refusal(text) or "not a number" in refusal(text)


def test_a_value_given_twice_is_refused() -> None:
    assert "twice" in refusal("se,TE=15,te=15")


@pytest.mark.parametrize(
    "text, about",
    [
        ("se,TR=500,TE=500", "TE must be shorter than TR"),
        ("tse,TR=150,TE=100,L=150", "TI + L < TR"),
        ("flair,TR=3000,TE=90,TI=2600,L=400", "TI + L < TR"),
        ("ir,TR=800,TI=800", "TI must be shorter than TR"),
        ("ir,TR=830,TE=100,TI=800", "TI + TE"),
        ("mprage_simple,TR=60,TI=900", "TI must be shorter than TR"),
        ("mprage_simple,TR=900,TI=900", "from inversion to inversion"),
        ("mprage,TI=600", "N·ESP/2 ≤ TI"),
        ("mprage,TR=1600,TI=1000", "TI + N·ESP/2 ≤ TR"),
        ("mprage,TE=8,ESP=7", "echo spacing"),
        ("dir,TI1=400,TI2=400", "TI2"),
        ("dir,TR=3000", "TI1 + TE"),
        ("spgr,TR=4,TE=4", "TE must be shorter than TR"),
        ("bssfp,TR=5,TE=6", "TE must be shorter than TR"),
        ("mp2rage,TI1=500", "N·ESP/2 ≤ TI1"),
        ("mp2rage,TI2=1500", "overlap"),
        ("mp2rage,TR=3000", "TI2 + N·ESP/2 ≤ TR"),
    ],
)
def test_values_that_contradict_each_other_are_refused(text: str, about: str) -> None:
    message = refusal(text)
    assert about in message
    for assignment in text.split(",")[1:]:
        assert assignment.partition("=")[0] in message


GARBAGE = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="=,.+-eE_ " + string.digits + "nafitrselpgTEIRLFAN12", max_size=60),
    st.builds(
        lambda name, pairs, tail: ",".join([name, *(f"{key}{sign}{value}" for key, sign, value in pairs)]) + tail,
        st.sampled_from([*SEQUENCES, "SE ", "flaır"]),
        st.lists(
            st.tuples(
                st.sampled_from(["TR", "TE", "TI", "TI1", "TI2", "FA", "FA1", "N", "ESP", "L", "tr", "ﬁ", ""]),
                st.sampled_from(["=", "==", "", ":", " = "]),
                st.one_of(st.floats().map(str), st.integers().map(str), st.text(max_size=8)),
            ),
            max_size=8,
        ),
        st.sampled_from(["", ",", " ", "\n", "\0"]),
    ),
)


@given(GARBAGE)
@settings(max_examples=300, deadline=None)
def test_no_text_does_anything_but_parse_or_raise_protocol_error(text: str) -> None:
    try:
        protocol = parse_protocol(text)
    except ProtocolError as error:
        assert len(str(error)) > 20
    else:
        assert all(math.isfinite(value) for value in protocol.values.values())
        protocol.sequence.validate(protocol.values)


def test_a_protocol_error_is_one_of_the_packages_errors() -> None:
    assert issubclass(ProtocolError, PhysMRISynthError)


# --- where values come from -----------------------------------------------------------------------------------------------------


def test_the_source_of_every_value_is_recorded() -> None:
    protocol = parse_protocol("flair,TR=9000,TI=2500", source="sidecar a.json")
    assert protocol.sources == {"TR": "sidecar a.json", "TI": "sidecar a.json", "TE": "default"}
    assert Protocol.of("se", TR=500).sources == {"TR": "script", "TE": "default"}


def test_a_changed_protocol_keeps_the_other_sources_and_collects_notes() -> None:
    protocol = Protocol.of("tse", "sidecar a.json", TR=3200, TE=450)
    changed = protocol.changed("effective echo time", "The nominal echo time of 450 ms was replaced.", TE=100)
    assert changed.values == {**protocol.values, "TE": 100}
    assert changed.sources == {"TR": "sidecar a.json", "TE": "effective echo time", "L": "default"}
    assert changed.notes == ("The nominal echo time of 450 ms was replaced.",)
    assert protocol.values["TE"] == 450 and protocol.notes == ()
    assert changed.changed("panel", TR=4000).notes == changed.notes


def test_a_changed_protocol_takes_names_in_lower_case_too() -> None:
    changed = Protocol.of("se").changed("panel", te=20)
    assert changed.values == {"TR": 600, "TE": 20}
    assert changed.sources == {"TR": "default", "TE": "panel"}


@pytest.mark.parametrize("values", [{"TE": 700}, {"TE": math.nan}, {"TI": 5}, {"TE": -1}])
def test_a_change_to_an_impossible_protocol_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ProtocolError):
        Protocol.of("se").changed("panel", **values)


# --- what is assumed ------------------------------------------------------------------------------------------------------------


def test_values_that_nobody_stated_are_listed_with_their_units() -> None:
    assert parse_protocol("flair,TR=9000").assumed == ("TE=90 ms", "TI=2500 ms")
    assert parse_protocol("mprage,TR=2400,TI=1000,TE=3.16,N=176").assumed == ("FA=8 °", "ESP=7.6 ms")
    assert Protocol.of("mprage", "sidecar a.json", TR=2400, TI=1000, TE=3.16, FA=8, ESP=7.6).assumed == ("N=176",)


def test_a_guess_from_the_other_values_is_an_assumption_too() -> None:
    guessed = parse_protocol("mprage,TR=2400,TI=1000,TE=3.16,FA=8").changed("assumed", ESP=7.5, N=120)
    assert guessed.assumed == ("ESP=7.5 ms", "N=120")


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_name_alone_assumes_every_value_and_a_full_protocol_none(name: str) -> None:
    bare = parse_protocol(name)
    assert [text.partition("=")[0] for text in bare.assumed] == list(bare.values)
    assert parse_protocol(bare.spec).assumed == ()
    assert Protocol.of(name, "preset p", **bare.values).assumed == ()
    assert bare.changed("panel", **bare.values).assumed == ()
