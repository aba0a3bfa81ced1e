"""What the trainings on latents share: a network, its average, and a checkpoint to go on from."""

from __future__ import annotations

import copy
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.device import fastest_precision

from .checkpoint import load_checkpoint, save_atomically
from .latent_batches import HELD_OUT_SEED, Source, Told
from .loop import average_into, train
from .optimiser_step import descend
from .progress_log import Watch
from .run_options import Run

_log = logging.getLogger(__name__)
COLUMNS = ("loss", "loss_held_out")
Network = TypeVar("Network", bound=nn.Module)


class LatentTrainer(ABC, Generic[Network]):
    """A network in training, with all that a checkpoint must hold to go on as if nothing had happened.

    ``made`` makes the network, ``prepare`` gives a new one the moments of its data; ``of`` names what its latents are of, by hashes.
    """

    def __init__(
        self,
        configuration: dict[str, Any],
        run: Run,
        source: Source,
        made: Callable[[], Network],
        prepare: Callable[[Network], None],
        of: Mapping[str, str],
    ) -> None:
        from lightning_fabric import Fabric

        self.configuration, self.run, self.source, self.config, self.of = configuration, run, source, source.config, dict(of)
        torch.manual_seed(self.config.seed)
        self.network = made()
        self.step, self.seconds = 0, 0.0
        # without weight decay this is the paper's Adam
        optimizer = torch.optim.AdamW(
            self.network.parameters(), self.config.learning_rate, betas=self.config.betas, weight_decay=self.config.weight_decay
        )
        if not run.resume:
            prepare(self.network)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        if run.resume:
            self._load(load_checkpoint(run.checkpoint), optimizer)
        self.ready()
        precision = fastest_precision(run.accelerator) if run.precision == "auto" else run.precision
        self.fabric = Fabric(
            accelerator=run.accelerator, devices=run.devices, num_nodes=run.num_nodes, precision=cast(Any, precision),
            strategy="auto" if run.devices * run.num_nodes == 1 else "ddp",
        )  # fmt: skip
        self.fabric.launch()  # from here on there are several processes: what can be wrong was found out before
        self.model, self.optimizer = self.fabric.setup(self.network, optimizer)
        self.average = self.average.to(self.fabric.device)

    def _load(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        same = all(state.get(name) == value for name, value in self.of.items())
        if state["configuration"]["network"] != self.configuration["network"] or not same:
            raise PhysMRISynthError(
                f"{self.run.checkpoint} is of another model. Use its configuration, --vae and --condenser, or another --out."
            )
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
            for group in optimizer.param_groups:  # a changed configuration counts from here on
                group.update(betas=self.config.betas, weight_decay=self.config.weight_decay)
        except (RuntimeError, ValueError):
            raise PhysMRISynthError(f"{self.run.checkpoint} is of another version's model. Train anew in another --out.") from None
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def save(self) -> None:
        """Write the checkpoint (one process of all)."""
        if self.fabric.is_global_zero:
            state = {
                "network": self.network.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
                "step": self.step, "seconds": self.seconds, "configuration": self.configuration, **self.of,
            }  # fmt: skip
            save_atomically(state, self.run.checkpoint)

    def ready(self) -> None:
        """Called when the weights are there, before they are handed to devices."""

    @abstractmethod
    def loss(self, model: Any, latent: Tensor, told: Tensor) -> Tensor:
        """The loss () of a batch, to descend."""

    @abstractmethod
    def score(self, latent: Tensor, told: Tensor) -> Tensor:
        """The averaged network's loss () on a held-out batch."""

    def learn(self, batch: Told) -> dict[str, float]:
        """One step; returns its loss. Noise and times depend on the step alone, so that a resumed run repeats them."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, (self.step + 1) / max(1, self.config.warm_up_steps))
        torch.manual_seed(self.config.seed + 1_000_003 * (self.step + 1) + self.fabric.global_rank)
        latent, told = (tensor.to(self.fabric.device) for tensor in batch)
        loss = self.loss(self.model, latent, told)
        if not descend(self.fabric, self.model, self.optimizer, loss, self.config.gradient_clip):
            _log.warning("Step %d had no finite gradient and was skipped.", self.step)
        self.step += 1
        average_into(self.average, self.network, self.config.average_decay, self.step)
        return {"loss": float(loss.detach())}

    def run_on(self, progress: Callable[[str], None], columns: tuple[str, ...] = COLUMNS) -> None:
        """Train until the run's end; ``progress`` is told a line with the ``columns`` of losses now and then."""
        end = self.run.steps if self.run.steps is not None else self.source.last_step(self.fabric.world_size)
        if end is None or self.step < end:
            train(self, end, Watch(self, columns, self.scores, progress) if self.fabric.is_global_zero else None)

    def batches(self) -> Iterator[Told]:
        """Batches from this step on."""
        return self.source.steps(self.step, self.fabric.global_rank, self.fabric.world_size)

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """The averaged network's loss on held-out heads, always with the same noise and times."""
        losses = []
        for number, (latent, told) in enumerate(self.source.validation()):
            torch.manual_seed(HELD_OUT_SEED + number)
            with self.fabric.autocast():
                losses.append(float(self.score(latent.to(self.fabric.device), told.to(self.fabric.device))))
        return {"loss_held_out": float(np.mean(losses))}
