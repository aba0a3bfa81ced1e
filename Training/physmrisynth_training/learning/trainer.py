"""Base of all trainings, from the seed to the checkpoint."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.network.device import fastest_precision

from .checkpoint import load_checkpoint, save_atomically
from .optimiser_step import descend
from .run_options import Run
from .training_config import TrainingConfig

_log = logging.getLogger(__name__)


class Trainer(ABC):
    """A network in training, with all state that a checkpoint needs for an exact resume.

    ``made`` makes the trained module, after the seed was set; ``of`` identifies its data by hashes. ``step`` and ``seconds`` count
    over all runs. ``strategy`` is lightning-fabric's for several processes.
    """

    columns: tuple[str, ...]
    """The log's columns except step and time."""
    of_another: ClassVar[str]
    """Message for a checkpoint of another network."""

    def __init__(
        self,
        configuration: dict[str, Any],
        config: TrainingConfig,
        run: Run,
        made: Callable[[], nn.Module],
        of: Mapping[str, str] | None = None,
        strategy: str = "ddp",
    ) -> None:
        from lightning_fabric import Fabric

        self.configuration, self.config, self.run, self.of = configuration, config, run, dict(of or {})
        self.step, self.seconds = 0, 0.0
        torch.manual_seed(config.seed)
        self.learner = made()
        # without weight decay this is the paper's Adam
        optimizer = torch.optim.AdamW(self.learner.parameters(), config.learning_rate, betas=config.betas, weight_decay=config.weight_decay)
        state = load_checkpoint(run.checkpoint) if run.resume else {}
        if not state:
            self.prepare()
        self.moving = moving_average(self.network, config.average_decay)
        if state:
            self._load(state, optimizer)
        self.ready()
        precision = fastest_precision(run.accelerator) if run.precision == "auto" else run.precision
        self.fabric = Fabric(
            accelerator=run.accelerator, devices=run.devices, num_nodes=run.num_nodes, precision=cast(Any, precision),
            strategy="auto" if run.devices * run.num_nodes == 1 else strategy,
        )  # fmt: skip
        self.fabric.launch()  # from here on there are several processes: checks come before
        self.model, self.optimizer = self.fabric.setup(self.learner, optimizer)
        self.moving = self.moving.to(self.fabric.device)
        self.begin(state)

    @property
    def network(self) -> nn.Module:
        """The part of the trained module that is released."""
        return self.learner

    @property
    def average(self) -> Any:
        """The moving average of the network's weights."""
        return self.moving.module

    def prepare(self) -> None:  # noqa: B027 - for those that have something to do
        """Called for a new network, before training."""

    def ready(self) -> None:  # noqa: B027 - for those that have something to do
        """Called when the weights are loaded, before they are moved to devices."""

    def begin(self, state: dict[str, Any]) -> None:  # noqa: B027 - for those that have something to do
        """Called when the devices are ready; ``state`` is the checkpoint to resume from, or empty."""

    def also_saved(self) -> dict[str, Any]:
        """State for the checkpoint besides network, average and optimiser."""
        return {}

    def belongs(self, state: dict[str, Any]) -> bool:
        """Whether a checkpoint belongs to this training."""
        same = all(state.get(name) == value for name, value in self.of.items())
        return same and state["configuration"]["network"] == self.configuration["network"]

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The losses () of a batch by name; ``loss`` is minimised."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """Scores of the averaged network on held-out data, by name."""

    @abstractmethod
    def batches(self) -> Iterable[Any]:
        """Batches from this step on."""

    @abstractmethod
    def last_step(self) -> int | None:
        """The last step by the data; None if the training continues until it is stopped."""

    def follow_up(self, batch: Any) -> dict[str, float]:
        """Further training after the network's step; returns its losses."""
        return {}

    def _load(self, state: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        if not self.belongs(state):
            raise PhysMRISynthError(f"{self.run.checkpoint} {self.of_another}")
        try:
            self.restore(state)
            optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError):
            raise PhysMRISynthError(f"{self.run.checkpoint} is of another version's model. Train from scratch in another --out.") from None
        for group in optimizer.param_groups:  # apply a changed configuration
            group.update(betas=self.config.betas, weight_decay=self.config.weight_decay)
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.moving.n_averaged.fill_(self.step + 1)

    def restore(self, state: dict[str, Any]) -> None:
        """Take the weights of a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])

    def save(self) -> None:
        """Write the checkpoint (one process of all)."""
        if self.fabric.is_global_zero:
            state = {
                "network": self.network.state_dict(), "average": self.average.state_dict(), "optimizer": self.optimizer.state_dict(),
                "step": self.step, "seconds": self.seconds, "configuration": self.configuration, **self.of, **self.also_saved(),
            }  # fmt: skip
            save_atomically(state, self.run.checkpoint)

    def learn(self, batch: Any) -> dict[str, float]:
        """One step; returns its losses. Random numbers depend on the step alone, so that a resumed run repeats them."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, (self.step + 1) / max(1, self.config.warm_up_steps))
        torch.manual_seed(self.config.seed + 1_000_003 * (self.step + 1) + self.fabric.global_rank)
        losses = self.losses(batch)
        if not descend(self.fabric, self.model, self.optimizer, losses["loss"], self.config.gradient_clip):
            _log.warning("Step %d had no finite gradient and was skipped.", self.step)
        self.step += 1
        self.moving.update_parameters(self.network)
        return {name: float(value.detach()) for name, value in losses.items()} | self.follow_up(batch)


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of a network's weights, faster at the start; buffers are copied at every step."""

    def towards(mean: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return mean.lerp(current, 1.0 - min(decay, (1.0 + float(count)) / (10.0 + float(count))))

    moving = AveragedModel(network, avg_fn=towards)
    moving.n_averaged.fill_(1)  # the first weights are the first average
    return moving.eval().requires_grad_(False)
