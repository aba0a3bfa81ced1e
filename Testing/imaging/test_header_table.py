"""Headers of Siemens, GE, Philips and Canon in every family: which equation, which values, from where, and what is told."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from PhysMRISynthLib.errors import ProtocolError
from PhysMRISynthLib.headers.dicom_header import dicom_fields
from PhysMRISynthLib.headers.header_protocol import protocol_from_sidecar
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition, acquisition
from PhysMRISynthLib.imaging.intake.volumes import Volume
from PhysMRISynthLib.physics.protocol import Protocol, is_assumed
from Testing.imaging.headers import TABLE, as_classic, as_enhanced, in_dicom
from Testing.imaging.phantoms import grid

VOLUME = Volume(grid((8, 8, 8), (20.0, 20.0, 20.0), np.eye(3)))
SOUND = [row for row in TABLE if "error" not in row]
REFUSED = [row for row in TABLE if "error" in row]
STATED = {"TR": "RepetitionTime", "TE": "EchoTime", "TI": "InversionTime"}


def rows(chosen: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("row", chosen, ids=lambda row: row["name"])


def used(row: dict[str, Any], fields: dict[str, Any]) -> Acquisition:
    return acquisition(row["role"], VOLUME, protocol_from_sidecar(fields, row["role"], "sidecar x.json"), fields)


def test_the_table_holds_every_vendor_with_every_family_at_several_fields() -> None:
    makers = ("siemens", "ge", "philips", "canon|toshiba")
    families = {
        maker: {row["sequence"] for row in SOUND if re.match(maker, row["fields"].get("Manufacturer", ""), re.I)} for maker in makers
    }
    assert len(TABLE) >= 40 and all(found >= {"mprage", "spgr", "se", "tse", "flair", "stir"} for found in families.values())
    assert {1.5, 3, 7} <= {row["fields"].get("MagneticFieldStrength") for row in TABLE}
    assert len({row["name"] for row in TABLE}) == len(TABLE)


@rows(SOUND)
def test_a_header_gives_its_sequence_and_values(row: dict[str, Any]) -> None:
    found = used(row, row["fields"])
    assert found.protocol.sequence.name == row["sequence"]
    assert {name: found.protocol.values[name] for name in row["values"]} == pytest.approx(row["values"])
    assert (found.conventional_echo_time is not None) == ("nominal" in row)
    assert np.isfinite(found.protocol.signal(0.7, 900.0, 70.0))


@rows(SOUND)
def test_a_value_that_the_header_does_not_state_says_why_it_was_chosen(row: dict[str, Any]) -> None:
    protocol = protocol_from_sidecar(row["fields"], row["role"], "sidecar x.json")
    assert set(protocol.sources) == set(protocol.values)
    for name, source in protocol.sources.items():
        stated = 1000.0 * row["fields"].get(STATED.get(name, ""), np.inf)
        if not is_assumed(source):
            assert source.startswith("sidecar x.json")
            assert name not in STATED or protocol.values[name] == pytest.approx(stated) or "(Repetition" in source
        elif name in ("ESP", "N", "L"):
            assert len(source) > len("assumed: "), name
        else:
            assert protocol.values[name] != pytest.approx(stated)


@rows(SOUND)
def test_what_is_doubtful_is_told_and_nothing_else(row: dict[str, Any]) -> None:
    notes = used(row, row["fields"]).protocol.notes
    assert bool(notes) == ("note" in row), notes
    assert re.search(row.get("note", ""), " ".join(notes))


@rows(REFUSED)
def test_what_has_no_equation_is_refused_with_a_remedy(row: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=rf"sidecar x\.json: .*{row['error']}.*(Give|give)"):
        used(row, row["fields"])


@rows([row for row in SOUND if in_dicom(row["fields"])])
def test_the_same_header_as_dicom_gives_the_same_protocol(row: dict[str, Any]) -> None:
    same(used(row, row["fields"]).protocol, used(row, dicom_fields(as_classic(row["fields"]))).protocol)


@rows([row for row in SOUND if in_dicom(row["fields"]) and "SeriesDescription" in row["fields"]])
def test_the_same_header_as_enhanced_dicom_gives_the_same_protocol(row: dict[str, Any]) -> None:
    told = {name: value for name, value in row["fields"].items() if name not in ("SequenceVariant", "ScanOptions")}
    if row["fields"]["ScanningSequence"] == "IR":  # Philips' word for a spin echo with an inversion
        told["ScanningSequence"] = "SE\\IR"
    same(used(row, row["fields"]).protocol, used(row, dicom_fields(as_enhanced(told))).protocol)


def same(first: Protocol, second: Protocol) -> None:
    assert second.sequence.name == first.sequence.name and second.sources == first.sources and second.notes == first.notes
    assert dict(second.values) == pytest.approx(dict(first.values))
