"""Base of the trainings on latents."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from .latent_batches import HELD_OUT_SEED, Conditioned, Source
from .run_options import Run
from .trainer import Trainer

COLUMNS = ("loss", "loss_held_out")
Network = TypeVar("Network", bound=nn.Module)


class LatentTrainer(Trainer, Generic[Network]):
    """A network in training on latents; ``moments`` gives a new one the moments of its data."""

    learner: Network
    columns: tuple[str, ...] = COLUMNS
    of_another = "is of another model. Use its configuration, --vae and --condenser, or another --out."

    def __init__(
        self,
        configuration: dict[str, Any],
        run: Run,
        source: Source,
        made: Callable[[], Network],
        moments: Callable[[Network], None],
        of: Mapping[str, str],
    ) -> None:
        self.source, self._moments = source, moments
        super().__init__(configuration, source.config, run, made, of)

    @property
    def network(self) -> Network:
        return self.learner

    def prepare(self) -> None:
        self._moments(self.network)

    @abstractmethod
    def loss(self, model: Any, latent: Tensor, condition: Tensor) -> dict[str, Tensor]:
        """The losses () of a batch by name; ``loss`` is minimised."""

    @abstractmethod
    def score(self, latent: Tensor, condition: Tensor) -> Tensor:
        """The averaged network's loss () on a held-out batch."""

    def losses(self, batch: Conditioned) -> dict[str, Tensor]:
        latent, condition = (tensor.to(self.fabric.device) for tensor in batch)
        return self.loss(self.model, latent, condition)

    @torch.no_grad()
    def scores(self) -> dict[str, float]:
        """The averaged network's loss on held-out heads, always with the same noise and times."""
        losses = []
        for number, (latent, condition) in enumerate(self.source.validation()):
            torch.manual_seed(HELD_OUT_SEED + number)
            with self.fabric.autocast():
                losses.append(float(self.score(latent.to(self.fabric.device), condition.to(self.fabric.device))))
        return {"loss_held_out": float(np.mean(losses))} if losses else {}

    def batches(self) -> Iterator[Conditioned]:
        """Batches from this step on."""
        return self.source.steps(self.step, self.fabric.global_rank, self.fabric.world_size)

    def last_step(self) -> int | None:
        return self.source.last_step(self.fabric.world_size)
