"""Segmentability: whether segmenting images of a head recovers its tissues."""

from __future__ import annotations

import numpy as np

from PhysMRISynthLib.network.device import choose_device, fastest_precision
from PhysMRISynthLib.network.inference import decode
from PhysMRISynthLib.network.weights import Weights
from PhysMRISynthLib.workflow.tissue_values import maps_of, sampled_values

from ..learning.latents import SCANNER, latent_of
from ..simulator.anatomy import TISSUES
from ..simulator.simulated_head import Sample

SEGMENTED = ("white_matter", "cortex", "csf")
_AIR = (1e-3, 1000.0, 100.0)
"""PD (fraction), T1 and T2 (ms) outside the maps."""


def overlaps(name: str, fractions: np.ndarray, decoder: Weights, field_strength: float, seed: int) -> dict[str, float]:
    """Dice (0 to 1) of each SEGMENTED tissue between a head of tissue ``fractions`` (classes, z, y, x; 1 mm) and the network's
    segmentation of simulated images of it (three contrasts of a good session; ``seed`` determines values and scanner)."""
    rng = np.random.default_rng([seed, 3])
    maps = maps_of(fractions, sampled_values(field_strength, rng), rng)
    values = (np.where(found > 0, found, np.float32(air)) for found, air in zip((maps.pd, maps.t1, maps.t2), _AIR, strict=True))
    tissue = fractions.argmax(axis=0).astype(np.uint8)
    head = Sample(tissue.copy(), np.log(np.stack(list(values))).astype(np.float32), field_strength=field_strength)
    head.record["PlaceHead"] = {"head": name}
    device = choose_device("auto")
    precision = fastest_precision(device.type)
    seen = latent_of(SCANNER(head, rng), decoder, device, precision)
    segmented = decode(decoder, seen.latent[0], device, precision).argmax(axis=0)
    masks = {name: (tissue == row, segmented == row) for name, row in zip(SEGMENTED, map(TISSUES.index, SEGMENTED), strict=True)}
    return {name: dice(true, found) for name, (true, found) in masks.items() if true.any()}


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """2·|A∩B|/(|A|+|B|) of two masks, 0 to 1; 1 if both are empty."""
    return float(2.0 * (one & other).sum() / total) if (total := int(one.sum()) + int(other.sum())) else 1.0
