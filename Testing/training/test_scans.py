"""Real scans: found in the usual layouts, read once, brought onto one grid, and never read wrongly without a word."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from physmrisynth_training.learning.batch import SignalBatch
from physmrisynth_training.learning.dataset import RealScans
from physmrisynth_training.learning.real_scans import CachedScans, cached_scans
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.intake.sessions import Session, find_sessions
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.network.inference import normalised
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.imaging.phantoms import grid, head, rotation

SIDECARS = {
    "t1w": {"RepetitionTime": 2.2, "InversionTime": 0.9, "EchoTime": 0.003, "FlipAngle": 8, "MagneticFieldStrength": 3},
    "t2w": {"RepetitionTime": 3.2, "EchoTime": 0.455, "MagneticFieldStrength": 3, "ImageType": ["ORIGINAL"]},
    "flair": {"RepetitionTime": 9.0, "EchoTime": 0.091, "InversionTime": 2.5, "MagneticFieldStrength": 3},
}
SUFFIXES = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}
BIDS = "sub-OAS30001/ses-d0129/anat{}/sub-OAS30001_ses-d0129_run-01_{}.nii.gz"
COARSE = (4.0, 4.0, 4.0)


def quiet(line: str) -> None:
    """Progress that nobody reads."""


def write(path: Path, role: str, image: sitk.Image | None = None, sidecar: dict[str, object] | None = None) -> Path:
    """The phantom's head as an image of ``role``, with a sidecar when given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(head(grid((40, 48, 44), COARSE, np.eye(3)), int(role != "t1w")) if image is None else image, str(path))
    if sidecar is not None:
        path.with_name(path.name.removesuffix(".nii.gz") + ".json").write_text(json.dumps(sidecar), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def oasis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One session as OASIS-3 has it: three contrasts on one grid."""
    folder = tmp_path_factory.mktemp("oasis")
    for number, (role, suffix) in enumerate(SUFFIXES.items(), start=1):
        write(folder / BIDS.format(number, suffix), role, sidecar=SIDECARS[role])
    return folder


@pytest.fixture(scope="module")
def kept(oasis: Path, tmp_path_factory: pytest.TempPathFactory) -> CachedScans:
    (found,) = cached_scans(find_sessions(oasis), tmp_path_factory.mktemp("kept"), quiet)
    return found


# --- finding --------------------------------------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names(sessions: list[Session], folder: Path) -> dict[str, dict[str, str]]:
    return {s.name: {role: path.relative_to(folder).as_posix() for role, path in s.files.items()} for s in sessions}


def test_sessions_are_found_in_bids_layout(tmp_path: Path) -> None:
    touch(
        tmp_path, "sub-02/anat/sub-02_T1w.nii", "sub-02/anat/sub-02_T2star.nii.gz", "sub-02/func/sub-02_bold.nii.gz",
        "sub-01/ses-b/anat2/NIFTI/sub-01_ses-b_T2w.nii.gz", "sub-01/ses-a/anat/sub-01_ses-a_T1w.json", "sub-01/ses-c/pet/x_T1w.nii.gz",
        "sub-01/ses-b/anat1/sub-01_ses-b_ce-gd_T1w.nii.gz", "participants.tsv",
    )  # fmt: skip
    sessions = find_sessions(tmp_path)
    assert names(sessions, tmp_path) == {
        "sub-01_ses-b": {"t2w": "sub-01/ses-b/anat2/NIFTI/sub-01_ses-b_T2w.nii.gz"},
        "sub-02": {"t1w": "sub-02/anat/sub-02_T1w.nii"},
    }
    assert [session.subject for session in sessions] == ["sub-01", "sub-02"]


def test_of_several_runs_the_first_is_taken_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, *(f"sub-1/anat{n}/sub-1_run-0{n}_T1w.nii.gz" for n in (2, 1)), "sub-1/anat1/sub-1_FLAIR.nii.gz")
    (session,) = find_sessions(tmp_path)
    assert session.files["t1w"].name == "sub-1_run-01_T1w.nii.gz" and set(session.files) == {"t1w", "flair"}
    assert "sub-1 has 2 t1w images" in caplog.text and "run-01" in caplog.text


def test_sessions_are_found_as_folders(tmp_path: Path) -> None:
    touch(tmp_path, "p12/visit1/t1w.nii.gz", "p12/visit2/t1w.nii.gz", "p12/visit2/flair.nii", "p07/t2w.nii.gz", "p07/t1w_gd.nii.gz")
    sessions = find_sessions(tmp_path)
    assert names(sessions, tmp_path) == {
        "p07": {"t2w": "p07/t2w.nii.gz"},
        "p12_visit1": {"t1w": "p12/visit1/t1w.nii.gz"},
        "p12_visit2": {"t1w": "p12/visit2/t1w.nii.gz", "flair": "p12/visit2/flair.nii"},
    }
    assert [session.subject for session in sessions] == ["p07", "p12", "p12"]
    assert names(find_sessions(tmp_path / "p07"), tmp_path) == {"p07": {"t2w": "p07/t2w.nii.gz"}}
    assert find_sessions(tmp_path / "absent") == []


# --- reading --------------------------------------------------------------------------------------------------------------------


def test_protocols_come_from_sidecars(kept: CachedScans) -> None:
    t1w, t2w, flair = kept.protocols
    assert t1w is not None and t2w is not None and flair is not None
    assert (t1w.sequence.name, t1w.values["TR"], t1w.values["TI"], t1w.values["FA"]) == ("mprage", 2200.0, 900.0, 8.0)
    assert t2w.sequence.name == "space" and t2w.values["TE"] == 455.0  # nominal, of a train of variable angles
    assert (flair.values["TR"], flair.values["TE"], flair.values["TI"]) == (9000.0, 91.0, 2500.0)
    assert kept.field_strength == 3.0 and kept.subject == "sub-OAS30001"


def test_a_session_is_at_1_mm_cut_to_its_head(kept: CachedScans) -> None:
    """The phantom's half-axes are 74, 92 and 82 mm."""
    assert np.abs(np.array(kept.shape) - np.array([164, 184, 148]) - 16).max() <= 8
    assert kept.planes[1] - kept.planes[0] == 160 and kept.planes[1] <= kept.shape[0]
    assert np.abs(np.array(kept.centre) - np.array(kept.shape) / 2).max() <= 3
    whole = kept.read([n // 2 for n in kept.shape], kept.shape)
    assert whole.shape == (3, *kept.shape) and np.isfinite(whole).all()
    assert normalised(whole[0]).max() == pytest.approx(whole[0].max(), rel=0.05)
    z, y, x = (n // 2 for n in kept.shape)
    assert whole[0, z - 15, y + 30, x - 28] < 0.5 * whole[0, z - 15, y + 30, x + 28]  # a lesion: low, at the back, on the right
    assert whole[1, z + 12, y + 5, x + 9] > 1.5 * whole[1, z + 6, y - 5, x + 30]  # fluid over white matter


def test_targets_are_raw_but_for_one_number(oasis: Path, kept: CachedScans) -> None:
    """What the file says, over what comes of it, is the same for all images; PD is near a fraction of water."""
    ratios = []
    for m, (number, suffix) in enumerate([(1, "T1w"), (2, "T2w"), (3, "FLAIR")]):
        raw = sitk.GetArrayFromImage(sitk.ReadImage(str(oasis / BIDS.format(number, suffix))))
        inside = kept.read(kept.centre, (60, 60, 60))[m] * kept.levels[m]
        middle = tuple(slice(n // 2 - 7, n // 2 + 8) for n in raw.shape)
        ratios.append(float(np.median(raw[middle]) / np.median(inside)))
    assert max(ratios) < 1.05 * min(ratios)
    protocol, white = kept.protocols[0], next(tissue for tissue in tissue_table(3.0) if tissue.name == "white_matter")
    assert protocol is not None and kept.levels[0] == pytest.approx(float(protocol.signal(*np.exp(white.theta))), rel=1e-3)


def test_beyond_the_head_lies_air(kept: CachedScans) -> None:
    corner = kept.read((0, 0, 0), (8, 8, 8))
    assert corner.shape == (3, 8, 8, 8) and (corner[:, :4] == 0).all() and (corner[:, :, :, :4] == 0).all()
    np.testing.assert_array_equal(corner[:, 4:, 4:, 4:], kept.read((2, 2, 2), (4, 4, 4)))
    assert (kept.read((-50, 0, kept.shape[2] + 9), (8, 8, 8)) == 0).all()


def test_any_orientation_and_grid_comes_out_alike(kept: CachedScans, tmp_path: Path) -> None:
    """The T1w sagittal, the T2w covering half the head on a grid of its own."""
    sagittal = sitk.DICOMOrient(head(grid((40, 48, 44), COARSE, np.eye(3)), 0), "ASR")
    write(tmp_path / "p/t1w.nii.gz", "t1w", sagittal, SIDECARS["t1w"])
    half = head(grid((60, 60, 20), (3.0, 3.0, 5.0), rotation(4, -3, 2), (2.0, 1.0, 50.0)), 1)
    write(tmp_path / "p/t2w.nii.gz", "t2w", half, SIDECARS["t2w"])
    (found,) = cached_scans(find_sessions(tmp_path), tmp_path / "kept", quiet)
    assert found.shape == kept.shape and found.protocols[2] is None
    same, other = (session.read(kept.centre, (120, 120, 100)) for session in (found, kept))
    assert np.abs(same[0] - other[0]).mean() < 0.01
    seen = np.isfinite(same[1])
    assert 0.2 < seen.mean() < 0.8 and seen[-20:].mean() > 0.9 and not seen[:20].any() and np.isnan(same[2]).all()
    assert np.isnan(found.read((-9, *found.centre[1:]), (8, 8, 8))[1]).all()  # below its half nothing is known, not even air
    assert np.corrcoef(same[1][seen], other[1][seen])[0, 1] > 0.9


def test_without_sidecars_usual_protocols_are_assumed_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "p/flair.nii.gz", "flair")
    (found,) = cached_scans(find_sessions(tmp_path), tmp_path / "kept", quiet)
    assert found.protocols[:2] == (None, None) and found.protocols[2] is not None and found.protocols[2].sequence.name == "flair"
    assert "flair.nii.gz: Nothing is known about this scan" in caplog.text and found.field_strength == 3.0


# --- keeping --------------------------------------------------------------------------------------------------------------------


def test_a_session_is_read_once_until_its_files_change(oasis: Path, kept: CachedScans) -> None:
    sessions, told = find_sessions(oasis), []
    (first,) = cached_scans(sessions, kept.path.parent, told.append)
    assert first.path == kept.path and not told
    sidecar = oasis / BIDS.format(1, "T1w").replace(".nii.gz", ".json")
    before = sidecar.read_text(encoding="utf-8")
    try:
        sidecar.write_text(json.dumps({**SIDECARS["t1w"], "InversionTime": 1.0}), encoding="utf-8")
        (changed,) = cached_scans(sessions, kept.path.parent, told.append)
    finally:
        sidecar.write_text(before, encoding="utf-8")
    assert told == ["reading scans: session 1 of 1"] and first.protocols[0] != changed.protocols[0]


def test_a_damaged_file_of_what_is_kept_is_made_anew(tmp_path: Path) -> None:
    write(tmp_path / "p/t1w.nii.gz", "t1w", sidecar=SIDECARS["t1w"])
    for _ in range(2):
        (found,) = cached_scans(find_sessions(tmp_path), tmp_path / "kept", quiet)
        assert np.isfinite(found.read(found.centre, (8, 8, 8))[0]).all()
        assert list((tmp_path / "kept").iterdir()) == [found.path]
        found.path.write_bytes(found.path.read_bytes()[:1000])


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def in_words(path: Path) -> None:
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text('{"RepetitionTime": "long"}', encoding="utf-8")


def at_other_field(path: Path) -> None:
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps({**SIDECARS["t2w"], "MagneticFieldStrength": 1.5}))


def empty(path: Path) -> None:
    image = sitk.ReadImage(str(path))
    sitk.WriteImage(image_like(np.zeros(image.GetSize()[::-1], np.float32), image), str(path))


def test_sessions_that_cannot_be_used_are_skipped_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    damages = {cut_off: "t2w.nii.gz", in_words: "t2w.json.*RepetitionTime", at_other_field: "field strengths", empty: "t2w.nii.gz.*empty"}
    write(tmp_path / "good/t1w.nii.gz", "t1w", sidecar=SIDECARS["t1w"])
    for damage in damages:
        for role in ("t1w", "t2w"):
            write(tmp_path / damage.__name__ / f"{role}.nii.gz", role, sidecar=SIDECARS[role])
        damage(tmp_path / damage.__name__ / "t2w.nii.gz")
    (found,) = cached_scans(find_sessions(tmp_path), tmp_path / "kept", quiet)
    assert found.subject == "good"
    for damage, cause in damages.items():
        assert re.search(f"Session {damage.__name__} is skipped: .*{cause}", caplog.text)


def test_without_any_usable_session_there_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "p1/t1w.nii.gz", "p2/flair.nii.gz")  # files of zero bytes
    with pytest.raises(PhysMRISynthError, match="None of the 2 sessions"):
        cached_scans(find_sessions(tmp_path), tmp_path / "kept", quiet)


# --- batches --------------------------------------------------------------------------------------------------------------------


def test_an_epoch_shows_every_slice_once_in_a_new_order(kept: CachedScans) -> None:
    scans = RealScans([kept], [(32, 24)], 4, seed=3, dropout=False)
    assert len(scans.pieces) == 160
    orders = [[scans.pieces[i] for i in np.random.default_rng([3, epoch, 4]).permutation(160)] for epoch in (0, 1)]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])
    for index in (0, 7, 160):
        batch = scans[index]
        assert isinstance(batch, SignalBatch) and batch.images.shape == (1, 3, 32, 24) and batch.present.all()
        plane = orders[index // 160][index % 160][1]
        expected = kept.read((plane, *kept.centre[1:]), (1, 32, 24))[:, 0]
        np.testing.assert_array_equal(batch.images[0], expected)
        np.testing.assert_allclose(batch.targets[0], expected * kept.levels[:, None, None], rtol=1e-6)
        assert (scans[index].images == batch.images).all()  # the same number, the same piece


def test_crops_are_anywhere_in_the_head_and_steps_share_a_shape(kept: CachedScans) -> None:
    scans = RealScans([kept], [(16, 24, 16), (24, 16, 16)], 2, seed=3)
    shapes = [[tuple(scans[2 * step + i].images.shape[2:]) for i in range(2)] for step in range(12)]
    assert all(len(set(step)) == 1 for step in shapes) and len({step[0] for step in shapes}) == 2
    shown = {tuple(scans[i].present[0].tolist()) for i in range(24)}
    assert len(shown) > 3 and all(any(subset) for subset in shown)
    assert all(bool(scans[i].given[0, 0]) for i in range(24))


def test_published_equations_scale_all_images_of_a_session_alike(kept: CachedScans) -> None:
    exact, published = (RealScans([kept], [(16, 16)], 1, seed=3, published=flag)[5] for flag in (False, True))
    assert isinstance(exact, SignalBatch) and isinstance(published, SignalBatch)
    ratios = (published.levels / exact.levels)[0]
    assert float(ratios.min()) == pytest.approx(float(ratios.max()), rel=1e-5) and float(ratios[0]) > 5.0
    assert [text.split(",")[0] for text in published.protocols[0]] == ["mprage_simple", "tse", "flair"]
    assert torch.equal(exact.conditions, published.conditions) and torch.equal(exact.images, published.images)
