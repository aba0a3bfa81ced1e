"""Training the variational autoencoder on simulated heads."""

from __future__ import annotations

import copy
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..errors import PhysMRISynthError
from ..network.config import NetworkConfig
from ..network.device import fastest_precision
from ..network.vae import TissueVAE
from ..network.weights import load_weights
from .checkpoint import CsvLog, load_checkpoint, save_atomically
from .dataset import Batch, SimulatedHeads, StepSampler, as_tensors, collate
from .losses import class_loss, dice, values_loss
from .simulator import read_simulator

_log = logging.getLogger(__name__)
CHECKPOINT, LOG = "checkpoint.pt", "log.csv"
TRAINING_HEADS, SELECTION_HEADS = tuple(range(1, 15)), (15,)
"""Heads that are learned from, and one that choices are made on. Heads 16 and 17 are for the final test alone."""
_WATCHED = ("white_matter", "cortex", "csf", "deep_grey", "lesion")
_COLUMNS = ("step", "seconds", "loss", "class", "values", "kl", *(f"{kind}_{name}" for kind in ("dice", "dice1") for name in _WATCHED))
_VALIDATION_SEED, _VALIDATION_SAMPLES = 987_654, 3


@dataclass(frozen=True)
class TrainingConfig:
    """How to train: see the shipped configurations. ``crops`` are shapes (z, y, x) that steps draw from."""

    crops: tuple[tuple[int, int, int], ...]
    batch: int = 1
    learning_rate: float = 1e-3
    warm_up_steps: int = 100
    weight_decay: float = 0.01
    kl_weight: float = 1e-4
    values_weight: float = 0.05
    gradient_clip: float = 1.0
    average_decay: float = 0.999
    seed: int = 0
    log_every: int = 25
    validate_every: int = 250
    checkpoint_minutes: float = 5.0

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> TrainingConfig:
        """Read from JSON's types. Raises PhysMRISynthError that names an unknown field."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise PhysMRISynthError(f"Unknown field of a training: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")
        if not values.get("crops"):
            raise PhysMRISynthError("A training needs 'crops': a list of shapes (z, y, x) in voxels of 1 mm.")
        return cls(**{**values, "crops": tuple(tuple(crop) for crop in values["crops"])})

    def check(self, shape: NetworkConfig) -> None:
        """Raise PhysMRISynthError where this training does not fit the network."""
        if shape.head != "classes" or shape.spatial_dims != 3:
            raise PhysMRISynthError("Training on label maps needs a 3D network with the head 'classes'.")
        for crop in self.crops:
            if len(crop) != 3 or any(side < 1 or side % shape.multiple for side in crop):
                raise PhysMRISynthError(f"The crop {list(crop)} does not fit the network: sides must be multiples of {shape.multiple}.")


@dataclass
class Losses:
    """The parts of the loss, each a scalar."""

    classes: Tensor
    values: Tensor
    divergence: Tensor

    def total(self, config: TrainingConfig) -> Tensor:
        """Their weighted sum."""
        return self.classes + config.values_weight * self.values + config.kl_weight * self.divergence


def losses_of(network: nn.Module, batch: Batch) -> Losses:
    """Forward pass and losses of a batch."""
    posterior, prediction = network(batch.images, batch.conditions, batch.present)
    return Losses(
        class_loss(prediction, batch.tissue), values_loss(prediction, batch.offset, batch.tissue), posterior.divergence()
    )


@dataclass(frozen=True)
class Run:
    """Where and how long to train: label maps in ``data``, checkpoint and log in ``out``; until ``minutes`` or ``steps`` are over.

    ``resume`` goes on from the checkpoint; ``start_from`` begins with the weights of a file. ``precision`` as lightning-fabric names it.
    """

    data: Path
    out: Path
    resume: bool = False
    start_from: Path | None = None
    minutes: float | None = None
    steps: int | None = None
    devices: int = 1
    num_nodes: int = 1
    precision: str = "auto"

    @property
    def checkpoint(self) -> Path:
        """The file that a run can go on from."""
        return self.out / CHECKPOINT

    def check(self) -> None:
        """Raise PhysMRISynthError when there is a checkpoint and ``resume`` is not set, or none where it is."""
        if self.checkpoint.exists() != self.resume:
            found = self.checkpoint.exists()
            remedy = "Give --resume to go on, or another --out." if found else "Leave --resume out to start."
            raise PhysMRISynthError(f"{self.out} has {'a' if found else 'no'} checkpoint. {remedy}")


class Trainer:
    """The network in training, with all that a checkpoint must hold to go on as if nothing had happened."""

    def __init__(self, configuration: dict[str, Any], run: Run) -> None:
        from lightning_fabric import Fabric

        self.configuration, self.run = configuration, run
        shape = NetworkConfig.from_mapping(configuration["network"])
        self.config = TrainingConfig.from_mapping(configuration.get("training", {}))
        self.config.check(shape)
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
        self.precision = fastest_precision(accelerator) if run.precision == "auto" else run.precision
        self.fabric = Fabric(accelerator=accelerator, devices=run.devices, num_nodes=run.num_nodes, precision=cast(Any, self.precision))
        self.fabric.launch()
        torch.manual_seed(self.config.seed)
        self.network = TissueVAE(shape)
        if run.start_from is not None:
            before = load_weights(run.start_from)
            if before.config != shape:
                raise PhysMRISynthError(f"{run.start_from} holds a network of another shape. Use the configuration that it was trained by.")
            self.network.load_state_dict(before.network.state_dict())
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.config.learning_rate, betas=(0.9, 0.99), weight_decay=self.config.weight_decay
        )
        self.step, self.seconds = 0, 0.0
        if run.resume:
            self._load(optimizer)
        self.model, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.average = self.average.to(self.fabric.device)

    def _load(self, optimizer: torch.optim.Optimizer) -> None:
        state = load_checkpoint(self.run.checkpoint)
        if state["configuration"]["network"] != self.configuration["network"]:
            raise PhysMRISynthError(f"{self.run.checkpoint} is of another network. Use its configuration, or another --out.")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def save(self) -> None:
        """Write the checkpoint (one process of all)."""
        if self.fabric.global_rank == 0:
            state = {
                "network": self.network.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
                "step": self.step, "seconds": self.seconds, "configuration": self.configuration,
            }  # fmt: skip
            save_atomically(state, self.run.checkpoint)

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; returns the parts of its loss. The draw of the latent depends on the step alone, so that a resumed run repeats it."""
        rate = self.config.learning_rate * min(1.0, (self.step + 1) / max(1, self.config.warm_up_steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(self.config.seed + 1_000_003 * (self.step + 1) + self.fabric.global_rank)
        losses = losses_of(self.model, batch.to(self.fabric.device))
        total = losses.total(self.config)
        self.optimizer.zero_grad()
        self.fabric.backward(total)
        norm = self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.gradient_clip, error_if_nonfinite=False)
        # in half precision the gradient's scaler must see every step: it skips such ones itself, and scales less from then on
        if norm is None or bool(torch.isfinite(norm)) or self.precision == "16-mixed":
            self.optimizer.step()
        else:
            _log.warning("Step %d had no finite gradient and was skipped.", self.step)
        self.step += 1
        _average_into(self.average, self.network, self.config.average_decay, self.step)
        parts = {"loss": total, "class": losses.classes, "values": losses.values, "kl": losses.divergence}
        return {name: float(value.detach()) for name, value in parts.items()}

    def batches(self) -> DataLoader[Batch]:
        """Simulated batches from this step on, made by another process."""
        simulator = read_simulator(self.run.data, TRAINING_HEADS, self.config.crops[0], self.config.seed)
        world, rank = self.fabric.world_size, self.fabric.global_rank
        dataset = SimulatedHeads(simulator, self.config.crops, self.config.batch * world)
        return DataLoader(
            dataset, batch_sampler=StepSampler(self.step, self.config.batch, rank, world), collate_fn=collate,
            num_workers=1, worker_init_fn=_quiet_worker, prefetch_factor=4,
        )  # fmt: skip


def train_vae(configuration: dict[str, Any], run: Run, progress: Callable[[str], None] = lambda line: None) -> Path:
    """Train a configuration; returns the checkpoint. ``progress`` is told a line now and then.

    Raises PhysMRISynthError when checkpoint and ``run.resume`` contradict each other, or the configuration or the data are not usable.
    """
    run.check()
    trainer = Trainer(configuration, run)
    first = trainer.fabric.global_rank == 0
    if run.steps is not None and trainer.step >= run.steps:
        return run.checkpoint
    log = CsvLog(run.out / LOG, _COLUMNS, trainer.step) if first else None
    watch = _Watch(trainer, _validation_batches(run.data, trainer.config), log, progress) if log is not None else None
    start = saved = time.monotonic()
    before = trainer.seconds
    with _stop_signal() as stopped:
        for batch in trainer.batches():
            parts = trainer.learn(batch)
            now = time.monotonic()
            trainer.seconds = before + now - start
            if watch is not None:
                watch.after_step(parts)
            late = run.minutes is not None and now - start > 60 * run.minutes
            over = late or (run.steps is not None and trainer.step >= run.steps) or stopped()
            if over or now - saved > 60 * trainer.config.checkpoint_minutes:
                trainer.save()
                saved = now
            if over:
                break
    return run.checkpoint


class _Watch:
    """Logs the mean loss every few steps, and how well held-out heads are recognised."""

    def __init__(self, trainer: Trainer, validation: list[Batch], log: CsvLog, progress: Callable[[str], None]) -> None:
        self.trainer, self.validation, self.log, self.progress = trainer, validation, log, progress
        self.parts: list[dict[str, float]] = []

    def after_step(self, parts: dict[str, float]) -> None:
        self.parts.append(parts)
        trainer = self.trainer
        validate = trainer.step % trainer.config.validate_every == 0
        if trainer.step % trainer.config.log_every and not validate:
            return
        means = {name: float(np.mean([p[name] for p in self.parts])) for name in parts}
        self.parts = []
        if validate:
            with trainer.fabric.autocast():
                means |= _validate(trainer.average, self.validation, trainer.fabric.device)
        self.log.row(step=trainer.step, seconds=trainer.seconds, **means)
        told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        self.progress(f"step {trainer.step}, {trainer.seconds / 60:.0f} min: {told}")


def _quiet_worker(worker: int) -> None:
    """One thread; a signal to stop is for the training process, which saves first and then ends its workers."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@torch.no_grad()
def _average_into(average: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Exponential moving average of the weights, faster at the start."""
    now = min(decay, (1.0 + step) / (10.0 + step))
    for mean, current in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(current.detach(), 1.0 - now)


def _validation_batches(data: Path, config: TrainingConfig) -> list[Batch]:
    """Fixed samples of the selection heads: each with all inputs, then with the first alone."""
    simulator = read_simulator(data, SELECTION_HEADS, config.crops[0], _VALIDATION_SEED)
    samples = [simulator.sample(index) for index in range(_VALIDATION_SAMPLES)]
    return [as_tensors(s, np.array(present)) for present in ([True, True, True], [True, False, False]) for s in samples]


@torch.no_grad()
def _validate(network: nn.Module, batches: list[Batch], device: torch.device) -> dict[str, float]:
    """Mean Dice of the watched classes with all inputs (``dice_…``) and with T1w alone (``dice1_…``)."""
    network.eval()
    found: dict[str, list[float]] = {}
    for batch in batches:
        prefix = "dice" if bool(batch.present.all()) else "dice1"
        _, prediction = network(*(t.to(device) for t in (batch.images, batch.conditions, batch.present)))
        for name, score in dice(prediction, batch.tissue.to(device), _WATCHED).items():
            found.setdefault(f"{prefix}_{name}", []).append(score)
    return {name: float(np.mean(scores)) for name, scores in found.items()}


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM into a wish to stop, so that the last step is saved."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        asked = True

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGTERM, before)
