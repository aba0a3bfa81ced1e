"""Live rendering: the same picture as the renderer's, whole or in part, and noise that stands still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError, ProtocolError
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from PhysMRISynthLib.workflow.rendering.live import LiveRenderer, Noise, Region
from PhysMRISynthLib.workflow.rendering.render import render

SHAPE = (30, 40, 36)
FLAIR, PSIR = Protocol.of("flair", L=150), Protocol.of("psir")
VIEWS = Region(((0, 12), (1, 0), (1, 1), (2, 35)), np.array([4, 25000, 43199, 4]))


def maps_of(air: float = 0.0, fluid: bool = False, shape: tuple[int, int, int] = SHAPE) -> TissueMaps:
    """A ball of random tissue; in the ``air`` around it PD is 0 and T1 and T2 are ``air``; ``fluid`` has a share in every voxel."""
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in shape), indexing="ij", sparse=True)
    ball = sum(axis**2 for axis in axes) < 0.8
    bounds = ((0.6, 1.0, 0.0), (300.0, 4500.0, air), (30.0, 2000.0, air))
    pd, t1, t2 = (np.where(ball, rng.uniform(low, high, shape), outside).astype(np.float32) for low, high, outside in bounds)
    maps = TissueMaps(pd, t1, t2, ball, sitk.Image(*shape[::-1], sitk.sitkUInt8))
    if not fluid:
        return maps
    share = np.where(ball, rng.uniform(0.0, 1.0, shape) ** 4, 0.0).astype(np.float32)
    return replace(maps, fluid_fraction=share, fluid=(1.0, 4300.0, 2000.0))


def canvas() -> np.ndarray:
    """An image full of an earlier one."""
    return np.full(SHAPE, 7.0, dtype=np.float32)


def whole(renderer: LiveRenderer, protocol: Protocol, noise: Noise | None = None, scale: float = 1.0) -> np.ndarray:
    out = canvas()
    renderer.render(protocol, out, noise, scale)
    return out


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("noise", [None, Noise(15.0, seed=3)], ids=["clean", "noisy"])
@pytest.mark.parametrize("fluid", [False, True], ids=["tissue", "tissue and fluid"])
def test_the_picture_is_the_renderers(name: str, noise: Noise | None, fluid: bool) -> None:
    maps, protocol = maps_of(np.nan, fluid), Protocol.of(name)
    expected = render(maps, protocol, *((noise.snr, noise.seed) if noise else ()), scale=50.0)
    np.testing.assert_allclose(whole(LiveRenderer(maps), protocol, noise, 50.0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("protocol", [FLAIR, PSIR], ids=lambda p: p.sequence.name)
@pytest.mark.parametrize("slab", [1000, 1 << 20], ids=["many slabs", "a slab"])
def test_a_large_head_in_pieces_is_the_same(protocol: Protocol, slab: int) -> None:
    """Large enough for several threads."""
    maps = maps_of(np.nan, fluid=True, shape=(60, 90, 150))
    expected = render(maps, protocol, 15.0, 3, scale=50.0)
    out = np.full(maps.pd.shape, 7.0, dtype=np.float32)
    LiveRenderer(maps, sample=maps.pd.size, slab=slab).render(protocol, out, Noise(15.0, seed=3), 50.0)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("protocol", [FLAIR, PSIR, Protocol.of("mp2rage")], ids=lambda p: p.sequence.name)
@pytest.mark.parametrize("noise", [None, Noise(15.0, seed=3)], ids=["clean", "noisy"])
@pytest.mark.parametrize("fluid", [False, True], ids=["tissue", "tissue and fluid"])
def test_a_region_gets_the_whole_pictures_values_and_the_rest_stays(protocol: Protocol, noise: Noise | None, fluid: bool) -> None:
    renderer, out = LiveRenderer(maps_of(fluid=fluid)), canvas()
    renderer.render_region(protocol, out, VIEWS, noise, 50.0)
    inside = np.zeros(SHAPE, dtype=bool)
    inside[12], inside[:, :2], inside[:, :, 35] = True, True, True
    inside.reshape(-1)[VIEWS.voxels] = True
    np.testing.assert_array_equal(out[inside], whole(renderer, protocol, noise, 50.0)[inside])
    assert (out[~inside] == 7.0).all()


def test_ratio_images_and_others_follow_each_other() -> None:
    """Ratio images are of the whole voxel's water, others of tissue and fluid apart."""
    maps = maps_of(fluid=True)
    renderer = LiveRenderer(maps)
    for name in ("flair", "mp2rage", "flair", "mp2rage"):
        protocol, out = Protocol.of(name), canvas()
        expected = render(maps, protocol, scale=50.0)
        renderer.render_region(protocol, out, VIEWS, None, 50.0)
        shown = VIEWS.indices(SHAPE)
        np.testing.assert_allclose(out.reshape(-1)[shown], expected.reshape(-1)[shown], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(whole(renderer, protocol, None, 50.0), expected, rtol=1e-5, atol=1e-5)


def test_another_region_is_seen_although_one_was_prepared() -> None:
    renderer = LiveRenderer(maps_of())
    expected = whole(renderer, FLAIR)
    for region in (Region(((0, 12),)), Region(((0, 13),)), Region(voxels=np.array([25000])), Region(voxels=np.array([25001]))):
        out = canvas()
        renderer.render_region(FLAIR, out, region)
        index = region.indices(SHAPE)
        np.testing.assert_array_equal(out.reshape(-1)[index], expected.reshape(-1)[index])
        assert (out != 7.0).sum() == index.size


def test_nothing_shown_is_nothing_done() -> None:
    out = canvas()
    LiveRenderer(maps_of()).render_region(FLAIR, out, Region(), Noise(20.0))
    assert (out == 7.0).all()


def test_noise_stands_still_while_a_slider_moves() -> None:
    renderer, longer = LiveRenderer(maps_of()), PSIR.changed("slider", TI=PSIR.values["TI"] + 200)
    noise = [whole(renderer, p, Noise(20.0, 5)) - whole(renderer, p) for p in (PSIR, longer)]
    assert np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1] == pytest.approx(1.0, abs=1e-5)
    other = whole(renderer, PSIR, Noise(20.0, 6)) - whole(renderer, PSIR)
    assert abs(np.corrcoef(noise[0].ravel(), other.ravel())[0, 1]) < 0.05
    np.testing.assert_array_equal(whole(renderer, PSIR, Noise(20.0, 5)) - whole(renderer, PSIR), noise[0])


def test_a_whole_picture_comes_in_steps() -> None:
    renderer, noise = LiveRenderer(maps_of(), slab=5000), Noise(20.0, 5)
    expected = render(maps_of(), FLAIR, noise.snr, noise.seed, scale=50.0)
    out = canvas()
    steps = renderer.steps(FLAIR, out, noise, 50.0)
    next(steps)
    assert not renderer.drawn(noise) and renderer.drawn(None) and (out == 7.0).all(), "drawing has steps of its own"
    assert sum(1 for _ in steps) == 2 * 43200 // 5000 + 43200 // 5000 + 1
    assert renderer.drawn(noise) and not renderer.drawn(Noise(20.0, 6))
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def test_noise_is_set_by_a_sample_that_speaks_for_the_head() -> None:
    maps = maps_of()
    exact = whole(LiveRenderer(maps), PSIR, Noise(20.0)) - whole(LiveRenderer(maps), PSIR)
    sampled = LiveRenderer(maps, sample=3000)
    noise = whole(sampled, PSIR, Noise(20.0)) - whole(sampled, PSIR)
    assert noise.std() != exact.std() and noise.std() == pytest.approx(exact.std(), rel=0.03)


@pytest.mark.parametrize("broken", [0.0, -5.0, np.nan])
@pytest.mark.parametrize("name", ["t1", "t2"])
def test_a_voxel_without_a_relaxation_time_is_dark(name: str, broken: float) -> None:
    maps = maps_of()
    getattr(maps, name)[15, 20, 18] = broken
    image = whole(LiveRenderer(maps), FLAIR)
    assert image[15, 20, 18] == 0.0
    assert np.isfinite(image).all()


def test_maps_without_a_head_are_dark_and_have_no_signal_to_compare_noise_with() -> None:
    none = np.zeros(SHAPE, dtype=np.float32)
    renderer = LiveRenderer(TissueMaps(none, none, none, none > 0, sitk.Image(*SHAPE[::-1], sitk.sitkUInt8)))
    assert (whole(renderer, FLAIR) == 0).all()
    with pytest.raises(ProtocolError, match="no signal"):
        whole(renderer, FLAIR, Noise(20.0))


@pytest.mark.parametrize("out", [np.zeros(SHAPE), np.zeros(SHAPE[::-1], np.float32), np.zeros((*SHAPE[:2], 72), np.float32)[..., ::2]])
def test_an_image_that_cannot_be_filled_in_place_is_refused(out: np.ndarray) -> None:
    renderer = LiveRenderer(maps_of())
    for attempt in (lambda: renderer.render(FLAIR, out), lambda: renderer.render_region(FLAIR, out, VIEWS)):
        with pytest.raises(ImageError, match="output volume"):
            attempt()
    assert (out == 0).all()


@pytest.mark.parametrize("region", [Region(((0, 30),)), Region(((0, -1),)), Region(((3, 0),)), Region(voxels=np.array([30 * 40 * 36]))])
def test_a_region_beyond_the_volume_is_refused(region: Region) -> None:
    out = canvas()
    with pytest.raises(ImageError, match="Show the volume again"):
        LiveRenderer(maps_of()).render_region(FLAIR, out, region)
    assert (out == 7.0).all()
