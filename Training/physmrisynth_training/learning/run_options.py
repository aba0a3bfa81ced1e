"""Options of a training run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from PhysMRISynthLib.errors import PhysMRISynthError

CHECKPOINT, LOG = "checkpoint.pt", "log.csv"


@dataclass(frozen=True)
class Run:
    """Options of a training run: label maps or real scans in ``data``, checkpoint and log in ``out``; at most ``minutes`` or ``steps``.

    ``scans`` are real scans to mix with the label maps. ``resume`` continues from the checkpoint; ``start_from`` starts from the weights
    of a file. ``devices`` are GPUs, or processes without GPUs, on each of ``num_nodes`` machines. ``precision`` as in lightning-fabric.
    ``people`` is a folder of people's brains in whole heads, to learn from beside the label maps of ``data``.
    ``latents`` is the folder of training latents, which several trainings can share (default: one in ``out``).
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
    scans: Path | None = None
    latents: Path | None = None
    people: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """The checkpoint file of the run."""
        return self.out / CHECKPOINT

    @property
    def accelerator(self) -> str:
        """The accelerator, "cuda" or "cpu"."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def since(self, began: float) -> Run:
        """This run with its remaining minutes, if it ``began`` at that time of :func:`time.monotonic`."""
        return self if self.minutes is None else replace(self, minutes=self.minutes - (time.monotonic() - began) / 60.0)

    def check(self) -> None:
        """Raise PhysMRISynthError if there is a checkpoint without ``resume``, ``resume`` without a checkpoint, or too few devices."""
        if self.checkpoint.exists() != self.resume:
            found = self.checkpoint.exists()
            remedy = "Give --resume to go on, or another --out." if found else "Leave --resume out to start."
            raise PhysMRISynthError(f"{self.out} has {'a' if found else 'no'} checkpoint. {remedy}")
        there = torch.cuda.device_count() if self.accelerator == "cuda" else None
        if min(self.devices, self.num_nodes) < 1 or (there is not None and self.devices > there):
            most = "" if there is None else f" and at most {there}, the GPUs that there are"
            raise PhysMRISynthError(f"--devices and --num-nodes must be at least 1{most}.")
