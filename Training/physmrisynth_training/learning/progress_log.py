"""Progress of a training: mean losses, and scores of the averaged network on held-out data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .checkpoint import CsvLog
from .run_options import LOG
from .trainer import Trainer


class Watch:
    """Logs and reports the mean losses every few steps, and now and then the scores on held-out data."""

    def __init__(self, trainer: Trainer, progress: Callable[[str], None]) -> None:
        self.trainer, self.progress = trainer, progress
        self.log = CsvLog(trainer.run.out / LOG, ("step", "seconds", *trainer.columns), trainer.step)
        self.losses: list[dict[str, float]] = []

    def after_step(self, losses: dict[str, float]) -> None:
        """Record a step's losses."""
        self.losses.append(losses)
        trainer = self.trainer
        validate = trainer.step % trainer.config.validate_every == 0
        if trainer.step % trainer.config.log_every and not validate:
            return
        found = means(self.losses)
        self.losses = []
        if validate:
            found |= trainer.scores()
        self.log.row(step=trainer.step, seconds=trainer.seconds, **found)
        scores = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        self.progress(f"step {trainer.step}, {trainer.seconds / 60:.0f} min: {scores}")


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every name over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
