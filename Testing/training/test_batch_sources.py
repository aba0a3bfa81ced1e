"""Where batches come from: told by what the folders hold, and refused with a reason where they hold nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from physmrisynth_training.learning import batch_sources as sources
from physmrisynth_training.learning.batch import Batch, LabelBatch, SignalBatch
from physmrisynth_training.learning.batch_sources import Source, open_source
from physmrisynth_training.learning.real_scans import CachedScans
from physmrisynth_training.learning.run_options import Run
from physmrisynth_training.learning.vae_config import VaeTrainingConfig
from physmrisynth_training.simulator.simulated_scans import Simulator
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.physics.protocol import parse_protocol
from Testing.training.heads import toy_head, toy_labels, write_label_map

NETWORK: dict[str, Any] = {
    "spatial_dims": 3, "stem": 4, "down_widths": [], "trunk_widths": [8], "trunk_blocks": [1], "latent_channels": 2, "up_widths": [8],
    "tail": 2,
}  # fmt: skip


class PretendScans(CachedScans):
    """A session without a file: T1w alone, of constant brightness."""

    def read(self, middle: Any, shape: Any) -> np.ndarray:
        piece = np.full((3, *shape), np.nan, np.float32)
        piece[0] = 0.5
        return piece


def pretend(number: int) -> CachedScans:
    return PretendScans(
        Path("nowhere"), f"sub-{number:02d}", (60, 60, 60), (30, 30, 30), (10, 40), np.ones(3, np.float32),
        (parse_protocol("mprage"), None, None), 3.0, 1.0, (0, 0, 0),
    )  # fmt: skip


def opened(run: Run, head: str = "classes", **values: Any) -> Source:
    shape = NetworkConfig.from_mapping({**NETWORK, "head": head})
    return open_source(run, shape, VaeTrainingConfig(crops=((16, 16, 16), (24, 16, 16)), **values), (1,), (15,), lambda line: None)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    for number in (1, 15):
        write_label_map(folder / "head_labels" / f"head_{number:02d}.nii.gz", toy_labels((64, 66, 68)))
    return folder


@pytest.fixture
def many_scans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder in which 41 sessions are found."""
    monkeypatch.setattr(sources, "cached_scans", lambda sessions, folder, progress: [pretend(number) for number in range(41)])
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "t1w.nii.gz").touch()
    return tmp_path / "scans"


# --- what a folder holds --------------------------------------------------------------------------------------------------------


def test_label_maps_are_learned_as_labels_or_as_images(labels: Path, tmp_path: Path) -> None:
    for head, kind in (("classes", LabelBatch), ("exp", SignalBatch)):
        source = opened(Run(labels, tmp_path), head)
        assert source.kinds == {kind} and not source.scans
        assert isinstance(source.dataset(1)[0], kind)
        batches = source.validation()
        assert len(batches) == 3 and all(isinstance(batch, kind) and batch.present.all() for batch in batches)
        assert all(batch.images.shape[2:] == (16, 16, 16) for batch in batches)  # the first crop


def test_real_scans_are_recognised_and_a_subject_in_twenty_is_held_out(many_scans: Path, tmp_path: Path) -> None:
    source = opened(Run(many_scans, tmp_path))
    assert source.kinds == {SignalBatch} and source.heads is None
    assert [session.subject for session in source.held_out] == ["sub-19", "sub-39"]
    assert len(source.scans) == 39 and not {s.subject for s in source.scans} & {s.subject for s in source.held_out}
    assert isinstance(source.dataset(1)[0], SignalBatch) and len(source.validation()) == 3


def test_of_few_subjects_none_is_held_out(many_scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(sources, "cached_scans", lambda sessions, folder, progress: [pretend(1), pretend(1), pretend(2)])
    source = opened(Run(many_scans, tmp_path))
    assert len(source.scans) == 3 and not source.held_out and source.validation() == []
    assert "none is held out" in caplog.text


def test_scans_beside_label_maps_are_mixed(many_scans: Path, labels: Path, tmp_path: Path) -> None:
    source = opened(Run(labels, tmp_path, scans=many_scans), scan_share=0.5)
    assert source.kinds == {LabelBatch, SignalBatch}
    data = source.dataset(2)
    steps = [{type(data[2 * step + i]) for i in range(2)} for step in range(12)]
    assert all(len(kinds) == 1 for kinds in steps) and {kind for kinds in steps for kind in kinds} == {LabelBatch, SignalBatch}
    assert {type(batch) for batch in source.validation()} == {LabelBatch, SignalBatch}


def test_folders_without_data_are_refused(tmp_path: Path, many_scans: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        with pytest.raises(PhysMRISynthError, match=r"neither a folder head_labels, nor scans"):
            opened(Run(folder / "empty", tmp_path))
    with pytest.raises(PhysMRISynthError, match="has no folder head_labels"):
        opened(Run(many_scans, tmp_path, scans=many_scans))


# --- how long ------------------------------------------------------------------------------------------------------------------


def source_of(config: VaeTrainingConfig, heads: Simulator | None = None) -> Source:
    return Source(config, heads, None, tuple(pretend(number) for number in range(4)), (), as_signals=True)


def test_epochs_are_passes_over_the_scans(caplog: pytest.LogCaptureFixture) -> None:
    slices, crops = VaeTrainingConfig(crops=((16, 16),), epochs=50), VaeTrainingConfig(crops=((16, 16, 16),), epochs=3)
    assert source_of(slices).last_step(8) == 50 * 4 * 30 // 8
    assert source_of(crops).last_step(8) == 2  # 12 crops
    assert source_of(replace(crops, epochs=0)).last_step(8) is None
    assert not caplog.text
    assert source_of(crops, Simulator((toy_head(),), (), (16, 16, 16))).last_step(8) is None
    assert "never end" in caplog.text


def test_modality_dropout_is_a_switch(labels: Path, tmp_path: Path) -> None:
    def shown(dropout: bool) -> list[Batch]:
        data = opened(Run(labels, tmp_path), "exp", modality_dropout=dropout).dataset(1)
        return [data[index] for index in range(8)]

    with_all, dropped = shown(False), shown(True)
    assert all(batch.present.all() for batch in with_all) and not all(batch.present.all() for batch in dropped)
    for one, other in zip(with_all, dropped, strict=True):  # the targets do not depend on it
        assert isinstance(one, SignalBatch) and isinstance(other, SignalBatch)
        assert torch.equal(one.conditions, other.conditions)
        torch.testing.assert_close(one.targets, other.targets, rtol=1e-5, atol=1e-7)
