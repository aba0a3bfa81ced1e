"""The suites of what users do with maps, on estimates of known content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from physmrisynth_training.evaluation import harmonise, visits, volumes
from physmrisynth_training.evaluation.plan import Plan
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import BRAIN_TISSUE, tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from PhysMRISynthLib.workflow.estimation.tissue_medians import medians_by_tissue
from Testing.training.doubles import estimate_of
from Testing.training.heads import toy_labels, write_label_map

BRAIN = [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"]


def test_volumes_of_the_truth_are_true_and_mixtures_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = toy_labels((64, 66, 68))
    labels[28:36, 28:36, 20:26] = 11
    write_label_map(tmp_path / "head_labels" / "head_16.nii.gz", labels, 2.0)
    monkeypatch.setattr(volumes, "TEST_PEOPLE", ())
    made: list[volumes.Scanned] = []
    scan = volumes.scan
    monkeypatch.setattr(volumes, "scan", lambda *given: made.append(scan(*given)) or made[-1])

    def estimate(inputs: Sequence[Acquisition], field_strength: float) -> Estimate:
        """The maps of voxels that hold eight of the truth's, mixed as water and rates are."""
        truth = made[-1].truth
        pd, t1, t2 = (v.astype(float) for v in (truth.maps.pd, truth.maps.t1, truth.maps.t2))
        water = volumes._shrunk(pd)
        maps = [water, water / volumes._shrunk(pd / t1), water / volumes._shrunk(pd / t2)]
        parts = np.stack([volumes._shrunk(truth.tissue == row) for row in range(len(tissue_table()))])
        tissue = np.where(parts.max(axis=0) > 0.9, parts.argmax(axis=0), 255).astype(np.uint8)
        brain = parts[BRAIN].sum(axis=0) > 0.5
        grid = inputs[0].volume.image
        found = TissueMaps(*(m.astype(np.float32) for m in maps), parts[-1] < 0.5, grid)
        values = {"PD": (found.pd, 100.0), "T1": (found.t1, 1.0), "T2": (found.t2, 1.0)}
        medians = medians_by_tissue(values, np.where(brain, tissue, 255), 1.0)
        return estimate_of(found, inputs, tissue=tissue, brain=brain, medians=medians)

    found = volumes.measure(Plan({"literature": estimate}, tmp_path, ("16",)))
    errors, overlap = found.records[0]["error_percent"], found.records[0]["dice"]
    assert max(abs(errors[name]) for name in ("brain", "white_matter", "cortical_grey")) < 6
    assert overlap["white_matter"] > 0.95 and overlap["cortex"] > 0.5
    assert [row[1] for row in found.tables[0].rows][:3] == ["intracranial", "brain", "white matter"]
    assert set(BRAIN_TISSUE) < set(overlap)
    found.draw(tmp_path / "volumes.png")
    assert (tmp_path / "volumes.png").read_bytes().startswith(b"\x89PNG")


def test_renderings_of_the_true_maps_vary_less_than_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harmonise, "PEOPLE", ("06",))
    monkeypatch.setattr(harmonise, "SCANNERS", 2)
    labels = toy_labels((48, 50, 52))
    labels[20:28, 20:28, 16:22] = 11
    write_label_map(tmp_path / "people" / "person_06_labels.nii.gz", np.where(labels > 500, 0, labels).astype(np.int16), 3.0)
    heads: dict[float, KnownHead] = {}
    known = harmonise.known_head
    monkeypatch.setattr(harmonise, "known_head", lambda image, rng, strength: heads.setdefault(strength, known(image, rng, strength)))

    def estimate(inputs: Sequence[Acquisition], field_strength: float) -> Estimate:
        head = heads[field_strength]
        return estimate_of(head.maps, inputs, tissue=head.tissue, brain=np.isin(head.tissue, BRAIN), medians={})

    found = harmonise.measure(Plan({"literature": estimate}, tmp_path))
    rows = {(row[1], row[2]): [float(cell) for cell in row[3:]] for row in found.tables[0].rows if row[3]}
    assert max(rows["rendered in one protocol", "3 T"]) < 0.05
    assert min(max(rows[method, "3 T"]) for method in ("99th percentile", "z-score")) > 1
    assert len(found.records) == 4
    found.draw(tmp_path / "harmonise.png")


def test_missing_data_is_told_before_anything_runs(tmp_path: Path) -> None:
    for suite in (volumes, visits, harmonise):
        with pytest.raises(PhysMRISynthError, match=r"(real/|head_labels/|people/).*--data"):
            suite.check(Plan({}, tmp_path))
