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
from ..network.vae import TissueVAE
from .checkpoint import CsvLog, load_checkpoint, save_atomically
from .dataset import Batch, SimulatedHeads, StepSampler, as_tensors, collate
from .losses import class_loss, dice, values_loss
from .simulator import read_simulator

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
        return cls(**{**values, "crops": tuple(tuple(crop) for crop in values["crops"])})


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


def train_vae(
    configuration: dict[str, Any],
    data: Path,
    out: Path,
    resume: bool = False,
    minutes: float | None = None,
    steps: int | None = None,
    devices: int = 1,
    num_nodes: int = 1,
    precision: str = "auto",
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train until ``minutes`` or ``steps`` are over; returns the checkpoint in ``out``, from which ``resume`` goes on.

    Raises PhysMRISynthError when there is a checkpoint and ``resume`` is not set, or none where it is.
    """
    from lightning_fabric import Fabric

    from ..network.device import fastest_precision

    config, shape = TrainingConfig.from_mapping(configuration["training"]), NetworkConfig.from_mapping(configuration["network"])
    checkpoint = out / CHECKPOINT
    if checkpoint.exists() != resume:
        remedy = "Give --resume to go on, or another --out." if checkpoint.exists() else "Leave --resume out to start."
        raise PhysMRISynthError(f"{out} has {'a' if checkpoint.exists() else 'no'} checkpoint. {remedy}")
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(
        accelerator=accelerator, devices=devices, num_nodes=num_nodes,
        precision=cast(Any, fastest_precision(accelerator) if precision == "auto" else precision),
    )  # fmt: skip
    fabric.launch()
    torch.manual_seed(config.seed)
    network = TissueVAE(shape)
    average = copy.deepcopy(network).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay)
    step, seconds = 0, 0.0
    if resume:
        state = load_checkpoint(checkpoint)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, seconds = int(state["step"]), float(state["seconds"])
    model, optimizer = fabric.setup(network, optimizer)
    average = average.to(fabric.device)
    simulator = read_simulator(data, TRAINING_HEADS, config.crops[0], config.seed)
    dataset = SimulatedHeads(simulator, config.crops, config.batch * fabric.world_size)
    loader = DataLoader(
        dataset, batch_sampler=StepSampler(step, config.batch, fabric.global_rank, fabric.world_size), collate_fn=collate,
        num_workers=1, worker_init_fn=_one_thread, prefetch_factor=4,
    )  # fmt: skip
    validation = _validation_batches(data, config) if fabric.global_rank == 0 else []
    log = CsvLog(out / LOG, _COLUMNS) if fabric.global_rank == 0 else None

    def save() -> None:
        if fabric.global_rank == 0:
            state = {
                "network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(),
                "step": step, "seconds": seconds, "configuration": configuration,
            }  # fmt: skip
            save_atomically(state, checkpoint)

    start = saved = time.monotonic()
    before = seconds
    sums: dict[str, float] = {}
    with _stop_signal() as stopped:
        for batch in loader:
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * min(1.0, (step + 1) / config.warm_up_steps)
            losses = losses_of(model, batch.to(fabric.device))
            total = losses.total(config)
            optimizer.zero_grad()
            fabric.backward(total)
            norm = fabric.clip_gradients(model, optimizer, max_norm=config.gradient_clip, error_if_nonfinite=False)
            if norm is None or bool(torch.isfinite(norm)):
                optimizer.step()
            else:
                logging.getLogger(__name__).warning("Step %d had no finite gradient and was skipped.", step)
            step += 1
            _average_into(average, network, config.average_decay, step)
            seconds = before + time.monotonic() - start
            parts = {"loss": total, "class": losses.classes, "values": losses.values, "kl": losses.divergence}
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            if step % config.log_every == 0:
                means = {name: value / config.log_every for name, value in sums.items()}
                sums = {}
                if step % config.validate_every == 0:
                    means |= _validate(average, validation, fabric.device)
                if log is not None:
                    log.row(step=step, seconds=seconds, **means)
                progress(f"step {step}, {seconds / 60:.0f} min: " + ", ".join(f"{k} {v:.3f}" for k, v in means.items()))
            now = time.monotonic()
            over = (minutes is not None and now - start > 60 * minutes) or (steps is not None and step >= steps) or stopped()
            if over or now - saved > 60 * config.checkpoint_minutes:
                save()
                saved = now
            if over:
                break
    return checkpoint


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


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
        with torch.autocast(device.type, torch.bfloat16):
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
