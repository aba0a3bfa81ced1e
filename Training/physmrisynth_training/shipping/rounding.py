"""Effect of rounding stored weights: the same heads sampled with the weights before and after rounding.

    python -m physmrisynth_training.shipping.rounding --before DIR --after resources

prints a line for each change: the share of a head's voxels with another tissue, and the largest change of a volume. For comparison,
the weights before rounding are also used with another precision and with one more step. Put a summary into weights.json, as "rounding" of
the sampling model; ``convert --cards`` copies it into the card.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.head_volumes import head_volumes
from PhysMRISynthLib.network.device import autocast
from PhysMRISynthLib.network.diffusion_config import condition_vector
from PhysMRISynthLib.network.diffusion_weights import SamplerWeights, sampling_weights
from PhysMRISynthLib.network.inference import decode
from PhysMRISynthLib.network.weights import Weights
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import sharpened

from . import ship_sampler, ship_vae

_AIR = [tissue.name for tissue in tissue_table()].index("air")
_VOLUMES = ("brain", "white_matter", "cortex", "ventricles")
_BFLOAT, _FLOAT = "bf16-mixed", "32-true"
Model = tuple[SamplerWeights, Weights]


@dataclass(frozen=True)
class Change:
    """Difference of two heads of one seed: ``other_tissue`` in % of the voxels of either head, ``volume``: largest change of one in %."""

    other_tissue: float
    volume: float

    @classmethod
    def between(cls, one: np.ndarray, other: np.ndarray) -> Change:
        """Of two maps (z, y, x) of rows of the tissue table."""
        head = (one != _AIR) | (other != _AIR)
        before, after = (vars(head_volumes(tissue)) for tissue in (one, other))
        volumes = (abs(after[name] / before[name] - 1.0) for name in _VOLUMES if before[name] > 0.0)
        return cls(100.0 * float((one != other)[head].mean()), 100.0 * max(volumes, default=0.0))


def changes(before: Model, after: Model, seed: int, steps: int = SampleOrder.steps) -> dict[str, Change]:
    """Changes in the head of a seed: by rounding, by another precision, and by one more step."""
    first = tissue_of(before, seed, steps, _BFLOAT)
    others = {
        "rounded": tissue_of(after, seed, steps, _BFLOAT),
        "float32 for bfloat16": tissue_of(before, seed, steps, _FLOAT),
        "one step more": tissue_of(before, seed, steps + 1, _BFLOAT),
    }
    return {name: Change.between(first, other) for name, other in others.items()}


def tissue_of(model: Model, seed: int, steps: int, precision: str) -> np.ndarray:
    """The most probable tissue (z, y, x; rows of the tissue table) in the head of a seed, on the CPU, without midline check."""
    sampler, decoder = model
    device = torch.device("cpu")
    with autocast(device, precision):
        latent = sampler.latent(
            device, steps, seed, torch.from_numpy(condition_vector(sampler.config.condition, {})), renewal=SampleOrder.renewal
        )
    return sharpened(decode(decoder, latent[0].float().numpy(), device, precision)).argmax(axis=0).astype(np.uint8)


def measure(before: Path, after: Path, seeds: int, say: Callable[[str], None]) -> dict[str, list[Change]]:
    """:func:`changes` of so many ``seeds``, by kind of change; ``say`` is called with a line for each. Raises WeightsError."""
    models = [sampling_weights(folder / ship_sampler.FILE, folder / ship_vae.FILE) for folder in (before, after)]
    found: dict[str, list[Change]] = {}
    for seed in range(seeds):
        for name, change in changes(models[0], models[1], seed).items():
            found.setdefault(name, []).append(change)
        say(f"seed {seed}: " + ", ".join(f"{name} {rows[-1].other_tissue:.2f} %" for name, rows in found.items()))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module. Returns 0, or 2 after an error message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="folder of the three files of weights before they were rounded")
    parser.add_argument("--after", type=Path, required=True, help="folder of the shipped files")
    parser.add_argument("--seeds", type=int, default=6, help="number of heads (6)")
    options = parser.parse_args(arguments)
    try:
        found = measure(options.before, options.after, options.seeds, lambda line: print(line, flush=True))
    except PhysMRISynthError as error:
        parser.exit(2, f"{error}\n")
    for name, rows in found.items():
        tissue, volume = [row.other_tissue for row in rows], max(row.volume for row in rows)
        shares = f"{np.mean(tissue):.2f} % ({min(tissue):.2f} to {max(tissue):.2f})"
        print(f"{name}: other tissue in {shares} of the head, volumes up to {volume:.2f} %")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
