"""From tissue values to images: the equation's own values, then what a scanner does to them, each within its bounds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from physmrisynth_training.simulator.anatomy import AIR, LESION, TISSUES
from physmrisynth_training.simulator.drawn_protocols import random_protocol
from physmrisynth_training.simulator.fast_resampling import blurred, moved, rotation
from physmrisynth_training.simulator.scanner import (
    ROLES,
    Acquire,
    Digitise,
    Misregister,
    ReceiveField,
    ScaleIntensity,
    StripSkull,
    SuppressFat,
    TransmitField,
    normalised,
)
from physmrisynth_training.simulator.simulated_head import Chain, Sample, Transform
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.training.heads import toy_head

TISSUE = toy_head((28, 32, 30)).tissue
SHAPE = TISSUE.shape
CHAIN = Chain((TransmitField(), Acquire(), SuppressFat(), Misregister(), StripSkull(), Digitise(), ReceiveField(), ScaleIntensity()))


def scanned(transform: Transform, seed: int = 0, images: dict[str, np.ndarray] | None = None) -> Sample:
    """What a transform makes of the toy head with literature values (3 T) and, when given, images."""
    theta = np.stack([tissue.theta for tissue in tissue_table()]).astype(np.float32)[TISSUE]
    sample = Sample(TISSUE.copy(), np.ascontiguousarray(theta.transpose(3, 0, 1, 2)), images=dict(images or {}))
    return transform(sample, np.random.default_rng(seed))


def pictures() -> dict[str, np.ndarray]:
    """An image without noise for each role: scaled bodies that differ."""
    image = blurred(np.float32([0.7, 1.0, 0.9, 0.8, 0.3, 0.5, 0.4, 0.6, 0.9, 0.5, 0.01, 0.0])[TISSUE], (0.7, 0.7, 0.7))
    return {role: image * np.float32(gain) for role, gain in zip(ROLES, (1.0, 30.0, 500.0), strict=True)}


# --- protocols ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1.5, 3.0])
@pytest.mark.parametrize("role", ROLES)
def test_random_protocols_are_possible_and_many(role: str, strength: float) -> None:
    theta = np.exp(np.stack([tissue.theta for tissue in tissue_table(strength)], axis=1))
    protocols = [random_protocol(role, strength, np.random.default_rng(seed)) for seed in range(300)]
    for protocol in protocols:
        protocol.sequence.validate(protocol.values)  # raises
        signal = protocol.signal(*theta)
        assert np.isfinite(signal).all() and signal.min() >= 0 and signal.max() > 0.005
    assert len({protocol.spec for protocol in protocols}) == 300
    assert len({protocol.sequence.name for protocol in protocols}) == {"t1w": 5, "t2w": 2, "flair": 1}[role]


@pytest.mark.parametrize("strength", [1.5, 3.0])
def test_flair_nulls_fluid_and_the_others_have_their_contrast(strength: float) -> None:
    table = {tissue.name: np.exp(tissue.theta) for tissue in tissue_table(strength)}

    def median_ratio(role: str, one: str, other: str) -> float:
        protocols = [random_protocol(role, strength, np.random.default_rng(seed)) for seed in range(300)]
        return float(np.median([p.signal(*table[one]) / p.signal(*table[other]) for p in protocols]))

    assert median_ratio("flair", "csf", "cortex") < 0.3
    assert median_ratio("t1w", "white_matter", "cortex") > 1.1
    assert median_ratio("t1w", "csf", "white_matter") < 0.6
    assert median_ratio("t2w", "csf", "white_matter") > 2.0


def test_protocols_are_seeded() -> None:
    assert random_protocol("t1w", 3.0, np.random.default_rng(4)).spec == random_protocol("t1w", 3.0, np.random.default_rng(4)).spec


# --- images of the equation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_images_are_the_equations(seed: int) -> None:
    sample = scanned(Acquire(), seed)
    assert sample.theta is not None and tuple(sample.images) == tuple(sample.protocols) == ROLES
    for role in ROLES:
        expected = sample.protocols[role].signal(*np.exp(sample.theta), 1.0)
        np.testing.assert_allclose(sample.images[role], expected, rtol=2e-6, atol=1e-7)  # flip angles are rounded to float32
        assert sample.images[role].dtype == np.float32
        assert sample.record["Acquire"][role] == sample.protocols[role].spec


def test_the_transmit_field_scales_flip_angles() -> None:
    sample = scanned(Chain((TransmitField(0.2), Acquire(("t1w",)))))
    assert sample.b1 is not None and sample.theta is not None
    assert np.abs(np.log(sample.b1)).max() == pytest.approx(sample.record["TransmitField"]["amplitude"], abs=1e-4)
    assert 0.0 < sample.record["TransmitField"]["amplitude"] <= 0.2
    np.testing.assert_array_equal(sample.images["t1w"], sample.protocols["t1w"].signal(*np.exp(sample.theta), sample.b1))
    assert sample.protocols["t1w"].sequence.name in ("mprage", "spgr"), "take another seed"
    assert not np.allclose(sample.images["t1w"], sample.protocols["t1w"].signal(*np.exp(sample.theta), 1.0), rtol=1e-3)


def test_there_are_no_images_without_tissue_values() -> None:
    with pytest.raises(ValueError, match="DrawTissueValues"):
        Acquire()(Sample(TISSUE), np.random.default_rng(0))


def test_suppressed_fat_is_dark_by_the_share_recorded_and_nothing_else_changes() -> None:
    before = pictures()
    sample = scanned(SuppressFat(probability=1.0), 3, before)
    fatty = np.isin(TISSUE, [TISSUES.index("fat"), TISSUES.index("marrow")])
    assert fatty.any()
    for role, share in sample.record["SuppressFat"].items():
        assert 0.05 <= share <= 0.6
        np.testing.assert_allclose(sample.images[role][fatty], share * before[role][fatty], rtol=1e-5)
        np.testing.assert_array_equal(sample.images[role][~fatty], before[role][~fatty])
    assert set(sample.record["SuppressFat"]) == set(ROLES)
    assert "SuppressFat" not in scanned(SuppressFat(probability=0.0), 3, before).record


# --- geometry -------------------------------------------------------------------------------------------------------------------


def test_every_image_but_the_first_may_move_as_recorded() -> None:
    before = pictures()
    sample = scanned(Misregister(probability=1.0), 2, before)
    np.testing.assert_array_equal(sample.images["t1w"], before["t1w"])
    note = sample.record["Misregister"]
    assert set(note) == {"t2w", "flair"}
    for role, motion in note.items():
        assert 0 < np.abs(motion["shift_mm"]).max() <= 0.7 and 0 < np.degrees(np.abs(motion["angles"])).max() <= 0.7
        np.testing.assert_allclose(sample.images[role], moved(before[role], rotation(motion["angles"]), motion["shift_mm"]), rtol=1e-5)
        assert not np.allclose(sample.images[role], before[role], rtol=1e-3)
    assert "Misregister" not in scanned(Misregister(probability=0.0), 2, before).record


@pytest.mark.parametrize("seed", range(4))
def test_stripping_keeps_the_brain_and_clears_what_is_far_from_it(seed: int) -> None:
    ball = sum((axis - (n - 1) / 2) ** 2 for axis, n in zip(np.indices(SHAPE), SHAPE, strict=True))
    tissue = np.where(ball < 8**2, np.uint8(0), np.uint8(TISSUES.index("fat")))
    tissue[13:16, 15:18, 13:16] = LESION
    image = np.random.default_rng(seed).uniform(1.0, 2.0, SHAPE).astype(np.float32)
    sample = StripSkull(probability=1.0)(Sample(tissue.copy(), images={"t1w": image}), np.random.default_rng(seed))
    deep, far = ball < 5**2, ball > 11**2
    assert sample.record["StripSkull"]["stripped"]
    np.testing.assert_array_equal(sample.images["t1w"][deep], image[deep])
    np.testing.assert_array_equal(sample.tissue[deep], tissue[deep])
    assert (sample.images["t1w"][far] == 0).all() and (sample.tissue[far] == AIR).all()
    assert ((sample.images["t1w"] == 0) == (sample.tissue == AIR)).all()


def test_most_heads_keep_their_skull() -> None:
    samples = [scanned(StripSkull(), seed, {"t1w": np.ones(SHAPE, np.float32)}) for seed in range(100)]
    stripped = [sample.record["StripSkull"]["stripped"] for sample in samples]
    assert 10 < sum(stripped) < 40
    assert all((sample.images["t1w"] == 1).all() != gone for sample, gone in zip(samples, stripped, strict=True))


# --- voxels and noise -----------------------------------------------------------------------------------------------------------


def test_voxels_of_1_mm_without_noise_are_a_blurred_image() -> None:
    same = 0
    for seed in range(6):
        before = pictures()
        sample = scanned(Digitise(thickest_mm=1.5, widest_mm=1.0, noise=(1e-9, 1e-9)), seed, before)
        for role, image in sample.images.items():
            note = sample.record["Digitise"][role]
            expected = blurred(before[role], 0.45 * np.maximum(note["voxel_mm"], 1.0))
            top = expected.max()
            if max(note["voxel_mm"]) <= 1.0:
                same += 1
                np.testing.assert_allclose(image, expected, atol=1e-6 * top)
            else:
                assert np.sqrt(np.mean((image - expected) ** 2)) < 0.05 * top
            assert note["noise"] == pytest.approx(1e-9)
    assert 3 < same < 15


@pytest.mark.parametrize("level", [0.01, 0.1])
def test_noise_has_the_share_of_the_bright_that_was_asked_for(level: float) -> None:
    flat = {"t1w": np.full((24, 24, 24), 50.0, np.float32)}
    sample = scanned(Digitise(1.5, 1.0, noise=(level, level)), 1, flat)  # this seed has voxels below 1 mm
    assert max(sample.record["Digitise"]["t1w"]["voxel_mm"]) <= 1.0
    assert sample.images["t1w"].std() == pytest.approx(50.0 * level, rel=0.05)


@pytest.mark.parametrize("image", [np.zeros(SHAPE), np.full(SHAPE, 1e-12), 1e6 * (TISSUE == 0)], ids=["empty", "faint", "bright"])
def test_no_image_becomes_nan_or_negative(image: np.ndarray) -> None:
    steps = Chain((Digitise(), ReceiveField(), ScaleIntensity()))
    for seed in range(5):
        result = scanned(steps, seed, {"t1w": image.astype(np.float32)}).images["t1w"]
        assert np.isfinite(result).all() and result.min() >= 0 and result.shape == SHAPE


def test_slices_are_coarse_along_one_axis() -> None:
    """In half of the images one axis is left with less detail than the others."""
    noise = {role: np.random.default_rng(1).uniform(0.5, 1.5, SHAPE).astype(np.float32) for role in ROLES}
    thick = 0
    for seed in range(8):
        sample = scanned(Digitise(noise=(1e-9, 1e-9)), seed, noise)
        for role, image in sample.images.items():
            size = sample.record["Digitise"][role]["voxel_mm"]
            if max(size) > 2.0:
                thick += 1
                detail = [np.abs(np.diff(image, axis=axis)).mean() for axis in range(3)]
                assert np.argmin(detail) == np.argmax(size)
    assert 4 < thick < 18


# --- fields and scale -----------------------------------------------------------------------------------------------------------


def test_receive_fields_are_positive_and_bounded() -> None:
    amplitudes = []
    for seed in range(10):
        before = pictures()
        sample = scanned(ReceiveField(0.4), seed, before)
        for role in ROLES:
            bright = before[role] > 0.1 * before[role].max()
            field = np.log(sample.images[role][bright] / before[role][bright])
            amplitude = sample.record["ReceiveField"][role]
            assert np.abs(field).max() <= amplitude + 1e-4 <= 0.4 + 1e-4
            amplitudes.append(amplitude)
    assert min(amplitudes) < 0.1 and max(amplitudes) > 0.3


@pytest.mark.parametrize("gain", [1e-3, 7.0, 5e3])
def test_the_scale_of_an_image_does_not_matter(gain: float) -> None:
    for image in pictures().values():
        np.testing.assert_allclose(normalised(np.float32(gain) * image), normalised(image), rtol=1e-5)


def test_the_brightest_of_the_foreground_is_about_1() -> None:
    image = pictures()["flair"]
    result = normalised(image)
    assert result.dtype == np.float32 and result.max() == pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(result * (image.max() / result.max()), image, rtol=1e-4, atol=1e-4)
    empty = normalised(np.zeros(SHAPE, np.float32))
    assert (empty == 0).all()


def test_air_around_a_head_does_not_change_its_scale() -> None:
    image = pictures()["t1w"]
    with_air = np.pad(image, 12)
    np.testing.assert_allclose(normalised(with_air)[12:-12, 12:-12, 12:-12], normalised(image), rtol=0.02)


def test_scaling_is_off_by_the_factor_recorded() -> None:
    factors = []
    for seed in range(30):
        sample = scanned(ScaleIntensity(0.12), seed, pictures())
        for role, image in pictures().items():
            factors.append(sample.record["ScaleIntensity"][role])
            np.testing.assert_allclose(sample.images[role], factors[-1] * normalised(image), rtol=1e-5)
    assert np.std(np.log(factors)) == pytest.approx(0.12, rel=0.25)


# --- the whole ------------------------------------------------------------------------------------------------------------------


def test_the_whole_chain_is_seeded_and_recorded() -> None:
    first, again, other = (scanned(CHAIN, seed) for seed in (1, 1, 2))
    assert tuple(first.images) == ROLES
    for role in ROLES:
        np.testing.assert_array_equal(first.images[role], again.images[role])
        assert not np.allclose(first.images[role], other.images[role], atol=0.02)
    assert first.record == again.record != other.record
    assert json.loads(json.dumps(first.record)) == first.record
    assert set(first.record) <= {type(step).__name__ for step in CHAIN.steps} and len(first.record) >= 6


def test_images_stay_finite_and_not_negative() -> None:
    for seed in range(15):
        for image in scanned(CHAIN, seed).images.values():
            assert image.dtype == np.float32 and image.shape == SHAPE
            assert np.isfinite(image).all() and image.min() >= 0 and 0.5 < image.max() < 5.0
