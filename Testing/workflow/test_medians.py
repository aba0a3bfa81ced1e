"""Tissue medians: in the units of the files, of tissues that are there, and a warning where no tissue is like that."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import acceptance_ranges, tissue_table
from PhysMRISynthLib.workflow.estimation.tissue_medians import implausible_medians, tissue_medians
from Testing.imaging.phantoms import grid

SHAPE = (8, 10, 12)
SPACING = (1.5, 2.0, 0.8)
"""x, y, z in mm: 2.4 mm³ a voxel."""
ROW = {tissue.name: row for row, tissue in enumerate(tissue_table())}
VALUES = {
    "white_matter": (0.7, 950.0, 74.0),
    "cortex": (0.82, 1500.0, 100.0),
    "deep_grey": (0.79, 1300.0, 84.0),
    "csf": (1.0, 4200.0, 2000.0),
    "muscle": (0.75, 1412.0, 45.0),
}
COUNTS = {"white_matter": 301, "cortex": 50, "deep_grey": 49, "csf": 101, "muscle": 200}
WITHOUT_BRAIN = 60
"""Voxels of white matter that lie outside the brain mask."""


def labels() -> tuple[np.ndarray, np.ndarray]:
    """Tissue and brain mask (z, y, x)."""
    tissue = np.full(np.prod(SHAPE), 255, dtype=np.uint8)
    brain = np.ones(tissue.size, dtype=bool)
    named = np.repeat([ROW[name] for name in COUNTS], list(COUNTS.values()))
    tissue[: named.size] = named
    tissue[-WITHOUT_BRAIN:], brain[-WITHOUT_BRAIN:] = ROW["white_matter"], False
    order = np.random.default_rng(0).permutation(tissue.size)
    return tissue[order].reshape(SHAPE), brain[order].reshape(SHAPE)


def hand_made(tissue: np.ndarray, brain: np.ndarray) -> TissueMaps:
    """Each tissue at its values, but for a third of its voxels, which are far off; SDs are 2, 3 and 5 % of the values."""
    maps = np.zeros((3, *SHAPE), dtype=np.float32)
    for name, values in VALUES.items():
        where = np.flatnonzero((tissue == ROW[name]) & brain)
        maps.reshape(3, -1)[:, where] = np.reshape(values, (3, 1))
        maps.reshape(3, -1)[:, where[::3]] *= 3.0
    sd = {name: maps[j] * np.float32(share) for j, (name, share) in enumerate({"PD": 0.02, "T1": 0.03, "T2": 0.05}.items())}
    return TissueMaps(maps[0], maps[1], maps[2], brain, grid(SHAPE[::-1], SPACING, np.eye(3)), sd)


def test_medians_and_their_sds_are_per_cent_and_milliseconds() -> None:
    tissue, brain = labels()
    found = tissue_medians(hand_made(tissue, brain), tissue, brain)
    for name, medians in found.items():
        pd, t1, t2 = VALUES[name]
        assert [medians[key] for key in ("PD", "T1", "T2")] == pytest.approx([100 * pd, t1, t2], abs=0.06)
        assert [medians[key] for key in ("PD_sd", "T1_sd", "T2_sd")] == pytest.approx([2 * pd, 0.03 * t1, 0.05 * t2], abs=0.006)


def test_only_brain_tissues_of_fifty_voxels_and_more_are_told() -> None:
    tissue, brain = labels()
    assert set(tissue_medians(hand_made(tissue, brain), tissue, brain)) == {"white_matter", "cortex", "csf"}


def test_volumes_are_millilitres_of_the_maps_own_voxels() -> None:
    tissue, brain = labels()
    found = tissue_medians(hand_made(tissue, brain), tissue, brain)
    for name, medians in found.items():
        assert medians["volume_ml"] == pytest.approx(COUNTS[name] * 2.4e-3, abs=0.06)
    assert found["white_matter"]["volume_ml"] == 0.7


def test_a_head_without_brain_has_no_medians() -> None:
    tissue, brain = labels()
    assert tissue_medians(hand_made(tissue, brain), tissue, np.zeros_like(brain)) == {}


# --- what is published ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tesla", (1.5, 3.0))
def test_medians_inside_the_published_ranges_are_no_news(tesla: float) -> None:
    ranges = acceptance_ranges(tesla)
    for end in (0, 1):
        assert implausible_medians({t: {name: r[end] for name, r in of.items()} for t, of in ranges.items()}, tesla) == []
    assert implausible_medians({"thalamus": {"PD": 1.0, "T1": 1.0, "T2": 1.0}}, tesla) == []  # nothing is published to compare with
    assert implausible_medians({}, tesla) == []


@pytest.mark.parametrize("side", (0.99, 1.01), ids=("below", "above"))
@pytest.mark.parametrize("tesla", (1.5, 3.0))
def test_a_median_outside_is_told_in_one_sentence(tesla: float, side: float) -> None:
    for tissue, ranges in acceptance_ranges(tesla).items():
        middle = {name: (low + high) / 2 for name, (low, high) in ranges.items()}
        for name, (low, high) in ranges.items():
            value = round(side * (low if side < 1 else high), 1)
            (told,) = implausible_medians({tissue: {**middle, name: value, f"{name}_sd": 1e9, "volume_ml": 0.0}}, tesla)
            unit = "% of water" if name == "PD" else "ms"
            assert told.startswith(f"{tissue.replace('_', ' ')} {name} of {value:g} {unit} ")
            assert f"{low:g} to {high:g}" in told
            assert told.endswith(".") and ". " not in told


def test_every_median_outside_is_told() -> None:
    told = implausible_medians({"white_matter": {"PD": 68.0, "T1": 2000.0, "T2": 20.0}, "csf": {"PD": 50.0}}, 3.0)
    assert [" ".join(sentence.split()[:3]) for sentence in told] == ["white matter T1", "white matter T2", "csf PD of"]
