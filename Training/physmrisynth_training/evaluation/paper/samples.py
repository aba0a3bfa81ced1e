"""Samples of the 2D latent diffusion and of the 3D sampling model beside test slices: Fréchet distances and bright backgrounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..frechet import features, frechet_distance
from ..plan import Plan
from .contrasts import COMMON, Contrast, bright_backgrounds
from .runs import TrainedDiffusion
from .slices import KnownSlices
from .virtual import sampled_heads_maps, sampled_maps
from .whole_heads import Reconstruction

SAMPLES, RECONSTRUCTED, SAMPLES_3D, OTHERS = (
    "samples of the 2D model", "reconstructions by the 2D model", "slices of 3D samples", "other slices of the test heads",
)  # fmt: skip


@dataclass(frozen=True)
class Samples:
    """``maps`` (3, N, y, x) of the samples by the run whose latents they are of; ``distances`` to the test slices by group and contrast;
    ``bright`` backgrounds among N slices by group and contrast."""

    maps: Mapping[str, np.ndarray]
    distances: Mapping[str, Mapping[str, float]]
    bright: Mapping[str, Mapping[Contrast, int]]

    @property
    def first(self) -> np.ndarray:
        """Maps (3, N, y, x) of the samples of the first run."""
        return next(iter(self.maps.values()))

    @property
    def count(self) -> int:
        """Slices of each group."""
        return self.first.shape[1]

    def records(self) -> list[dict[str, Any]]:
        """As JSON values."""
        found = [{"kind": "frechet", "group": group, "distance": dict(values)} for group, values in self.distances.items()]
        bright = [
            {"kind": "bright", "group": group, "slices": self.count, "bright": {f"{c.family} {c.title}": n for c, n in values.items()}}
            for group, values in self.bright.items()
        ]
        return [*found, *bright]


def compare_samples(
    plan: Plan,
    models: Sequence[TrainedDiffusion],
    slices: Sequence[KnownSlices],
    others: Sequence[KnownSlices],
    reconstructed: Sequence[Reconstruction],
    cache: Path,
) -> Samples:
    """As many samples of each of the ``models`` and of the 3D one as there are test ``slices``; ``others`` are further slices of the same
    heads."""
    truth = np.concatenate([those.truth for those in slices], axis=1)
    count = truth.shape[1]
    maps = {model.of: sampled_maps(model, count, cache) for model in models}
    groups = {
        **{f"{SAMPLES} ({of})": found for of, found in maps.items()},
        RECONSTRUCTED: np.concatenate([r.maps for r in reconstructed], axis=1),
        SAMPLES_3D: sampled_heads_maps(plan, count, cache),
        OTHERS: np.concatenate([those.truth for those in others], axis=1),
    }
    wanted = {contrast.family: features(contrast.image(truth)) for contrast in COMMON}
    distances = {
        group: {c.family: frechet_distance(features(c.image(found)), wanted[c.family]) for c in COMMON} for group, found in groups.items()
    }
    return Samples(maps, distances, {group: bright_backgrounds(found) for group, found in groups.items()})
