"""Training on images through the command line: killed and resumed, mixed with real scans, in two processes."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import physmrisynth_training
import PhysMRISynthLib
from physmrisynth_training.learning.checkpoint import load_checkpoint
from physmrisynth_training.learning.run_options import CHECKPOINT, LOG, Run
from physmrisynth_training.learning.train_vae import train_vae
from PhysMRISynthLib.errors import PhysMRISynthError
from Testing.imaging.phantoms import grid, head
from Testing.training.heads import toy_labels, write_label_map

pytestmark = pytest.mark.usefixtures("one_thread")

EXP: dict[str, Any] = {
    "network": {
        "spatial_dims": 2, "stem": 2, "down_widths": [8], "trunk_widths": [8], "trunk_blocks": [1], "latent_channels": 2,
        "up_widths": [8], "tail": 2, "head": "exp", "norm": "group",
    },
    "training": {
        "crops": [[32, 32]], "batch": 2, "signal_weight": 1.0, "perceptual_weight": 1e-3, "adversarial_weight": 1e-2,
        "tissue_prior": 1e-3, "gain_regression": True, "discriminator_channels": 4, "discriminator_layers": 1,
        "log_every": 1, "validate_every": 2, "checkpoint_minutes": 0.0,
    },
}  # fmt: skip
MIXED: dict[str, Any] = {
    "network": {
        "spatial_dims": 3, "stem": 4, "down_widths": [], "trunk_widths": [8], "trunk_blocks": [1], "latent_channels": 2, "up_widths": [8],
        "tail": 2,
    },
    "training": {"crops": [[16, 16, 16]], "scan_share": 0.5, "log_every": 1, "validate_every": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy heads by the names of all that the command learns from."""
    folder = tmp_path_factory.mktemp("data")
    first = write_label_map(folder / "head_labels" / "head_01.nii.gz", toy_labels((64, 66, 68)))
    for number in range(2, 16):
        shutil.copy(first, first.with_name(f"head_{number:02d}.nii.gz"))
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One session of a T1w alone."""
    folder = tmp_path_factory.mktemp("scans")
    (folder / "sub-01" / "anat").mkdir(parents=True)
    sitk.WriteImage(head(grid((40, 48, 44), (4.0, 4.0, 4.0), np.eye(3)), 0), str(folder / "sub-01" / "anat" / "sub-01_T1w.nii.gz"))
    sidecar = {"RepetitionTime": 2.2, "InversionTime": 0.9, "EchoTime": 0.003, "FlipAngle": 8}
    (folder / "sub-01" / "anat" / "sub-01_T1w.json").write_text(json.dumps(sidecar), encoding="utf-8")
    return folder


def trained(configuration: dict[str, Any], out: Path, steps: int, **options: Any) -> dict[str, Any]:
    return load_checkpoint(train_vae(configuration, Run(out=out, steps=steps, precision="32-true", **options)))


def flat(state: Any, name: str = "") -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint by their path."""
    if isinstance(state, torch.Tensor):
        return {name: state}
    entries = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    return {key: value for entry, part in entries for key, value in flat(part, f"{name}/{entry}").items()}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    a, b = flat(one), flat(other)
    assert a.keys() == b.keys() and one["step"] == other["step"]
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")


def rows(out: Path) -> list[dict[str, str]]:
    with (out / LOG).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- stopped and killed ---------------------------------------------------------------------------------------------------------


def test_a_run_stopped_and_resumed_is_a_run_in_one_go(labels: Path, tmp_path: Path) -> None:
    """Network, gain network, discriminator and the moments of both optimisers."""
    whole = trained(EXP, tmp_path / "whole", 3, data=labels)
    half = trained(EXP, tmp_path / "parts", 1, data=labels)
    parts = trained(EXP, tmp_path / "parts", 3, data=labels, resume=True)
    assert {"gain", "adversary"} < set(whole)
    assert_same(whole, parts)
    for key in ("network", "gain", "adversary"):
        moved = [float((flat(whole[key])[name].float() - value.float()).abs().max()) for name, value in flat(half[key]).items()]
        assert max(moved) > 1e-5, key
    log = rows(tmp_path / "parts")
    assert [row["step"] for row in log] == ["1", "2", "3"]
    for column in ("loss", "signal", "kl", "perceptual", "adversarial", "prior", "discriminator"):
        in_parts, in_one = ([float(row[column]) for row in run] for run in (log, rows(tmp_path / "whole")))
        assert in_parts == pytest.approx(in_one, rel=1e-3)
    assert [bool(row["psnr"] and row["psnr1"]) for row in log] == [False, True, False]

    without = {**EXP, "training": {**EXP["training"], "gain_regression": False}}
    with pytest.raises(PhysMRISynthError, match="another network"):
        trained(without, tmp_path / "parts", 4, data=labels, resume=True)


def environment() -> dict[str, str]:
    """For other processes: this library, one thread each."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(Path(found.__file__).parents[1]) for found in (PhysMRISynthLib, physmrisynth_training)),
        "OMP_NUM_THREADS": "1",
    }


def command(configuration: dict[str, Any], tmp_path: Path, *options: str | Path) -> list[str]:
    """``physmrisynth train vae`` as another process runs it, without the name of the program."""
    path = tmp_path / "configuration.json"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    return ["train", "vae", "--config", str(path), "--precision", "32-true", *map(str, options)]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_run_goes_on_as_if_nothing_had_happened(labels: Path, tmp_path: Path) -> None:
    arguments = command(EXP, tmp_path, "--data", labels, "--out", tmp_path / "killed", "--steps", "100000")
    program = [sys.executable, "-m", "PhysMRISynthLib.cli", *arguments]
    with subprocess.Popen(program, env=environment(), stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 300
        while not ((tmp_path / "killed" / LOG).exists() and len(rows(tmp_path / "killed")) > 3):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    steps = load_checkpoint(tmp_path / "killed" / CHECKPOINT)["step"] + 2
    resumed = trained(EXP, tmp_path / "killed", steps, data=labels, resume=True)
    assert_same(resumed, trained(EXP, tmp_path / "whole", steps, data=labels))
    assert [row["step"] for row in rows(tmp_path / "killed")] == [str(step) for step in range(1, steps + 1)]


@pytest.mark.parametrize("kind", ["exp", "classes"])
def test_half_precision_serves_too(kind: str, labels: Path, scans: Path, tmp_path: Path) -> None:
    data, configuration = (labels, EXP) if kind == "exp" else (scans, MIXED)
    checkpoint = train_vae(configuration, Run(data, tmp_path, steps=2, precision="bf16-mixed"))
    assert all(value.isfinite().all() for value in flat(load_checkpoint(checkpoint)).values())
    assert len(rows(tmp_path)) == 2 and all(np.isfinite(float(row["loss"])) for row in rows(tmp_path))


# --- real scans -----------------------------------------------------------------------------------------------------------------


def test_label_maps_go_on_with_scans_mixed_in(labels: Path, scans: Path, tmp_path: Path) -> None:
    """A training that began on label maps alone; both kinds of steps are logged."""
    trained(MIXED, tmp_path, 1, data=labels)
    state = trained(MIXED, tmp_path, 12, data=labels, scans=scans, resume=True)
    assert set(state) == {"network", "average", "optimizer", "step", "seconds", "configuration"}
    log = rows(tmp_path)
    real = [row for row in log if row["signal"]]
    assert len(log) == 12 and 2 <= len(real) <= 10 and log[0]["class"]
    assert all(bool(row["signal"]) != bool(row["class"]) and row["kl"] for row in log)
    assert any(row["dice_white_matter"] for row in log)
    assert len(list((tmp_path / "scans").glob("sub-01-*.safetensors"))) == 1


def test_scans_alone_train_for_their_epochs(scans: Path, tmp_path: Path) -> None:
    configuration = {**EXP, "training": {**EXP["training"], "batch": 80, "epochs": 2, "perceptual_weight": 0.0}}
    run = Run(scans, tmp_path, precision="32-true")
    state = load_checkpoint(train_vae(configuration, run))
    assert state["step"] == 4  # twice 160 slices
    assert all(float(row["signal"]) > 0 for row in rows(tmp_path))


# --- two processes --------------------------------------------------------------------------------------------------------------

DRIVER = """
import os, signal, sys
from pathlib import Path
import torch
from PhysMRISynthLib import cli
from physmrisynth_training.learning import train_vae

class Watched(train_vae.VaeTrainer):
    seen = []

    def learn(self, batch):
        self.seen.append(float(batch.images.double().sum()))
        if self.step == 2 and self.fabric.global_rank == 1 and "STOP" in os.environ:
            signal.raise_signal(signal.SIGTERM)
        return super().learn(batch)

    def save(self):
        judge = [o.adversary.discriminator for o in self.objectives.values() if getattr(o, "adversary", None)]
        weights = [p.detach() for part in (self.learner, *judge) for p in part.parameters()]
        torch.save({"weights": weights, "seen": self.seen, "step": self.step}, self.run.out / f"rank{self.fabric.global_rank}.pt")
        super().save()

train_vae.VaeTrainer = Watched
if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
"""


def two_processes(tmp_path: Path, arguments: list[str], **variables: str) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """What the two processes of a run say that they hold, and the run itself."""
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, driver, *arguments, "--out", tmp_path / "out", "--devices", "2"], env={**environment(), **variables},
        capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [torch.load(tmp_path / "out" / f"rank{rank}.pt", weights_only=True) for rank in range(2)], done


def assert_alike(ranks: list[dict[str, Any]], steps: int) -> None:
    """Identical weights from different data."""
    assert [rank["step"] for rank in ranks] == [steps, steps]
    assert all(torch.equal(one, other) for one, other in zip(*(rank["weights"] for rank in ranks), strict=True))
    assert len({*ranks[0]["seen"], *ranks[1]["seen"]}) == 2 * steps


@pytest.mark.slow
def test_two_processes_learn_the_same_and_stop_together(labels: Path, tmp_path: Path) -> None:
    """One of them alone is asked to end."""
    ranks, done = two_processes(tmp_path, command(EXP, tmp_path, "--data", labels, "--steps", "100000"), STOP="1")
    assert_alike(ranks, 3)
    assert [row["step"] for row in rows(tmp_path / "out")] == ["1", "2", "3"]
    assert done.stdout.count("The checkpoint is") == 1 and done.stderr.count("step 2,") == 1
    assert trained(EXP, tmp_path / "out", 4, data=labels, resume=True)["step"] == 4


@pytest.mark.nightly
def test_two_processes_mix_label_maps_and_scans(labels: Path, scans: Path, tmp_path: Path) -> None:
    """Those weights that tell the uncertainty have no part in the steps with scans."""
    arguments = command(MIXED, tmp_path, "--data", labels, "--scans", scans, "--steps", "6")
    ranks, done = two_processes(tmp_path, arguments)
    assert_alike(ranks, 6)
    log = rows(tmp_path / "out")
    assert {bool(row["signal"]) for row in log} == {True, False} and len(log) == 6
    assert done.stderr.count("none is held out") == 1  # one process warns for both
    assert trained(MIXED, tmp_path / "out", 7, data=labels, scans=scans, resume=True)["step"] == 7
