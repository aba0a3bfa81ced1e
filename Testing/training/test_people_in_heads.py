"""People's brains in other heads: no voxel of a brain changes, the skull closes around it without folds, and no test person is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.simulator import people_set
from physmrisynth_training.simulator.people_in_heads import CORD, FLUID, HULL, STEM, Anatomy, Fit, put_in
from physmrisynth_training.simulator.people_set import pairs, read_people_set, write_people_set
from PhysMRISynthLib.errors import ImageError
from Testing.training.heads import write_label_map

WHITE, CORTEX, BONE, SKIN, BELOW, BEFORE, BESIDE = 2, 3, 515, 511, 60, 50, 44
"""Labels, and how far from its corner a whole head has the person's map."""


def balls(radii: tuple[int, int, int], layers: dict[int, float], lean: int = 0) -> np.ndarray:
    """Ellipsoids of labels around cortex of these ``radii`` (z, y, x) and white matter, each so many mm thicker; bent by ``lean`` mm."""
    margin = round(max([*layers.values(), 0.0])) + 3 + lean
    z, y, x = np.ogrid[tuple(slice(-r - margin, r + margin + 1) for r in radii)]
    x = x - lean * (z / radii[0]) ** 2
    labels = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), np.int16)
    for label, more in [*sorted(layers.items(), key=lambda layer: -layer[1]), (CORTEX, 0.0), (WHITE, -5.0)]:
        labels[sum((c / (r + more)) ** 2 for c, r in zip((z, y, x), radii, strict=True)) < 1.0] = label
    return labels


def with_stem(labels: np.ndarray, radius: int, to: int, label: int = STEM) -> np.ndarray:
    """A column of ``label`` from the middle down to plane ``to``, where there is no white matter or cortex."""
    y, x = (n // 2 for n in labels.shape[1:])
    column = np.zeros(labels.shape, bool)
    column[to : labels.shape[0] // 2, y - radius : y + radius + 1, x - radius : x + radius + 1] = True
    return np.where(column & ~np.isin(labels, (WHITE, CORTEX)), label, labels).astype(np.int16)


PERSON = Anatomy("person", with_stem(balls((30, 36, 28), {FLUID: 1.5}, lean=5), 4, 1))
HEAD = Anatomy("head", with_stem(balls((34, 34, 34), {FLUID: 3.0, BONE: 8.0, SKIN: 14.0}), 5, 0, CORD))
PERSON.numbers[0, 41, 40] = STEM
HEAD.numbers[-2:, :2, :2] = WHITE
"""Stray voxels: below the end of the stem, and in the air."""


@pytest.fixture(scope="module")
def fit() -> Fit:
    return put_in(PERSON, HEAD)


def test_the_brain_keeps_every_voxel(fit: Fit) -> None:
    there = fit.numbers[BELOW:, BEFORE:, BESIDE:][tuple(slice(n) for n in PERSON.numbers.shape)]
    brain = np.isin(PERSON.numbers, (WHITE, CORTEX, STEM))
    assert np.array_equal(there[brain], PERSON.numbers[brain])
    assert np.isin(fit.numbers, HULL).sum() == np.isin(PERSON.numbers, HULL).sum()  # nothing is left of the other brain


def test_the_skull_fits_and_closes_around_it(fit: Fit) -> None:
    assert fit.least_jacobian > 0.3 and fit.hull_dice > 0.96 and fit.bone_lost_ml < 1.0
    ends = BELOW + 5
    for barrier in (BONE, SKIN):
        passable = sitk.GetImageFromArray((fit.numbers[ends:] != barrier).astype(np.uint8))
        outside = sitk.GetArrayFromImage(sitk.ConnectedThreshold(passable, [(0, 0, passable.GetSize()[2] - 1)], 1, 1)) > 0
        assert not np.isin(fit.numbers[ends:][outside], (WHITE, CORTEX, FLUID)).any()
    shell, volume = HEAD.numbers == BONE, np.isin(HEAD.numbers, HULL).sum() / np.isin(PERSON.numbers, HULL).sum()
    assert (fit.numbers == BONE).sum() == pytest.approx(shell.sum() / volume, rel=0.15)  # neither thinned nor torn


def test_stray_voxels_are_no_part_of_a_head(fit: Fit) -> None:
    parts = sitk.ConnectedComponent(sitk.GetImageFromArray((fit.numbers != 0).astype(np.uint8)))
    assert sitk.GetArrayViewFromImage(parts).max() == 1


def test_the_stem_goes_on_as_the_other_heads(fit: Fit) -> None:
    assert (fit.numbers[BELOW - 1] == CORD).any() and (fit.numbers[BELOW + 2] == STEM).any()
    assert not (fit.numbers[BELOW + 2 :] == CORD).any()


def test_a_map_without_a_brain_is_refused() -> None:
    with pytest.raises(ImageError, match="shows no brain"):
        put_in(PERSON, Anatomy("empty", np.zeros((20, 20, 20), np.int16)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for number in (1, 6, 7):
        write_label_map(folder / f"people/person_{number:02d}_labels.nii.gz", PERSON.numbers)
    for number in (3, 14, 15, 16):
        write_label_map(folder / f"head_labels/head_{number:02d}.nii.gz", HEAD.numbers)
    (folder / "people/people.tsv").write_text("person\tage\tsex\nperson_01\t39\tF\nperson_06\t50\tM\n", encoding="utf-8")
    return folder


def test_test_people_and_test_heads_are_never_used(data: Path) -> None:
    found = {(person.name, head.name) for person, head in pairs(data, 2)}
    assert found == {(person, head) for person in ("person01", "person07") for head in ("head03", "head14")}
    assert [(person.name, head.name) for person, head in pairs(data, 1, "test")] == [("person06", "head16")]


def test_a_set_goes_on_and_tells_age_and_sex(data: Path, tmp_path: Path, fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(people_set, "put_in", lambda person, head: made.append(person.name) or fit)
    out = tmp_path / "set"
    assert write_people_set(data, out) == 2 and write_people_set(data, out) == 2 and made == ["person_01", "person_07"]
    first, second = read_people_set(out)
    assert first.name == "person01_head03" and first.numbers == {"age": 39.0, "sex": 0.0} and second.numbers == {}
    assert write_people_set(data, out, shells=2) == 4 and len(made) == 4
    with pytest.raises(ImageError, match="people-in-heads"):
        read_people_set(tmp_path)
