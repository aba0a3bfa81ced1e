"""Training the sampling model: latents are computed once, a run goes on where it stopped, and foreign data is refused."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from physmrisynth_training.learning import latent_batches as module
from physmrisynth_training.learning import latents as latents_module
from physmrisynth_training.learning.checkpoint import load_checkpoint
from physmrisynth_training.learning.latent_batches import Source
from physmrisynth_training.learning.latent_config import LdmTrainingConfig
from physmrisynth_training.learning.latent_moments import latent_moments, number_moments, number_range
from physmrisynth_training.learning.latents import LatentHead, Latents, StoredLatents, good_scan, simulated_shape, whole_heads
from physmrisynth_training.learning.run_options import LOG, Run
from physmrisynth_training.learning.train_ldm import train_ldm
from physmrisynth_training.simulator.anatomy import LabelledHead
from physmrisynth_training.simulator.simulated_scans import Simulator
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.blocks import depth_to_space
from PhysMRISynthLib.network.latent_space import LatentSpace
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import load_weights, save_weights
from Testing.network.tiny_sampler import TINY, tiny_vae
from Testing.training.heads import toy_head, toy_labels, training_folder, write_label_map

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGURATION: dict[str, Any] = {
    "network": TINY.mapping(),
    "training": {"heads": 4, "held_out": 2, "workers": 0, "warm_up_steps": 2, "log_every": 1, "validate_every": 3},
}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = training_folder(tmp_path_factory.mktemp("data"))
    save_weights(tiny_vae(), {}, folder / "vae.safetensors")
    return folder


@pytest.fixture(autouse=True)
def one_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRAINING_HEADS", (1,))


def trained(data_folder: Path, out: Path, steps: int, lines: list[str] | None = None, **options: Any) -> dict[str, Any]:
    run = Run(data_folder, out, steps=steps, precision="32-true", **options)
    path = train_ldm(CONFIGURATION, run, data_folder / "vae.safetensors", ([] if lines is None else lines).append)
    assert path is not None
    return load_checkpoint(path)


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_a_run_stopped_and_resumed_is_a_run_in_one_go(data_folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    whole = trained(data_folder, tmp_path / "whole", 4, lines)
    shutil.copytree(tmp_path / "whole" / "latents", tmp_path / "parts" / "latents")
    half = trained(data_folder, tmp_path / "parts", 2)
    parts = trained(data_folder, tmp_path / "parts", 4, resume=True)
    assert (half["step"], parts["step"], whole["step"]) == (2, 4, 4)
    for kind in ("network", "average"):
        assert apart(whole[kind], half[kind]) > 1e-5
        assert apart(whole[kind], parts[kind]) < 1e-6
    assert apart(whole["network"], whole["average"]) > 1e-5
    assert lines[:6] == [f"latent {n} of 2 in held_out" for n in (1, 2)] + [f"latent {n} of 4 in learned" for n in (1, 2, 3, 4)]
    assert [line.split(",")[0] for line in lines[6:]] == [f"step {step}" for step in (1, 2, 3, 4)]
    with (tmp_path / "parts" / LOG).open(encoding="utf-8") as file:
        log = list(csv.DictReader(file))
    assert [row["step"] for row in log] == ["1", "2", "3", "4"]
    assert [bool(row["loss_held_out"]) for row in log] == [False, False, True, False] and float(log[2]["loss_held_out"]) > 0

    # the moments of the latents are the model's
    kept = Latents(tmp_path / "whole" / "latents" / "learned", SIMULATOR, 4)
    held = [np.moveaxis(kept[n].latent[0], 0, -1).reshape(-1, 2) for n in range(4)]
    np.testing.assert_allclose(whole["network"]["space.mean"].numpy(), np.concatenate(held).mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(whole["average"]["space.sd"].numpy(), np.concatenate(held).std(axis=0), rtol=1e-3)

    # latents of another network, and another network's checkpoint, are not gone on with
    save_weights(TissueVAE(tiny_vae().config), {}, tmp_path / "other.safetensors")
    with pytest.raises(PhysMRISynthError, match="latents of another network"):
        train_ldm(CONFIGURATION, Run(data_folder, tmp_path / "whole", resume=True, steps=5), tmp_path / "other.safetensors")
    with pytest.raises(PhysMRISynthError, match="--resume"):
        trained(data_folder, tmp_path / "whole", 5)
    different = {**CONFIGURATION, "network": {**CONFIGURATION["network"], "widths": (16, 16)}}
    with pytest.raises(PhysMRISynthError, match="is of another model"):
        train_ldm(different, Run(data_folder, tmp_path / "whole", resume=True, steps=5), data_folder / "vae.safetensors")
    whole["network"]["space.mean"] = torch.zeros(7)  # as another version of the same configuration might have it
    torch.save(whole, tmp_path / "whole" / "checkpoint.pt")
    with pytest.raises(PhysMRISynthError, match="another version's model"):
        train_ldm(CONFIGURATION, Run(data_folder, tmp_path / "whole", resume=True, steps=5), data_folder / "vae.safetensors")


def test_peoples_heads_are_learned_as_they_are_with_their_ages(data_folder: Path, tmp_path: Path) -> None:
    people = tmp_path / "people"
    for name in ("person01_head01", "person02_head01"):
        write_label_map(people / f"{name}.nii.gz", toy_labels((64, 66, 68)))
    table = "head\tage\tsex\nperson01_head01\t39\tF\nperson02_head01\t\tM\n"
    (people / "heads.tsv").write_text(table, encoding="utf-8")
    trained(data_folder, tmp_path / "out", 1, people=people)
    latents = StoredLatents(tmp_path / "out" / "latents" / "learned", 4)
    told = {latents[n].name: latents[n].numbers for n in range(4)}
    assert set(told) == {"head_01.nii.gz", "person01_head01", "person02_head01"}  # nobody is mixed with another
    assert told["person01_head01"]["age"] == 39.0 and told["person01_head01"]["sex"] == 0.0
    assert "age" not in told["person02_head01"] and "brain_volume" in told["person02_head01"]
    assert np.isnan(latents[0].conditions(("age",))).all() and latents[1].conditions(("age", "sex")).tolist() == [39.0, 0.0]
    (people / "heads.tsv").write_text(table.rsplit("person02", 1)[0], encoding="utf-8")
    with pytest.raises(PhysMRISynthError, match="kind of heads"):
        trained(data_folder, tmp_path / "out", 2, people=people, resume=True)


def test_every_step_has_noise_of_its_own(data_folder: Path, tmp_path: Path) -> None:
    still = {**CONFIGURATION["training"], "heads": 1, "held_out": 1, "learning_rate": 0.0, "untold": 0.0}
    run = Run(data_folder, tmp_path / "out", steps=3, precision="32-true")
    assert train_ldm({**CONFIGURATION, "training": still}, run, data_folder / "vae.safetensors")
    with (tmp_path / "out" / LOG).open(encoding="utf-8") as file:
        losses = [row["loss"] for row in csv.DictReader(file)]
    assert len(set(losses)) == 3


def test_latents_go_on_where_the_time_was_over(data_folder: Path, tmp_path: Path) -> None:
    run = Run(data_folder, tmp_path / "out", steps=1, precision="32-true", minutes=0.0)
    assert train_ldm(CONFIGURATION, run, data_folder / "vae.safetensors") is None
    folder = tmp_path / "out" / "latents"
    (first,) = folder.glob("*/head_*.safetensors")
    before = first.stat().st_mtime_ns
    trained(data_folder, tmp_path / "out", 1)
    assert len(list(folder.glob("*/head_*.safetensors"))) == 6 and first.stat().st_mtime_ns == before
    assert not list(folder.rglob("*.partial"))


SIMULATOR = Simulator((toy_head((64, 66, 68)),), (), (32, 48, 32), 0)


def test_heads_are_good_scans_in_the_middle_and_always_the_same() -> None:
    one, again, other = good_scan(SIMULATOR, 3), good_scan(SIMULATOR, 3), good_scan(SIMULATOR, 4)
    assert set(one.images) == {"t1w", "t2w", "flair"} and one.shape == (32, 48, 32)
    np.testing.assert_array_equal(one.images["flair"], again.images["flair"])
    assert (one.tissue != other.tissue).any()
    assert "StripSkull" not in one.record and "Misregister" not in one.record
    centres = [np.array(good_scan(SIMULATOR, n).record["PlaceHead"]["centre"]) for n in range(12)]
    assert np.std(centres, axis=0).max() < 3.0


def test_latents_come_back_with_their_heads_numbers(tmp_path: Path) -> None:
    latents = Latents(tmp_path, SIMULATOR, 2)
    head = LatentHead(np.random.default_rng(0).standard_normal((1, 2, 8, 12, 8)).astype(np.float32), "head_01", {"brain_volume": 1000.0})
    assert latents.missing() == [0, 1]
    latents.write(1, head)
    assert latents.missing() == [0]
    found = latents[1]
    np.testing.assert_allclose(found.latent, head.latent, atol=2e-3)
    assert found.name == "head_01" and found.numbers == {"brain_volume": 1000.0}
    conditions = found.conditions(("lesion_load", "brain_volume"))
    assert np.isnan(conditions[0]) and conditions[1] == pytest.approx(np.log(1000))
    latents.path(1).write_bytes(latents.path(1).read_bytes()[:-9])
    with pytest.raises(PhysMRISynthError, match=r"head_00001.safetensors is damaged .* Delete it"):
        latents[1]


def test_every_latent_is_learned_once_an_epoch_by_all_processes_together(tmp_path: Path) -> None:
    latents = Latents(tmp_path, SIMULATOR, 6)
    for n in range(6):
        latents.write(n, LatentHead(np.full((1, 2, 8, 12, 8), n, dtype=np.float32), "a", {"brain_volume": 1000.0 + n, "lesion_load": 1.0}))
    source = Source(latents, latents, LdmTrainingConfig(batch=1, epochs=2), TINY.condition, untold=0.3)
    ranks = [source.steps(0, rank, 2) for rank in (0, 1)]
    shown = [int(next(steps)[0].flatten()[0]) for _ in range(6) for steps in ranks]
    assert sorted(shown[:6]) == sorted(shown[6:]) == list(range(6)) and shown[:6] != shown[6:]
    late = source.steps(4, 1, 2)
    assert int(next(late)[0].flatten()[0]) == shown[9]
    assert source.last_step(1) == 12 and source.last_step(2) == 6

    told = torch.cat([next(ranks[0])[1] for _ in range(200)])
    assert torch.isnan(told[:, 1]).all()  # nobody knows
    assert 0.15 < float(torch.isnan(told[:, 0]).float().mean()) < 0.45 and not torch.equal(told[:, 0].isnan(), told[:, 2].isnan())
    assert not any(torch.isnan(told[:, [0, 2]]).any() for _, told in source.validation())

    found, (middle, spread) = latent_moments(latents, TINY), number_moments(latents, TINY.condition)
    assert found.mean.tolist() == pytest.approx([2.5, 2.5]) and found.sd.tolist() == pytest.approx([np.std(range(6))] * 2)
    assert found.axes is None
    assert number_range(latents, TINY.condition[::2]).tolist() == [[1000.0, 1.0], [1005.0, 1.0]]
    with pytest.raises(PhysMRISynthError, match="No training head states ventricle_share"):
        number_range(latents, TINY.condition)
    assert middle[0] == pytest.approx(np.log(np.arange(1000.0, 1006.0)).mean()) and middle[1] == 0
    assert spread[0] == pytest.approx(np.log(np.arange(1000.0, 1006.0)).std(), rel=1e-3) and spread[2] == 0


def test_components_are_the_axes_on_which_heads_differ(tmp_path: Path) -> None:
    """Heads that vary along two directions about a mean are told by two components, which have a root mean square of one; how much they
    vary is known place by place."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((16, 16)))[0][:, :2]
    mean_head = rng.standard_normal((4, 6, 4, 2))
    latents, config = Latents(tmp_path, SIMULATOR, 30), replace(TINY, components=2)
    for n in range(30):
        differences = 0.5 * rng.standard_normal(mean_head.shape)
        differences[2:] *= 0.1
        folded = (mean_head + differences) @ directions.T
        latent = depth_to_space(torch.from_numpy(np.moveaxis(folded, -1, 0)[None].copy()), 2)
        latents.write(n, LatentHead(latent.float().numpy(), "a"))
    space = LatentSpace(config)
    space.take(latent_moments(latents, config))
    seen = torch.cat([space.seen(torch.from_numpy(latents[n].latent)) for n in range(30)])
    assert seen.mean(0).abs().max() < 0.01 and seen.square().mean().sqrt() == pytest.approx(1.0, abs=0.02)
    found, shown = space.variance.mean(dim=(2, 3)), seen.square().mean(dim=(0, 3, 4))
    expected = 0.95 * shown + 0.05 * shown.mean(dim=1, keepdim=True)  # nowhere is it forbidden to differ
    torch.testing.assert_close(found[:, ::3], expected[:, ::3], rtol=0.1, atol=0)
    again = space.latent(seen[:1])
    assert (again - torch.from_numpy(latents[0].latent)).abs().max() < 0.01


def test_nobody_is_learned_whole_where_there_are_several(data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes are not found in the atlas, so that what joins heads is a stand-in; the one that is held out stays whole."""
    shutil.copytree(data_folder, tmp_path / "data")
    shutil.copy(data_folder / "head_labels" / "head_01.nii.gz", tmp_path / "data" / "head_labels" / "head_02.nii.gz")
    monkeypatch.setattr(module, "TRAINING_HEADS", (1, 2))

    class Joining:
        def __init__(self, heads: Sequence[LabelledHead]) -> None:
            self.heads = heads

        def head(self, number: int, rng: np.random.Generator) -> LabelledHead:
            return replace(self.heads[number], name=f"{self.heads[number].name} + {self.heads[1 - number].name}")

    monkeypatch.setattr(latents_module, "Halves", SimpleNamespace(of=Joining))
    trained(tmp_path / "data", tmp_path / "run", 1)
    learned, held_out = (
        [Latents(tmp_path / "run" / "latents" / part, SIMULATOR, count)[index].name for index in range(count)]
        for part, count in (("learned", 4), ("held_out", 2))
    )
    one, other = "head_01.nii.gz + head_02.nii.gz", "head_02.nii.gz + head_01.nii.gz"
    assert learned == [one, other, one, other] and held_out == ["head_15.nii.gz"] * 2


def test_slices_are_learned_where_there_is_brain(tmp_path: Path) -> None:
    config = replace(TINY, spatial_dims=2, shape=(48, 32), condition=(), objective="epsilon")
    assert simulated_shape(config) == (160, 48, 32) and simulated_shape(TINY) == (32, 48, 32)
    flat = TissueVAE(replace(tiny_vae().config, spatial_dims=2))
    save_weights(flat, {}, tmp_path / "flat.safetensors")
    weights = load_weights(tmp_path / "flat.safetensors")
    latents = Latents(tmp_path, SIMULATOR, 1, sliced=True)
    sample = good_scan(SIMULATOR, 0)
    sample.tissue[:5] = latents_module.BRAIN[0] + 7  # no brain here
    latents.write(0, latents_module.latent_of(sample, weights, torch.device("cpu"), "32-true"))
    brainy = int(np.isin(sample.tissue, latents_module.BRAIN).any(axis=(1, 2)).sum())
    assert latents[0].latent.shape == (brainy, 2, 12, 8) and brainy <= 27 and len(latents.pieces()) == brainy
    few = latents_module.latent_of(sample, weights, torch.device("cpu"), "32-true", at_once=5)
    assert np.abs(few.latent - latents[0].latent).max() < 0.02


@pytest.mark.parametrize(
    ("network", "training", "message"),
    (
        ({"latent_channels": 3}, {}, "gives 2 channels for 4 voxels in 3D"),
        ({"shape": (12, 24, 24), "widths": (8,), "attention": (True,), "fold": 1}, {}, "must be multiples of 8"),
        ({}, {"heads": 0}, "'heads' must be a whole number from 1 on"),
        ({}, {"colour": 1}, "Unknown field of a training: colour"),
        ({}, {"untold": 1.5}, "from 0 to 1"),
        ({}, {"betas": [0.9]}, "two numbers"),
        ({}, {"scales": [0]}, "whole numbers from 2 on"),
        ({}, {"scales": [2, 3]}, "'scales' must divide"),
    ),
    ids=str,
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    data_folder: Path, tmp_path: Path, network: dict[str, Any], training: dict[str, Any], message: str
) -> None:
    configuration = {
        "network": {**CONFIGURATION["network"], **network},
        "training": {**CONFIGURATION["training"], **training},
    }
    with pytest.raises(PhysMRISynthError, match=message):
        train_ldm(configuration, Run(data_folder, tmp_path / "out"), data_folder / "vae.safetensors")
    assert not (tmp_path / "out").exists()


def test_without_label_maps_the_reason_is_said(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PhysMRISynthError, match="neither a folder head_labels, nor scans"):
        train_ldm(CONFIGURATION, Run(tmp_path, tmp_path / "out"), data_folder / "vae.safetensors")


def test_the_top_of_the_head_is_in_the_picture(tmp_path: Path) -> None:
    """However far down the box of the brain reaches with the fluid of the spine."""
    labels = np.zeros((150, 66, 68), dtype=np.int16)
    labels[:110] = toy_labels((110, 66, 68))
    labels[6:40, 28:38, 30:38] = 24  # a spine
    labels[6:40][labels[6:40] == 2] = 507
    labels[140:142, 30, 30] = 2  # a stray label
    write_label_map(tmp_path / "head_labels" / "head_01.nii.gz", labels)
    simulator = whole_heads(tmp_path, (1,), (80, 64, 64), 0)
    for index in range(6):
        tissue = good_scan(simulator, index).tissue
        brain = np.isin(tissue, latents_module.BRAIN).any(axis=(1, 2))
        top = int(np.flatnonzero(brain).max())
        assert 80 - 24 - 10 < top < 80 - 8  # scalp and skull have room above, and the brain is not pushed down


def test_the_command_trains_and_says_where_it_is(data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIGURATION), encoding="utf-8")
    given = {"config": tmp_path / "tiny.json", "data": data_folder, "vae": data_folder / "vae.safetensors", "out": tmp_path / "out"}
    command = ["train", "ldm", "--precision", "32-true", *(part for name, value in given.items() for part in (f"--{name}", str(value)))]
    assert main([*command, "--minutes", "0"]) == 0
    assert "run the command again" in capsys.readouterr().out
    assert main([*command, "--steps", "1"]) == 0
    told = capsys.readouterr()
    assert "The checkpoint is" in told.out and "step 1, 0 min: loss" in told.err
    assert main([*command, "--steps", "2"]) == 2 and "--resume" in capsys.readouterr().err
    assert main([*command, "--steps", "2", "--resume"]) == 0
    assert main(["train", "ldm", "--config", "head_9d", *command[6:]]) == 2
    assert "one of head_3d, head_3d_people, paper_2d, paper_2d_small" in capsys.readouterr().err
