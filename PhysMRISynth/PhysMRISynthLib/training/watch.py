"""Telling how a training goes: the mean of its losses, and how good the network is on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch

from .batch import Batch
from .checkpoint import CsvLog
from .generator import Generator
from .objectives import Objective
from .run import LOG

if TYPE_CHECKING:
    from .train_vae import Trainer


class Watch:
    """Logs and tells the mean losses every few steps, and the scores of the averaged network on ``validation``."""

    def __init__(self, trainer: Trainer, validation: list[Batch], progress: Callable[[str], None]) -> None:
        self.trainer, self.validation, self.progress = trainer, validation, progress
        self.log = CsvLog(trainer.run.out / LOG, columns(trainer.objectives.values()), trainer.step)
        self.losses: list[dict[str, float]] = []

    def after_step(self, losses: dict[str, float]) -> None:
        """Take note of a step's losses."""
        self.losses.append(losses)
        trainer = self.trainer
        validate = trainer.step % trainer.config.validate_every == 0
        if trainer.step % trainer.config.log_every and not validate:
            return
        means = _means(self.losses)
        self.losses = []
        if validate:
            means |= self._scores()
        self.log.row(step=trainer.step, seconds=trainer.seconds, **means)
        told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        self.progress(f"step {trainer.step}, {trainer.seconds / 60:.0f} min: {told}")

    @torch.no_grad()
    def _scores(self) -> dict[str, float]:
        """Mean scores with all inputs, and with the first alone (``dice1_…``, ``psnr1``)."""
        trainer, rows = self.trainer, []
        generator = Generator(trainer.average, trainer.generator.gain).eval()
        for batch in (batch.to(trainer.fabric.device) for batch in self.validation):
            objective = trainer.objectives[type(batch)]
            with trainer.fabric.autocast():
                alone = objective.scores(generator, batch.first_alone())
                rows += [objective.scores(generator, batch), {_alone(name): score for name, score in alone.items()}]
        return _means(rows)


def columns(objectives: Iterable[Objective]) -> tuple[str, ...]:
    """The log's columns, each once."""
    objectives = list(objectives)
    losses = [name for objective in objectives for name in (*objective.weights, *objective.also_logged)]
    scores = [rename(name) for objective in objectives for rename in (str, _alone) for name in objective.scored]
    return tuple(dict.fromkeys(("step", "seconds", "loss", *losses, *scores)))


def _alone(name: str) -> str:
    """The name of a score with the first input alone: ``dice_csf`` → ``dice1_csf``."""
    kind, line, rest = name.partition("_")
    return f"{kind}1{line}{rest}"


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every name over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
