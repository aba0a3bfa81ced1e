"""Training the variational autoencoder on simulated heads, real scans, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import load_weights, save_weights

from .batch import Batch, SignalBatch, collate
from .batch_sources import Source, open_source
from .dataset import StepSampler
from .loop import quiet_worker, train
from .objectives import Objective, objectives_for
from .progress_log import means
from .run_options import Run
from .trainer import Trainer
from .vae_config import VaeTrainingConfig
from .vae_with_gains import GainNetwork, Generator

WEIGHTS = "vae.safetensors"
TRAINING_HEADS, SELECTION_HEADS = tuple(range(1, 15)), (15,)
"""Training heads, and one for model selection. Heads 16 and 17 are for the final test only."""


class VaeTrainer(Trainer):
    """The autoencoder in training, with its gain network and discriminator, if any."""

    config: VaeTrainingConfig
    learner: Generator
    of_another = "is of another network. Use its configuration, or another --out."

    def __init__(self, configuration: dict[str, Any], run: Run, source: Source) -> None:
        self.source, self.shape = source, NetworkConfig.from_mapping(configuration["network"])
        super().__init__(configuration, source.config, run, self._made, strategy=_strategy(self.shape, source))

    def _made(self) -> Generator:
        gain = GainNetwork(self.shape.spatial_dims) if self.source.config.gain_regression else None
        return Generator(_network(self.shape, self.run.start_from), gain)

    @property
    def network(self) -> TissueVAE:
        return self.learner.network

    def belongs(self, state: dict[str, Any]) -> bool:
        return super().belongs(state) and ("gain" in state) == (self.learner.gain is not None)

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        if self.learner.gain is not None:
            self.learner.gain.load_state_dict(state["gain"])

    def begin(self, state: dict[str, Any]) -> None:
        """Start the discriminator independently of everything else."""
        torch.manual_seed(self.config.seed)
        self.objectives = objectives_for(self.source.kinds, self.shape, self.fabric, self.config, state.get("adversary", {}))
        self.columns = _columns(self.objectives.values())
        self.first_adversarial_step = self.source.first_adversarial_step(self.config.batch * self.fabric.world_size)

    def also_saved(self) -> dict[str, Any]:
        state = {} if self.learner.gain is None else {"gain": self.learner.gain.state_dict()}
        for objective in self.objectives.values():
            state |= objective.state()
        return state

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        objective = self.objectives[type(batch)]
        objective.warm = self.step < self.first_adversarial_step
        losses = objective.losses(self.model, batch.to(self.fabric.device))
        weighted = [weight * losses[name] for name, weight in objective.weights.items() if name in losses]
        return {"loss": torch.stack(weighted).sum(), **losses}

    def follow_up(self, batch: Batch) -> dict[str, float]:
        return self.objectives[type(batch)].follow_up()

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """Mean scores of the averaged network with all inputs, and with the first alone (``dice1_…``, ``psnr1``)."""
        rows: list[dict[str, float]] = []
        generator = Generator(self.average, self.learner.gain).eval()
        for batch in (batch.to(self.fabric.device) for batch in self.validation):
            objective = self.objectives[type(batch)]
            with self.fabric.autocast():
                alone = objective.scores(generator, batch.first_alone())
                rows += [objective.scores(generator, batch), {_alone(name): score for name, score in alone.items()}]
        return means(rows)

    @cached_property
    def validation(self) -> Sequence[Batch]:
        """Held-out batches, always the same."""
        return self.source.validation()

    def batches(self) -> DataLoader[Batch]:
        """Batches from this step on, made by other processes."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        return DataLoader(
            self.source.dataset(self.config.batch * world), batch_sampler=StepSampler(self.step, self.config.batch, rank, world),
            collate_fn=collate, num_workers=self.config.workers, worker_init_fn=quiet_worker, prefetch_factor=4,
        )  # fmt: skip

    def last_step(self) -> int | None:
        return self.source.last_step(self.config.batch * self.fabric.world_size)


def train_vae(configuration: dict[str, Any], run: Run, progress: Callable[[str], None] = lambda line: None) -> Path:
    """Train a configuration; returns the checkpoint, beside which the averaged weights are in WEIGHTS, to be used at once.
    ``progress`` gets a line now and then, in the first process only.

    Raises PhysMRISynthError when checkpoint and ``run.resume`` contradict each other, or the configuration or the data are not usable.
    """
    run.check()
    shape = NetworkConfig.from_mapping(configuration["network"])
    config = VaeTrainingConfig.from_mapping(configuration.get("training", {}))
    config.check(shape)
    # before other processes start: they find what has been read
    source = open_source(run, shape, config, TRAINING_HEADS, SELECTION_HEADS, progress)
    trainer = VaeTrainer(configuration, run, source)
    train(trainer, progress)
    if trainer.fabric.is_global_zero:
        card = {"steps": trainer.step, "hours": round(trainer.seconds / 3600.0, 1), "configuration": configuration}
        save_weights(trainer.average, card, run.out / WEIGHTS)
    return run.checkpoint


def _columns(objectives: Iterable[Objective]) -> tuple[str, ...]:
    """The log's columns except step and time, each once."""
    objectives = list(objectives)
    losses = [name for objective in objectives for name in (*objective.weights, *objective.also_logged)]
    scores = [rename(name) for objective in objectives for rename in (str, _alone) for name in objective.scored]
    return tuple(dict.fromkeys(("loss", *losses, *scores)))


def _alone(name: str) -> str:
    """The name of a score with the first input alone: ``dice_csf`` → ``dice1_csf``."""
    kind, line, rest = name.partition("_")
    return f"{kind}1{line}{rest}"


def _strategy(shape: NetworkConfig, source: Source) -> str:
    """Lightning-fabric's strategy, with one process per device.

    Some parameters may be unused in a step: those of an unused condition, and those of the uncertainty on real scans.
    """
    unused = not shape.adaptive or (shape.head == "classes" and SignalBatch in source.kinds)
    return "ddp_find_unused_parameters_true" if unused else "ddp"


def _network(shape: NetworkConfig, start_from: Path | None) -> TissueVAE:
    """A new network, with the weights of a file if given."""
    network = TissueVAE(shape)
    if start_from is not None:
        before = load_weights(start_from)
        if before.config != shape:
            raise PhysMRISynthError(f"{start_from} holds a network of another shape. Use the configuration that it was trained by.")
        network.load_state_dict(before.network.state_dict())
    return network
