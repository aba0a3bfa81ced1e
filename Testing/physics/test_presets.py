"""Presets: each is a valid protocol that gives the contrast its role promises, and says where its values come from."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.physics import presets as module
from PhysMRISynthLib.physics.presets import Preset, load_presets, preset_named, protocol_from_spec
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from PhysMRISynthLib.physics.tissues import tissue_table

PRESETS = load_presets()
WANTED = {
    "paper-t1w", "paper-t2w", "paper-flair", "oasis3-t1w", "oasis3-t2w", "oasis3-flair", "adni-t1w", "ukb-t1w", "ukb-flair", "ixi-t1w",
    "ixi-t2w", "ixi-pd", "synthetic-t1w", "synthetic-t2w", "synthetic-pdw", "synthetic-flair", "synthetic-stir", "synthetic-dir",
    "synthetic-psir", "synthetic-wmn", "oasis3-t1w-2300", "oasis3-flair-76", "oasis3-flair-space",
}  # fmt: skip


def signals(preset: Preset) -> dict[str, float]:
    """The preset's signal in every tissue of the table at its field strength."""
    table = tissue_table(preset.field_strength or 3.0)
    image = preset.protocol.signal(*np.exp(np.stack([tissue.theta for tissue in table], axis=1)))
    assert np.isfinite(image).all()
    return {tissue.name: float(value) for tissue, value in zip(table, image, strict=True)}


def of_role(role: str) -> list[Preset]:
    found = [preset for preset in PRESETS.values() if preset.role == role]
    assert len(found) >= 2
    return found


def test_the_presets_are_those_announced() -> None:
    assert set(PRESETS) == WANTED
    assert {preset.role for preset in PRESETS.values()} == {"t1w", "t2w", "flair", "pd", "other"}
    assert not set(PRESETS) & set(SEQUENCES), "a name must be either a preset's or a sequence's"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_is_valid_and_says_where_each_value_comes_from(preset: Preset) -> None:
    preset.protocol.sequence.validate(preset.protocol.values)
    assert preset.name == preset.name.lower() and preset.title
    assert preset.field_strength in (None, 1.5, 3.0)
    assert preset.field_strength or not preset.null, "what nulls is for one field strength"
    assert set(preset.protocol.sources) == set(preset.protocol.values)
    assert set(preset.protocol.sources.values()) <= {f"preset {preset.name}", "default"}
    assert not {"TR", "TE", "TI", "TI1", "TI2", "FA", "N"} & {n for n, s in preset.protocol.sources.items() if s == "default"}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_names_its_source_or_admits_that_there_is_none(preset: Preset) -> None:
    assert len(preset.source) > 40
    admits = any(phrase in preset.source for phrase in ("no citable source", "not from a citable", "gives no values"))
    assert admits != preset.citable
    defaults = {name for name, source in preset.protocol.sources.items() if source == "default"}
    assert ("default" in preset.source) == bool(defaults)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_with_a_variable_flip_train_has_the_effective_echo_time(preset: Preset) -> None:
    if preset.protocol.sequence.name.startswith("space"):  # the train itself has the nominal one
        assert preset.protocol.values["TE"] > 250 and "nominal" in preset.source and preset.echo_time_estimated
        return
    assert preset.protocol.values.get("TE", 0) <= 150
    if "SPACE" in preset.title:
        assert 80 <= preset.protocol.values["TE"] <= 110
        assert "nominal" in preset.source
        assert len(preset.protocol.notes) == 1 and "effective" in preset.protocol.notes[0]
    else:
        assert not any("train" in note for note in preset.protocol.notes)


def test_no_value_in_the_file_is_overlooked() -> None:
    table = json.loads((Path(module.__file__).parents[1] / "resources" / "protocols.json").read_text(encoding="utf-8"))
    assert len(table["presets"]) == len(PRESETS)
    for row in table["presets"]:
        optional = {"note", "echo_time_estimated", "group", "null"}
        assert set(row) - optional == {"name", "title", "role", "field_strength", "sequence", "values", "source", "citable"}
        for name, value in row["values"].items():
            assert PRESETS[row["name"]].protocol.values[name] == value


# --- contrast -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", of_role("t1w"), ids=lambda p: p.name)
def test_t1_weighting(preset: Preset) -> None:
    s = signals(preset)
    assert s["white_matter"] > s["cortex"] > s["csf"] >= 0
    assert s["fat"] > s["white_matter"]
    assert s["csf"] < 0.6 * s["white_matter"]


@pytest.mark.parametrize("preset", of_role("t2w"), ids=lambda p: p.name)
def test_t2_weighting(preset: Preset) -> None:
    s = signals(preset)
    assert s["csf"] > s["cortex"] > s["white_matter"] > 0
    assert s["csf"] > 1.5 * s["cortex"] and s["cortex"] > 1.3 * s["white_matter"]


@pytest.mark.parametrize("preset", of_role("flair"), ids=lambda p: p.name)
def test_flair_nulls_csf(preset: Preset) -> None:
    s = signals(preset)
    train = preset.protocol.sequence.name == "space_flair"  # whose long train recovers fluid, so that it is never quite dark
    assert 0 <= s["csf"] < (0.4 if train else 0.15) * s["white_matter"]
    assert s["cortex"] > s["white_matter"]


@pytest.mark.parametrize("preset", of_role("pd"), ids=lambda p: p.name)
def test_proton_density_weighting(preset: Preset) -> None:
    s = signals(preset)
    table = {tissue.name: math.exp(tissue.theta[0]) for tissue in tissue_table(preset.field_strength or 3.0)}
    assert s["csf"] > s["cortex"] > s["white_matter"]
    for name in ("white_matter", "cortex", "deep_grey", "csf"):
        assert s[name] == pytest.approx(table[name], rel=0.16)


def test_stir_nulls_fat() -> None:
    s = signals(PRESETS["synthetic-stir"])
    assert s["fat"] < 0.02 * s["white_matter"]
    assert s["csf"] > s["cortex"] > s["white_matter"]


def test_double_inversion_recovery_leaves_grey_matter_alone() -> None:
    s = signals(PRESETS["synthetic-dir"])
    assert s["white_matter"] < 0.02 * s["cortex"]
    assert s["csf"] < 0.02 * s["cortex"]


def test_phase_sensitive_inversion_recovery_keeps_the_sign() -> None:
    s = signals(PRESETS["synthetic-psir"])
    assert s["fat"] > 0.5 * -s["cortex"] > 0 and abs(s["white_matter"]) < -0.02 * s["cortex"]
    assert s["cortex"] > s["csf"]


def test_nulled_white_matter_is_darker_than_everything_around_it() -> None:
    s = signals(PRESETS["synthetic-wmn"])
    assert s["white_matter"] < 0.02 * min(s[name] for name in ("cortex", "deep_grey", "csf"))


def test_bone_and_air_stay_dark() -> None:
    for preset in PRESETS.values():
        s = signals(preset)
        assert abs(s["air"]) < 0.01 * max(abs(value) for value in s.values()), preset.name
        assert abs(s["bone"]) < 0.05 * max(abs(value) for value in s.values()), preset.name


def test_the_papers_presets_are_the_papers_equations() -> None:
    pd, t1, t2 = np.array([0.7, 0.8, 1.0]), np.array([900.0, 1500.0, 4200.0]), np.array([75.0, 100.0, 2000.0])
    t1w, t2w, flair = (PRESETS[f"paper-{role}"].protocol for role in ("t1w", "t2w", "flair"))
    v = t1w.values
    expected = pd * np.abs(1 - 2 * np.exp(-v["TI"] / t1) / (1 + np.exp(-v["TR"] / t1)))
    np.testing.assert_allclose(t1w.signal(pd, t1, t2), expected, rtol=1e-12)
    v = flair.values
    expected = pd * np.abs(1 - 2 * np.exp(-v["TI"] / t1) + np.exp(-v["TR"] / t1)) * np.exp(-v["TE"] / t2)
    np.testing.assert_allclose(flair.signal(pd, t1, t2), expected, rtol=1e-12)
    v = t2w.values
    expected = pd * (1 - np.exp(-v["TR"] / t1)) * np.exp(-v["TE"] / t2)
    np.testing.assert_allclose(t2w.signal(pd, t1, t2), expected, rtol=0.03)
    without_train = Protocol.of("tse", TR=v["TR"], TE=v["TE"], L=0)
    np.testing.assert_allclose(without_train.signal(pd, t1, t2), expected, rtol=1e-12)


# --- names and text -------------------------------------------------------------------------------------------------------------


def test_a_preset_is_found_by_its_name_in_any_case() -> None:
    assert preset_named(" OASIS3-T1w ") is PRESETS["oasis3-t1w"]
    assert load_presets() is load_presets()


@pytest.mark.parametrize("name", ["", "nonsense", "se", "oasis3", "oasis3-t1w,TE=3"])
def test_an_unknown_preset_is_answered_with_those_there_are(name: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        preset_named(name)
    assert all(known in str(caught.value) for known in PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_spec_may_be_a_presets_name(name: str) -> None:
    assert protocol_from_spec(f" {name.upper()} ") == PRESETS[name].protocol


def test_a_spec_may_be_a_sequence_with_values() -> None:
    assert protocol_from_spec("flair,TR=8000", "sidecar") == parse_protocol("flair,TR=8000", "sidecar")


def test_a_spec_may_change_some_values_of_a_preset() -> None:
    protocol = protocol_from_spec("oasis3-t2w, te = 567", "sidecar")
    preset = PRESETS["oasis3-t2w"].protocol
    assert protocol.sequence.name == "space"
    assert protocol.values == {**preset.values, "TE": 567}
    assert protocol.sources == {name: "sidecar" if name == "TE" else "preset oasis3-t2w" for name in protocol.values}
    assert protocol.notes == preset.notes and preset.values["TE"] == 455


def test_a_change_keeps_which_values_are_defaults() -> None:
    assert protocol_from_spec("adni-t1w,TE=3").sources["ESP"] == "default"


def test_values_that_fit_only_together_may_change_together() -> None:
    protocol = protocol_from_spec("synthetic-dir,TR=3000,TI1=2000")
    assert (protocol.values["TR"], protocol.values["TI1"]) == (3000, 2000)


def test_text_that_is_neither_preset_nor_sequence_is_answered_with_both() -> None:
    with pytest.raises(ProtocolError) as caught:
        protocol_from_spec("oasis3-t3w,TE=3")
    assert all(name in str(caught.value) for name in (*PRESETS, *SEQUENCES))


@pytest.mark.parametrize("text", ["oasis3-t1w,TE", "oasis3-t1w,", "oasis3-t1w,TE=x", "oasis3-t1w,TE=nan", "oasis3-t1w,XX=1",
                                  "oasis3-t1w,TE=3,te=4", "oasis3-t1w,TR=1000", "oasis3-flair,TI=9000"])  # fmt: skip
def test_an_impossible_change_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        protocol_from_spec(text)


@given(st.sampled_from(sorted(PRESETS)), st.text(max_size=40), st.sampled_from([",", ",TE=", ",L=", "", "="]))
@settings(max_examples=150, deadline=None)
def test_no_text_does_anything_but_parse_or_raise_protocol_error(name: str, text: str, between: str) -> None:
    for spec in (name + between + text, text):
        try:
            protocol_from_spec(spec)
        except ProtocolError as error:
            assert len(str(error)) > 20
