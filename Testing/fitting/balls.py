"""A ball of brain of known tissue, seen by inputs of unknown gains and receive fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from physmrisynth_training.simulator.standard_acquisition import HEAD_SPREAD, TEXTURE
from PhysMRISynthLib.fitting.head import HeadModel
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.fitting.tissue_level import brain_rows
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.fitting.voxels import observe

NAMES = [t.name for t in tissue_table()]
VOXELS = 8_000


@dataclass(frozen=True)
class Head:
    """A ball of brain: fluid within white matter within cortex within fluid, with deep grey matter and thalamus."""

    positions: np.ndarray
    tissue: np.ndarray
    atlas: np.ndarray
    means: np.ndarray
    theta: np.ndarray

    @classmethod
    def drawn(cls, seed: int) -> Head:
        rng = np.random.default_rng(seed)
        positions = rng.uniform(-70.0, 70.0, (3 * VOXELS, 3)).astype(np.float32)
        radius = np.linalg.norm(positions, axis=1)
        positions, radius = positions[radius < 70][:VOXELS], radius[radius < 70][:VOXELS]
        names = np.select([radius < 20, radius < 48, radius < 64], ["csf", "white_matter", "cortex"], "csf")
        for name, centre in (("deep_grey", 32.0), ("thalamus", -32.0)):
            names[np.linalg.norm(positions - [0.0, 0.0, centre], axis=1) < 16] = name
        tissue = np.array([NAMES.index(name) for name in names])
        share = np.bincount(tissue, minlength=len(NAMES)) / len(tissue)
        atlas = (0.5 * np.eye(len(NAMES))[tissue] + 0.5 * share).T.astype(np.float32)
        means = np.stack([t.theta + rng.normal(0.0, HEAD_SPREAD) for t in tissue_table()])
        theta = (means[tissue] + TEXTURE * rng.standard_normal((len(tissue), 3))).T
        return cls(positions, tissue, atlas, means[brain_rows()], theta.astype(np.float32))

    def seen(self, protocols: Mapping[str, Protocol], seed: int) -> tuple[list[Observation], np.ndarray]:
        """Inputs with unknown gains and fields, and their product (n, N)."""
        rng = np.random.default_rng(seed)
        found, scales = [], []
        for i, (name, protocol) in enumerate(protocols.items()):
            field = 0.12 * np.sin(self.positions @ rng.normal(0.0, 0.015, 3) + rng.uniform(0.0, 6.0))
            scales.append(300.0 * np.exp(rng.normal(0.0, 0.5) + field))
            found += observe(self.theta, {name: protocol}, scales[-1], relative_noise=0.01, seed=seed + i)
        return found, np.array(scales)

    def fitted_scales(self, model: HeadModel) -> np.ndarray:
        return model.gains[:, None] * np.array(model.fields(model.basis.evaluate(self.positions)))
