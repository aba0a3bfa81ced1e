"""Volumes of a head whose parts are known: a ventricle is fluid deep inside, whatever the size of the voxels."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.imaging.head.head_volumes import LESION, head_volumes, ventricles
from PhysMRISynthLib.physics.tissues import tissue_table

WHITE, CORTEX, THALAMUS, FLUID, BLOOD, BONE, AIR = (
    [tissue.name for tissue in tissue_table()].index(name) for name in ("white_matter", "cortex", "thalamus", "csf", "blood", "bone", "air")
)


def ball(side_mm: float) -> np.ndarray:
    """A skull of 60 mm radius, fluid, 8 mm of cortex, white matter, and in the middle a ventricle of 12 mm."""
    n = round(140 / side_mm)
    z, y, x = np.ogrid[:n, :n, :n]
    radius = side_mm * np.sqrt((z - n / 2) ** 2 + (y - n / 2) ** 2 + (x - n / 2) ** 2)
    tissue = np.full((n, n, n), AIR, dtype=np.uint8)
    for row, size in ((BONE, 60.0), (FLUID, 56.0), (CORTEX, 50.0), (WHITE, 42.0), (FLUID, 12.0)):
        tissue[radius < size] = row
    return tissue


def millilitres(radius_mm: float) -> float:
    return 4 / 3 * np.pi * radius_mm**3 / 1000


@pytest.mark.parametrize("side_mm", (2.0, 3.0))
def test_volumes_of_a_ball(side_mm: float) -> None:
    found = head_volumes(ball(side_mm), side_mm**3 / 1000)
    assert found.ventricles == pytest.approx(millilitres(12), rel=0.1)
    assert found.brain == pytest.approx(millilitres(50) - millilitres(12), rel=0.03)
    assert found.cortex == pytest.approx(millilitres(50) - millilitres(42), rel=0.05)
    assert found.white_matter == pytest.approx(millilitres(42) - millilitres(12), rel=0.05)
    assert found.lesions == 0.0
    told = found.conditions()
    assert told["brain_volume"] == found.brain and told["ventricle_share"] == pytest.approx(100 * found.ventricles / found.brain)
    assert told["intracranial_volume"] == pytest.approx(millilitres(56), rel=0.02)
    assert told["atrophy"] == pytest.approx(100 * (1 - (50**3 - 12**3) / 56**3), rel=0.03)


def test_the_skull_holds_its_vessels_but_neither_the_spine_nor_the_scalps_vessels() -> None:
    tissue = ball(2.0)
    before = head_volumes(tissue, 0.008)
    middle = tissue.shape[0] // 2
    tissue[: middle - 27, middle - 5 : middle + 6, middle - 5 : middle + 6] = FLUID  # 4.8 cm²
    tissue[middle : middle + 5, middle, middle + 28] = BLOOD  # beside the fluid
    tissue[middle : middle + 5, middle, middle + 34] = BLOOD
    after = head_volumes(tissue, 0.008)
    assert after.intracranial == pytest.approx(before.intracranial + 5 * 0.008, abs=0.5)


def test_atrophy_is_of_the_hemispheres() -> None:
    """Fluid around a small brain, above and not below the thalami."""
    tissue = ball(2.0)
    middle = tissue.shape[0] // 2
    tissue[middle : middle + 4, middle - 2 : middle + 3, middle + 10 : middle + 14] = THALAMUS
    before = head_volumes(tissue, 0.008).conditions()["atrophy"]
    low, high = tissue[: middle - 2], tissue[middle + 2 :]
    low[low == CORTEX] = FLUID
    assert head_volumes(tissue, 0.008).conditions()["atrophy"] == pytest.approx(before, abs=0.5)
    high[high == CORTEX] = FLUID
    assert head_volumes(tissue, 0.008).conditions()["atrophy"] > before + 20


def test_lesions_are_white_matter_too() -> None:
    tissue = ball(3.0)
    before = head_volumes(tissue, 0.027)
    centre = tissue.shape[0] // 2
    tissue[centre + 8, centre, centre : centre + 4] = LESION
    after = head_volumes(tissue, 0.027)
    assert after.lesions == pytest.approx(4 * 0.027) and after.conditions()["lesion_load"] == after.lesions
    assert after.brain == pytest.approx(before.brain) and after.white_matter == pytest.approx(before.white_matter)


def test_fluid_around_the_brain_is_no_ventricle() -> None:
    outer = ball(2.0)
    found = ventricles(outer, 0.008)
    n = outer.shape[0]
    z, y, x = np.nonzero(found)
    assert np.sqrt((z - n / 2) ** 2 + (y - n / 2) ** 2 + (x - n / 2) ** 2).max() * 2.0 < 13.0


def test_a_cistern_beside_white_matter_is_no_ventricle() -> None:
    """As around the brain stem, where no cortex lies between."""
    tissue = ball(2.0)
    stem = tissue[:30]
    stem[stem == CORTEX] = WHITE
    found = ventricles(tissue, 0.008)
    assert found.any() and not found[:30].any()


def test_air_alone_has_no_volumes() -> None:
    empty = head_volumes(np.full((4, 4, 4), AIR, dtype=np.uint8))
    assert empty.brain == empty.ventricles == 0.0 and empty.conditions() == {}
