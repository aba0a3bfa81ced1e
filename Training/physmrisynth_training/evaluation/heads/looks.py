"""How a head looks: slices of its images in three planes, as features of a network, and their sharpness.

All heads are rendered alike: literature values without texture, the protocols of OASIS-3, no noise. Images differ by anatomy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from PhysMRISynthLib.imaging.head.head_volumes import PARENCHYMA
from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.presets import preset_named
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.tissue_values import literature_values

from ...learning.latents import brain_top
from ..anatomies import BRAIN, FIELD_STRENGTH, gradient_energy
from ..frechet import deep_features

CONTRASTS: Mapping[str, str] = {"T1w": "oasis3-t1w", "T2w": "oasis3-t2w", "FLAIR": "oasis3-flair"}
"""Presets by the contrast's name."""
VIEWS = ("brain", "whole head")
PLANES = ("axial", "coronal", "sagittal")
POSITIONS = 8
"""Slices of each plane."""
_DEPTHS_MM = (12, 115)
"""Highest and lowest axial slice below the brain's top: the cerebrum with the upper cerebellum."""
_INSIDE = (0.12, 0.88)
"""First and last coronal and sagittal slice as a share of the brain's extent."""
_BRIGHT = 99.0
_AIR = [tissue.name for tissue in tissue_table()].index("air")


@dataclass(frozen=True)
class Looks:
    """``features`` (views, contrasts, planes, POSITIONS, channels; float32); ``sharpness``, the mean squared gradient in the brain by
    contrast, each image in units of the brain's 99th percentile; ``brains``, the axial T1w slices of the brain (POSITIONS, y, x; uint8,
    255: 1.2 of that unit); ``portrait``, a T1w plane of the whole head by plane, in the same unit."""

    features: np.ndarray
    sharpness: Mapping[str, float]
    brains: np.ndarray
    portrait: tuple[np.ndarray, ...]


def images_of(tissue: np.ndarray) -> dict[str, np.ndarray]:
    """Images (z, y, x) by contrast of a map of tissues (rows of the table, LESION for lesions)."""
    return {name: levels[tissue] for name, levels in _levels().items()}


def images_of_maps(maps: TissueMaps) -> dict[str, np.ndarray]:
    """Images (z, y, x) by contrast of maps with partial volumes."""
    return {name: render(maps, preset_named(preset).protocol) for name, preset in CONTRASTS.items()}


@cache
def _levels() -> dict[str, np.ndarray]:
    """Signal of each tissue by contrast, 0 in air."""
    points = np.exp(literature_values(FIELD_STRENGTH).theta).T
    found = {}
    for name, preset in CONTRASTS.items():
        levels = np.abs(preset_named(preset).protocol.signal(*points)).astype(np.float32)
        levels[_AIR] = 0.0
        found[name] = levels
    return found


def looks_of(images: Mapping[str, np.ndarray], tissue: np.ndarray) -> Looks:
    """Measure images (z, y, x) by contrast of a head with this ``tissue``, of the same shape."""
    brain = np.isin(tissue, BRAIN)
    scaled = {name: image / max(float(np.percentile(image[brain], _BRIGHT)), 1e-9) for name, image in images.items()}
    sharpness = {name: gradient_energy(image, brain) for name, image in scaled.items()}
    chosen = [(axis, places) for axis, places in enumerate(_places(tissue))]
    shown = [{name: np.where(brain, image, np.float32(0.0)) for name, image in scaled.items()}, scaled]
    features = [
        [[deep_features(_cut(image, axis, places)) for axis, places in chosen] for image in pictures.values()] for pictures in shown
    ]
    brains = _grey(_cut(shown[0]["T1w"], *chosen[0]))
    portrait = tuple(_grey(_cut(scaled["T1w"], axis, places[POSITIONS // 2 : POSITIONS // 2 + 1])[0]) for axis, places in chosen)
    return Looks(np.array(features, dtype=np.float32), sharpness, brains, portrait)


def _places(tissue: np.ndarray) -> list[np.ndarray]:
    """Numbers of the slices along each axis (z, y, x)."""
    top = brain_top(tissue)
    bottom = max(top - 130, 0)
    box = bounding_box(np.isin(tissue[bottom:top], PARENCHYMA))
    assert box is not None  # there is brain below its top
    axial = top - np.linspace(*_DEPTHS_MM, POSITIONS)
    across = [side.start + (side.stop - 1 - side.start) * np.linspace(*_INSIDE, POSITIONS) for side in box[1:]]
    return [np.rint(places).astype(int).clip(0, n - 1) for places, n in zip([axial, *across], tissue.shape, strict=True)]


def _cut(image: np.ndarray, axis: int, places: np.ndarray) -> np.ndarray:
    """Slices (N, rows, columns) of an image (z, y, x)."""
    return np.moveaxis(image, axis, 0)[places]


def _grey(planes: np.ndarray) -> np.ndarray:
    return np.asarray((planes / 1.2 * 255.0).clip(0.0, 255.0)).astype(np.uint8)
