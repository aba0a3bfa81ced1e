"""From label maps to tissue values: what may change, by how much, and that a seed and a record say it all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from physmrisynth_training.simulator.anatomy import (
    AIR,
    BRAIN,
    LESION,
    AddLesions,
    DrawTissueValues,
    LabelledHead,
    PlaceHead,
    SplitTissues,
    find_label_maps,
    read_labelled_head,
)
from physmrisynth_training.simulator.labels import CHOROID_PLEXUS, LESIONS, VENTRICLES, tissue_index
from physmrisynth_training.simulator.simulated_head import Sample, Transform
from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.training.heads import CORTEX, CSF, FAT, MUSCLE, WHITE, bands, toy_head, toy_labels, write_label_map

HEAD = toy_head()
STILL = {"turn_degrees": 0.0, "scale": 0.0, "shear": 0.0, "warps": ((20.0, 0.0),)}
PATIENT = np.indices((30, 34, 28)).sum(axis=0) % 11 < 5
TRANSFORMS: dict[str, Transform] = {
    "place": PlaceHead(HEAD, (24, 20, 28)),
    "blobs": AddLesions(probability=1.0),
    "patient": AddLesions((PATIENT,), probability=1.0),
    "split": SplitTissues(),
    "values": DrawTissueValues(),
}
each_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)


def applied(transform: Transform, seed: int, tissue: np.ndarray = HEAD.tissue) -> Sample:
    return transform(Sample(tissue.copy()), np.random.default_rng(seed))


# --- seeds and records ----------------------------------------------------------------------------------------------------------


@each_transform
def test_a_seed_says_it_all(transform: Transform) -> None:
    first, again, other = (applied(transform, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.tissue, again.tissue)
    assert first.record == again.record != other.record
    if first.theta is None:
        assert not np.array_equal(first.tissue, other.tissue)
    else:
        assert again.theta is not None and other.theta is not None
        np.testing.assert_array_equal(first.theta, again.theta)
        assert not np.allclose(first.theta, other.theta, atol=0.01)


@each_transform
def test_parameters_are_recorded_under_the_class_name(transform: Transform) -> None:
    record = applied(transform, 3).record
    assert set(record) == {type(transform).__name__} and record[type(transform).__name__]
    assert json.loads(json.dumps(record)) == record


# --- placing --------------------------------------------------------------------------------------------------------------------


def cut_out(tissue: np.ndarray, centre: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The piece of ``shape`` whose middle is nearest to ``centre``, with air around the map."""
    first = np.rint(centre - (np.array(shape) - 1) / 2.0).astype(int)
    padded = np.pad(tissue, 64, constant_values=AIR)
    return padded[tuple(slice(a + 64, a + 64 + n) for a, n in zip(first, shape, strict=True))]


@pytest.mark.parametrize("shape", [(24, 20, 28), (17, 60, 9)])
def test_a_head_that_is_not_changed_is_the_label_map_or_its_mirror_image(shape: tuple[int, int, int]) -> None:
    seen = set()
    for seed in range(16):
        sample = applied(PlaceHead(HEAD, shape, elsewhere=0.4, **STILL), seed)
        note = sample.record["PlaceHead"]
        centre, middle = np.array(note["centre"]), sum(box[2] for box in HEAD.brain_box)
        seen.add((note["mirror"], note["anywhere"]))
        if note["mirror"]:
            expected = cut_out(HEAD.tissue, np.array([*centre[:2], middle - centre[2]]), shape)[..., ::-1]
        else:
            expected = cut_out(HEAD.tissue, centre, shape)
        np.testing.assert_array_equal(sample.tissue, expected)
        assert sample.tissue.dtype == np.uint8 and note["head"] == "toy"
    assert len(seen) == 4, "both sides, in the brain and anywhere"


def test_outside_the_label_map_is_air() -> None:
    solid = LabelledHead("solid", np.full((20, 22, 24), MUSCLE, np.uint8), (np.array([9, 10, 11]), np.array([12, 13, 14])))
    for seed in range(4):
        tissue = applied(PlaceHead(solid, (60, 60, 60), **STILL), seed).tissue
        assert set(np.unique(tissue)) == {AIR, MUSCLE}
        assert (tissue == MUSCLE).sum() == solid.tissue.size


def test_turned_scaled_and_sheared_heads_have_the_volume_that_their_matrix_says() -> None:
    for seed in range(4):
        sample = applied(PlaceHead(HEAD, (72, 72, 72), turn_degrees=30.0, scale=0.2, warps=((20.0, 0.5),)), seed)
        matrix = np.array(sample.record["PlaceHead"]["matrix"])
        expected = (HEAD.tissue != AIR).sum() / np.linalg.det(matrix)
        assert (sample.tissue != AIR).sum() == pytest.approx(expected, rel=0.05)


def test_warps_bend_by_about_their_sd() -> None:
    """A border that was plane is found at places that scatter as the displacement does."""
    half = LabelledHead("half", np.full((80, 80, 80), AIR, np.uint8), (np.array([30, 30, 30]), np.array([50, 50, 50])))
    half.tissue[:40] = MUSCLE
    heights = [
        (applied(PlaceHead(half, (40, 40, 40), **{**STILL, "warps": ((10.0, 2.0),), "elsewhere": 0.0}), seed).tissue == MUSCLE).sum(axis=0)
        for seed in range(6)
    ]
    assert 1.2 < np.mean([h.std() for h in heights]) < 2.6


# --- lesions --------------------------------------------------------------------------------------------------------------------


ODD = (np.ones((3, 4, 5), bool), np.ones((90, 90, 90), bool))


@pytest.mark.parametrize("masks", [(), (PATIENT,), ODD], ids=["blobs", "one mask", "odd sizes"])
def test_lesions_take_white_matter_only(masks: tuple[np.ndarray, ...]) -> None:
    kinds, voxels = set(), 0
    for seed in range(12):
        sample = applied(AddLesions(masks, probability=1.0), seed)
        changed = sample.tissue != HEAD.tissue
        assert (sample.tissue[changed] == LESION).all() and (HEAD.tissue[changed] == WHITE).all()
        assert sample.tissue.dtype == np.uint8
        note = sample.record["AddLesions"]
        assert note["voxels"] == changed.sum()
        kinds.add(note["kind"])
        voxels += note["voxels"]
    assert voxels > 100
    assert kinds == ({"blobs", "patient"} if masks else {"blobs"})


def test_lesions_come_as_often_as_asked() -> None:
    kinds = [applied(AddLesions(probability=0.3), seed).record["AddLesions"]["kind"] for seed in range(200)]
    assert 0.6 < kinds.count("none") / 200 < 0.8
    assert applied(AddLesions(probability=1.0), 0, np.full((8, 8, 8), CORTEX, np.uint8)).record["AddLesions"]["voxels"] == 0


# --- several tissues in one label -----------------------------------------------------------------------------------------------


def test_splitting_touches_muscle_and_fat_only() -> None:
    before = bands(6, 24)
    errors = []
    for seed in range(12):
        sample = applied(SplitTissues(), seed, before)
        soft = (before == MUSCLE) | (before == FAT)
        np.testing.assert_array_equal(sample.tissue[~soft], before[~soft])
        assert set(np.unique(sample.tissue[soft])) <= {MUSCLE, FAT}
        note = sample.record["SplitTissues"]
        errors += [(sample.tissue[before == MUSCLE] == FAT).mean() - note["fat_in_muscle"]]
        errors += [(sample.tissue[before == FAT] == MUSCLE).mean() - note["skin_in_fat"]]
    assert abs(np.mean(errors)) < 0.05 and np.abs(errors).max() < 0.35


def test_no_share_splits_next_to_nothing() -> None:
    before = bands(6, 24)
    assert (applied(SplitTissues(0.0, 0.0), 1, before).tissue != before).mean() < 0.005


# --- tissue values --------------------------------------------------------------------------------------------------------------


def within_head() -> np.ndarray:
    """Table's spread inside one head, (tissues, 3)."""
    return np.stack([tissue.within_head for tissue in tissue_table()])


def test_values_scatter_around_those_recorded_by_the_tables_spread() -> None:
    tissue = bands(4, 24)
    known = tissue != LESION
    ratios, together = [], []
    for seed in range(20):
        sample = applied(DrawTissueValues(), seed, tissue)
        note = sample.record["DrawTissueValues"]
        assert sample.theta is not None and sample.theta.dtype == np.float32 and sample.field_strength == note["field_strength"]
        centre = np.array(note["theta"])[tissue].transpose(3, 0, 1, 2)
        texture = (sample.theta - centre)[:, known] / within_head()[tissue[known]].T
        expected = np.hypot(note["coarse"], note["fine"])
        assert np.abs(texture).max() < 6.0 * expected
        ratios.append((texture[1:] ** 2).mean(axis=1) / expected**2)  # T1 and T2: PD has a limit
        together.append((texture[1] * texture[2]).mean() / expected**2)
    np.testing.assert_allclose(np.mean(ratios, axis=0), 1.0, atol=0.2)
    assert 0.3 < np.mean(together) < 0.8, "the properties rise and fall together, but not by the same"


def test_there_is_never_much_more_water_than_in_water() -> None:
    highest = []
    for seed in range(20):
        theta = applied(DrawTissueValues(), seed, bands(2, 8)).theta
        assert theta is not None and np.isfinite(theta).all()
        highest.append(np.exp(theta[0]).max())
    assert 1.0 < max(highest) <= 1.1 * (1 + 1e-6)


def drawn_heads(count: int = 150, **options: object) -> tuple[np.ndarray, np.ndarray]:
    """Recorded θ of many heads (count, classes, 3) and their field strengths."""
    tiny = np.zeros((4, 4, 4), dtype=np.uint8)
    notes = [applied(DrawTissueValues(**options), seed, tiny).record["DrawTissueValues"] for seed in range(count)]
    return np.array([n["theta"] for n in notes]), np.array([n["field_strength"] for n in notes])


@pytest.mark.parametrize("strength", [1.5, 3.0])
def test_heads_scatter_around_the_table_more_widely_than_it_says(strength: float) -> None:
    theta, strengths = drawn_heads(field_strengths=(strength,), between=2.0)
    assert (strengths == strength).all()
    table = tissue_table(strength)
    spread = 2.0 * np.stack([t.between_heads for t in table])
    error = (theta[:, :LESION].mean(axis=0) - np.stack([t.theta for t in table])) / spread
    assert np.abs(error).max() < 4 / np.sqrt(150)
    np.testing.assert_allclose(theta[:, :LESION].std(axis=0) / spread, 1.0, atol=0.25)


def test_t1_rises_from_white_matter_to_cortex_to_fluid_and_with_the_field() -> None:
    theta, strengths = drawn_heads()
    assert 0.3 < (strengths == 3.0).mean() < 0.7
    t1 = {strength: theta[strengths == strength, :, 1].mean(axis=0) for strength in (1.5, 3.0)}
    for mean in t1.values():
        assert mean[WHITE] < mean[CORTEX] < mean[CSF]
        assert mean[WHITE] < mean[LESION] < mean[CSF]
    assert t1[1.5][WHITE] < t1[3.0][WHITE]


# --- label maps from files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR"])
def test_a_label_map_is_read_cut_and_put_upright(tmp_path: Path, orientation: str) -> None:
    labels = np.pad(toy_labels((70, 72, 74)), ((0, 4), (0, 0), (5, 0)))
    head = read_labelled_head(write_label_map(tmp_path / "head_01.nii.gz", labels, orientation=orientation))
    tissue = tissue_index(labels)
    inside = np.argwhere(tissue != AIR)
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    np.testing.assert_array_equal(head.tissue, tissue[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    brain = np.argwhere(np.isin(head.tissue, BRAIN))
    np.testing.assert_array_equal(head.brain_box[0], brain.min(axis=0))
    np.testing.assert_array_equal(head.brain_box[1], brain.max(axis=0) + 1)
    assert head.name == "head_01.nii.gz" and head.tissue.dtype == np.uint8


def damaged(folder: Path) -> Path:
    path = folder / "text.nii.gz"
    path.write_text("not an image")
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: write_label_map(folder / "a.nii.gz", toy_labels((70, 72, 74)), spacing=1.2), "Resample"),
        (damaged, "cannot be read"),
        (lambda folder: folder / "absent.nii.gz", "cannot be read"),
        (lambda folder: write_label_map(folder / "a.nii.gz", toy_labels((30, 30, 30))), "no brain"),
        (lambda folder: write_label_map(folder / "a.nii.gz", np.full((60, 60, 60), 507, np.int16)), "no brain"),
        (lambda folder: write_label_map(folder / "a.nii.gz", np.zeros((60, 60, 60), np.int16)), "no brain"),
    ],
    ids=["spacing", "damaged", "absent", "small", "no brain", "empty"],
)
def test_what_is_no_label_map_is_refused(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_labelled_head(make(tmp_path))


def test_missing_label_maps_are_named(tmp_path: Path) -> None:
    (tmp_path / "head_03.nii.gz").touch()
    assert [path.name for path in find_label_maps(tmp_path, [3])] == ["head_03.nii.gz"]
    with pytest.raises(ImageError, match=r"head_04\.nii\.gz, head_12\.nii\.gz"):
        find_label_maps(tmp_path, [3, 4, 12])


def test_what_lies_in_ventricles_is_fluid_and_what_lies_beside_them_white_matter() -> None:
    assert (tissue_index(np.array(CHOROID_PLEXUS)) == CSF).all() and set(CHOROID_PLEXUS) < set(VENTRICLES)
    assert (tissue_index(np.array(LESIONS)) == WHITE).all()
