"""Structures in FreeSurfer's numbers: each within its tissue, in its place and on its side, wherever the head lies."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement, atlas_on_grid
from PhysMRISynthLib.imaging.head.head_volumes import LESION
from PhysMRISynthLib.imaging.head.structures import GROUPS, RIGHT, structure_labels, structure_names, structures_table
from PhysMRISynthLib.physics.tissues import tissue_table

NAMES = [tissue.name for tissue in tissue_table()]
SIZE = (90, 108, 108)
LEFT, BACK, DOWN = (0, 1, 2)


def _grid(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> sitk.Image:
    grid = sitk.Image(SIZE, sitk.sitkUInt8)
    grid.SetSpacing((2.0,) * 3)
    grid.SetOrigin(np.add((-89.0, -110.0, -120.0), shift).tolist())
    return grid


@cache
def _labelled(shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> tuple[np.ndarray, np.ndarray]:
    """Tissue and structures of the atlas's likeliest tissues on a grid of 2 mm that lies elsewhere by ``shift``."""
    home = AtlasPlacement(sitk.AffineTransform(3), False, 1.0)
    fractions = atlas_on_grid(home, _grid(), np.arange(np.prod(SIZE)))
    tissue = fractions.argmax(axis=0).astype(np.uint8).reshape(SIZE[::-1])
    tissue[60, 50, 40] = LESION
    placement = AtlasPlacement(sitk.TranslationTransform(3, tuple(-s for s in shift)), False, 1.0)
    ventricles = np.zeros(tissue.shape, bool)
    ventricles[:, 30:75, 30:60] = True
    return tissue, structure_labels(tissue, ventricles, placement, _grid(shift))


def _centre(number: int) -> np.ndarray:
    """Of a structure: mm to the left, back and top."""
    z, y, x = np.argwhere(_labelled()[1] == number).mean(axis=0)
    return np.array(_grid().TransformContinuousIndexToPhysicalPoint((x, y, z)))


def test_every_voxel_has_a_structure_of_its_tissue() -> None:
    tissue, labels = _labelled()
    for name, group in GROUPS.items():
        if name != "ventricles":
            allowed = {*group, *(RIGHT.get(number, number) for number in group)}
            assert set(np.unique(labels[tissue == NAMES.index(name)]).tolist()) <= allowed, name
    assert set(np.unique(labels).tolist()) - {0} <= set(structure_names())
    assert labels[60, 50, 40] == 99 and (labels[tissue == NAMES.index("bone")] == 165).all()
    assert not labels[tissue == NAMES.index("air")].any()


@pytest.mark.parametrize("number", [2, 3, 8, 10, 11, 12, 4])
def test_left_and_right_are_alike_and_on_their_sides(number: int) -> None:
    """In LPS coordinates x grows to the left."""
    _, labels = _labelled()
    left, right = ((labels == side).sum() for side in (number, RIGHT[number]))
    assert left > 20 and left == pytest.approx(right, rel=0.15)
    assert _centre(number)[LEFT] > 3.0 and _centre(RIGHT[number])[LEFT] < -3.0


def test_structures_lie_where_anatomy_has_them() -> None:
    cerebellum, cortex, stem, thalamus, caudate, putamen, hippocampus = (_centre(n) for n in (8, 3, 16, 10, 11, 12, 17))
    assert cerebellum[BACK] > cortex[BACK] and cerebellum[DOWN] < cortex[DOWN] - 30.0
    assert stem[DOWN] < thalamus[DOWN] - 15.0 and abs(stem[LEFT]) < 4.0
    assert putamen[LEFT] > caudate[LEFT] + 5.0 and hippocampus[DOWN] < putamen[DOWN] and caudate[BACK] < thalamus[BACK]


def test_a_head_that_lies_elsewhere_has_the_same_structures() -> None:
    np.testing.assert_array_equal(_labelled()[1], _labelled((30.0, -14.0, 22.0))[1])


def test_the_table_names_every_number_once() -> None:
    header, *lines = structures_table().splitlines()
    assert header == "index\tname" and "17\tLeft-Hippocampus" in lines and "53\tRight-Hippocampus" in lines
    assert len({line.split("\t")[0] for line in lines}) == len(lines) == len({line.split("\t")[1] for line in lines})
