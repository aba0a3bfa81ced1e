"""Sidecars: found beside any volume, read in seconds, never believed beyond what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PhysMRISynthLib.errors import ImageError, ProtocolError
from PhysMRISynthLib.headers.header_protocol import default_protocol, protocol_from_sidecar
from PhysMRISynthLib.imaging.intake.acquisition import acquisition
from PhysMRISynthLib.imaging.intake.sidecar import read_sidecar, sidecar_of
from PhysMRISynthLib.imaging.intake.volumes import Volume, image_like, same_grid
from PhysMRISynthLib.physics.protocol import parse_protocol
from Testing.imaging.phantoms import grid
from Testing.refusals import refused

VOLUME = Volume(grid((8, 8, 8), (20.0, 20.0, 20.0), np.eye(3)))

# --- which file -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volume", "sidecar"),
    (
        ("scan.nii", "scan.json"),
        ("scan.nii.gz", "scan.json"),
        ("scan.nrrd", "scan.json"),
        ("scan.nhdr", "scan.json"),
        ("scan.mha", "scan.json"),
        ("SCAN.NII.GZ", "SCAN.json"),
        ("sub-01_run.2.T1w.nii.gz", "sub-01_run.2.T1w.json"),
        ("v1.5T.nii", "v1.5T.json"),
        ("a.nrrd.nii.gz", "a.nrrd.json"),
        ("sub-OAS30001_ses-d0129_run-01_T1w.nii.gz", "sub-OAS30001_ses-d0129_run-01_T1w.json"),
    ),
)
def test_the_sidecar_has_the_volumes_name_without_its_suffixes(tmp_path: Path, volume: str, sidecar: str) -> None:
    assert sidecar_of(tmp_path / volume) is None
    (tmp_path / sidecar).write_text("{}")
    assert sidecar_of(tmp_path / volume) == tmp_path / sidecar


def test_a_folder_or_a_longer_name_is_no_sidecar(tmp_path: Path) -> None:
    (tmp_path / "scan.json").mkdir()
    (tmp_path / "scan.nii.json").write_text("{}")
    assert sidecar_of(tmp_path / "scan.nii.gz") is None


def test_a_sidecar_is_read_with_all_its_fields(tmp_path: Path) -> None:
    fields = {"EchoTime": 0.003, "SeriesDescription": "MPRAGE größe"}
    (tmp_path / "scan.json").write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")
    assert read_sidecar(tmp_path / "scan.json") == fields


@pytest.mark.parametrize("content", (b"", b"{", b"[1, 2]", b"3", b"null", b"\xff\xfe\x00{", b'{"EchoTime": }'))
def test_a_damaged_sidecar_is_a_protocol_error_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scan.json").write_bytes(content)
    with refused(ProtocolError, r"scan\.json is not a .*Correct it, or give the protocol on the command line"):
        read_sidecar(tmp_path / "scan.json")


# --- which protocol -------------------------------------------------------------------------------------------------------------


def test_seconds_become_milliseconds_and_every_value_says_where_it_is_from() -> None:
    fields = {"RepetitionTime": 2.4, "EchoTime": 0.00316, "InversionTime": 1.0, "FlipAngle": 8, "Manufacturer": "Siemens"}
    protocol = protocol_from_sidecar(fields, "t1w", "sidecar scan.json")
    assert protocol.sequence.name == "mprage"
    assert {name: protocol.values[name] for name in ("TR", "TE", "TI", "FA")} == pytest.approx(
        {"TR": 2400, "TE": 3.16, "TI": 1000, "FA": 8}
    )
    assert {protocol.sources[name] for name in ("TR", "TE", "TI", "FA")} == {"sidecar scan.json"}


def test_a_train_that_is_assumed_does_not_claim_to_come_from_the_sidecar() -> None:
    protocol = protocol_from_sidecar({"RepetitionTime": 2.2, "InversionTime": 1.0}, "t1w", "sidecar scan.json")
    assert protocol.sources["ESP"] == "assumed: usual echo spacing, which the header does not state"
    assert protocol.sources["N"] == "assumed: usual train; the header states no train length"
    assert protocol.assumed == ("TE=3.16 ms", "FA=8 °", "ESP=7.6 ms", "N=176")


def test_values_that_the_sidecar_lacks_are_defaults_and_say_so() -> None:
    protocol = protocol_from_sidecar({"RepetitionTime": 9.0, "EchoTime": None}, "flair", "sidecar scan.json")
    assert protocol.values["TR"] == 9000
    assert protocol.sources["TR"] == "sidecar scan.json"
    assert protocol.sources["TE"] == protocol.sources["TI"] == "default"
    assert protocol.values["TE"] == parse_protocol("flair").values["TE"]


@pytest.mark.parametrize(
    ("role", "fields", "family"),
    (
        ("t1w", {"RepetitionTime": 2.4, "InversionTime": 1.0, "EchoTime": 0.003}, "mprage"),
        ("t1w", {"RepetitionTime": 2.4, "InversionTime": 1.0, "ScanningSequence": ["GR", "IR"]}, "mprage"),
        ("t1w", {"RepetitionTime": 2.0, "InversionTime": 0.8, "EchoTime": 0.02, "ScanningSequence": ["SE", "IR"]}, "ir"),
        ("t1w", {"RepetitionTime": 0.6, "EchoTime": 0.015, "ScanningSequence": "SE"}, "se"),
        ("t1w", {"RepetitionTime": 0.018, "EchoTime": 0.0046, "FlipAngle": 25, "ScanningSequence": "GR"}, "spgr"),
        ("t1w", {}, "mprage"),
        ("t1w", {"RepetitionTime": 0.2, "EchoTime": 0.004, "FlipAngle": 70, "ScanningSequence": "GR"}, "spgr"),
        ("t1w", {"RepetitionTimePreparation": 2.3, "RepetitionTime": 0.007, "EchoTime": 0.003}, "mprage"),
        ("t2w", {"RepetitionTime": 4.5, "EchoTime": 0.1}, "tse"),
        ("t2w", {"RepetitionTime": 4.5, "EchoTime": 0.05, "InversionTime": 0.16, "ScanningSequence": ["SE", "IR"]}, "stir"),
        ("flair", {"RepetitionTime": 11.0, "EchoTime": 0.14, "InversionTime": 2.8}, "flair"),
    ),
)
def test_the_family_follows_from_the_role_and_the_headers_values(role: str, fields: dict, family: str) -> None:
    protocol = protocol_from_sidecar(fields, role, "sidecar")
    assert protocol.sequence.name == family
    protocol.signal(*(np.array([v]) for v in (0.7, 900.0, 70.0)))


@pytest.mark.parametrize("fields", ({"ScanningSequence": "GR"}, {"FlipAngle": 25}, {}))
def test_a_t1w_of_short_tr_without_inversion_time_is_spgr_and_says_so(fields: dict) -> None:
    protocol = protocol_from_sidecar({"RepetitionTime": 0.018, "EchoTime": 0.0046, **fields}, "t1w", "sidecar")
    assert protocol.sequence.name == "spgr"
    (note,) = acquisition("t1w", VOLUME, protocol).protocol.notes
    assert "without inversion (spgr) is assumed" in note and "Give the protocol" in note


@pytest.mark.parametrize("fields", ({"RepetitionTime": 2.3}, {"RepetitionTime": 2.4, "InversionTime": 1.0}, {"ScanningSequence": "SE"}))
def test_other_t1w_sidecars_need_no_such_note(fields: dict) -> None:
    assert protocol_from_sidecar(fields, "t1w", "sidecar").notes == ()


@given(tr=st.floats(1.5, 5.0), share=st.floats(0.1, 0.9))
def test_the_assumed_train_fits_every_inversion_time(tr: float, share: float) -> None:
    protocol = protocol_from_sidecar({"RepetitionTime": tr, "InversionTime": share * tr}, "t1w", "sidecar")
    half = protocol.values["N"] * protocol.values["ESP"] / 2
    assert half <= protocol.values["TI"] + 1e-6
    assert protocol.values["TI"] + half <= protocol.values["TR"] + 1e-6


@pytest.mark.parametrize(
    ("fields", "cause"),
    (
        ({"EchoTime": "long"}, "EchoTime is 'long', not a number"),
        ({"EchoTime": [0.01, 0.1]}, "EchoTime is .0.01, 0.1., not a number"),
        ({"RepetitionTime": {}}, "RepetitionTime is"),
        ({"RepetitionTime": True}, "RepetitionTime is True"),
        ({"EchoTime": 100}, "TE"),  # milliseconds where seconds belong
        ({"EchoTime": -0.1}, "TE"),
        ({"EchoTime": float("nan")}, "EchoTime"),
        ({"InversionTime": float("inf")}, "InversionTime"),
        ({"RepetitionTime": float("inf")}, "RepetitionTime"),
    ),
)
def test_values_that_cannot_be_are_refused_by_the_sidecars_name(fields: dict, cause: str) -> None:
    with pytest.raises(ProtocolError, match=rf"sidecar scan\.json.*{cause}"):
        protocol_from_sidecar(fields, "t2w", "sidecar scan.json")


@pytest.mark.parametrize(
    "stated",
    (
        {"RepetitionTime": "4.5", "EchoTime": "0.1"},
        {"RepetitionTime": [4.5], "EchoTime": ["0.1"]},
        {"RepetitionTime": "4.5 s", "EchoTime": "100 ms", "FlipAngle": "150 deg"},
        {"RepetitionTime": 4.5, "EchoTime": 0.1, "InversionTime": "", "FlipAngle": "n/a"},
    ),
    ids=("texts", "lists of one", "with units", "stating nothing"),
)
def test_numbers_are_read_as_converters_write_them(stated: dict) -> None:
    values = protocol_from_sidecar(stated, "t2w", "sidecar").values
    assert (values["TR"], values["TE"]) == pytest.approx((4500.0, 100.0))


@pytest.mark.parametrize("stated", ([0.02, 0.1], "0,1", True, {"value": 0.1}))
def test_what_is_no_single_number_is_refused(stated: object) -> None:
    with pytest.raises(ProtocolError, match=r"EchoTime is .*, not a number in seconds"):
        protocol_from_sidecar({"RepetitionTime": 4.5, "EchoTime": stated}, "t2w", "sidecar")


@pytest.mark.parametrize("written", (["ORIGINAL", "PRIMARY", "P", "ND"], "ORIGINAL\\PRIMARY\\P\\ND", "['ORIGINAL', 'PRIMARY', 'P', 'ND']"))
def test_a_phase_image_is_refused_however_its_type_is_written(written: object) -> None:
    with pytest.raises(ImageError, match="a phase image"):
        acquisition("t2w", VOLUME, parse_protocol("tse"), {"ImageType": written})


@pytest.mark.parametrize("role", ("t1w", "t2w", "flair"))
def test_an_assumed_protocol_is_always_announced(role: str) -> None:
    protocol = default_protocol(role)
    assert set(protocol.sources.values()) == {"default"}
    assert protocol.spec in protocol.notes[0] and "Give its protocol" in protocol.notes[0]


# --- nominal echo times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "sequence"),
    (("flair,TR=5000,TE=392,TI=1800", "space_flair"), ("tse,TR=3200,TE=563", "space"), ("flair,TR=6000,TE=251,TI=2000", "space_flair")),
)
def test_a_nominal_echo_time_is_read_as_a_variable_trains_and_told(spec: str, sequence: str) -> None:
    nominal = parse_protocol(spec)
    found = acquisition("flair", VOLUME, nominal)
    values = found.protocol.values
    assert found.protocol.sequence.name == sequence
    assert found.conventional_echo_time == values["TE"] == nominal.values["TE"] <= values["ETL"] * values["ESP"]
    assert f"{nominal.values['TE']:g} ms is the nominal one" in found.protocol.notes[-1]
    assert all(values[name] == nominal.values[name] for name in ("TR", "TI") if name in nominal.values)
    assert {"ETL", "ESP"} == {value.partition("=")[0] for value in found.protocol.assumed}


def test_a_train_that_the_header_states_is_used() -> None:
    found = acquisition("t2w", VOLUME, parse_protocol("tse,TR=3200,TE=564"), {"EchoTrainLength": 314}).protocol
    assert found.values["ETL"] == 314 and found.sources["ETL"] == "header"


@pytest.mark.parametrize("spec", ("tse,TR=500,TE=400", "stir,TR=3000,TE=300,TI=180"))
def test_a_nominal_echo_time_that_no_train_of_ours_has_is_replaced_flagged_and_told(spec: str) -> None:
    nominal = parse_protocol(spec)
    found = acquisition("t2w", VOLUME, nominal)
    assert found.conventional_echo_time == found.protocol.values["TE"] == 95
    assert f"{nominal.values['TE']:g}" in found.protocol.sources["TE"]
    assert {**found.protocol.values, "TE": 0} == {**nominal.values, "TE": 0}


@pytest.mark.parametrize("name", ("*spcir_242", "CUBE T2 FLAIR", "T2 SPACE sag", "3D VISTA", "tse_vfl"))
@pytest.mark.parametrize("key", ("SequenceName", "PulseSequenceDetails", "SeriesDescription", "ProtocolName"))
def test_a_train_is_recognised_by_its_name_at_shorter_echo_times(name: str, key: str) -> None:
    protocol = parse_protocol("tse,TR=3200,TE=200")
    found = acquisition("t2w", VOLUME, protocol, {key: name, "MRAcquisitionType": "3D"})
    assert found.conventional_echo_time == 200 and found.protocol.sequence.name == "space"
    assert acquisition("t2w", VOLUME, protocol, {key: name, "MRAcquisitionType": "2D"}).conventional_echo_time is None


@pytest.mark.parametrize("spec", ("tse,TR=4500,TE=100", "flair,TR=11000,TE=140,TI=2800", "mprage", "tse,TR=4500,TE=250"))
def test_conventional_acquisitions_are_taken_at_their_word(spec: str) -> None:
    protocol = parse_protocol(spec)
    found = acquisition("t2w", VOLUME, protocol)
    assert found.protocol is protocol and found.conventional_echo_time is None and found.volume is VOLUME


# --- images that keep the sign --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stated", "thickness"), ((16, 16.0), ("15.5", 15.5), (20, None), (24, None), (0, None), (-3, None), ("thin", None))
)
def test_a_slice_thickness_counts_where_it_leaves_a_gap(stated: object, thickness: float | None) -> None:
    """Slices of 20 mm spacing; touching ones are what is assumed anyway, and what is no thickness tells nothing."""
    for spec in ("tse,TR=4500,TE=100", "tse,TR=4500,TE=400"):
        found = acquisition("t2w", VOLUME, parse_protocol(spec), {"SliceThickness": stated})
        assert found.slice_thickness_mm == thickness


@pytest.mark.parametrize(("stated", "thickness"), ((20, None), (24, 24.0), (40, 40.0), (60, None)))
def test_overlapping_slices_are_as_thick_as_stated_and_it_is_told(stated: float, thickness: float | None) -> None:
    """Slices 20 mm apart of voxels of 10 mm; of cubic voxels, it is not known which side is the slice's."""
    thick = Volume(grid((16, 16, 8), (10.0, 10.0, 20.0), np.eye(3)), notes=("mended",))
    found = acquisition("t2w", thick, parse_protocol("tse,TR=4500,TE=100"), {"SliceThickness": stated})
    assert found.slice_thickness_mm == thickness
    note = f"Slices of {stated:g} mm lie 20 mm apart: they overlap"
    assert found.volume.notes[0] == "mended" and [told.startswith(note) for told in found.volume.notes[1:]] == [True] * bool(thickness)


def volume_of(low: float, high: float) -> Volume:
    voxels = np.linspace(low, high, 512, dtype=np.float32).reshape(8, 8, 8)
    return Volume(image_like(voxels, VOLUME.image), Path("uni.nii.gz"), ("3 voxels were mended.",))


def test_an_mp2rage_image_of_a_scanner_is_brought_to_the_equations_range() -> None:
    volume = volume_of(0, 4095)
    found = acquisition("t1w", volume, parse_protocol("mp2rage")).volume
    np.testing.assert_allclose(found.voxels, volume_of(-0.5, 0.5).voxels, atol=1e-6)
    assert same_grid(found.image, volume.image) and found.path == volume.path
    mended, scaled = found.notes
    assert mended == volume.notes[0] and "0 to 4095 and was scaled to −0.5 to 0.5" in scaled
    np.testing.assert_array_equal(volume.voxels, volume_of(0, 4095).voxels)


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    (("mp2rage", -0.5, 0.5), ("mp2rage", -0.01, 0.5), ("psir", -900, 1200), ("mprage", 0, 4095), ("ir", 0, 4095), ("flair", -3, 900)),
)
def test_an_image_that_is_as_its_sequence_makes_it_is_left_alone(spec: str, low: float, high: float) -> None:
    volume = volume_of(low, high)
    assert acquisition("t1w", volume, parse_protocol(spec)).volume is volume


@pytest.mark.parametrize("low", (0, 5))
def test_a_psir_image_that_lost_its_sign_is_refused_with_a_remedy(low: float) -> None:
    remedy = r"t1w has hardly any negative voxels.*Export .* with its sign, or give the magnitude image as 'ir'"
    with pytest.raises(ImageError, match=remedy):
        acquisition("t1w", volume_of(low, 4095), parse_protocol("psir"))


def test_one_negative_voxel_from_interpolation_is_no_sign() -> None:
    voxels = volume_of(0, 4095).voxels
    voxels[0, 0, 0] = -1.0
    found = acquisition("t1w", Volume(image_like(voxels, VOLUME.image)), parse_protocol("mp2rage")).volume
    assert found.voxels.max() == pytest.approx(0.5) and "scaled" in found.notes[0]


@pytest.mark.parametrize("high", (1.0, 255.0, 32767.0))
def test_a_uniform_image_of_an_unknown_range_is_refused(high: float) -> None:
    with pytest.raises(ImageError, match=r"from −0\.5 to 0\.5, or from 0 to 4095"):
        acquisition("t1w", volume_of(0, high), parse_protocol("mp2rage"))


def test_an_inversion_that_the_header_states_is_not_called_a_gradient_echo() -> None:
    fields = {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2.3, "FlipAngle": 9}
    assert protocol_from_sidecar(fields, "t1w", "x.json").sequence.name == "mprage"
    fields["RepetitionTime"] = 0.0067
    with pytest.raises(ProtocolError, match=r"from pulse to pulse.*from inversion to inversion"):
        protocol_from_sidecar(fields, "t1w", "x.json")
    found = protocol_from_sidecar({**fields, "RepetitionTimePreparation": 2.3}, "t1w", "x.json")
    assert found.sequence.name == "mprage" and found.values["TR"] == 2300


def test_an_inversion_time_of_zero_means_none() -> None:
    assert protocol_from_sidecar({"RepetitionTime": 0.018, "InversionTime": 0, "EchoTime": 0.004}, "t1w", "x.json").sequence.name == "spgr"
    spin_echo = {"ScanningSequence": "SE", "RepetitionTime": 0.6, "InversionTime": 0, "EchoTime": 0.012}
    assert protocol_from_sidecar(spin_echo, "t1w", "x.json").sequence.name == "se"


@pytest.mark.parametrize("role", ("t2w", "flair"))
def test_a_gradient_echo_is_no_t2w_image(role: str) -> None:
    with pytest.raises(ProtocolError, match="gradient echo, whose contrast is T2\\*"):
        protocol_from_sidecar({"ScanningSequence": "GR", "RepetitionTime": 0.65, "EchoTime": 0.02}, role, "x.json")


def test_an_inversion_recovery_has_a_readout_train_unless_its_header_says_otherwise() -> None:
    fields = {"RepetitionTime": 9.0, "EchoTime": 0.09, "InversionTime": 2.5}
    found = protocol_from_sidecar(fields, "flair", "x.json")
    assert found.values["L"] == 150 and found.assumed == ("L=150 ms",)
    assert "L" not in protocol_from_sidecar({**fields, "EchoTrainLength": 1}, "flair", "x.json").values
    assert default_protocol("flair").values["L"] == 150
