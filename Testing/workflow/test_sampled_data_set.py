"""A data set of synthetic heads: complete, described, split, resumable, and refused with a reason."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement
from PhysMRISynthLib.imaging.head.midline import Midline
from PhysMRISynthLib.workflow.cohort.data_set import Batch
from PhysMRISynthLib.workflow.cohort.processes import Patience
from PhysMRISynthLib.workflow.sampling import data_set
from PhysMRISynthLib.workflow.sampling.data_set import DataSetOrder, split_of
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import installed_sampler
from Testing.network.tiny_sampler import installed

pytestmark = pytest.mark.usefixtures("one_thread")
SPECS = "oasis3-t1w,oasis3-flair"


@pytest.fixture(autouse=True)
def _tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny sampling model, whose heads count as found in the atlas."""
    folder = tmp_path / "resources"
    folder.mkdir()
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", installed(folder))
    centred = AtlasPlacement(sitk.TranslationTransform(3, (-16.0, -40.0, 0.0)), False, 1.0)
    sampler = replace(installed_sampler(), look=lambda tissue, progress: (centred, Midline(0.0, True, 1.0)))
    monkeypatch.setattr(data_set, "sampler_of", lambda order: sampler)
    data_set._sampler.cache_clear()


def sample(out: Path, *options: str, count: int = 2, protocols: str = SPECS) -> int:
    usual = ["--steps", "2", "--device", "cpu", "--precision", "32-true", "--seed", "3", "--count", str(count)]
    return main(["sample", *usual, "--protocols", protocols, "--bids", str(out), *options])


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a data set, without what tells durations; images without the time in gzip's header."""
    timed = ("_report.json", "cohort.tsv", "index.html")
    files = [path for path in out.rglob("*") if path.is_file() and not path.name.endswith(timed)]
    plain = {path: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files}
    return {path.relative_to(out).as_posix(): content for path, content in plain.items()}


def test_a_data_set_has_images_labels_splits_and_a_card(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sample(out, "--noise") == 0
    anat = out / "sub-000003" / "anat"
    images = {suffix: sitk.ReadImage(str(anat / f"sub-000003_desc-synthetic_{suffix}.nii.gz")) for suffix in ("T1w", "FLAIR")}
    labels = sitk.ReadImage(str(anat / "sub-000003_desc-labels_dseg.nii.gz"))
    assert all(image.GetPixelID() == sitk.sitkInt16 for image in images.values())
    assert labels.GetSize() == images["T1w"].GetSize() == images["FLAIR"].GetSize()
    known = {
        int(line["index"]) for line in csv.DictReader((anat / "sub-000003_desc-labels_dseg.tsv").read_text().splitlines(), delimiter="\t")
    }
    found = set(np.unique(sitk.GetArrayFromImage(labels)).tolist())
    assert {2, 41} <= found <= known | {0}
    sidecars = [json.loads((anat / f"sub-000003_desc-synthetic_{suffix}.json").read_text()) for suffix in images]
    assert all(15.0 <= sidecar["SNR"] <= 60.0 for sidecar in sidecars) and sidecars[0]["SNR"] != sidecars[1]["SNR"]
    assert "receive_field" in sidecars[0]["ScannerEffects"] and "synthetic" in sidecars[0]["Description"].lower()
    people = list(csv.DictReader((out / "participants.tsv").read_text().splitlines(), delimiter="\t"))
    assert [(line["participant_id"], line["seed"]) for line in people] == [("sub-000003", "3"), ("sub-000004", "4")]
    assert all(line["split"] == split_of(int(line["seed"])) for line in people)
    card = (out / "README.md").read_text()
    described = json.loads((out / "dataset_description.json").read_text())
    assert ": 2, of the seeds 3 to 4" in card and described["SamplerSHA256"] in card and described["License"] in card
    report = json.loads((anat / "sub-000003_report.json").read_text())
    assert report["sampled"]["seed"] == 3 and report["split"] in ("train", "validation", "test")


def test_splits_are_eight_one_and_one_of_ten_and_stay(tmp_path: Path) -> None:
    for first in (0, 10, 190):
        block = sorted(split_of(seed) for seed in range(first, first + 10))
        assert block == ["test"] + ["train"] * 8 + ["validation"]
    assert [split_of(seed) for seed in range(10)] != [split_of(seed) for seed in range(10, 20)]


def test_a_run_that_was_stopped_goes_on_with_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert sample(whole, "--noise", count=3) == 0

    def interrupted(labels: object, folder: Path, name: str, table: str) -> None:
        if "000004" in name:
            raise KeyboardInterrupt
        write(labels, folder, name, table)

    write = data_set.write_labels
    with monkeypatch.context() as once:
        once.setattr(data_set, "write_labels", interrupted)
        assert sample(stopped, "--noise", count=3) == 130
    assert not (stopped / "sub-000004").exists() and (stopped / "sub-000003").exists()
    kept = (stopped / "sub-000003" / "anat" / "sub-000003_report.json").stat().st_mtime_ns
    assert sample(stopped, "--noise", count=3) == 0
    assert (stopped / "sub-000003" / "anat" / "sub-000003_report.json").stat().st_mtime_ns == kept
    assert contents(stopped) == contents(whole)


def test_more_heads_are_added_and_other_options_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert sample(out, count=1) == 0
    described = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))
    del described["GeneratedBy"][0]["Order"]["heads"]["weights"]  # an option that an earlier version did not have
    (out / "dataset_description.json").write_text(json.dumps(described), encoding="utf-8")
    assert sample(out, count=2) == 0
    assert "complete before" in capsys.readouterr().out
    assert len((out / "participants.tsv").read_text().splitlines()) == 3
    before = contents(out)
    assert sample(out, "--noise", "--overwrite", count=1) == 2
    assert "sampled with other options. Choose another folder" in capsys.readouterr().err and contents(out) == before


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path) -> None:
    batch = Batch(scheduler="tcp://127.0.0.1:1", patience=Patience(connect=0.3))
    with pytest.raises(EstimationError, match="No dask scheduler answers at tcp://127"):
        data_set.write_data_set(DataSetOrder(SampleOrder(3, count=1), ("oasis3-t1w",)), tmp_path / "out", batch)


def test_a_brain_alone_has_nothing_around_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sample(out, "--skull-stripped", count=1) == 0
    anat = out / "sub-000003" / "anat"
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(anat / "sub-000003_desc-labels_dseg.nii.gz")))
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(anat / "sub-000003_desc-synthetic_T1w.nii.gz")))
    assert labels.any() and not np.isin(labels, (165, 167)).any() and not image[labels == 0].any()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bids", "{out}"], "Give them with --protocols"),
        (["--out", "{out}", "--noise"], "are for a data set. Give its folder with --bids"),
        (["--bids", "{out}", "--protocols", "oasis3-t1w,synthetic-t1w"], "one protocol for each contrast"),
        (["--bids", "{out}", "--protocols", "oasis3-t1w,flare"], "flare"),
        (["--bids", "{taken}", "--protocols", "oasis3-t1w"], "holds no data set of synthetic heads"),
    ],
)
def test_what_cannot_be_is_refused_before_sampling(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").touch()
    assert main(["sample", *(a.format(out=tmp_path / "new", taken=taken) for a in arguments)]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "new").exists()
