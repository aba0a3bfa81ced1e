"""The suite of sampled heads: what it measures is what is there, and copies, blur and odd volumes are found out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.evaluation import samples
from physmrisynth_training.evaluation.anatomies import Anatomy, anatomy_of, gradient_energy, one_hot, wasserstein
from physmrisynth_training.evaluation.groups import CONDENSED, DEFORMED, HELD_OUT, JOINED, RECONSTRUCTED, SAMPLED, TRAINING, Groups
from physmrisynth_training.evaluation.kinship import aligned_brain, distance
from physmrisynth_training.evaluation.plan import Plan
from physmrisynth_training.evaluation.segmentation import dice, overlaps
from physmrisynth_training.evaluation.suites import evaluate, suites_named
from physmrisynth_training.learning.checkpoint import load_checkpoint, save_atomically
from physmrisynth_training.shipping.sample_gallery import head_pictures, plane
from physmrisynth_training.simulator.anatomy import AIR
from physmrisynth_training.simulator.fast_resampling import blurred
from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.errors import PhysMRISynthError, WeightsError
from PhysMRISynthLib.imaging.head.atlas import place_atlas
from PhysMRISynthLib.imaging.head.head_volumes import HeadVolumes
from PhysMRISynthLib.imaging.head.midline import Midline
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.network.weights import load_weights
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.sampling.sample import Sampler, installed_sampler
from Testing.network import tiny_sampler
from Testing.training.heads import toy_head, toy_labels, write_label_map

pytestmark = pytest.mark.usefixtures("one_thread")


TISSUE = toy_head((64, 66, 68)).tissue


@pytest.fixture(scope="module")
def toy() -> Anatomy:
    return anatomy_of("toy", one_hot(TISSUE), 0)


def test_fractions_of_a_label_map_are_certain() -> None:
    fractions = one_hot(TISSUE)
    np.testing.assert_array_equal(fractions.argmax(axis=0), TISSUE)
    assert (fractions.sum(axis=0) == 1).all()


def test_a_blurred_head_has_less_gradient_energy(toy: Anatomy) -> None:
    soft = np.stack([blurred(fraction, (1.5, 1.5, 1.5)) for fraction in one_hot(TISSUE)])
    ratio = anatomy_of("soft", soft, 0).gradient_energy / toy.gradient_energy
    assert 0.05 < ratio < 0.7
    ramp = np.broadcast_to(np.arange(20.0), (20, 20, 20)) * 3.0
    assert gradient_energy(ramp, np.ones(ramp.shape, bool)) == pytest.approx(9.0)


def brains(count: int, seed: int, sd: float = 2.0) -> list[np.ndarray]:
    """Smooth random pictures of the compared size (z, y, x): as different as people's brains, or more."""
    noise = np.random.default_rng(seed).normal(size=(count, 30, 31, 26))
    return [blurred(values.astype(np.float32), (sd, sd, sd)) * np.float32(sd**1.5) + 1.0 for values in noise]


def warped(brain: np.ndarray) -> np.ndarray:
    """Displaced smoothly by up to 16 mm."""
    displacement = np.stack([2.0 * bend / np.abs(bend).max() for bend in (b - 1.0 for b in brains(3, 9, 5.0))], axis=-1)
    field = sitk.GetImageFromArray(displacement.astype(np.float64), isVector=True)
    return sitk.GetArrayFromImage(sitk.Warp(sitk.GetImageFromArray(brain), field))


def test_distance_knows_copies_mirrors_and_strangers() -> None:
    one, other = brains(2, 0)
    assert distance(one, one) == pytest.approx(0.0, abs=1e-6) and distance(one, one[..., ::-1]) == pytest.approx(0.0, abs=1e-6)
    assert distance(one, 3.0 * one + 2.0) == pytest.approx(0.0, abs=0.02)  # not how bright it is
    assert distance(one, other) > 0.4
    assert distance(one, np.zeros_like(one)) == 1.0


def test_a_deformed_copy_is_kin_and_a_stranger_is_not() -> None:
    *people, stranger = brains(5, 1)
    copy_of = warped(people[2])
    plain = [1.0 - np.corrcoef(copy_of.ravel(), person.ravel())[0, 1] for person in people]
    assert plain[2] > 0.2  # it is no copy voxel by voxel
    shares = []
    for brain in (copy_of, stranger):
        distances = [distance(brain, person) for person in people]
        shares.append(sorted(distances)[0] / sorted(distances)[1])
        if brain is copy_of:
            assert int(np.argmin(distances)) == 2
    assert shares[0] < 0.5 < 0.8 < shares[1]


def test_a_head_lies_where_the_atlas_does_wherever_it_was() -> None:
    """Moved and turned by 8 degrees it is a copy still; of nothing there is no brain."""
    maps = small_head().maps
    image = image_like(render(maps, PROTOCOLS["t1w"]), maps.grid)
    here = aligned_brain(image, place_atlas(image, PROTOCOLS["t1w"], 3.0).to_atlas)
    middle = image.TransformContinuousIndexToPhysicalPoint([side / 2 for side in image.GetSize()])
    turned = sitk.Resample(image, image, sitk.Euler3DTransform(middle, 0.1, 0.0, 0.1, (5.0, -3.0, 4.0)), sitk.sitkLinear)
    there = aligned_brain(turned, place_atlas(turned, PROTOCOLS["t1w"], 3.0).to_atlas)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.97
    nothing = anatomy_of("nothing", one_hot(np.full((40, 40, 40), AIR, np.uint8)), 0)
    assert nothing.aligned is None and nothing.midline is None


def test_wasserstein_is_the_shift_of_a_distribution(toy: Anatomy) -> None:
    shifted = replace(toy, quantiles={name: values + 7.0 for name, values in toy.quantiles.items()})
    assert wasserstein(shifted, [toy]) == pytest.approx({"PD": 7.0, "T1": 7.0, "T2": 7.0})
    assert 500 < toy.quantiles["T1"][100] < 3000 and 40 < toy.quantiles["PD"][100] < 110


def test_copies_blur_and_odd_volumes_are_told(toy: Anatomy) -> None:
    assert toy.aligned is not None
    noise = np.random.default_rng(0).normal(size=toy.aligned.shape).astype(np.float32)
    other = replace(toy, name="other", aligned=toy.aligned + 3.0 * noise[::-1])
    third = replace(toy, name="third", aligned=12.0 * noise[:, ::-1])
    copy_of = replace(toy, name="toy", aligned=toy.aligned + 0.1 * noise)
    stranger = toy.aligned + 2.0 * np.roll(noise, 5)
    sampled = [
        replace(toy, name="seed 0", midline=Midline(10.0, True, 0.8)),  # a copy
        replace(toy, name="seed 1", midline=Midline(150.0, True, 0.8), draws=2, aligned=stranger,
                gradient_energy=0.5 * toy.gradient_energy),
        replace(toy, name="seed 2", midline=Midline(5.0, False, 0.5), draws=3, aligned=stranger,
                volumes=HeadVolumes(*(3.0 * v for v in vars(toy.volumes).values()))),
    ]  # fmt: skip
    groups = {
        SAMPLED: sampled, TRAINING: [toy, other, third], DEFORMED: [copy_of], HELD_OUT: [],
        RECONSTRUCTED: [replace(toy, gradient_energy=2.0 * toy.gradient_energy)],
    }  # fmt: skip
    found = samples.compare(groups)
    assert found.notes[-1] == (
        "Measured by training heads deformed: 1 of 3 samples (seed 0), 0 of 3 training heads, 0 of 0 held-out heads are nearer to a "
        "training head than its farthest copy. 1 of 3 samples (seed 0), 0 of 3 training heads, 0 of 0 held-out heads match one "
        "as closely as copies do (nearest over second nearest at most 0.14; 1 of 1 copies are nearest to their original)."
    )
    volumes, means, midlines, _overlaps = found.tables
    by_name = {row[0]: row for row in volumes.rows}
    assert by_name[SAMPLED][-1] == "67" and by_name[TRAINING][-1] == "100"
    drawn = {row[0]: row for row in midlines.rows}[SAMPLED]
    assert drawn == (SAMPLED, "3", "3", "55 (150)", "0.70 (0.50)", "2", "1", "1", "2.0 (3)")
    row = {row[0]: row for row in means.rows}[SAMPLED]
    assert row[4] == f"{(1 + 0.5 + 1) / 3 / 2:.2f}" and row[-1] == row[-3] == "0.000"
    record = next(r for r in found.records if r["kind"] == TRAINING and r["head"] == "toy")
    assert record["nearest"] == "other" and record["distance"] > 0


def test_a_copy_that_is_not_recognised_is_no_measure(toy: Anatomy) -> None:
    """It lies about as near to the second nearest head: everybody would belong to somebody then."""
    heads = [replace(toy, name=f"head {number}", aligned=brain) for number, brain in enumerate(brains(2, 4))]
    copies = [replace(heads[0], name="head 0"), replace(toy, name="head 1", aligned=brains(1, 9)[0])]
    stranger = replace(toy, name="seed 0", aligned=brains(1, 6)[0])
    groups = {SAMPLED: [stranger], TRAINING: heads, DEFORMED: copies, HELD_OUT: [],
              RECONSTRUCTED: [toy]}  # fmt: skip
    found = samples.compare(groups)
    assert [record["own"] for record in found.records if record["kind"] == DEFORMED] == [True, False]
    assert "0 of 1 samples, 0 of 2 training heads, 0 of 0 held-out heads match one" in found.notes[-1]
    assert "1 of 2 copies are nearest to their original" in found.notes[-1]


def joined(name: str, left: Anatomy, right: Anatomy, blur: float = 0.0) -> Anatomy:
    """A head of two people's hemispheres."""
    assert left.aligned is not None and right.aligned is not None
    side = np.arange(left.aligned.shape[-1]) >= left.aligned.shape[-1] // 2
    return replace(left, name=name, aligned=np.where(side, left.aligned, right.aligned) + blur * brains(1, 9)[0])


def people(toy: Anatomy) -> tuple[Groups, Anatomy]:
    """Three people, a head of two of them, and samples of a stranger, who is returned too."""
    one, other, third, stranger = (replace(toy, name=f"head {number}", aligned=brain) for number, brain in enumerate(brains(4, 4)))
    groups: Groups = {
        SAMPLED: [joined("seed 0", third, stranger), replace(stranger, name="seed 1")], TRAINING: [one, other, third],
        JOINED: [joined("head 0 + head 1", one, other, 0.1)], HELD_OUT: [], RECONSTRUCTED: [toy],
    }  # fmt: skip
    return groups, stranger


def test_whose_halves_a_head_has_is_told(toy: Anatomy) -> None:
    """A head of two people belongs to neither as a whole, and to each by a half; a sample that is made like it does so too."""
    found = samples.compare(people(toy)[0])
    record = next(record for record in found.records if record["kind"] == JOINED)
    assert record["distance_over_second"] > 0.5 and {half["nearest"] for half in record["halves"]} == {"head 0", "head 1"}
    assert all(half["distance_over_second"] < 0.5 for half in record["halves"])
    assert "By hemispheres: in 1 of 1 mixed heads each hemisphere is nearest to one of the two people" in found.notes[-1]
    assert "(seed 0), 0 of 3 training heads, 0 of 0 held-out heads match a training head in one hemisphere" in found.notes[-1]


@pytest.mark.nightly
def test_a_mixed_head_that_is_like_neither_of_its_people_is_no_measure(toy: Anatomy) -> None:
    groups, stranger = people(toy)
    found = samples.compare(groups)
    lost = joined("head 0 + head 1", stranger, replace(stranger, aligned=brains(1, 6)[0]))
    assert samples.compare({**groups, JOINED: [*groups[JOINED], lost]}).notes[-1] == found.notes[-1].replace("1 of 1 mixed", "1 of 2 mixed")
    assert "By hemispheres" not in samples.compare({**groups, JOINED: [lost]}).notes[-1]


def test_overlap_is_told_by_group(toy: Anatomy) -> None:
    scores = [replace(toy, overlap={"white_matter": score, "csf": 1.0}) for score in (0.8, 0.6)]
    groups = {SAMPLED: scores, TRAINING: [toy, replace(toy, name="other")],
              DEFORMED: [], HELD_OUT: [], RECONSTRUCTED: [toy]}  # fmt: skip
    table = samples.compare(groups).tables[3]
    assert table.rows == ((SAMPLED, "2", "0.70 (0.60)", "", "1.00 (1.00)"),)


def test_images_of_a_head_lead_back_to_its_tissue() -> None:
    """Those of a whole head do, those of the same voxels in any order do not; masks overlap by the definition."""
    one, other = np.zeros((2, 8), dtype=bool)
    one[:4], other[2:4] = True, True
    assert dice(one, other) == pytest.approx(2 * 2 / 6) and dice(one, one) == 1.0 and dice(one, ~one) == 0.0
    weights = installed_sampler().decoder
    whole = one_hot(TISSUE)[:, :64, :64, :64]
    mixed = np.random.default_rng(0).permutation(whole.reshape(len(whole), -1), axis=1).reshape(whole.shape)
    found, lost = (overlaps("toy", fractions, weights, 3.0, 0) for fractions in (whole, mixed))
    assert found["white_matter"] > 0.6 and lost["white_matter"] < 0.4


def test_a_head_that_is_not_found_is_not_called_new(toy: Anatomy) -> None:
    """Where it could not be compared, nothing is said about whether it is a copy."""
    lost = replace(toy, name="seed 0", aligned=None, midline=None)
    others = [replace(toy, name="other"), replace(toy, name="lost", aligned=None)]
    groups = {SAMPLED: [lost], TRAINING: others, DEFORMED: [replace(toy, name="lost")],
              HELD_OUT: [], RECONSTRUCTED: [toy]}  # fmt: skip
    found = samples.compare(groups)
    assert {row[0]: row for row in found.tables[2].rows}[SAMPLED] == (SAMPLED, "1", "0", "", "", "0", "0", "0", "1.0 (1)")
    assert found.notes[-1].startswith("Measured by training heads deformed: 0 of 0 samples, ") and found.notes[-1].endswith(
        "3 of 5 heads were not aligned with the atlas and are not compared."
    )
    assert "distance" not in found.records[0] and {row[0]: row for row in found.tables[1].rows}[SAMPLED][-4:] == ("",) * 4


@pytest.fixture
def tiny_plan(tmp_path: Path) -> Plan:
    """Of two training heads and three others, with a sampling model of codes and the checkpoint of its condenser."""
    tiny_sampler.installed(tmp_path)
    sha256 = load_weights(tmp_path / "vae.safetensors").sha256
    drawn = tiny_sampler.with_condenser(tmp_path, sha256)
    condenser = tiny_sampler.tiny_condenser()
    state = {"average": condenser.state_dict(), "configuration": {"network": condenser.config.mapping()}, "vae_sha256": sha256}
    save_atomically(state, tmp_path / "checkpoint.pt")
    data = tmp_path / "data"
    write_label_map(data / "head_labels" / "head_01.nii.gz", toy_labels((64, 66, 68)))
    for number in (2, 15, 16, 17):
        shutil.copy(data / "head_labels" / "head_01.nii.gz", data / "head_labels" / f"head_{number:02d}.nii.gz")

    def sampler() -> Sampler:
        return installed_sampler(drawn, tmp_path / "vae.safetensors")

    return Plan({}, data, samples=2, sampler=sampler, training_heads=(1, 2), mixed_heads=2, reconstructions=1)


@pytest.mark.nightly
def test_the_suite_runs_on_a_tiny_model(tiny_plan: Plan, tmp_path: Path) -> None:
    evaluate(replace(tiny_plan, condenser=tmp_path / "checkpoint.pt"), suites_named("samples"), tmp_path / "out")
    text = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "sampler sha256 " in text and "expander sha256 " in text and "Segmentability" in text
    assert text.count("are nearer to a training head than its farthest copy") == 2  # of deformed and of condensed copies
    assert "| mixed heads | 2 |" in text
    for kind, count in ((DEFORMED, 4), (CONDENSED, 2), (HELD_OUT, 3), (SAMPLED, 2)):
        assert f"| {kind} | {count} |" in text
    assert (tmp_path / "out" / "samples.png").stat().st_size > 5000
    assert "samples" not in suites_named("all")


def test_what_the_suite_lacks_is_said_before_it_begins(tiny_plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(PhysMRISynthError, match="--data"):
        evaluate(replace(tiny_plan, data=None), ["samples"], tmp_path / "other")

    def missing() -> None:
        raise WeightsError("No weights for sampling are installed.")

    with pytest.raises(WeightsError):
        evaluate(replace(tiny_plan, sampler=missing), ["samples"], tmp_path / "other")
    state = load_checkpoint(tmp_path / "checkpoint.pt")
    state["average"]["reader.leave.bias"] += 1.0
    save_atomically(state, tmp_path / "checkpoint.pt")
    with pytest.raises(PhysMRISynthError, match="does not sample the codes"):
        evaluate(replace(tiny_plan, condenser=tmp_path / "checkpoint.pt"), ["samples"], tmp_path / "other")


def test_the_gallery_shows_three_contrasts_in_three_planes() -> None:
    maps = small_head().maps
    pictures = head_pictures("seed 3", maps)
    assert len(pictures) == 9 and [picture.title for picture in pictures[:2]] == ["seed 3 t1w\naxial", "seed 3 t1w\ncoronal"]
    assert all(np.isfinite(picture.plane).all() and picture.plane.max() > 0 for picture in pictures)
    image = np.zeros((20, 20, 20), dtype=np.float32)
    image[12, :, :] = 1.0  # towards the top
    assert plane(image, np.ones(image.shape, bool), 1)[:10].any() and not plane(image, np.ones(image.shape, bool), 1)[10:].any()
