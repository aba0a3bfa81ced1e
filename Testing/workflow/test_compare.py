"""Two visits: neither is favoured, what both share is taken out, and a new lesion is found where it is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.head.halfway import halfway
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import PROPERTIES
from PhysMRISynthLib.workflow.analysis.compare import Comparison, compare_visits, renderings
from PhysMRISynthLib.workflow.analysis.comparison_files import write_comparison
from PhysMRISynthLib.workflow.estimation.shared_errors import SharedErrors
from PhysMRISynthLib.workflow.results.map_set import MapSet
from Testing.workflow.map_folders import head

MOTION = (0.06, -0.04, 0.08), (4.0, -3.0, 5.0)
LESION_MM = (-24.0, 20.0, 40.0)
"""Deep in white matter (LPS)."""


def motion() -> sitk.Euler3DTransform:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*MOTION[0])
    turn.SetTranslation(MOTION[1])
    return turn


def elsewhere(image: sitk.Image) -> sitk.Image:
    """The same voxels in a head that has moved."""
    turn, moved = motion(), sitk.Image(image)
    matrix = np.reshape(turn.GetMatrix(), (3, 3))
    moved.SetDirection((matrix @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    moved.SetOrigin(turn.TransformPoint(image.GetOrigin()))
    return moved


def visit(seed: int, moved: bool = False, lesion: bool = False, **report: object) -> MapSet:
    """The small head with each voxel's own errors, perhaps moved, perhaps with a lesion."""
    found = head()
    rng = np.random.default_rng(seed)
    maps = found.maps
    pd, t1, t2 = (v * np.exp(0.02 * rng.standard_normal(v.shape)).astype(np.float32) for v in (maps.pd, maps.t1, maps.t2))
    if lesion:
        z, y, x = np.indices(t1.shape)
        place = [np.array(maps.grid.GetOrigin())[k] + 4.0 * axis for k, axis in enumerate((x, y, z))]
        ball = sum((p - c) ** 2 for p, c in zip(place, LESION_MM, strict=True)) < 9.0**2
        assert found.labels is not None and (found.labels[ball] == 1).mean() > 0.8
        t1, t2 = np.where(ball, np.float32(1500), t1), np.where(ball, np.float32(150), t2)
    grid = elsewhere(maps.grid) if moved else maps.grid
    return replace(found, maps=replace(maps, pd=pd, t1=t1, t2=t2, grid=grid, provenance={**maps.provenance, **report}))


@cache
def compared(moved: bool = True, lesion: bool = True) -> Comparison:
    return compare_visits(visit(1), visit(2, moved, lesion))


@cache
def exchanged() -> Comparison:
    """The visits the other way round, of other protocols and field strengths, with a region."""
    labels = head().labels
    assert labels is not None
    regions = np.where(labels == 3, 7, 0)
    told = {"inputs": {"t1w": {"protocol": {"spec": "se"}}}, "verdict": "do_not_use", "reasons": [{"text": "The T1w image has motion."}]}
    first = visit(2, moved=True, field_strength_tesla=1.5, **told)
    return compare_visits(first, visit(1), regions, {7: "nuclei"})


def test_the_middle_is_as_far_from_one_visit_as_from_the_other() -> None:
    image = head().maps.image(head().maps.t1)
    found = halfway(image, elsewhere(image))
    points = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    for point in points:
        one, other = (np.array(t.TransformPoint(point.tolist())) for t in (found.to_first, found.to_second))
        assert np.linalg.norm(np.array(motion().TransformPoint(one.tolist())) - other) < 0.8, "a fifth of a voxel"
    matrices = [np.reshape(t.GetMatrix(), (3, 3)) for t in (found.to_first, found.to_second)]
    assert np.trace(matrices[0]) == pytest.approx(np.trace(matrices[1]), abs=1e-6)
    assert matrices[0] @ matrices[1] == pytest.approx(np.eye(3), abs=1e-6)
    assert found.disagreement_mm < 1.0


def test_exchanging_the_visits_changes_the_sign_alone() -> None:
    for one in compared(lesion=False).changes:
        other = next(c for c in exchanged().changes if (c.region, c.quantity) == (one.region, one.quantity))
        assert one.difference == pytest.approx(-other.difference, abs=0.3 * one.sd)
        assert one.sd == pytest.approx(other.sd, rel=0.1)


def test_nothing_has_changed_in_a_head_that_has_only_moved() -> None:
    found = compared(lesion=False)
    assert max(abs(change.z) for change in found.changes) < 2
    assert not found.spots and not found.warnings
    assert np.mean(np.abs(found.z["T1"][found.brain]) > 3) < 0.01


def test_a_new_lesion_is_found_where_it_is() -> None:
    spots = compared().spots
    assert len(spots) == 1 and spots[0].z > 3.5 and spots[0].differences["T1"] > 200
    at = compared().registration.to_first.GetInverse().TransformPoint(LESION_MM)
    assert np.linalg.norm(np.array(spots[0].centre_ras) * [-1, -1, 1] - at) < 4.0


def test_what_both_visits_share_is_taken_out() -> None:
    """Draws of a person's distance from the literature and of each visit's noise scatter as told."""
    rng, size = np.random.default_rng(5), 15
    prior = np.diag(rng.uniform(0.03, 0.1, size) ** 2)
    noise = [np.diag(rng.uniform(0.01, 0.05, size) ** 2) for _ in range(2)]
    covariances = [np.linalg.inv(np.linalg.inv(prior) + np.linalg.inv(n)) for n in noise]
    tissues = ("white_matter", "cortex", "deep_grey", "thalamus", "csf")
    fields = [np.diag(rng.uniform(0.002, 0.02, size) ** 2) for _ in range(2)]
    first, second = (SharedErrors(tissues, c, prior, f) for c, f in zip(covariances, fields, strict=True))
    person = rng.multivariate_normal(np.zeros(size), prior, 20_000)
    estimates = []
    for n, c, f in zip(noise, covariances, fields, strict=True):
        seen = person + rng.multivariate_normal(np.zeros(size), n, 20_000)
        estimates.append(seen @ (c @ np.linalg.inv(n)).T + rng.multivariate_normal(np.zeros(size), f, 20_000))
    scatter = np.cov((estimates[1] - estimates[0]).T)
    told = first.of_difference(second).total
    assert np.diag(told) == pytest.approx(np.diag(scatter), rel=0.06)
    ratio = np.diag(told) / np.diag(first.total + second.total)
    assert ratio.max() <= 1.0 and ratio.mean() < 0.9
    rendered = first.of_difference(second).variance(np.array([1.0, 0, 0, 0, 0]), "T1")
    assert rendered == pytest.approx(told[1, 1])


def test_other_protocols_and_field_strengths_are_told() -> None:
    told = exchanged().warnings
    assert any("different protocols" in line for line in told) and any("field strengths differ" in line for line in told)
    assert told[0] == "First visit: The estimate's own verdict is: do not use. The T1w image has motion."


def test_regions_of_the_first_visit_are_compared_too() -> None:
    assert {change.quantity for change in exchanged().changes if change.region == "nuclei"} == set(PROPERTIES)


def test_visits_without_what_is_needed_are_refused() -> None:
    with pytest.raises(ImageError, match=r"second visit lack SDs"):
        compare_visits(visit(1), replace(visit(2), labels=None))
    with pytest.raises(ImageError, match="same maps"):
        compare_visits(visit(1), visit(1))
    bare = visit(2)
    with pytest.raises(ImageError, match="does not tell the errors"):
        compare_visits(visit(1), replace(bare, maps=replace(bare.maps, provenance={})))


def test_files_show_both_visits_in_one_contrast(tmp_path: Path) -> None:
    found = compared()
    write_comparison(found, ("a", "b"), tmp_path / "out", [Protocol.of("flair")])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"difference_T1.nii.gz", "z_T2.nii.gz", "flair_first.nii.gz", "flair_second.nii.gz", "changes.tsv", "spots.tsv"} < names
    images = [sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / f"flair_{name}.nii.gz"))) for name in ("first", "second")]
    for image, expected in zip(images, renderings(found, Protocol.of("flair")), strict=True):
        assert np.abs(image - expected).max() < 1e-2
    assert len((tmp_path / "out" / "spots.tsv").read_text(encoding="utf-8").splitlines()) == 2
    write_comparison(compared(lesion=False), ("a", "b"), tmp_path / "none")
    assert (tmp_path / "none" / "spots.tsv").read_text(encoding="utf-8").splitlines() == [
        "right_mm\tanterior_mm\tsuperior_mm\tvolume_ml\tPD\tT1\tT2\tz"
    ]
