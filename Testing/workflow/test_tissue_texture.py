"""Texture of synthetic heads: as strong and as wide in T1w images as measured in people, within its tissue, at its place in the brain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement, atlas_on_grid
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.resource_files import RESOURCES
from PhysMRISynthLib.workflow.sampling.place_texture import with_place_texture
from PhysMRISynthLib.workflow.tissue_values import TissueValues, literature_values, maps_of

pytestmark = pytest.mark.usefixtures("one_thread")

TABLE = tissue_table()
NAMES = [tissue.name for tissue in TABLE]
T1W = protocol_from_spec("mprage,TR=2400,TI=1000,TE=3.16,FA=8,ESP=7.6,N=176")
MEASURED = ("white_matter", "deep_grey", "thalamus")
FOUND = json.loads((RESOURCES / "texture.json").read_text(encoding="utf-8"))
SHAPE = (64, 80, 72)
CORNER = (-40.0, -40.0, -50.0)
PLACED = AtlasPlacement(sitk.AffineTransform(np.eye(3).ravel().tolist(), CORNER), False, 1.0)
"""A head's corner is there in the atlas's space (mm)."""


def textured() -> TissueValues:
    """Literature values with the table's spread within a tissue."""
    return replace(literature_values(3.0), within=np.stack([*(tissue.within_head for tissue in TABLE), (0.05, 0.12, 0.2)]))


def filled(name: str, shape: Sequence[int] = SHAPE) -> np.ndarray:
    fractions = np.zeros((len(NAMES) + 1, *shape), dtype=np.float32)
    fractions[NAMES.index(name)] = 1.0
    return fractions


def logs(maps: TissueMaps) -> np.ndarray:
    """Log T1w signal, PD, T1 and T2: (4, z, y, x)."""
    return np.log([T1W.signal(maps.pd, maps.t1, maps.t2), maps.pd, maps.t1, maps.t2])


@cache
def block(name: str) -> np.ndarray:
    """The logarithms in blocks of one tissue: (4, blocks, z, y, x)."""
    return np.stack([logs(maps_of(filled(name), textured(), np.random.default_rng(seed))) for seed in range(2)], axis=1)


@pytest.mark.parametrize("name", MEASURED)
def test_t1w_images_vary_as_measured_and_the_rest_as_in_the_table(name: str) -> None:
    signal, *values = block(name).reshape(4, -1).std(axis=1)
    assert 100.0 * signal == pytest.approx(FOUND["tissues"][name]["rest_sd"], rel=0.12)
    pd, t1, t2 = (sd / within for sd, within in zip(values, TABLE[NAMES.index(name)].within_head, strict=True))
    assert 0.9 < pd < 1.1 and 0.4 < t1 < 1.05 and 0.9 < t2 < 1.1


@pytest.mark.parametrize("name", MEASURED)
def test_texture_is_as_wide_as_measured(name: str) -> None:
    signal = block(name)[0] - block(name)[0].mean(axis=(1, 2, 3), keepdims=True)
    shares, widths = FOUND["tissues"][name]["shares"], FOUND["widths_mm"]
    for lag in (1, 2, 4, 6, 9, 12):
        pairs = [np.mean(signal[:, lag:] * signal[:, :-lag]), np.mean(signal[..., lag:] * signal[..., :-lag])]
        stated = sum(share * 4.0 ** -((lag / width) ** 2) for share, width in zip(shares, widths, strict=True))
        assert np.mean(pairs) / signal.var() == pytest.approx(stated, abs=0.08), lag


@pytest.mark.parametrize("name", [*MEASURED, "cortex", "fat"])
def test_the_means_of_tissues_stay(name: str) -> None:
    found = [logs(maps_of(filled(name, (40, 40, 40)), textured(), np.random.default_rng(seed)))[1:] for seed in range(8)]
    tissue = TABLE[NAMES.index(name)]
    np.testing.assert_array_less(np.abs(np.mean(found, axis=(0, 2, 3, 4)) - tissue.theta), 0.25 * tissue.within_head)


def test_the_same_seed_gives_the_same_maps() -> None:
    one, again, other = (maps_of(halves(), textured(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal([one.pd, one.t1, one.t2], [again.pd, again.t1, again.t2])
    assert np.abs(one.t1 - other.t1).max() > 10.0


def halves() -> np.ndarray:
    """White matter beside cortex, in air."""
    fractions = filled("air", (40, 40, 40))
    fractions[:, 8:32, 8:32, 8:32] = 0.0
    fractions[NAMES.index("white_matter"), 8:32, 8:32, 8:20] = fractions[NAMES.index("cortex"), 8:32, 8:32, 20:32] = 1.0
    return fractions


def test_texture_stays_in_its_tissue_and_out_of_the_air() -> None:
    fractions, usual = halves(), textured()
    strong = replace(usual, within=np.where(np.arange(len(NAMES) + 1)[:, None] == NAMES.index("white_matter"), 3.0, 1.0) * usual.within)
    one, other = (maps_of(fractions, values, np.random.default_rng(0)) for values in (usual, strong))
    white, cortex, air = (fractions[NAMES.index(name)] == 1.0 for name in ("white_matter", "cortex", "air"))
    for before, after in ((one.pd, other.pd), (one.t1, other.t1), (one.t2, other.t2)):
        np.testing.assert_array_equal(before[cortex], after[cortex])
        assert np.log(after[white]).std() > 2.0 * np.log(before[white]).std() and (after[air] == 0.0).all()


# --- what people share at a place ---------------------------------------------------------------------------------------------------


@cache
def brain() -> tuple[np.ndarray, TissueMaps, TissueMaps]:
    """The middle of the atlas, each voxel the likeliest tissue: fractions, maps without texture, and with that of the place."""
    grid = sitk.Image(81, 81, 71, sitk.sitkFloat32)
    likeliest = atlas_on_grid(PLACED, grid, np.arange(grid.GetNumberOfPixels())).argmax(axis=0)
    fractions = np.eye(len(NAMES) + 1, dtype=np.float32)[likeliest].T.reshape(-1, *grid.GetSize()[::-1])
    plain = maps_of(fractions, literature_values(3.0), np.random.default_rng(0))
    return fractions, plain, with_place_texture(plain, fractions, PLACED)


def changes() -> np.ndarray:
    """Of the logarithms where there is a head: (4, z, y, x)."""
    _fractions, plain, found = brain()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(plain.mask, logs(found) - logs(plain), 0.0)


def near(values: np.ndarray, *places: tuple[int, int, int]) -> float:
    """Mean of ``values`` about places (mm to the right, front and top) and their mirror images."""
    found = []
    for right, front, up in places:
        for side in (-right, right):
            x, y, z = (round(at - corner) for at, corner in zip((side, -front, up), CORNER, strict=True))
            found.append(values[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2].mean())
    return float(np.mean(found))


def test_thalamus_is_brighter_at_its_side_and_the_corticospinal_tract_darker() -> None:
    signal, _pd, t1, _t2 = changes()
    side, middle = (16, -22, 8), (6, -18, 8)
    assert near(signal, side) > near(signal, middle) + 0.04
    assert near(t1, side) < near(t1, middle) - 0.04
    tract, before = (24, -20, 20), (20, 16, 20)
    assert near(signal, tract) < near(signal, before)


def test_the_images_change_by_what_was_measured_at_the_place() -> None:
    fractions, plain, _found = brain()
    stored = sitk.ReadImage(str(RESOURCES / "texture.nii.gz"), sitk.sitkVectorFloat32)
    grid = sitk.GetImageFromArray(plain.pd)
    for component, name in enumerate(MEASURED):
        placed = sitk.Resample(sitk.VectorIndexSelectionCast(stored, component), grid, PLACED.to_atlas, sitk.sitkLinear, 0.0)
        inside = (fractions[NAMES.index(name)] == 1.0) & plain.mask
        expected = 0.002 * sitk.GetArrayFromImage(placed)[inside]
        assert expected.std() > 0.003
        np.testing.assert_allclose(changes()[0][inside], expected - expected.mean(), atol=0.01)


def test_a_place_leaves_the_means_of_tissues_and_other_tissues_as_they_are() -> None:
    fractions, plain, _found = brain()
    found = changes()
    others = plain.mask.copy()
    for name in MEASURED:
        inside = (fractions[NAMES.index(name)] == 1.0) & plain.mask
        np.testing.assert_allclose(found[1:, inside].mean(axis=1, dtype=float), 0.0, atol=1e-4)
        others &= ~inside
    assert others.any() and not found[:, others].any()


def test_a_head_without_these_tissues_has_no_place_texture() -> None:
    fat: Any = maps_of(filled("fat", (12, 12, 12)), literature_values(3.0), np.random.default_rng(0))
    np.testing.assert_array_equal(with_place_texture(fat, filled("fat", (12, 12, 12)), PLACED).t1, fat.t1)
