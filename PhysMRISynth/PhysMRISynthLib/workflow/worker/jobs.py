"""What the child process can be asked to do, what comes of it, and what is told on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...errors import PLAIN, PhysMRISynthError, Step, Words, worded
from ...imaging.intake.acquisition import Acquisition
from ...imaging.tissue_maps import TissueMaps
from ..estimation.order import USUAL, EstimateOrder
from ..sampling.order import SampleOrder

FailureKind = Literal["input", "memory", "crash", "missing"]
"""Whose fault: what was given, too little memory, the child's (its log says more), or a package or weights that are not installed."""


class WorkerBusy(PhysMRISynthError):  # noqa: N818 (a state, not a mistake)
    """A job was started while another one runs."""


@dataclass(frozen=True)
class EstimateJob:
    """Tissue maps from images."""

    acquisitions: Sequence[Acquisition]
    order: EstimateOrder = USUAL


Job = EstimateJob | SampleOrder


@dataclass(frozen=True)
class Result:
    """Tissue maps with what supports them; arrays are (z, y, x) on the maps' grid.

    ``fits`` are the inputs re-rendered from the maps and ``residuals`` the aligned inputs minus these, both by input, float32 in the
    input's own units (residuals are 0 outside the head and where the input does not cover it); ``tissue`` is the row of the tissue table
    (255: none for sure), ``brain`` a mask, ``report`` what :func:`~PhysMRISynthLib.workflow.results.report.estimate_report` says, as JSON
    values.
    """

    maps: TissueMaps
    fits: dict[str, np.ndarray]
    residuals: dict[str, np.ndarray]
    tissue: np.ndarray
    brain: np.ndarray
    report: dict


@dataclass(frozen=True)
class Progress:
    """``fraction`` of the ``stage`` and of the job (``overall``, never less than before); the time that remains, once it can be told."""

    stage: str
    fraction: float
    overall: float
    remaining_seconds: float | None


@dataclass(frozen=True)
class Finished:
    """The job is done; where more than one head was sampled, ``others`` are those after the first."""

    result: Result
    others: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Cancelled:
    """The job was given up as the user asked; nothing of it is left."""


@dataclass(frozen=True)
class Failed:
    """The job ended without a result; ``message`` tells a user why, and ``remedies`` what to do."""

    message: str
    kind: FailureKind
    remedies: tuple[Step, ...] = ()

    def told(self, words: Words = PLAIN) -> str:
        """Why, and what to do in the words of a skin."""
        return worded(self.message, self.remedies, words)


Event = Progress | Finished | Cancelled | Failed
