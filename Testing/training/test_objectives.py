"""Every switch of the paper's ablation changes what it should and nothing else; the losses fall."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from physmrisynth_training.learning.batch import SignalBatch, collate, random_subset, signal_batch
from physmrisynth_training.learning.objectives import SignalObjective, TissueSignalObjective
from physmrisynth_training.learning.optimiser_step import descend
from physmrisynth_training.learning.vae_config import VaeTrainingConfig
from physmrisynth_training.learning.vae_with_gains import GainNetwork, Generator
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import NetworkConfig, read_configuration
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol

pytestmark = pytest.mark.usefixtures("one_thread")

EXP: dict[str, Any] = {
    "spatial_dims": 2, "stem": 2, "down_widths": [8], "trunk_widths": [8], "trunk_blocks": [1], "latent_channels": 2, "up_widths": [8],
    "tail": 2, "head": "exp", "norm": "group",
}  # fmt: skip
CLASSES: dict[str, Any] = {
    "spatial_dims": 3, "stem": 4, "down_widths": [], "trunk_widths": [8], "trunk_blocks": [1], "latent_channels": 2, "up_widths": [8],
    "tail": 2,
}  # fmt: skip
PAPER: dict[str, Any] = {
    "crops": ((32, 32),), "signal_weight": 1.0, "perceptual_weight": 1e-3, "adversarial_weight": 1e-2, "tissue_prior": 1e-3,
    "discriminator_channels": 4, "discriminator_layers": 1,
}  # fmt: skip
PROTOCOLS = tuple(parse_protocol(text) for text in ("mprage", "tse,TE=90", "flair,L=150"))


def session(
    shape: tuple[int, ...] = (32, 32), seed: int = 0, gains: tuple[float, ...] = (1.0, 1.0, 1.0), dropout: bool = False
) -> SignalBatch:
    """Blocks of random tissue, acquired by three protocols; without ``dropout`` all are shown."""
    rng = np.random.default_rng(seed)
    coarse = np.log([0.8, 1000.0, 90.0]).reshape(3, *[1] * len(shape)) + 0.3 * rng.standard_normal((3, *(n // 8 for n in shape)))
    pd, t1, t2 = np.exp(np.kron(coarse, np.ones((1, *[8] * len(shape)))))
    images = np.stack([gain * protocol.signal(pd, t1, t2) for gain, protocol in zip(gains, PROTOCOLS, strict=True)])
    levels = np.array([image.max() for image in images])
    inputs = images / levels.reshape(-1, *[1] * len(shape))
    present = random_subset(np.ones(3, bool), rng) if dropout else np.ones(3, bool)
    return signal_batch(inputs.astype(np.float32), levels, present, PROTOCOLS, 3.0)


class Learner:
    """A generator with its objective and optimiser."""

    def __init__(self, network: dict[str, Any], training: dict[str, Any], rate: float = 2e-3) -> None:
        torch.manual_seed(0)
        shape, config = NetworkConfig.from_mapping(network), VaeTrainingConfig(**training)
        config.check(shape)
        self.fabric = Fabric(accelerator="cpu", devices=1)
        self.generator = Generator(TissueVAE(shape), GainNetwork(shape.spatial_dims) if config.gain_regression else None)
        optimizer = torch.optim.Adam(self.generator.parameters(), rate)
        self.model, self.optimizer = self.fabric.setup(self.generator, optimizer)
        paper = shape.head == "exp"
        torch.manual_seed(1)
        self.objective = SignalObjective(self.fabric, shape.spatial_dims, config, {}) if paper else TissueSignalObjective(config)

    def losses(self, batch: SignalBatch) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        return self.objective.losses(self.model, batch)

    def step(self, batch: SignalBatch) -> dict[str, float]:
        losses = self.losses(batch)
        total = torch.stack([weight * losses[name] for name, weight in self.objective.weights.items()]).sum()
        assert descend(self.fabric, self.model, self.optimizer, total, 1.0)
        return {name: float(loss.detach()) for name, loss in losses.items()} | self.objective.follow_up()


def moved(learner: Learner, batch: SignalBatch) -> set[str]:
    """Parts of the generator that a step changes."""
    before = {name: p.detach().clone() for name, p in learner.generator.named_parameters()}
    learner.step(batch)
    changed = [name for name, p in learner.generator.named_parameters() if not torch.equal(p, before[name])]
    return {".".join(name.split(".")[:2]) for name in changed}


# --- the paper's ablation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "dropout", "prior", "adaptive"), list(product([False, True], repeat=4)))
def test_all_sixteen_variants_take_a_step(gain: bool, dropout: bool, prior: bool, adaptive: bool) -> None:
    training = {**PAPER, "gain_regression": gain, "modality_dropout": dropout, "tissue_prior": 1e-3 if prior else 0.0}
    learner = Learner({**EXP, "adaptive": adaptive}, training)
    batch = collate([session(seed=seed, dropout=dropout) for seed in range(2)])
    parts = moved(learner, batch)
    assert {"network.encoder", "network.decoder"} <= parts
    assert ("network.condition" in parts) == adaptive and ("gain.out" in parts) == gain
    losses = learner.step(batch)
    assert set(losses) == {"signal", "kl", "perceptual", "adversarial", "discriminator", *(["prior"] if prior else [])}
    assert all(math.isfinite(value) for value in losses.values())


def test_the_shipped_configuration_is_the_papers_best_variant() -> None:
    found = read_configuration("paper_2d")
    shape, config = NetworkConfig.from_mapping(found["network"]), VaeTrainingConfig.from_mapping(found["training"])
    config.check(shape)
    assert (shape.factor, shape.head, shape.norm, config.crops) == (8, "exp", "group", ((224, 160),))
    assert (config.learning_rate, config.discriminator_rate, config.batch, config.epochs) == (5e-5, 1e-4, 4, 50)
    switches = (config.gain_regression, config.modality_dropout, config.tissue_prior > 0, shape.adaptive)
    assert switches == (False, False, True, True)
    weights = (config.signal_weight, config.perceptual_weight, config.adversarial_weight, config.kl_weight)
    assert min(weights) > 0 and config.tissue_prior < 0.01 * config.signal_weight


def test_the_prior_adds_its_term_and_leaves_the_others() -> None:
    batch = session()
    plain, with_prior = (Learner(EXP, {**PAPER, "tissue_prior": weight}).losses(batch) for weight in (0.0, 1e-3))
    assert set(with_prior) - set(plain) == {"prior"}
    assert all(torch.equal(with_prior[name], plain[name]) for name in plain)


def test_gain_regression_starts_at_gain_1_and_changes_no_other_term() -> None:
    batch = session()
    plain, with_gain = (Learner(EXP, {**PAPER, "gain_regression": gain}).losses(batch) for gain in (False, True))
    assert set(plain) == set(with_gain)
    for name in plain:
        torch.testing.assert_close(plain[name], with_gain[name])


def test_regressed_gains_explain_what_no_tissue_does() -> None:
    """Three gains that no PD can absorb."""
    batch = session(gains=(1.0, 5.0, 0.2))
    last = {}
    for gain in (False, True):
        learner = Learner(EXP, {"crops": ((32, 32),), "gain_regression": gain}, rate=1e-2)
        losses = [learner.step(batch)["signal"] for _ in range(60)]
        last[gain] = np.mean(losses[-5:])
    assert last[True] < 0.7 * last[False]


def test_hidden_inputs_are_targets_all_the_same() -> None:
    learner, batch = Learner(EXP, PAPER), session()
    batch.present[:] = torch.tensor([True, False, False])
    other = session()
    other.present[:] = batch.present
    other.images[:, 2] *= 0.5
    assert not torch.equal(learner.losses(batch)["signal"], learner.losses(other)["signal"])
    torch.testing.assert_close(learner.losses(batch)["kl"], learner.losses(other)["kl"])


def test_a_missing_contrast_costs_nothing() -> None:
    learner, batch = Learner(EXP, PAPER), session()
    batch.known[:, 1], batch.present[:, 1], batch.images[:, 1] = False, False, 0.0
    batch.protocols = [(PROTOCOLS[0].spec, "", PROTOCOLS[2].spec)]
    losses = learner.losses(batch)
    batch.images[:, 1] = 3.0  # whatever stands there
    again = learner.losses(batch)
    assert all(torch.equal(losses[name], again[name]) and losses[name].isfinite() for name in losses)
    assert learner.step(batch)["discriminator"] > 0


def test_nothing_is_judged_where_nothing_was_acquired(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, batch = Learner(EXP, PAPER), session()
    batch.known[:, 1, :16] = False
    rendered = torch.where(batch.known, batch.targets, 7.0)
    monkeypatch.setattr(learner.objective, "rendered", lambda found, batch: rendered)
    losses = learner.losses(batch)
    assert float(losses["signal"]) < 1e-10 and float(losses["perceptual"]) < 1e-6


@pytest.mark.parametrize(
    "values", [{"gain_regression": True}, {"tissue_prior": 1e-3}, {"perceptual_weight": 1e-3}, {"adversarial_weight": 1.0}], ids=str
)
def test_the_papers_terms_are_refused_with_classes(values: dict[str, Any]) -> None:
    with pytest.raises(PhysMRISynthError, match="head 'exp'"):
        VaeTrainingConfig(crops=((16, 16, 16),), **values).check(NetworkConfig.from_mapping(CLASSES))


# --- learning -------------------------------------------------------------------------------------------------------------------


def test_the_signal_loss_falls_on_a_fixed_batch() -> None:
    learner, batch = Learner(EXP, PAPER, rate=5e-3), session()
    scores = [learner.objective.scores(learner.generator.eval(), batch)["psnr"]]
    learner.generator.train()
    losses = [learner.step(batch)["signal"] for _ in range(80)]
    scores.append(learner.objective.scores(learner.generator.eval(), batch)["psnr"])
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    assert scores[1] > scores[0] + 4.0


def test_the_psnr_is_that_of_the_scaled_images() -> None:
    learner, batch = Learner(EXP, PAPER), session()
    learner.generator.eval()
    with torch.no_grad():
        found = learner.generator(batch.images, batch.conditions, batch.present)
        rendered = np.stack([p.signal(*np.exp(found[1][0].numpy())) for p in PROTOCOLS])
    error = ((rendered / batch.levels[0].numpy()[:, None, None] - batch.images[0].numpy()) ** 2).mean()
    assert learner.objective.scores(learner.generator, batch)["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-3)


def test_classes_learn_from_images_whatever_their_gains() -> None:
    """The loss does not know the gains: neither their sizes nor their ratios."""
    plain, scaled = (session((16, 16, 16), gains=gains) for gains in ((1.0, 1.0, 1.0), (500.0, 2.0, 30.0)))
    learner = Learner(CLASSES, {"crops": ((16, 16, 16),)}, rate=1e-2)
    first, other = (learner.losses(batch)["signal"].detach() for batch in (plain, scaled))
    torch.testing.assert_close(first, other, rtol=1e-3, atol=0.0)
    taught = moved(learner, plain)
    assert {"network.encoder", "network.decoder", "network.offset"} <= taught and "network.spread" not in taught
    losses = [learner.step(plain)["signal"] for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_protocols_survive_the_way_through_a_batch() -> None:
    protocol = Protocol.of("flair", TR=8123.4, TI=2211.5, TE=101.25, L=77.7)
    batch = signal_batch(np.ones((1, 4, 4), np.float32), np.ones(1), np.ones(1, bool), [protocol], 3.0)
    assert batch.equations()[0][0] == parse_protocol(protocol.spec, "batch")
    assert dict(batch.equations()[0][0].values) == dict(protocol.values)  # type: ignore[union-attr]
