"""The user's own equations and presets: arithmetic is understood, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.physics.expression import own_sequence
from PhysMRISynthLib.physics.own_presets import EQUATIONS, OwnEquation, add_equation, add_preset, text_of, use_presets, use_text
from PhysMRISynthLib.physics.presets import OWN_PRESETS, adapted, load_presets, protocol_from_spec
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import OWN_SEQUENCES, Sequence
from PhysMRISynthLib.workflow.rendering.head_points import published_points
from PhysMRISynthLib.workflow.rendering.render import render_arrays

IR = "PD * (1 - 2*exp(-TI/T1) + exp(-TR/T1)) * exp(-TE/T2)"


@pytest.fixture(autouse=True)
def nothing_own() -> Iterator[None]:
    yield
    for known in (OWN_PRESETS, OWN_SEQUENCES, EQUATIONS):
        known.clear()


def usual(sequence: Sequence) -> Protocol:
    return Protocol(sequence, {p.name: float(p.default or 0.0) for p in sequence.parameters})


def test_an_equation_renders_as_it_is_written() -> None:
    protocol = usual(own_sequence("mine", "Mine", IR))
    pd, t1, t2 = (np.float32([[0.7, 0.8, 1.0]]), np.float32([[650, 1000, 4000]]), np.float32([[70, 100, 1500]]))
    v = protocol.values
    expected = pd * np.abs(1 - 2 * np.exp(-v["TI"] / t1) + np.exp(-v["TR"] / t1)) * np.exp(-v["TE"] / t2)
    np.testing.assert_allclose(render_arrays(protocol, pd, t1, t2), expected, rtol=1e-4, atol=1e-6)
    theta = np.log(np.stack([pd, t1, t2]).astype(float))
    signal, slopes = protocol.signal_and_derivatives(theta)
    step = 1e-6
    for axis in (1, 2):
        moved = theta.copy()
        moved[axis] += step
        np.testing.assert_allclose((protocol.signal_and_derivatives(moved)[0] - signal) / step, slopes[axis], rtol=1e-3, atol=1e-5)


def test_flip_angles_are_degrees_and_powers_are_products() -> None:
    sequence = own_sequence("mine", "Mine", "PD * sin(FA)**2 / T2", {"FA": 30.0})
    assert usual(sequence).signal(np.array(0.8), np.array(900.0), np.array(100.0)) == pytest.approx(0.8 * 0.25 / 100.0)


def test_what_is_free_of_pd_is_a_ratio_image() -> None:
    assert not own_sequence("r1", "R1", "1000 / T1").uses_pd
    assert own_sequence("mine", "Mine", IR).uses_pd


@pytest.mark.parametrize("text", [
    "__import__('os').system('x')", "PD.real", "PD*(lambda: 1)()", "PD*[1][0]", "PD if 1 else 2",
    "PD**9", "PD**TR", "'PD'", "PD*True", "PD*exp(x=1)",
    "PD*exp(-TE, T2)", "PD*open(1)", "PD*TX", "PD + 1", "PD*PD", "PD/0", "PD*1e999", "PD*exp(", "", "PD@T1", "PD//T1", "PD := 1",
    "PD\nT1", "(" * 300,
    "exp(" * 60 + "PD" + ")" * 60, "1" * 3000, "PD*exp(exp(exp(9)))", "\0",
])  # fmt: skip
def test_anything_but_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        own_sequence("mine", "Mine", text)
    assert len(str(caught.value)) > 30


@given(st.text(alphabet="PDT12REIFAexpabsincos()+-*/., 0", max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_text_does_anything_but_parse_or_raise_protocol_error(text: str) -> None:
    with suppress(ProtocolError):
        own_sequence("mine", "Mine", text)


def test_values_at_which_an_equation_breaks_are_told() -> None:
    sequence = own_sequence("mine", "Mine", "PD * T1 / (TR - 1234)")
    protocol = Protocol(sequence, {"TR": 1234.0})
    with pytest.raises(ProtocolError, match="Choose others"):
        render_arrays(protocol, *(np.ones((1, 1), np.float32),) * 3)


def test_a_file_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    add_equation(OwnEquation("my-ir", "My IR", IR))
    use_text('{"presets": [{"name": "my-flair", "title": "My FLAIR", "sequence": "my-ir", "values": {"TR": 8000}, "null": ["csf"]}]}')
    (file := tmp_path / "mine.json").write_text(text_of(OWN_PRESETS.values(), EQUATIONS.values()), encoding="utf-8")
    before = OWN_PRESETS["my-flair"]
    for known in (OWN_PRESETS, OWN_SEQUENCES, EQUATIONS):
        known.clear()
    assert use_presets(file) == ["my-ir", "my-flair"]
    after = OWN_PRESETS["my-flair"]
    assert (after.title, after.null, after.protocol.values, after.group) == (before.title, before.null, before.protocol.values, "own")
    assert protocol_from_spec("my-flair,TE=20").values["TE"] == 20.0
    assert adapted(after, published_points(1.5)).values["TI"] != after.protocol.values["TI"]


@pytest.mark.parametrize("text", [
    "", "[]", "{", '{"presets": 1}', '{"presets": [{"name": "x"}]}', '{"presets": [{"name": "Bad Name", "sequence": "se", "values": {}}]}',
    '{"presets": [{"name": "flair", "sequence": "se", "values": {}}]}',
    '{"presets": [{"name": "x", "sequence": "se", "values": {"TR": "a"}}]}',
    '{"presets": [{"name": "x", "sequence": "se", "values": [1]}]}', '{"sequences": [{"name": "se", "title": "t", "equation": "PD"}]}',
    '{"sequences": [{"name": "x", "title": "t", "equation": "open(1)"}]}',
    '{"presets": [{"name": "x", "sequence": "nonsense", "values": {}}]}',
])  # fmt: skip
def test_a_damaged_file_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "mine.json").write_text(text, encoding="utf-8")
    with pytest.raises(ProtocolError, match=r"mine\.json"):
        use_presets(file)
    assert not OWN_PRESETS


def test_the_packages_presets_cannot_be_replaced() -> None:
    with pytest.raises(ProtocolError, match="taken"):
        add_preset(load_presets()["synthetic-dir"])
