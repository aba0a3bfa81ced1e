"""Time, memory and likeness of heads drawn in few steps, against many.

    python3 dev.py bench

With SAMPLER and VAE in the environment (.safetensors files) those are measured instead of the installed weights.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from physmrisynth_training.evaluation.anatomies import Anatomy, anatomy_of
from physmrisynth_training.evaluation.samples import VOLUMES
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.workflow.results.report import peak_memory_gb
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import SampledFractions, Sampler, installed_sampler

HEADS = 4
MANY, FEW = 50, (30, 20, 10)


def main() -> None:
    """Print for each number of steps the seconds a head, and how heads differ on average from those of many steps."""
    try:
        sampler = installed_sampler(*(Path(os.environ[name]) if name in os.environ else None for name in ("SAMPLER", "VAE")))
    except PhysMRISynthError as error:
        print(f"sample: left out ({error})")
        return
    sampler.drawn(SampleOrder(steps=1, attempts=1))  # what is loaded once
    slowest, reference = heads(sampler, MANY)
    print(f"sample in {MANY} steps: {slowest:.1f} s a head, {told(reference, reference)}")
    for steps in FEW:
        seconds, found = heads(sampler, steps)
        print(f"sample in {steps} steps: {seconds:.1f} s a head, {seconds / slowest:.2f} x {MANY} steps, {told(found, reference)}")
    costs = [cost(sampler.drawn(SampleOrder(seed))) for seed in range(HEADS)]
    seconds = [seconds for seconds, _ in costs]
    draws = [draws for _, draws in costs]
    print(f"until the midline is whole: {np.mean(seconds):.1f} (at most {max(seconds):.1f}) s a head, after {draws} draws")
    print(f"peak memory {peak_memory_gb()} GB")


def cost(drawn: SampledFractions) -> tuple[float, int]:
    """Seconds, and how many draws it took."""
    return sum(drawn.seconds.values()), drawn.made


def heads(sampler: Sampler, steps: int) -> tuple[float, list[Anatomy]]:
    """Mean seconds a head, and the heads."""
    seconds, found = [], []
    for seed in range(HEADS):
        drawn = sampler.drawn(SampleOrder(seed, steps, attempts=1))
        seconds.append(sum(drawn.seconds.values()))
        found.append(anatomy_of(f"seed {seed}", drawn.fractions, seed))
    return float(np.mean(seconds)), found


def told(found: list[Anatomy], reference: list[Anatomy]) -> str:
    """Gradient energy relative to ``reference``, and the range of volumes."""
    sharp = np.mean([head.gradient_energy for head in found]) / np.mean([head.gradient_energy for head in reference])
    volumes = []
    for name in VOLUMES:
        values = [getattr(head.volumes, name) for head in found]
        volumes.append(f"{name.replace('_', ' ')} {min(values):.0f} to {max(values):.0f} ml")
    return f"gradient energy {sharp:.2f} x, {', '.join(volumes)}"


if __name__ == "__main__":
    main()
