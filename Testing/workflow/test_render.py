"""Rendering: the protocol's signal in every voxel of tissue, nothing in air."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from PhysMRISynthLib.workflow.rendering.render import render, render_arrays

SHAPE = (30, 40, 36)
FLAIR = Protocol.of("flair", L=150)


def _tissue(air: float = 0.0, shape: tuple[int, int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A ball of random tissue; in the ``air`` around it PD is 0 and T1 and T2 are ``air``."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in shape), indexing="ij", sparse=True)
    ball = sum(axis**2 for axis in axes) < 0.8
    bounds = ((0.6, 1.0, 0.0), (300.0, 4500.0, air), (30.0, 2000.0, air))
    return tuple(np.where(ball, rng.uniform(low, high, shape), outside).astype(np.float32) for low, high, outside in bounds)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize(("air", "shape"), [(0.0, SHAPE), (np.nan, SHAPE), (1000.0, SHAPE), (np.nan, (48, 80, 80))])
def test_tissue_shows_the_protocols_signal_and_air_nothing(name: str, air: float, shape: tuple[int, int, int]) -> None:
    """The last one is large enough for several threads."""
    protocol = Protocol.of(name)
    pd, t1, t2 = _tissue(air, shape)
    image = render_arrays(protocol, pd, t1, t2)
    inside = pd > 0
    assert image.dtype == np.float32
    assert (image[~inside] == 0).all()
    np.testing.assert_allclose(image[inside], protocol.signal(pd[inside], t1[inside], t2[inside]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(43200,), (1, 43200), (1080, 40), (3, 10, 40, 36)])
def test_any_shape_will_do(shape: tuple[int, ...]) -> None:
    maps = _tissue()
    image = render_arrays(FLAIR, *(m.reshape(shape) for m in maps))
    np.testing.assert_array_equal(image.reshape(SHAPE), render_arrays(FLAIR, *maps))


def test_the_given_array_is_filled_and_returned() -> None:
    maps = _tissue()
    out = np.full(SHAPE, 7.0, dtype=np.float32)
    assert render_arrays(FLAIR, *maps, out=out) is out
    np.testing.assert_array_equal(out, render_arrays(FLAIR, *maps))
    wide = np.full((*SHAPE[:2], 2 * SHAPE[2]), 7.0, dtype=np.float32)
    render_arrays(FLAIR, *maps, out=wide[..., ::2])
    np.testing.assert_array_equal(wide[..., ::2], out)
    assert (wide[..., 1::2] == 7.0).all()


def test_the_maps_are_left_as_they_were() -> None:
    maps = _tissue()
    render_arrays(FLAIR, *maps)
    for used, fresh in zip(maps, _tissue(), strict=True):
        np.testing.assert_array_equal(used, fresh)


def test_a_volume_of_air_is_dark_and_an_empty_one_empty() -> None:
    assert (render_arrays(FLAIR, *np.zeros((3, *SHAPE), dtype=np.float32)) == 0).all()
    assert render_arrays(FLAIR, *np.zeros((3, 0, 4, 4), dtype=np.float32)).shape == (0, 4, 4)


def _maps() -> TissueMaps:
    pd, t1, t2 = _tissue()
    return TissueMaps(pd, t1, t2, pd > 0, sitk.Image(*SHAPE[::-1], sitk.sitkUInt8))


def test_a_seed_repeats_its_noise() -> None:
    maps = _maps()
    first = render(maps, FLAIR, snr=20, seed=3)
    np.testing.assert_array_equal(first, render(maps, FLAIR, snr=20, seed=3))
    assert (first != render(maps, FLAIR, snr=20, seed=4)).any()
    np.testing.assert_array_equal(render(maps, FLAIR), render(maps, FLAIR, seed=9))


@pytest.mark.parametrize(("name", "scale"), [("flair", 1.0), ("tse", 1000.0), ("psir", 50.0)])
def test_noise_has_the_ratio_asked_for(name: str, scale: float) -> None:
    maps, protocol = _maps(), Protocol.of(name)
    clean = render(maps, protocol, scale=scale)
    noisy = render(maps, protocol, snr=25.0, scale=scale)
    bright = maps.mask & (np.abs(clean) > np.percentile(np.abs(clean[maps.mask]), 60))
    sd = (noisy - clean)[bright].std()
    assert np.abs(clean[maps.mask]).mean() / sd == pytest.approx(25.0, rel=0.05)
    assert (noisy.min() < 0) == protocol.sequence.signed


def test_scale_multiplies() -> None:
    maps = _maps()
    np.testing.assert_allclose(render(maps, FLAIR, scale=250.0), 250.0 * render(maps, FLAIR), rtol=1e-6)


def test_tissue_and_fluid_of_one_voxel_add_up_with_their_signs() -> None:
    """A FLAIR that nulls fluid shows the tissue's part alone; the voxel's mean T1 and T2 would show something else."""
    cortex, fluid, share = (0.82, 1500.0, 100.0), (1.0, 4200.0, 2000.0), np.linspace(0.0, 1.0, 11).astype(np.float32)
    own, water = (1.0 - share) * cortex[0], share * fluid[0]
    pd = own + water
    t1, t2 = (pd / (own / cortex[j] + water / fluid[j]) for j in (1, 2))
    arrays = [np.asarray(a, dtype=np.float32).reshape(1, 1, -1) for a in (pd, t1, t2)]
    grid = sitk.Image(11, 1, 1, sitk.sitkFloat32)
    maps = TissueMaps(*arrays, mask=arrays[0] > 0, grid=grid, fluid_fraction=share.reshape(1, 1, -1), fluid=fluid)
    for spec in ("flair,TR=9000,TE=90,TI=2800", "tse,TR=4500,TE=100", "psir,TR=6000,TI=500"):
        protocol = parse_protocol(spec)
        signed = [protocol.sequence.signal(1 / np.array(v[1]), 1 / np.array(v[2]), protocol.values) * v[0] for v in (cortex, fluid)]
        expected = (1.0 - share) * signed[0] + share * signed[1]
        if not protocol.sequence.signed:
            expected = np.abs(expected)
        np.testing.assert_allclose(render(maps, protocol).ravel(), expected, rtol=2e-3, atol=1e-4)
