"""Samples that stand for all voxels."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.workflow.voxel_sample import sampled_voxels, thinned


def test_few_voxels_are_all_taken() -> None:
    array = np.arange(60).reshape(3, 4, 5)
    np.testing.assert_array_equal(sampled_voxels(array, lambda values: values % 7 == 0), np.arange(0, 60, 7))


@pytest.mark.parametrize("share", [0.4, 0.001, 0.0])
def test_of_many_voxels_some_are_taken_everywhere_and_always_the_same(share: float) -> None:
    array = np.random.default_rng(1).random((50, 60, 70)) < share
    found = sampled_voxels(array, lambda values: values, 2000)
    assert found.size <= 2000 and array.reshape(-1)[found].all() and (np.diff(found) >= 0).all()
    np.testing.assert_array_equal(found, sampled_voxels(array, lambda values: values, 2000))
    if share > 0.1:
        planes = np.histogram(found // 4200, bins=50, range=(0, 50))[0]
        assert found.size == 2000 and planes.min() > 10
    if share == 0.001:
        assert found.size == array.sum(), "what is rare is looked for everywhere"


def test_a_sampled_median_is_that_of_all() -> None:
    values = np.random.default_rng(0).normal(800.0, 40.0, (80, 90, 100)).astype(np.float32)
    found = sampled_voxels(values, lambda some: some > 0, 20_000)
    assert np.median(values.reshape(-1)[found]) == pytest.approx(np.median(values), abs=2.0)


def test_thinning_keeps_no_more_than_asked() -> None:
    assert thinned(np.arange(10), 10).size == 10 and thinned(np.arange(11), 10).size == 6 and thinned(np.zeros(0, int), 10).size == 0
