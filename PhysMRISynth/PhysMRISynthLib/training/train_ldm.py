"""Training the sampling model on the latents of simulated heads."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..errors import PhysMRISynthError
from ..network.device import choose_device, fastest_precision
from ..network.diffusion import LatentDiffusion
from ..network.diffusion_config import DiffusionConfig
from ..network.weights import Weights, load_weights
from .checkpoint import load_checkpoint, save_atomically
from .descent import descend
from .latents import Latents, check_latents, compute_latents, simulated_shape, whole_heads
from .ldm_config import LdmTrainingConfig
from .loop import average_into, train
from .moments import latent_moments, number_moments
from .run import Run
from .train_vae import SELECTION_HEADS, TRAINING_HEADS
from .watch import Watch

_log = logging.getLogger(__name__)
_LABELS, _CACHE = "head_labels", "latents"
_HELD_OUT_SEED = 987_654
COLUMNS = ("loss", "loss_held_out")
Told = tuple[Tensor, Tensor]
"""Latents (B, channels, *S), and what is told of their heads (B, K), NaN where nothing is."""


@dataclass(frozen=True)
class Source:
    """The latents to learn from and those of other anatomy, and the ``names`` of what is told of heads."""

    learned: Latents
    held_out: Latents
    names: tuple[str, ...]
    config: LdmTrainingConfig

    def steps(self, start: int, rank: int, world: int) -> Iterator[Told]:
        """The batches of each step for one of ``world`` processes from step ``start`` on, without end: every latent once an epoch."""
        pieces, size, step = self.learned.pieces(), self.config.batch, start
        while True:
            first = (step * world + rank) * size
            drawn = [self._drawn(pieces, number) for number in range(first, first + size)]
            yield self._batch(self.learned, drawn, self.config.untold, step)
            step += 1

    def _drawn(self, pieces: list[tuple[int, int]], number: int) -> tuple[int, int]:
        epoch, place = divmod(number, len(pieces))
        return pieces[np.random.default_rng([self.config.seed, epoch, 6]).permutation(len(pieces))[place]]

    def _batch(self, latents: Latents, pieces: list[tuple[int, int]], untold: float, step: int) -> Told:
        rng = np.random.default_rng([self.config.seed, step, 7])
        heads = [latents[index] for index, _ in pieces]
        chosen = np.stack([head.latent[place] for head, (_, place) in zip(heads, pieces, strict=True)])
        told = np.stack([head.told(self.names) for head in heads])
        told[rng.random(told.shape) < untold] = np.nan
        return torch.from_numpy(chosen), torch.from_numpy(told)

    def validation(self) -> list[Told]:
        """A latent of each held-out head, with all that can be told."""
        by_head = dict(self.held_out.pieces()[::-1])
        pieces = [(index, len(self.held_out[index].latent) // 2) for index in sorted(by_head)]
        return [self._batch(self.held_out, [piece], 0.0, 0) for piece in pieces]

    def last_step(self, world: int) -> int | None:
        """The step at which ``epochs`` passes are over; None where there is no such end."""
        pieces = len(self.learned.pieces())
        return -(-self.config.epochs * pieces // (self.config.batch * world)) if self.config.epochs else None


class LdmTrainer:
    """The sampling model in training, with all that a checkpoint must hold to go on as if nothing had happened."""

    def __init__(self, configuration: dict[str, Any], run: Run, source: Source, vae_sha256: str) -> None:
        from lightning_fabric import Fabric

        self.configuration, self.run, self.source, self.config, self.vae_sha256 = configuration, run, source, source.config, vae_sha256
        shape = DiffusionConfig.from_mapping(configuration["network"])
        torch.manual_seed(self.config.seed)
        self.network = LatentDiffusion(shape)
        self.step, self.seconds = 0, 0.0
        # without weight decay this is the paper's Adam
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.config.learning_rate, betas=self.config.betas, weight_decay=self.config.weight_decay
        )
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        if run.resume:
            self._load(load_checkpoint(run.checkpoint), optimizer)
        else:
            found = latent_moments(source.learned, shape), *number_moments(source.learned, shape.condition)
            self.network.take(*found)
            self.average.take(*found)
        precision = fastest_precision(run.accelerator) if run.precision == "auto" else run.precision
        self.fabric = Fabric(
            accelerator=run.accelerator, devices=run.devices, num_nodes=run.num_nodes, precision=cast(Any, precision),
            strategy="auto" if run.devices * run.num_nodes == 1 else "ddp",
        )  # fmt: skip
        self.fabric.launch()  # from here on there are several processes: what can be wrong was found out before
        self.model, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.average = self.average.to(self.fabric.device)

    def _load(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        if state["configuration"]["network"] != self.configuration["network"] or state.get("vae_sha256") != self.vae_sha256:
            raise PhysMRISynthError(f"{self.run.checkpoint} is of another model. Use its configuration and --vae, or another --out.")
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError):
            raise PhysMRISynthError(f"{self.run.checkpoint} is of another version's model. Train anew in another --out.") from None
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def save(self) -> None:
        """Write the checkpoint (one process of all)."""
        if self.fabric.is_global_zero:
            state = {
                "network": self.network.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
                "step": self.step, "seconds": self.seconds, "configuration": self.configuration, "vae_sha256": self.vae_sha256,
            }  # fmt: skip
            save_atomically(state, self.run.checkpoint)

    def learn(self, batch: Told) -> dict[str, float]:
        """One step; returns its loss. Noise and times depend on the step alone, so that a resumed run repeats them."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, (self.step + 1) / max(1, self.config.warm_up_steps))
        torch.manual_seed(self.config.seed + 1_000_003 * (self.step + 1) + self.fabric.global_rank)
        latent, told = (tensor.to(self.fabric.device) for tensor in batch)
        loss = self.model(latent, told, self.config.scales)
        if not descend(self.fabric, self.model, self.optimizer, loss, self.config.gradient_clip):
            _log.warning("Step %d had no finite gradient and was skipped.", self.step)
        self.step += 1
        average_into(self.average, self.network, self.config.average_decay, self.step)
        return {"loss": float(loss.detach())}

    def batches(self) -> Iterator[Told]:
        """Batches from this step on."""
        return self.source.steps(self.step, self.fabric.global_rank, self.fabric.world_size)

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """The averaged model's loss on held-out heads, always with the same noise and times."""
        losses = []
        for number, (latent, told) in enumerate(self.source.validation()):
            torch.manual_seed(_HELD_OUT_SEED + number)
            with self.fabric.autocast():
                losses.append(float(self.average(latent.to(self.fabric.device), told.to(self.fabric.device))))
        return {"loss_held_out": float(np.mean(losses))}


def train_ldm(configuration: dict[str, Any], run: Run, vae: Path, progress: Callable[[str], None] = lambda line: None) -> Path | None:
    """Train a configuration on latents of the network in the file ``vae``; returns the checkpoint, or None when ``run.minutes`` were over
    before all latents were computed (the next run goes on with them). ``progress`` is told a line now and then.

    Raises PhysMRISynthError when checkpoint and ``run.resume`` contradict each other, or the configuration, the network or the data are not
    usable.
    """
    began = time.monotonic()
    run.check()
    shape = DiffusionConfig.from_mapping(configuration["network"])
    config = LdmTrainingConfig.from_mapping(configuration.get("training", {}))
    if any(side % scale for side in shape.seen_shape[1:] for scale in config.scales):
        raise PhysMRISynthError(f"A training's 'scales' must divide {shape.seen_shape[1:]}, the positions that the UNet sees.")
    weights = load_weights(vae)
    # before other processes start: they find what has been computed
    source = _open(run, shape, config, weights, progress)
    if source is None:
        return None
    if run.minutes is not None:
        run = replace(run, minutes=run.minutes - (time.monotonic() - began) / 60.0)
    trainer = LdmTrainer(configuration, run, source, weights.sha256)
    end = run.steps if run.steps is not None else source.last_step(trainer.fabric.world_size)
    if end is None or trainer.step < end:
        train(trainer, end, Watch(trainer, COLUMNS, trainer.scores, progress) if trainer.fabric.is_global_zero else None)
    return run.checkpoint


def _open(
    run: Run, shape: DiffusionConfig, config: LdmTrainingConfig, weights: Weights, progress: Callable[[str], None]
) -> Source | None:
    """The latents of a run, computed where they are missing; None when there was no time for all."""
    if not (run.data / _LABELS).is_dir():
        raise PhysMRISynthError(f"{run.data} has no folder {_LABELS}: the sampling model learns from label maps. Check the path.")
    folder = run.out / _CACHE
    check_latents(folder, weights, shape, config.seed)
    until = None if run.minutes is None else time.monotonic() + 60 * run.minutes
    found = []
    for name, heads, count, seed in (
        ("held_out", SELECTION_HEADS, config.held_out, _HELD_OUT_SEED), ("learned", TRAINING_HEADS, config.heads, config.seed)
    ):  # fmt: skip
        simulator = whole_heads(run.data, heads, simulated_shape(shape), seed)
        latents = Latents(folder / name, simulator, count, sliced=shape.spatial_dims == 2)
        if not compute_latents(latents, weights, choose_device(run.accelerator), config.workers, until, progress):
            return None
        found.append(latents)
    return Source(found[1], found[0], shape.condition, config)
