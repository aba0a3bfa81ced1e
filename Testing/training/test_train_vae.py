"""Training: it goes on where it stopped, keeps what it has, and refuses what it cannot use."""

from __future__ import annotations

import csv
import os
import pickle
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from physmrisynth_training.learning import objectives
from physmrisynth_training.learning import train_vae as module
from physmrisynth_training.learning.checkpoint import CsvLog, load_checkpoint, save_atomically
from physmrisynth_training.learning.run_options import CHECKPOINT, LOG, Run
from physmrisynth_training.learning.train_vae import SELECTION_HEADS, TRAINING_HEADS, train_vae
from physmrisynth_training.learning.trainer import moving_average
from physmrisynth_training.learning.vae_config import VaeTrainingConfig
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import save_weights
from Testing.training.heads import training_folder

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGURATION: dict[str, Any] = {
    "network": {
        "spatial_dims": 3, "stem": 4, "down_widths": [], "trunk_widths": [8, 8], "trunk_blocks": [1, 1], "latent_channels": 2,
        "up_widths": [8], "tail": 2,
    },
    "training": {"crops": [[16, 24, 16], [24, 16, 16]], "warm_up_steps": 3, "log_every": 1, "validate_every": 4},
}  # fmt: skip


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def few_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRAINING_HEADS", (1,))


def trained(
    data_folder: Path, out: Path, steps: int, progress: Callable[[str], None] = lambda line: None, rate: float = 1e-3, **options: Any
) -> dict[str, Any]:
    """Train until ``steps`` and read the checkpoint."""
    configuration = {**CONFIGURATION, "training": {**CONFIGURATION["training"], "learning_rate": rate}}
    return load_checkpoint(train_vae(configuration, Run(data_folder, out, steps=steps, precision="32-true", **options), progress))


def rows(out: Path) -> list[dict[str, str]]:
    with (out / LOG).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


# --- a run ----------------------------------------------------------------------------------------------------------------------


def test_a_run_stopped_and_resumed_is_a_run_in_one_go(data_folder: Path, tmp_path: Path) -> None:
    """The draws of the latent too: they depend on the step alone."""
    lines: list[str] = []
    whole = trained(data_folder, tmp_path / "whole", 4, progress=lines.append)
    half = trained(data_folder, tmp_path / "parts", 2)
    parts = trained(data_folder, tmp_path / "parts", 4, resume=True)
    assert (half["step"], parts["step"], whole["step"]) == (2, 4, 4)
    assert whole["configuration"] == CONFIGURATION | {"training": {**CONFIGURATION["training"], "learning_rate": 1e-3}}
    for kind in ("network", "average"):
        assert apart(whole[kind], half[kind]) > 1e-4
        assert apart(whole[kind], parts[kind]) < 1e-6
    assert apart(whole["network"], whole["average"]) > 1e-5
    assert parts["seconds"] > half["seconds"] > 0

    assert [line.split(",")[0] for line in lines] == [f"step {step}" for step in (1, 2, 3, 4)]
    log, resumed = rows(tmp_path / "whole"), rows(tmp_path / "parts")
    assert [row["step"] for row in log] == [row["step"] for row in resumed] == ["1", "2", "3", "4"]
    for one, other in zip(log, resumed, strict=True):
        for column in ("loss", "class", "values", "kl"):
            assert float(one[column]) == pytest.approx(float(other[column]), rel=1e-3)
    assert [bool(row["dice_white_matter"]) for row in log] == [False, False, False, True]  # validated at the fourth step
    assert 0 <= float(log[-1]["dice1_white_matter"]) <= 1

    # a run is neither begun anew where there is one, nor gone on with where there is none
    with pytest.raises(PhysMRISynthError, match="--resume"):
        trained(data_folder, tmp_path / "whole", 5)
    assert load_checkpoint(tmp_path / "whole" / CHECKPOINT)["step"] == 4
    with pytest.raises(PhysMRISynthError, match="no checkpoint"):
        trained(data_folder, tmp_path / "nothing", 5, resume=True)
    assert not (tmp_path / "nothing").exists()


def test_a_run_starts_from_the_weights_of_a_file(data_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(77)
    network = TissueVAE(NetworkConfig.from_mapping(CONFIGURATION["network"]))
    save_weights(network, {}, tmp_path / "weights.safetensors")
    state = trained(data_folder, tmp_path / "out", 1, rate=0.0, start_from=tmp_path / "weights.safetensors")
    for kind in ("network", "average"):
        assert apart(state[kind], network.state_dict()) < 1e-2  # weights are rounded
    other = trained(data_folder, tmp_path / "other", 1, rate=0.0)
    assert apart(state["network"], other["network"]) > 0.05


def test_being_asked_to_end_saves_the_last_step(data_folder: Path, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the tests go on if training does not listen

    def ask(line: str) -> None:
        if line.startswith("step 2"):
            signal.raise_signal(signal.SIGTERM)

    try:
        assert trained(data_folder, tmp_path / "out", 4, progress=ask)["step"] == 2
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_step_without_a_finite_gradient_is_skipped(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(objectives, "values_loss", lambda prediction, offset, tissue: (prediction.offset * torch.nan).sum())
    state = trained(data_folder, tmp_path / "out", 2)
    assert all(tensor.isfinite().all() for tensor in state["network"].values())
    assert "Step 0 had no finite gradient" in caplog.text


def test_final_heads_are_kept_for_the_final_test() -> None:
    assert not set(TRAINING_HEADS) & set(SELECTION_HEADS)
    assert not {16, 17} & {*TRAINING_HEADS, *SELECTION_HEADS}


# --- the average of the weights -------------------------------------------------------------------------------------------------


def test_the_average_follows_the_weights() -> None:
    network = torch.nn.Linear(3, 2)
    moving = moving_average(network, 0.9)
    with torch.no_grad():
        network.weight += 1.0
    gaps = []
    for _ in range(1, 400):
        moving.update_parameters(network)
        gaps.append(float((network.weight - moving.module.weight).detach().abs().max()))
    assert gaps[0] == pytest.approx(2 / 11, rel=1e-4)  # quick at first
    assert gaps[-1] < 1e-5 and all(b <= a + 1e-7 for a, b in pairwise(gaps))
    assert gaps[101] == pytest.approx(0.9 * gaps[100], rel=0.05) or gaps[100] < 1e-5


# --- configuration --------------------------------------------------------------------------------------------------------------


def test_a_training_is_read_and_unknown_fields_are_named() -> None:
    config = VaeTrainingConfig.from_mapping(CONFIGURATION["training"])
    assert config.crops == ((16, 24, 16), (24, 16, 16)) and config.log_every == 1
    with pytest.raises(PhysMRISynthError, match=r"learning_rat\b.*learning_rate"):
        VaeTrainingConfig.from_mapping({"crops": [[16, 16, 16]], "learning_rat": 1e-3})


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ({"batch": 0}, "'batch' must be a whole number from 1 on, not 0"),
        ({"batch": 2.5}, "'batch' must be a whole number"),
        ({"learning_rate": "fast"}, "'learning_rate' must be a number.*'fast'"),
        ({"kl_weight": -1.0}, "'kl_weight' must be a number of at least 0"),
        ({"kl_weight": float("nan")}, "'kl_weight'"),
        ({"gain_regression": 1}, "'gain_regression' must be true or false"),
        ({"scan_share": 1.5}, "'scan_share' must be a number from 0 to 1"),
        ({"betas": [0.9]}, "'betas' must be two numbers"),
        ({"betas": 0.9}, "'betas' must be two numbers"),
        ({"crops": [16, 16]}, "'crops' must be a list of shapes"),
        ({"crops": [[16, 0, 16]]}, "'crops' must be a list of shapes"),
        ({"crops": [[]]}, "'crops' must be a list of shapes"),
    ],
    ids=str,
)
def test_impossible_values_are_named(values: dict[str, Any], cause: str) -> None:
    with pytest.raises(PhysMRISynthError, match=cause):
        VaeTrainingConfig.from_mapping({**CONFIGURATION["training"], **values})


# --- checkpoints ----------------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    state = {"network": {"a": torch.arange(6.0).reshape(2, 3)}, "step": 3, "configuration": CONFIGURATION}
    save_atomically(state, tmp_path / "deeper" / "checkpoint.pt")
    found = load_checkpoint(tmp_path / "deeper" / "checkpoint.pt")
    assert torch.equal(found["network"]["a"], state["network"]["a"]) and found["configuration"] == CONFIGURATION
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["checkpoint.pt"]


def test_a_failure_while_saving_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save_atomically({"step": 1}, path)
    content = path.read_bytes()

    def half_written(state: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(OSError, match="No space"):
        save_atomically({"step": 2}, path)
    assert path.read_bytes() == content and load_checkpoint(path) == {"step": 1}


class Harmful:
    """Pickled as a call, which a careless reader would make."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [torch.save, lambda state, path: path.write_bytes(pickle.dumps(state))], ids=["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, write: Any) -> None:
    path = tmp_path / "checkpoint.pt"
    write({"step": Harmful(tmp_path / "harm")}, path)
    with pytest.raises(PhysMRISynthError, match="cannot be read"):
        load_checkpoint(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, -20])
def test_a_damaged_checkpoint_is_refused_and_named(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "checkpoint.pt"
    save_atomically({"network": torch.arange(1000.0)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else int(keep)])
    with pytest.raises(PhysMRISynthError, match=r"checkpoint\.pt cannot be read"):
        load_checkpoint(path)


def test_a_log_grows_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "out" / "log.csv"

    def log_two(first: int, resumed_at: int) -> list[str]:
        log = CsvLog(path, ("step", "loss", "dice"), resumed_at)
        log.row(step=first, loss=np.float32(0.123456789))
        log.row(step=first + 1, dice=0.5)
        return path.read_text(encoding="utf-8").split()

    assert log_two(1, 0) == ["step,loss,dice", "1,0.123457,", "2,,0.5"]
    assert log_two(3, 2) == ["step,loss,dice", "1,0.123457,", "2,,0.5", "3,0.123457,", "4,,0.5"]
    lost_with_a_kill = log_two(3, 2)
    assert lost_with_a_kill == ["step,loss,dice", "1,0.123457,", "2,,0.5", "3,0.123457,", "4,,0.5"]
    assert log_two(1, 0) == ["step,loss,dice", "1,0.123457,", "2,,0.5"]


def test_a_log_of_fewer_columns_goes_on_under_new_ones(tmp_path: Path) -> None:
    """As when real scans are mixed into a training that began without."""
    CsvLog(tmp_path / "log.csv", ("step", "loss", "kl")).row(step=1, loss=0.5, kl=2.0)
    CsvLog(tmp_path / "log.csv", ("step", "loss", "signal", "kl"), 1).row(step=2, signal=0.25)
    assert (tmp_path / "log.csv").read_text(encoding="utf-8").split() == ["step,loss,signal,kl", "1,0.5,,2", "2,,0.25,"]


def test_a_run_that_is_already_there_does_nothing_more(data_folder: Path, tmp_path: Path) -> None:
    checkpoint = train_vae(CONFIGURATION, Run(data_folder, tmp_path / "out", steps=2, precision="32-true"))
    before = checkpoint.read_bytes()
    assert train_vae(CONFIGURATION, Run(data_folder, tmp_path / "out", resume=True, steps=2, precision="32-true")).read_bytes() == before


@pytest.mark.parametrize(
    ("section", "values", "cause"),
    (
        ("training", {"crops": []}, "crops"),
        ("training", {"crops": [[30, 32, 32]]}, "multiples of"),
        ("training", {"crops": [[32, 32]]}, "needs 3 sides"),
        ("network", {"spatial_dims": 2}, "needs 2 sides"),
        ("training", {"gain_regression": True}, "head 'exp'"),
        ("network", {"latent_channels": 0}, "whole numbers above 0"),
    ),
)
def test_a_configuration_that_cannot_be_trained_is_refused(
    data_folder: Path, tmp_path: Path, section: str, values: dict[str, object], cause: str
) -> None:
    configuration = {**CONFIGURATION, section: {**CONFIGURATION[section], **values}}
    with pytest.raises(PhysMRISynthError, match=cause):
        train_vae(configuration, Run(data_folder, tmp_path / "out", steps=1))


def test_checkpoints_from_before_there_were_other_objectives_go_on(data_folder: Path, tmp_path: Path) -> None:
    """They hold these keys and no others."""
    train_vae(CONFIGURATION, Run(data_folder, tmp_path / "out", steps=1, precision="32-true"))
    state = load_checkpoint(tmp_path / "out" / CHECKPOINT)
    assert set(state) == {"network", "average", "optimizer", "step", "seconds", "configuration"}
    assert trained(data_folder, tmp_path / "out", 2, resume=True)["step"] == 2


def test_devices_that_are_not_there_are_refused(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PhysMRISynthError, match="at least 1"):
        Run(data_folder, tmp_path, devices=0).check()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(PhysMRISynthError, match="at most 1, the GPUs"):
        Run(data_folder, tmp_path, devices=2).check()
