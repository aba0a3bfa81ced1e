"""Texture within tissues: smooth noise of PD, T1 and T2, as measured in people's T1w images (``shipping/build_texture.py``).

A T1w image does not say whether PD, T1 or T2 varies. Half of the variance of each is assumed to be shared, since all three vary with
water, with the tissue table's spreads. The direction in which a T1w image changes then gets its measured variance, and the others (PD
with T1; T2) keep the table's. With covariance C and sensitivity a (of the log signal to log PD, T1 and T2), a change r of the log signal
means on average a change of C a r / (a' C a).

Cortex and the tissues outside the brain were not measured: they have the table's spread, and noise of 12 mm.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np

from ..imaging.head.masks import bounding_box
from ..imaging.smooth import mixed_noise
from ..physics.tissues import PROPERTIES, tissue_table
from ..resource_files import RESOURCES

MEASURED = ("white_matter", "deep_grey", "thalamus")
PLACE_UNIT = 0.002
"""Of the log intensities in texture.nii.gz, which has a component for each tissue of MEASURED."""
LEAST_FRACTION = 0.01
"""Voxels with less of a tissue get none of its texture."""
_TABLE = RESOURCES / "texture.json"
_UNMEASURED_MM = 12.0
_SHARED = 0.5
_NAMES = [tissue.name for tissue in tissue_table()]
ROWS = [_NAMES.index(name) for name in MEASURED]


def measured_logs(fractions: np.ndarray, mask: np.ndarray, within: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Variations of log PD, T1 and T2 of MEASURED in a mask (z, y, x), in the order of its voxels: (3, voxels) float32.

    ``fractions`` are those of tissues (classes, z, y, x), ``within`` the spreads of their logarithms (classes, 3)."""
    found = np.zeros((len(PROPERTIES), int(mask.sum())), dtype=np.float32)
    for name, row in zip(MEASURED, ROWS, strict=True):
        present = mask & (fractions[row] > LEAST_FRACTION)
        box = bounding_box(present)
        if box is None or not within[row].any():
            continue
        shares = dict(zip(_read()["widths_mm"], _read()["tissues"][name]["shares"], strict=True))
        noise = mixed_noise(present[box], shares, rng, len(PROPERTIES))
        mixing = (within[row][:, None] * _mixing(name)).astype(np.float32)
        found[:, np.flatnonzero(present[mask])] += fractions[row][present] * (mixing @ noise)
    return found


def unmeasured_noise(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of variance 1 for log PD, T1 and T2 of other tissues in a mask (z, y, x), in the order of its voxels: (3, voxels) float32."""
    box = bounding_box(mask)
    if box is None:
        return np.zeros((len(PROPERTIES), 0), dtype=np.float32)
    noise = mixed_noise(mask[box], {_UNMEASURED_MM: 1.0}, rng, len(PROPERTIES))
    return _root(_correlation()).astype(np.float32) @ noise


def response(tissue: str) -> np.ndarray:
    """Change (3,) of log PD, T1 and T2 with the log signal of a T1w image, for one of MEASURED."""
    along, variance = _along(tissue)
    return _spread(tissue) * along / variance


@cache
def _read() -> dict:
    return json.loads(_TABLE.read_text(encoding="utf-8"))


def _spread(tissue: str) -> np.ndarray:
    return tissue_table()[_NAMES.index(tissue)].within_head


def _correlation() -> np.ndarray:
    return _SHARED + (1.0 - _SHARED) * np.eye(len(PROPERTIES))


def _along(tissue: str) -> tuple[np.ndarray, float]:
    """Covariance (3,) of log PD, T1 and T2, in units of their spreads, with the log signal; and the variance of the latter."""
    seen = _spread(tissue) * _read()["tissues"][tissue]["sensitivity"]
    along = _correlation() @ seen
    return along, float(seen @ along)


@cache
def _mixing(tissue: str) -> np.ndarray:
    """What makes three channels of noise log PD, T1 and T2 in units of their spreads, (3, 3)."""
    along, variance = _along(tissue)
    measured = (_read()["tissues"][tissue]["rest_sd"] / 100.0) ** 2
    return _root(_correlation() - (1.0 - measured / variance) * np.outer(along, along) / variance)


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
