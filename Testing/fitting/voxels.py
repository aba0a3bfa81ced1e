"""Voxels of known tissue, seen by inputs of known gain and noise."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.physics.noise import add_noise
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table

FIVE = {
    **PROTOCOLS,
    "pdw": Protocol.of("tse", TR=4500, TE=12, L=150),
    "short_ir": Protocol.of("ir", TR=3000, TE=12, TI=400),
}
DIAGONAL = [0, 3, 5]


def brain_theta(count: int, rng: np.random.Generator, spread: float = 0.1) -> np.ndarray:
    """θ (3, ``count``) around white matter, cortex and deep grey matter."""
    means = np.stack([t.theta for t in tissue_table() if t.name in ("white_matter", "cortex", "deep_grey")])
    return (means[rng.integers(3, size=count)].T + spread * rng.standard_normal((3, count))).astype(np.float32)


def observe(
    theta: np.ndarray, protocols: Mapping[str, Protocol], gain: float | np.ndarray = 1.0, relative_noise: float = 0.0, seed: int = 0
) -> list[Observation]:
    """The inputs that show ``theta`` (3, N); the fit is told 0.1 % noise where there is none."""
    rng = np.random.default_rng(seed)
    found = []
    for name, protocol in protocols.items():
        clean = (gain * protocol.signal(*np.exp(theta))).astype(np.float32)
        noise = relative_noise * float(np.percentile(np.abs(clean), 99))
        signal = add_noise(clean, noise, rng, signed=protocol.sequence.signed)
        told = max(noise, 1e-3 * float(np.abs(clean).max()))
        found.append(Observation(name, protocol, signal, told, np.ones(clean.size, dtype=bool)))
    return found


def full(symmetric: np.ndarray) -> np.ndarray:
    """(N, 3, 3) of six rows (6, N)."""
    a, b, c, d, e, f = symmetric
    return np.stack([a, b, c, b, d, e, c, e, f], axis=1).reshape(-1, 3, 3)


def six(matrices: np.ndarray) -> np.ndarray:
    """Six rows (6, N) of (N, 3, 3)."""
    return np.stack([matrices[:, i, j] for i in range(3) for j in range(i, 3)])
