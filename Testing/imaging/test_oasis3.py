"""OASIS-3 as it is: each of its 5,560 counted scans has a protocol, and its folders are read alike wherever they are chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.headers.header_protocol import protocol_from_sidecar
from PhysMRISynthLib.headers.usual_inversion import counted_scans
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition, acquisition
from PhysMRISynthLib.imaging.intake.sessions import find_session
from PhysMRISynthLib.imaging.intake.volumes import Volume
from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.workflow.cohort.data_set import plan
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisition
from PhysMRISynthLib.workflow.estimation.knowledge import Knowledge, knowledge_of
from PhysMRISynthLib.workflow.estimation.reasons import input_reasons
from Testing.imaging.phantoms import grid, head

SCANS = counted_scans()
IMAGE = head(grid((20, 22, 20), (10.0, 10.0, 10.0), np.eye(3)), 0)
MISNAMED = (("t2w", 2400), ("t2w", 259))
"""Role and TR of two scans that are called T2w and are none."""
TRUE_TIMES = {"t1w": {2400: 1000, 2300: 900, 1900: 1100, 2100: 900}, "flair": {9000: 2500, 5000: 1800, 9460: 2500}}
"""TI by TR, ms."""
INVERTED = [scan for scan in SCANS if scan["TR"] in TRUE_TIMES.get(scan["role"], {})]


def name_of(scan: dict[str, Any]) -> str:
    return "-".join(str(scan[name]) for name in ("role", "TR", "TE", "TI"))


def as_header(scan: dict[str, Any]) -> dict[str, Any]:
    times = {"RepetitionTime": scan["TR"], "EchoTime": scan["TE"], "InversionTime": scan["TI"]}
    return {"MagneticFieldStrength": 3, **{name: value / 1000 for name, value in times.items() if value is not None}}


def read(scan: dict[str, Any]) -> Acquisition:
    fields = as_header(scan)
    return acquisition(scan["role"], Volume(IMAGE), protocol_from_sidecar(fields, scan["role"], "sidecar x.json"), fields)


@pytest.mark.parametrize("scan", SCANS, ids=name_of)
def test_every_counted_scan_has_a_protocol_and_only_the_misnamed_are_doubted(scan: dict[str, Any]) -> None:
    found = read(scan)
    protocol = found.protocol
    nominal = scan["TE"] > 250
    sequence = {"t1w": "mprage", "t2w": "space" if nominal else "tse", "flair": "space_flair" if nominal else "flair"}[scan["role"]]
    assert protocol.sequence.name == sequence and protocol.values["TR"] == scan["TR"]
    assert nominal == (found.conventional_echo_time is not None) and protocol.values["TE"] == pytest.approx(scan["TE"])
    doubts = [note for note in protocol.notes if "nominal" not in note]
    assert bool(doubts) == ((scan["role"], scan["TR"]) in MISNAMED), doubts


@pytest.mark.parametrize(
    "scan", [s for s in SCANS if s["role"] != "t2w" and s["TR"] != 1520], ids=lambda s: f"{s['role']}-{s['TR']}-{s['TE']}-{s['TI']}"
)
def test_an_inversion_time_that_is_missing_is_looked_up_and_said_to_be(scan: dict[str, Any]) -> None:
    found = read({**scan, "TI": None})
    assert found.protocol.values["TI"] == TRUE_TIMES[scan["role"]][scan["TR"]]
    assert found.protocol.sources["TI"].startswith("assumed: as in ") and "OASIS-3" in found.protocol.sources["TI"]
    assert knowledge_of(found.protocol) is Knowledge.PARTLY
    assert any("TI=" in r.text and "as in" in r.text and r.level == "caution" for r in input_reasons([found]))
    assert read({**scan, "TI": 850}).protocol.values["TI"] == 850


@pytest.mark.parametrize(("role", "times"), (("t1w", (2000, 2.5)), ("t1w", (2400, 10)), ("flair", (11000, 140)), ("t1w", (1520, 2.95))))
def test_a_timing_that_nobody_counted_is_not_looked_up(role: str, times: tuple[float, float]) -> None:
    found = read({"role": role, "TR": times[0], "TE": times[1], "TI": None})
    assert found.protocol.sources.get("TI", "default") == "default"


def test_the_presets_are_rows_of_the_counted_scans() -> None:
    for preset in (p for p in load_presets().values() if p.name.startswith("oasis3-")):
        values = preset.protocol.values
        rows = [s for s in SCANS if s["role"] == preset.role and s["TR"] == values["TR"] and s["TI"] in (values.get("TI"), None)]
        assert any(s["TE"] == values["TE"] or (preset.echo_time_estimated and s["TE"] > 250) for s in rows), preset.name


OASIS, BIDS = "OAS30001_MR_d0129", "sub-OAS30001/ses-d0129/anat"
LAYOUTS = {
    "as it is downloaded": (f"{OASIS}/anat{{n}}", f"{OASIS}/anat{{n}}", "ses"),
    "web archive": (f"{OASIS}/anat{{n}}/NIFTI", f"{OASIS}/anat{{n}}/BIDS", "ses"),
    "web archive, sess-": (f"{OASIS}/anat{{n}}/NIFTI", f"{OASIS}/anat{{n}}/BIDS", "sess"),
    "resources": (f"{OASIS}/scans/anat{{n}}-x/resources/NIFTI/files", f"{OASIS}/scans/anat{{n}}-x/resources/BIDS/files", "ses"),
    "BIDS": (BIDS, BIDS, "ses"),
    "sidecars in a folder": (BIDS, f"{BIDS}/json", "ses"),
}
"""Folders of images and sidecars of the scan of a number, and the word for the session in images' names."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_visit_and_its_protocols_are_found_alike_by_folder_and_by_data_set(tmp_path: Path, layout: str) -> None:
    images, sidecars, word = LAYOUTS[layout]
    scans = {"run-01_T1w": (2, SCANS[1]), "acq-TSE_T2w": (3, {"role": "t2w", "TR": 3200, "TE": 455, "TI": None}), "FLAIR": (4, SCANS[26])}
    for name, (number, scan) in scans.items():
        file = tmp_path / images.format(n=number) / f"sub-OAS30001_{word}-d0129_{name}.nii.gz"
        header = tmp_path / sidecars.format(n=number) / f"sub-OAS30001_ses-d0129_{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        header.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.Cast(IMAGE, sitk.sitkInt16), str(file))
        header.write_text(json.dumps(as_header(scan)), encoding="utf-8")
    found = find_session(tmp_path)
    ((visit,), failed) = plan(tmp_path)
    assert dict(visit.files) == found.files and set(found.files) == {"t1w", "t2w", "flair"} and not failed
    assert (visit.participant, visit.session) == ("sub-OAS30001", "ses-d0129")
    read = {role: read_acquisition(role, path) for role, path in found.files.items()}
    assert {role: (a.protocol.values["TR"], a.field_strength) for role, a in read.items()} == {
        "t1w": (2300, 3),
        "t2w": (3200, 3),
        "flair": (9000, 3),
    }
    assert read["t2w"].conventional_echo_time is not None and read["t1w"].protocol.values["TI"] == 900
