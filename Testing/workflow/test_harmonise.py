"""Cohorts in one contrast: every visit in the same protocol, only what is missing, and one broken visit stops nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError, ProtocolError
from PhysMRISynthLib.imaging.intake.sidecar import read_sidecar
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.analysis.match import match_protocol
from PhysMRISynthLib.workflow.cohort.data_set import Batch
from PhysMRISynthLib.workflow.cohort.harmonise import complete_cohort, render_cohort, suffix_of
from PhysMRISynthLib.workflow.cohort.visit import ESTIMATED, FAILED, KEPT
from PhysMRISynthLib.workflow.rendering.order import RenderOrder
from PhysMRISynthLib.workflow.rendering.render import render
from Testing.workflow.cohorts import touch
from Testing.workflow.map_folders import head, write_derivative_maps

FLAIR = "flair,TR=9000,TE=90,TI=2500,L=150"


def statuses(rows: list) -> dict[str, str]:
    return {"_".join(filter(None, (row.participant, row.session))): row.status for row in rows}


@pytest.mark.parametrize(
    ("spec", "suffix"),
    [("mprage", "T1w"), ("se,TR=500,TE=15", "T1w"), ("tse,TR=4500,TE=100", "T2w"), ("se,TR=3000,TE=20", "PDw"), (FLAIR, "FLAIR"),
     ("synthetic-dir", "DIR"), ("ixi-pd", "PDw")],
)  # fmt: skip
def test_contrasts_have_the_suffix_of_bids(spec: str, suffix: str) -> None:
    assert suffix_of(spec) == suffix


def test_every_visit_gets_the_same_contrast_and_a_broken_one_stops_nothing(tmp_path: Path) -> None:
    maps = write_derivative_maps(tmp_path / "maps", "01/a", "01/b", "02", "03")
    (maps / "sub-02" / "anat" / "sub-02_T2map.nii.gz").unlink()
    (maps / "sub-03" / "anat" / "sub-03_T1map.nii.gz").write_bytes(b"no image")
    out = tmp_path / "out"
    rows = render_cohort(maps, out, [RenderOrder(FLAIR), RenderOrder("synthetic-dir")], Batch(jobs=2))
    assert statuses(rows) == {"sub-01_ses-a": ESTIMATED, "sub-01_ses-b": ESTIMATED, "sub-02": FAILED, "sub-03": FAILED}
    path = out / "sub-01" / "ses-a" / "anat" / "sub-01_ses-a_desc-synthetic_FLAIR.nii.gz"
    expected = render(head().maps, protocol_from_spec(FLAIR), scale=1000.0)
    assert np.abs(sitk.GetArrayFromImage(sitk.ReadImage(str(path))) - expected).max() < 1e-3 * expected.max()
    fields = json.loads(path.with_name("sub-01_ses-a_desc-synthetic_FLAIR.json").read_text(encoding="utf-8"))
    assert fields["InversionTime"] == pytest.approx(2.5) and "Not for diagnosis" in fields["Description"]
    assert read_sidecar(path.with_name("sub-01_ses-a_desc-synthetic_FLAIR.json"))
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 and "sub-02" in page and "sub-03" in page
    assert not list((out / "sub-02").rglob("*")) if (out / "sub-02").exists() else True
    again = render_cohort(maps, out, [RenderOrder(FLAIR), RenderOrder("synthetic-dir")])
    assert statuses(again)["sub-01_ses-a"] == KEPT and statuses(again)["sub-02"] == FAILED
    other = render_cohort(maps, out, [RenderOrder("mprage")], Batch(participants=["01"]))
    assert set(statuses(other).values()) == {FAILED} and "other options" in other[0].reason


def test_only_missing_contrasts_are_made_and_never_among_the_acquired(tmp_path: Path) -> None:
    raw = touch(tmp_path / "raw", "01", "02", "03")  # T1w and FLAIR
    (raw / "sub-02" / "anat" / "sub-02_FLAIR.nii.gz").unlink()
    (raw / "sub-03" / "anat" / "sub-03_T2w.nii.gz").touch()
    maps = write_derivative_maps(tmp_path / "maps", "01", "02", "03")
    before = sorted(raw.rglob("*"))
    rows = complete_cohort(raw, maps, tmp_path / "out", {"t2w": "tse,TR=4000,TE=95"})
    assert statuses(rows) == {"sub-01": ESTIMATED, "sub-02": ESTIMATED, "sub-03": "has all contrasts"}
    made = {path.name for path in (tmp_path / "out").rglob("*.nii.gz")}
    assert made == {"sub-01_desc-synthetic_T2w.nii.gz", "sub-02_desc-synthetic_T2w.nii.gz", "sub-02_desc-synthetic_FLAIR.nii.gz"}
    fields = json.loads((tmp_path / "out/sub-02/anat/sub-02_desc-synthetic_FLAIR.json").read_text(encoding="utf-8"))
    assert fields["EchoTime"] == pytest.approx(0.12), "the cohort's own protocol"
    assert sorted(raw.rglob("*")) == before
    for place in (raw, maps):
        with pytest.raises(ImageError, match="never put among them"):
            complete_cohort(raw, maps, place)


def test_a_visit_without_maps_is_a_row(tmp_path: Path) -> None:
    raw = touch(tmp_path / "raw", "01", "02")
    rows = complete_cohort(raw, write_derivative_maps(tmp_path / "maps", "01"), tmp_path / "out")
    assert statuses(rows) == {"sub-01": ESTIMATED, "sub-02": FAILED} and "Estimate the data set first" in rows[1].reason


@pytest.mark.parametrize(("specs", "told"), [(["epi"], "neither a preset"), (["mprage", "se,TR=500,TE=10"], "Two of the .* are T1w")])
def test_protocols_that_cannot_be_are_refused_before_the_first_visit(specs: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises((ImageError, ProtocolError), match=told):
        render_cohort(write_derivative_maps(tmp_path / "maps", "01"), tmp_path / "out", [RenderOrder(spec) for spec in specs])
    assert not (tmp_path / "out").exists()


def test_the_protocol_of_an_image_is_found_under_its_gain_and_field() -> None:
    from PhysMRISynthLib.physics.noise import receive_field

    true = protocol_from_spec("flair,TR=8000,TE=105,TI=2300,L=0")
    maps = head().maps
    field = receive_field(maps.pd.shape, maps.grid.GetSpacing()[::-1], 0.2, np.random.default_rng(2))
    image = 7.0 * render(maps, true) * field
    found = match_protocol(maps.image(image.astype(np.float32)), head(), "flair")
    assert found.residual_percent < 3
    seen, expected = (render(maps, p)[maps.mask] for p in (found.protocol, true))
    assert np.corrcoef(seen, expected)[0, 1] > 0.995
    labels = head().labels[maps.mask]
    white, cortex = (seen[labels == label].mean() / expected[labels == label].mean() for label in (1, 2))
    assert white / cortex == pytest.approx(1.0, abs=0.03)


def test_an_image_that_the_sequence_cannot_have_is_told() -> None:
    maps = head().maps
    image = np.where(maps.mask, np.random.default_rng(1).uniform(1, 100, maps.pd.shape), 0).astype(np.float32)
    assert any("Check the sequence" in line for line in match_protocol(maps.image(image), head(), "se").warnings)
