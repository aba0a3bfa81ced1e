"""Training the variational autoencoder on simulated heads, real scans, or both."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch.utils.data import DataLoader

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.device import fastest_precision
from PhysMRISynthLib.network.vae import TissueVAE
from PhysMRISynthLib.network.weights import load_weights

from .batch import Batch, SignalBatch, collate
from .batch_sources import Source, open_source
from .checkpoint import load_checkpoint, save_atomically
from .dataset import StepSampler
from .loop import average_into, quiet_worker, train
from .objectives import Objective, objectives_for
from .optimiser_step import descend
from .progress_log import Watch, means
from .run_options import Run
from .vae_config import TrainingConfig
from .vae_with_gains import GainNetwork, Generator

_log = logging.getLogger(__name__)
TRAINING_HEADS, SELECTION_HEADS = tuple(range(1, 15)), (15,)
"""Heads that are learned from, and one that choices are made on. Heads 16 and 17 are for the final test alone."""


class Trainer:
    """The network in training, with all that a checkpoint must hold to go on as if nothing had happened."""

    def __init__(self, configuration: dict[str, Any], run: Run, source: Source) -> None:
        from lightning_fabric import Fabric

        self.configuration, self.run, self.source, self.config = configuration, run, source, source.config
        shape = NetworkConfig.from_mapping(configuration["network"])
        torch.manual_seed(self.config.seed)
        gain = GainNetwork(shape.spatial_dims) if self.config.gain_regression else None
        self.generator = Generator(_network(shape, run.start_from), gain)
        self.average = copy.deepcopy(self.generator.network).eval().requires_grad_(False)
        # without weight decay this is the paper's Adam
        optimizer = torch.optim.AdamW(
            self.generator.parameters(), self.config.learning_rate, betas=self.config.betas, weight_decay=self.config.weight_decay
        )
        self.step, self.seconds = 0, 0.0
        state = load_checkpoint(run.checkpoint) if run.resume else {}
        if state:
            self._load(state, optimizer)
        precision = fastest_precision(run.accelerator) if run.precision == "auto" else run.precision
        self.fabric = Fabric(
            accelerator=run.accelerator, devices=run.devices, num_nodes=run.num_nodes, precision=cast(Any, precision),
            strategy=_strategy(run, shape, source),
        )  # fmt: skip
        self.fabric.launch()  # from here on there are several processes: what can be wrong was found out before
        self.model, self.optimizer = self.fabric.setup(self.generator, optimizer)
        self.average = self.average.to(self.fabric.device)
        torch.manual_seed(self.config.seed)  # whatever else was made, the discriminator starts as it always does
        self.objectives = objectives_for(source.kinds, shape, self.fabric, self.config, state.get("adversary", {}))

    def _load(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        gain = self.generator.gain
        if state["configuration"]["network"] != self.configuration["network"] or ("gain" in state) != (gain is not None):
            raise PhysMRISynthError(f"{self.run.checkpoint} is of another network. Use its configuration, or another --out.")
        self.generator.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        if gain is not None:
            gain.load_state_dict(state["gain"])
        optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def save(self) -> None:
        """Write the checkpoint (one process of all)."""
        if not self.fabric.is_global_zero:
            return
        state = {
            "network": self.generator.network.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
            "step": self.step, "seconds": self.seconds, "configuration": self.configuration,
        }  # fmt: skip
        if self.generator.gain is not None:
            state["gain"] = self.generator.gain.state_dict()
        for objective in self.objectives.values():
            state |= objective.state()
        save_atomically(state, self.run.checkpoint)

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; returns its losses. The draw of the latent depends on the step alone, so that a resumed run repeats it."""
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / max(1, self.config.warm_up_steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(self.config.seed + 1_000_003 * (self.step + 1) + self.fabric.global_rank)
        objective = self.objectives[type(batch)]
        losses = objective.losses(self.model, batch.to(self.fabric.device))
        total = torch.stack([weight * losses[name] for name, weight in objective.weights.items()]).sum()
        if not descend(self.fabric, self.model, self.optimizer, total, self.config.gradient_clip):
            _log.warning("Step %d had no finite gradient and was skipped.", self.step)
        self.step += 1
        average_into(self.average, self.generator.network, self.config.average_decay, self.step)
        return {name: float(value.detach()) for name, value in {"loss": total, **losses}.items()} | objective.follow_up()

    def batches(self) -> DataLoader[Batch]:
        """Batches from this step on, made by other processes."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        return DataLoader(
            self.source.dataset(self.config.batch * world), batch_sampler=StepSampler(self.step, self.config.batch, rank, world),
            collate_fn=collate, num_workers=self.config.workers, worker_init_fn=quiet_worker, prefetch_factor=4,
        )  # fmt: skip


def train_vae(configuration: dict[str, Any], run: Run, progress: Callable[[str], None] = lambda line: None) -> Path:
    """Train a configuration; returns the checkpoint. ``progress`` is told a line now and then, by the first process alone.

    Raises PhysMRISynthError when checkpoint and ``run.resume`` contradict each other, or the configuration or the data are not usable.
    """
    run.check()
    shape = NetworkConfig.from_mapping(configuration["network"])
    config = TrainingConfig.from_mapping(configuration.get("training", {}))
    config.check(shape)
    # before other processes start: they find what has been read
    source = open_source(run, shape, config, TRAINING_HEADS, SELECTION_HEADS, progress)
    trainer = Trainer(configuration, run, source)
    end = run.steps if run.steps is not None else source.last_step(config.batch * trainer.fabric.world_size)
    if end is None or trainer.step < end:
        scores = partial(_scores, trainer, source.validation())
        watch = Watch(trainer, _columns(trainer.objectives.values()), scores, progress) if trainer.fabric.is_global_zero else None
        train(trainer, end, watch)
    return run.checkpoint


@torch.no_grad()
def _scores(trainer: Trainer, validation: Sequence[Batch]) -> dict[str, float]:
    """Mean scores of the averaged network with all inputs, and with the first alone (``dice1_…``, ``psnr1``)."""
    rows: list[dict[str, float]] = []
    generator = Generator(trainer.average, trainer.generator.gain).eval()
    for batch in (batch.to(trainer.fabric.device) for batch in validation):
        objective = trainer.objectives[type(batch)]
        with trainer.fabric.autocast():
            alone = objective.scores(generator, batch.first_alone())
            rows += [objective.scores(generator, batch), {_alone(name): score for name, score in alone.items()}]
    return means(rows)


def _columns(objectives: Iterable[Objective]) -> tuple[str, ...]:
    """The log's columns but the step and its time, each once."""
    objectives = list(objectives)
    losses = [name for objective in objectives for name in (*objective.weights, *objective.also_logged)]
    scores = [rename(name) for objective in objectives for rename in (str, _alone) for name in objective.scored]
    return tuple(dict.fromkeys(("loss", *losses, *scores)))


def _alone(name: str) -> str:
    """The name of a score with the first input alone: ``dice_csf`` → ``dice1_csf``."""
    kind, line, rest = name.partition("_")
    return f"{kind}1{line}{rest}"


def _strategy(run: Run, shape: NetworkConfig, source: Source) -> str:
    """How lightning-fabric runs one process for each device.

    Some parameters may have no part in a step: those of the condition when it is not used, those of the uncertainty on real scans.
    """
    if run.devices * run.num_nodes == 1:
        return "auto"
    unused = not shape.adaptive or (shape.head == "classes" and SignalBatch in source.kinds)
    return "ddp_find_unused_parameters_true" if unused else "ddp"


def _network(shape: NetworkConfig, start_from: Path | None) -> TissueVAE:
    """A new network, with the weights of a file where one is given."""
    network = TissueVAE(shape)
    if start_from is not None:
        before = load_weights(start_from)
        if before.config != shape:
            raise PhysMRISynthError(f"{start_from} holds a network of another shape. Use the configuration that it was trained by.")
        network.load_state_dict(before.network.state_dict())
    return network
