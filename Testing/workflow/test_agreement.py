"""Agreement with the atlas: 1 for tissues drawn from it, more where they are found as expected, less where they lie anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.fitting.tissue_level import brain_rows
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import agreement_with_atlas

COUNT = 20_000
UNDECIDED = 255


def atlas_of_a_brain() -> np.ndarray:
    """Fractions (tissues, N), uint8: mostly one brain tissue a voxel, with some of the others."""
    rng = np.random.default_rng(0)
    fractions = 0.3 * rng.dirichlet(np.full(len(tissue_table()), 0.5), COUNT).T
    fractions[rng.choice(brain_rows(), COUNT), np.arange(COUNT)] += 0.7
    return np.round(255 * fractions).astype(np.uint8)


def drawn(atlas: np.ndarray) -> np.ndarray:
    """One tissue a voxel, drawn from the fractions."""
    share = np.cumsum(atlas, axis=0) / atlas.sum(axis=0, dtype=float)
    return (np.random.default_rng(1).random(COUNT) > share).sum(axis=0).astype(np.uint8)


def test_tissues_drawn_from_the_atlas_agree_as_expected() -> None:
    atlas = atlas_of_a_brain()
    assert agreement_with_atlas(drawn(atlas), atlas) == pytest.approx(1.0, abs=0.02)


def test_the_most_probable_tissues_agree_better_than_that() -> None:
    atlas = atlas_of_a_brain()
    assert agreement_with_atlas(atlas.argmax(axis=0).astype(np.uint8), atlas) > 1.2


def test_tissues_that_lie_anywhere_agree_worse() -> None:
    atlas = atlas_of_a_brain()
    shuffled = np.random.default_rng(2).permutation(atlas.argmax(axis=0).astype(np.uint8))
    assert 0.0 < agreement_with_atlas(shuffled, atlas) < 0.7


def test_undecided_voxels_and_those_outside_the_brain_do_not_count() -> None:
    atlas = atlas_of_a_brain()
    tissue = drawn(atlas)
    expected = agreement_with_atlas(tissue[: COUNT // 2], atlas[:, : COUNT // 2])
    undecided = np.where(np.arange(COUNT) < COUNT // 2, tissue, UNDECIDED).astype(np.uint8)
    assert agreement_with_atlas(undecided, atlas) == pytest.approx(expected, rel=1e-4)
    outside = atlas.copy()
    outside[:, COUNT // 2 :] = 0
    outside[-1, COUNT // 2 :] = 255  # air
    assert agreement_with_atlas(tissue, outside) == pytest.approx(expected, rel=1e-4)


def test_without_a_sure_voxel_of_brain_there_is_no_agreement() -> None:
    atlas = atlas_of_a_brain()
    assert agreement_with_atlas(np.full(COUNT, UNDECIDED, dtype=np.uint8), atlas) == 0.0
    air = np.zeros_like(atlas)
    air[-1] = 255
    assert agreement_with_atlas(drawn(atlas), air) == 0.0
    assert agreement_with_atlas(np.zeros(0, dtype=np.uint8), atlas[:, :0]) == 0.0
