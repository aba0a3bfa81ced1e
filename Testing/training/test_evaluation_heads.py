"""Groups of heads beside people: each measure finds the fault that it is for, and folders are read as what they are."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.evaluation.anatomies import one_hot
from physmrisynth_training.evaluation.frechet import DIMENSIONS, deep_features, features, precision_recall
from physmrisynth_training.evaluation.groups import DEFORMED, SAMPLED
from physmrisynth_training.evaluation.heads import folders, segmenting, suite
from physmrisynth_training.evaluation.heads.cortex import island_sizes, surface, thickness
from physmrisynth_training.evaluation.heads.folders import heads_in
from physmrisynth_training.evaluation.heads.form import Form
from physmrisynth_training.evaluation.heads.likeness import halves, likeness
from physmrisynth_training.evaluation.heads.looks import CONTRASTS, PLANES, POSITIONS, VIEWS, Looks, images_of, images_of_maps
from physmrisynth_training.evaluation.heads.shell import shell_measures
from physmrisynth_training.evaluation.heads.store import Measured, Store
from physmrisynth_training.evaluation.heads.tables import LEARNED, PEOPLE, QUANTITIES
from physmrisynth_training.evaluation.plan import Plan
from physmrisynth_training.evaluation.suites import evaluate
from physmrisynth_training.learning.checkpoint import load_checkpoint
from physmrisynth_training.shipping import blind_sheet
from physmrisynth_training.simulator.anatomy import AIR, TISSUES
from PhysMRISynthLib.errors import ImageError, PhysMRISynthError
from PhysMRISynthLib.workflow.tissue_values import literature_values, maps_of
from Testing.training.heads import bands, toy_head, toy_labels, write_label_map

pytestmark = pytest.mark.usefixtures("one_thread")

WHITE, CORTEX, FLUID, BONE, FAT = (TISSUES.index(name) for name in ("white_matter", "cortex", "csf", "bone", "fat"))
CENTRE = 55


def ball_head() -> np.ndarray:
    """Concentric balls: white matter, 4 mm of cortex, 3 mm of fluid, 5 mm of bone and 5 mm of skin."""
    z, y, x = np.ogrid[:110, :110, :110]
    radius = np.sqrt((z - CENTRE) ** 2 + (y - CENTRE) ** 2 + (x - CENTRE + 0.0) ** 2)
    tissue = np.full(radius.shape, AIR, np.uint8)
    for row, outer in ((FAT, 50), (BONE, 45), (FLUID, 40), (CORTEX, 37), (WHITE, 33)):
        tissue[radius < outer] = row
    return tissue


BALL = ball_head()


def test_a_hole_in_the_skull_is_found_by_its_width() -> None:
    found = shell_measures(BALL)
    assert found["skull_closed"] == found["skull_closed_2mm"] == 1.0 and found["bare"] == 0.0
    for width, closed in ((1, 1.0), (5, 0.0)):
        holed = BALL.copy()
        hole = holed[CENTRE + 30 :, CENTRE : CENTRE + width, CENTRE : CENTRE + width]
        hole[hole == BONE] = FAT  # up to the skin, which is no wall
        found = shell_measures(holed)
        assert (found["skull_closed"], found["skull_closed_2mm"]) == (0.0, closed)


def test_a_head_without_skin_is_bare_and_a_dent_is_not_symmetric() -> None:
    straight = shell_measures(BALL)
    assert straight["asymmetry"] < 2.0 and straight["face_asymmetry"] < 4.0
    bare, dented = BALL.copy(), BALL.copy()
    top = bare[CENTRE + 30 :]
    top[top == FAT] = AIR
    dented[: CENTRE - 20, :CENTRE, :CENTRE] = AIR
    assert shell_measures(bare)["bare"] > 500.0
    assert shell_measures(dented)["face_asymmetry"] > straight["face_asymmetry"] + 20.0


def test_the_thickness_of_a_shell_is_that_of_its_cortex() -> None:
    assert thickness(BALL == CORTEX, BALL) == pytest.approx(4.0, abs=0.3)
    assert surface(BALL == CORTEX, BALL == WHITE) == pytest.approx(4.0 * np.pi * 33.0**2, rel=0.03)
    thicker = np.where((BALL == FLUID), np.uint8(CORTEX), BALL)  # no sulcus is open
    assert thickness(thicker == CORTEX, thicker) == pytest.approx(5.0, abs=0.1)


def test_islands_are_small_pieces_of_fluid_in_cortex() -> None:
    tissue = BALL.copy()
    assert island_sizes(tissue).size == 0  # what is around the brain is none
    tissue[CENTRE, CENTRE, CENTRE + 34 : CENTRE + 36] = FLUID
    tissue[CENTRE, CENTRE, CENTRE - 35] = FLUID
    tissue[CENTRE, CENTRE, CENTRE] = FLUID  # in white matter
    assert sorted(island_sizes(tissue)) == [1, 2]


def test_label_maps_are_rendered_as_their_fractions_are() -> None:
    tissue = bands()
    rendered = images_of_maps(maps_of(one_hot(tissue), literature_values(3.0), np.random.default_rng(0)))
    for name, image in images_of(tissue).items():
        inside = rendered[name] > 0
        assert inside.mean() > 0.5
        np.testing.assert_allclose(image[inside] / image.max(), rendered[name][inside] / rendered[name].max(), atol=1e-4)


def test_deep_features_go_on_from_the_others() -> None:
    planes = np.random.default_rng(0).random((2, 64, 64))
    deep = deep_features(planes)
    assert deep.shape == (2, 360)
    np.testing.assert_allclose(deep[:, :DIMENSIONS], features(planes), rtol=1e-4, atol=1e-5)


def test_precision_falls_with_odd_heads_and_recall_with_missing_ones() -> None:
    rng = np.random.default_rng(0)
    people, heads = rng.normal(size=(60, 3)), np.arange(60)
    assert min(precision_recall(people, heads, people + 0.01, heads)) > 0.95
    assert precision_recall(people, heads, people + 50.0, heads) == (0.0, 0.0)
    few = people[:1] + 0.01 * rng.normal(size=(60, 3))
    precision, recall = precision_recall(people, heads, few, heads)
    assert precision > 0.95 and recall < 0.2
    assert precision_recall(people, np.zeros(60), few, heads)[0] == 0.0  # one head has no neighbours in others


def measured(name: str, seed: int, shift: float = 0.0, sharp: float = 1.0, known: dict[str, float] | None = None) -> Measured:
    """A head of random features and anatomy."""
    rng = np.random.default_rng(seed)
    found = (rng.normal(size=(len(VIEWS), len(CONTRASTS), len(PLANES), POSITIONS, 360)) + shift).astype(np.float32)
    numbers = {quantity: 1000.0 + 10.0 * rng.normal() for quantity in QUANTITIES}
    numbers |= {"brain_volume": numbers["brain"], "skull_closed": 1.0, "skull_closed_2mm": 1.0, "bare": 0.0, "asymmetry": 3.0,
                "face_asymmetry": 4.0, "islands": 5.0, "islands_ml": 0.1, "midline_whole": 1.0}  # fmt: skip
    brains = (255 * rng.random((POSITIONS, 64, 64))).astype(np.uint8)
    looks = Looks(found, dict.fromkeys(CONTRASTS, sharp), brains, (brains[0],) * 3)
    return Measured(name, Form(numbers, rng.normal(size=(30, 31, 26)).astype(np.float32)), looks, known or {})


def test_a_group_is_as_far_as_it_is_shifted() -> None:
    people = [measured(f"p{number}", number) for number in range(6)]
    same, moved = (likeness(people, [measured(f"s{n}", 100 + n, shift) for n in range(4)], 4) for shift in (0.0, 3.0))
    floor = halves(people, 3)
    for view in VIEWS:
        assert moved.mean(moved.distance, view) - same.mean(same.distance, view) == pytest.approx(9.0 * DIMENSIONS, rel=0.1)
        assert floor.mean(floor.distance, view) < 0.5 * moved.mean(moved.distance, view)
        assert moved.mean(moved.precision, view) == 0.0 < same.mean(same.precision, view)


def test_the_tables_name_what_is_wrong_with_a_group() -> None:
    people = [measured(f"p{number}", number, known={"age": 32.0 + number}) for number in range(4)]
    learned = [measured(f"l{number}", 20 + number, known={"age": 32.0 + number}) for number in range(2)]
    lost = [replace(person, form=replace(person.form, aligned=None)) for person in people[1:]]  # not compared: the test is quicker
    copy_of = replace(learned[1], name="seed 1")
    small = measured("seed 0", 40, sharp=0.5, known={"brain_volume": 1000.0})
    small.form.numbers.update(brain=500.0, brain_volume=500.0, skull_closed=0.0, face_asymmetry=9.0)
    noise = np.random.default_rng(0).normal(size=(30, 31, 26)).astype(np.float32)
    assert learned[1].aligned is not None
    copies = [suite.Copy("l1", learned[1].aligned + 0.1 * noise)]
    found = suite.compare({PEOPLE: [people[0], *lost], LEARNED: learned, SAMPLED: [small, copy_of]}, copies)
    rows = {table.title: {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows} for table in found.tables}
    assert rows["Sharpness and diversity"][SAMPLED]["gradient energy T1w over people's (range)"] == "0.75 (0.50 to 1.00)"
    shell = rows["Skull, symmetry, islands, midline"][SAMPLED]
    assert shell["skull closed"] == "1" and shell["face as symmetric as people's"] == "1"
    anatomy = rows["Anatomy: median (5 to 95 %); Kolmogorov-Smirnov distance from people, p"]
    assert f"{PEOPLE}, under 35 years" in anatomy and anatomy[SAMPLED]["number"] == "2"
    assert rows["Conditions met"][SAMPLED]["within 5 %"] == "0" and rows["Conditions met"][SAMPLED]["mean error, %"] == "-50.0"
    memory = rows["Memorisation"]
    assert list(memory[SAMPLED].values())[-2:] == ["1", "1"] and list(memory[PEOPLE].values())[-2:] == ["0", "0"]
    assert list(memory[DEFORMED].values())[-1] == "1"
    assert {record["to"] for record in found.records if record["kind"] == "likeness"} == {PEOPLE, LEARNED}


def small_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SHAPE", (64, 66, 68))


def test_three_kinds_of_folders_hold_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_grid(monkeypatch)
    tissue = toy_head((64, 66, 68)).tissue
    write_label_map(tmp_path / "rows" / "a_tissues.nii.gz", tissue)
    (tmp_path / "rows" / "heads.tsv").write_text("head\tage\tsex\tbrain_volume\na\t40\tM\t1100\n", encoding="utf-8")
    write_label_map(tmp_path / "people" / "p1.nii.gz", toy_labels((64, 66, 68)))
    labels = np.where(tissue == AIR, 0, tissue + 1).astype(np.uint8)
    write_label_map(tmp_path / "samples" / "sample_0001" / "tissues.nii.gz", labels)
    report = {"sampled": {"condition": {"brain_volume": 900.0}}}
    (tmp_path / "samples" / "sample_0001" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    for name, head, numbers in (
        ("rows", "a", {"age": 40.0, "sex": 1.0, "brain_volume": 1100.0}),
        ("people", "p1", {}),
        ("samples", "sample_0001", {"brain_volume": 900.0}),
    ):  # fmt: skip
        (found,) = heads_in(tmp_path / name)
        assert found.name == head and dict(found.numbers) == numbers
        np.testing.assert_array_equal(found.tissue(), tissue)


def test_a_head_is_cut_about_its_brain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "SHAPE", (100, 100, 100))
    moved = np.roll(np.pad(BALL, 20, constant_values=AIR), (3, -5, 7), axis=(0, 1, 2))
    np.testing.assert_array_equal(folders.in_grid(moved, "moved"), folders.in_grid(BALL, "ball"))
    assert (folders.in_grid(BALL, "ball") == CORTEX).sum() == (BALL == CORTEX).sum()


def test_folders_without_heads_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_grid(monkeypatch)
    with pytest.raises(ImageError, match="holds no heads"):
        heads_in(tmp_path)
    path = write_label_map(tmp_path / "x_tissues.nii.gz", np.full((64, 66, 68), 40, np.uint8))
    with pytest.raises(ImageError, match="the rows of the tissue table end at"):
        heads_in(tmp_path)[0].tissue()
    path.write_bytes(b"nothing")
    with pytest.raises(ImageError, match="cannot be read"):
        heads_in(tmp_path)[0].tissue()
    with pytest.raises(PhysMRISynthError, match="suite's own"):
        evaluate(Plan({}, samples=0, reconstructions=0, people=tmp_path, groups={SAMPLED: tmp_path}), ["samples"], tmp_path / "out")


@pytest.mark.nightly
def test_the_suite_measures_each_head_once(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    head = np.full((192, 224, 160), AIR, np.uint8)
    head[70:180, 50:160, 25:135] = BALL
    for number in range(3):
        image = sitk.GetImageFromArray(np.roll(head, 4 * number, axis=1))
        folder.mkdir(exist_ok=True)
        sitk.WriteImage(image, str(folder / f"p{number}_tissues.nii.gz"))
    plan = Plan({}, samples=0, reconstructions=0, people=folder, groups={"same": folder}, cache=tmp_path / "out" / "measured")
    evaluate(plan, ["samples"], tmp_path / "out")
    files = sorted((tmp_path / "out" / "measured").iterdir())
    assert len(files) == 3
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "Fréchet distance to test people" in text and (tmp_path / "out" / "samples.png").stat().st_size > 5000
    first = Store(plan.cache).head(heads_in(folder)[0])
    assert first.number("skull_closed") == 1.0 and first.looks.sharpness["T1w"] > 0


def small_people(folder: Path) -> Path:
    """Two small test people as tissue maps, and the scan of a third with its label map; a training person's scan, too."""
    for number in range(2):
        write_label_map(folder / "heads" / f"p{number}_tissues.nii.gz", toy_head((64, 66, 68)).tissue)
    labels = toy_labels((64, 66, 68))
    for number in (5, 6):
        write_label_map(folder / "scans" / f"person_{number:02d}_labels.nii.gz", labels)
        write_label_map(folder / "scans" / f"person_{number:02d}_t1w.nii.gz", (labels == 2).astype(np.float32) + (labels > 0))
    return folder


@pytest.mark.nightly
def test_networks_learn_from_each_group_and_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_grid(monkeypatch)
    monkeypatch.setattr(segmenting, "_SHAPE", (32, 32, 32))
    folder = small_people(tmp_path)
    plan = Plan({}, people=folder / "heads", learned=folder / "heads", scans=folder / "scans", cache=tmp_path / "cache")
    for steps in (2, 4):
        monkeypatch.setattr(segmenting, "_STEPS", steps)
        found = segmenting.measure(plan)
    (checkpoint,) = (tmp_path / "cache").iterdir()
    straight = segmenting.train([segmenting.rendered_brain(head, n) for n, head in enumerate(heads_in(folder / "heads"))],
                                tmp_path / "straight.pt", 4, lambda: None)  # fmt: skip
    for name, values in load_checkpoint(checkpoint)["model"].items():
        np.testing.assert_allclose(values, straight.state_dict()[name], rtol=1e-3, atol=1e-5)
    assert [row[:3] for row in found.tables[0].rows] == [(LEARNED, segmenting.RENDERED, "2"), (LEARNED, segmenting.SCANNED, "1")]
    assert {record["head"] for record in found.records} == {"p0", "p1", "person_06"}  # never that of a training person
    with pytest.raises(PhysMRISynthError, match="--learned"):
        segmenting.check(Plan({}, people=folder / "heads"))


def test_a_brain_of_2_mm_is_where_its_classes_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_grid(monkeypatch)
    monkeypatch.setattr(segmenting, "_SHAPE", (32, 32, 32))
    folder = small_people(tmp_path)
    scan = segmenting.scanned_brain(folder / "scans" / "person_06_t1w.nii.gz")
    white, other = (scan.image[scan.classes == row].mean() for row in (1, 2))
    assert white > other + 1.0 and set(np.unique(scan.classes)) == {0, 1, 2, 3, 4}
    rendered = segmenting.rendered_brain(heads_in(folder / "heads")[0], 3)
    np.testing.assert_array_equal(rendered.classes, scan.classes)
    assert rendered.image[rendered.classes == 1].mean() > rendered.image[rendered.classes == 4].mean() + 1.0


def test_a_blind_sheet_is_half_people_and_its_key_is_apart(tmp_path: Path) -> None:
    tissue = toy_head().tissue
    maps = maps_of(one_hot(tissue), literature_values(3.0), np.random.default_rng(0))
    people = [folders.HeadFile(f"person{n}", tmp_path / "none", lambda rows: rows) for n in range(8)]
    heads = [(f"seed {n}", lambda: maps) for n in range(5)]
    chosen = blind_sheet.panels(people, heads, 3)
    kinds = Counter((panel.kind, panel.contrast) for panel in chosen)
    assert len(chosen) == 24 and set(kinds.values()) == {4} and len(kinds) == 6
    assert [panel.name for panel in chosen] == [panel.name for panel in blind_sheet.panels(people, heads, 3)]
    assert [panel.kind for panel in chosen] != [panel.kind for panel in blind_sheet.panels(people, heads, 4)]
    blind_sheet.write_sheet([replace(panel, maps=lambda: maps) for panel in chosen], 3, tmp_path / "sheet.png", tmp_path / "key.tsv")
    rows = (tmp_path / "key.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[1] == f"1\t{chosen[0].kind}\t{chosen[0].name}\t{chosen[0].contrast}" and len(rows) == 25
    assert (tmp_path / "sheet.png").stat().st_size > 20_000
