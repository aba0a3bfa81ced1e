"""Deep nuclei of synthetic heads: darker in T2 the more iron they hold, where the atlas has them, while tissues keep their means."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement, atlas_on_grid
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.sampling.nuclei import with_nuclei
from PhysMRISynthLib.workflow.tissue_values import literature_values, maps_of

NAMES = [tissue.name for tissue in tissue_table()]
CORNER = (-40.0, -40.0, -50.0)
PLACED = AtlasPlacement(sitk.AffineTransform(np.eye(3).ravel().tolist(), CORNER), False, 1.0)
"""A head's corner is there in the atlas's space (mm)."""
RED_NUCLEUS, NIGRA, PONS = (5, -20, -9), (10, -17, -12), (5, -24, -30)
PALLIDUM, PUTAMEN = (19, -4, 0), (27, 4, 2)


def head() -> np.ndarray:
    """The mean head of the atlas at 1 mm about its deep nuclei: fractions of tissues and lesions."""
    grid = sitk.Image(81, 81, 61, sitk.sitkFloat32)
    atlas = atlas_on_grid(PLACED, grid, np.arange(grid.GetNumberOfPixels())).astype(np.float32)
    fractions = np.concatenate([atlas, np.zeros_like(atlas[:1])]).reshape(-1, *grid.GetSize()[::-1])
    return fractions / fractions.sum(axis=0)


def made() -> tuple[np.ndarray, TissueMaps, TissueMaps]:
    fractions = head()
    plain = maps_of(fractions, literature_values(3.0), np.random.default_rng(0))
    return fractions, plain, with_nuclei(plain, fractions, PLACED, 3.0)


def near(values: np.ndarray, place: tuple[int, int, int]) -> float:
    """Mean of ``values`` within 1 mm of a place (mm to the right, front and top), and of its mirror image."""
    right, front, up = place
    found = []
    for side in (-right, right):
        x, y, z = (round(at - corner) for at, corner in zip((side, -front, up), CORNER, strict=True))
        found.append(values[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].mean())
    return float(np.mean(found))


def test_iron_shortens_t2_where_the_nuclei_are_and_tissues_keep_their_means() -> None:
    fractions, plain, found = made()
    change, t1_change = (
        np.divide(*pair, out=np.ones_like(pair[0]), where=plain.mask) for pair in ((found.t2, plain.t2), (found.t1, plain.t1))
    )
    assert near(change, RED_NUCLEUS) < 0.9 and near(change, NIGRA) < 0.9
    assert near(change, PONS) == pytest.approx(1.0, abs=0.02)
    assert near(change, PALLIDUM) < 0.95 * near(change, PUTAMEN)
    assert near(t1_change, PALLIDUM) < 0.97 * near(t1_change, PUTAMEN)
    for name in ("white_matter", "deep_grey"):
        weights = np.where(plain.mask, fractions[NAMES.index(name)], 0.0)
        for before, after in ((plain.t1, found.t1), (plain.t2, found.t2)):
            assert np.average(after, weights=weights) == pytest.approx(np.average(before, weights=weights), rel=0.01)
    for name in ("cortex", "csf"):
        pure = fractions[NAMES.index(name)] == 1.0
        np.testing.assert_array_equal(found.t2[pure], plain.t2[pure])
    np.testing.assert_array_equal(found.pd, plain.pd)
