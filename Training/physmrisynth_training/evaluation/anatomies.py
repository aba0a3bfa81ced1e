"""Features of a head for comparisons: volumes, distributions, sharpness, and an aligned brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import RegistrationError
from PhysMRISynthLib.imaging.head.atlas import place_tissues
from PhysMRISynthLib.imaging.head.head_volumes import LESION, HeadVolumes, head_volumes
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.head.midline import Midline, midline_of
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.physics.tissues import PROPERTIES, tissue_table
from PhysMRISynthLib.workflow.tissue_values import literature_values, maps_of, sampled_values

from ..simulator.standard_acquisition import PROTOCOLS
from .kinship import aligned_brain

FIELD_STRENGTH = 3.0
BRAIN = (*(row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"), LESION)
_QUANTILES = np.linspace(0.5, 99.5, 199)


@dataclass(frozen=True)
class Anatomy:
    """Features of a head: its ``volumes``; ``quantiles`` of PD (%), T1 and T2 (ms) in the brain; ``gradient_energy``, the mean squared
    gradient of its T1w image in the brain at literature values; that image (z, y, x; 1: the brightest tissue), its
    ``brain``; the ``aligned`` brain for comparisons, and its ``midline`` (None: not aligned with the atlas); if measured, the
    ``overlap`` (Dice by tissue) of the segmentation of its images; for a sample, its number of attempts ``draws``."""

    name: str
    volumes: HeadVolumes
    quantiles: dict[str, np.ndarray]
    gradient_energy: float
    image: np.ndarray
    brain: np.ndarray
    aligned: np.ndarray | None
    midline: Midline | None
    grid: sitk.Image
    overlap: Mapping[str, float] = field(default_factory=dict)
    draws: int = 1


def anatomy_of(name: str, fractions: np.ndarray, seed: int) -> Anatomy:
    """Measure a head of tissue ``fractions`` (classes, z, y, x; 1 mm); ``seed`` determines its values for the distributions."""
    tissue = fractions.argmax(axis=0).astype(np.uint8)
    plain = maps_of(fractions, literature_values(FIELD_STRENGTH), np.random.default_rng(0))
    brain = np.isin(tissue, BRAIN) & plain.mask
    image = np.where(plain.mask, PROTOCOLS["t1w"].signal(plain.pd, *_away_from_zero(plain.t1, plain.t2)), 0.0).astype(np.float32)
    image /= max(float(np.percentile(image[brain], 99.0)) if brain.any() else 1.0, 1e-6)
    rng = np.random.default_rng([seed, 2])
    drawn = maps_of(fractions, sampled_values(FIELD_STRENGTH, rng), rng)
    values = dict(zip(PROPERTIES, (100.0 * drawn.pd, drawn.t1, drawn.t2), strict=True))
    quantiles = {name: np.percentile(v[brain], _QUANTILES) if brain.any() else np.zeros(len(_QUANTILES)) for name, v in values.items()}
    aligned, midline = _in_atlas(image_like(tissue, plain.grid), image_like(image * brain, plain.grid))
    return Anatomy(name, head_volumes(tissue), quantiles, gradient_energy(image, brain), image, brain, aligned, midline, plain.grid)


def _in_atlas(tissue: sitk.Image, brain: sitk.Image) -> tuple[np.ndarray, Midline] | tuple[None, None]:
    try:
        to_atlas = place_tissues(tissue).to_atlas
    except RegistrationError:
        return None, None
    return aligned_brain(brain, to_atlas), midline_of(tissue, to_atlas)


def _away_from_zero(*maps: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.where(values > 0, values, np.float32(1.0)) for values in maps)


def one_hot(tissue: np.ndarray) -> np.ndarray:
    """A label map's rows (z, y, x) as fractions (classes, z, y, x), float32."""
    fractions = np.zeros((LESION + 1, *tissue.shape), dtype=np.float32)
    np.put_along_axis(fractions, tissue[None].astype(np.int64), 1.0, axis=0)
    return fractions


def gradient_energy(image: np.ndarray, brain: np.ndarray) -> float:
    """Mean squared gradient of an image in a mask, both (z, y, x)."""
    box = bounding_box(brain)
    if box is None:
        return 0.0
    squares = sum(gradient**2 for gradient in np.gradient(image[box]))
    return float(np.asarray(squares)[brain[box]].mean())


def wasserstein(one: Anatomy, others: Sequence[Anatomy]) -> dict[str, float]:
    """Wasserstein distance of PD (%), T1 and T2 (ms) in the brain of one head from the mean quantiles of ``others``."""
    expected = {name: np.mean([other.quantiles[name] for other in others], axis=0) for name in PROPERTIES}
    return {name: float(np.abs(one.quantiles[name] - expected[name]).mean()) for name in PROPERTIES}
