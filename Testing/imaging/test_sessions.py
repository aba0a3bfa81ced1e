"""Finding a visit's files as users keep them: BIDS, a download of OASIS-3, and folders whose names tell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.sessions import find_session, find_sessions
from PhysMRISynthLib.imaging.intake.sidecar import fields_beside

OASIS = "OAS30001_MR_d0129/anat{}/NIFTI/sub-OAS30001_ses-d0129_{}.nii.gz"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def files_of(folder: Path) -> dict[str, str]:
    return {role: path.relative_to(folder).as_posix() for role, path in find_session(folder).files.items()}


@pytest.mark.parametrize("inner", [".", "sub-1", "sub-1/ses-b", "sub-1/ses-b/anat"])
def test_any_folder_of_a_bids_tree_that_holds_one_visit(tmp_path: Path, inner: str) -> None:
    touch(tmp_path, *(f"sub-1/ses-b/anat/sub-1_ses-b_{suffix}.nii.gz" for suffix in ("T1w", "FLAIR", "T2star", "ce-gd_T2w")))
    session = find_session(tmp_path / inner)
    assert {role: path.name for role, path in session.files.items()} == {
        "t1w": "sub-1_ses-b_T1w.nii.gz",
        "flair": "sub-1_ses-b_FLAIR.nii.gz",
    }


def test_oasis3_as_it_is_downloaded(tmp_path: Path) -> None:
    touch(tmp_path, OASIS.format(1, "run-01_T1w"), OASIS.format(2, "run-02_T1w"), OASIS.format(3, "T2w"))
    session = find_session(tmp_path)
    assert (session.subject, session.name) == ("sub-OAS30001", "OAS30001_MR_d0129")
    assert files_of(tmp_path) == {"t1w": OASIS.format(1, "run-01_T1w"), "t2w": OASIS.format(3, "T2w")}
    (note,) = session.notes
    assert "2 t1w images" in note and "run-01_T1w.nii.gz is taken" in note
    assert files_of(tmp_path / "OAS30001_MR_d0129") == {role: path.partition("/")[2] for role, path in files_of(tmp_path).items()}


def test_several_visits_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/ses-a/anat/sub-1_ses-a_T1w.nii", "sub-1/ses-b/anat/sub-1_ses-b_T1w.nii")
    with pytest.raises(ImageError, match=r"2 visits: sub-1_ses-a, sub-1_ses-b\. Choose the folder of one"):
        find_session(tmp_path)
    assert find_session(tmp_path / "sub-1" / "ses-b").files["t1w"].name == "sub-1_ses-b_T1w.nii"


def test_visits_side_by_side_in_one_folder(tmp_path: Path) -> None:
    touch(tmp_path, *(f"study{n}_{name}.nii.gz" for n in (1, 2) for name in ("T1W", "T2W", "FLAIR")))
    with pytest.raises(ImageError, match=r"study1, .*study2"):
        find_session(tmp_path)


def test_a_flat_folder_with_telling_names(tmp_path: Path) -> None:
    touch(tmp_path, "scan_t1_mprage_sag.nii.gz", "t2_tse.nii", "T2_FLAIR.nii.gz", "T1w_gd.nii.gz", "T1w_seg.nii.gz", "notes.txt")
    assert files_of(tmp_path) == {"t1w": "scan_t1_mprage_sag.nii.gz", "t2w": "t2_tse.nii", "flair": "T2_FLAIR.nii.gz"}


def test_two_runs_in_a_flat_folder_are_one_visit(tmp_path: Path) -> None:
    touch(tmp_path, "p_T1w_run-1.nii.gz", "p_T1w_run-2.nii.gz", "p_FLAIR.nii.gz", "p_FLAIR.nii")
    assert files_of(tmp_path) == {"t1w": "p_T1w_run-1.nii.gz", "flair": "p_FLAIR.nii.gz"}
    assert len(find_sessions(tmp_path)[0].notes) == 1  # the uncompressed copy is no second run


def test_folders_without_a_visit_say_what_is_expected(tmp_path: Path) -> None:
    touch(tmp_path, "CT.nii.gz", "sub-1/func/sub-1_bold.nii.gz")
    with pytest.raises(ImageError, match="no T1w, T2w or FLAIR volume"):
        find_session(tmp_path)
    with pytest.raises(ImageError, match="is not a folder"):
        find_session(tmp_path / "CT.nii.gz")


def test_a_folder_of_too_many_files_is_refused_before_it_is_searched(tmp_path: Path) -> None:
    touch(tmp_path, "T1w.nii.gz", *(f"dicom/{n}.dcm" for n in range(30)))
    assert files_of(tmp_path) == {"t1w": "T1w.nii.gz"}
    with pytest.raises(ImageError, match=r"more than 20 files and folders\. Choose the folder of one visit"):
        find_session(tmp_path, most=20)


def test_folders_too_deep_are_not_searched(tmp_path: Path) -> None:
    touch(tmp_path, "/".join("abcdefgh") + "/T1w.nii.gz", "/".join("abcdefghi") + "/T2w.nii.gz")
    assert set(find_session(tmp_path).files) == {"t1w"}


def test_a_tirm_is_what_its_sidecar_says(tmp_path: Path) -> None:
    touch(tmp_path, "t1_mprage.nii.gz", "t2_tirm_tra.nii.gz")
    assert files_of(tmp_path)["t2w"] == "t2_tirm_tra.nii.gz"
    told = {"RepetitionTime": 9.0, "EchoTime": 0.09, "InversionTime": 2.5, "ScanningSequence": "SE"}
    (tmp_path / "t2_tirm_tra.json").write_text(json.dumps(told), encoding="utf-8")
    assert files_of(tmp_path) == {"t1w": "t1_mprage.nii.gz", "flair": "t2_tirm_tra.nii.gz"}
    (tmp_path / "t2_tirm_tra.json").write_text("{", encoding="utf-8")
    assert files_of(tmp_path)["t2w"] == "t2_tirm_tra.nii.gz"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ("acq-postgd", "after a contrast agent"),
        ("ce-gadolinium", "after a contrast agent"),
        ("part-phase", "something else"),
        ("part-imag", "something else"),
        ("acq-localizer", "something else"),
    ],
)
def test_a_run_that_is_something_else_by_its_name_is_left_out_with_a_note(tmp_path: Path, other: str, told: str) -> None:
    taken, left_out = "sub-1/anat/sub-1_rec-z_T1w.nii.gz", f"sub-1_{other}_T1w.nii.gz"
    touch(tmp_path, f"sub-1/anat/{left_out}")
    with pytest.raises(ImageError, match=rf"no T1w, T2w or FLAIR volume.*{left_out} is left out: its name says that it.*{told}"):
        find_session(tmp_path)
    touch(tmp_path, taken)
    (session,) = find_sessions(tmp_path)
    assert files_of(tmp_path) == {"t1w": taken}
    assert len(session.notes) == 1 and left_out in session.notes[0] and told in session.notes[0]


@pytest.mark.parametrize("entities", ["ce-none", "acq-pregd", "part-mag", "ses-post", "acq-mprage_run-1"])
def test_a_native_magnitude_image_is_taken(tmp_path: Path, entities: str) -> None:
    touch(tmp_path, f"sub-1/anat/sub-1_{entities}_T1w.nii.gz")
    assert files_of(tmp_path) == {"t1w": f"sub-1/anat/sub-1_{entities}_T1w.nii.gz"}
    assert not find_sessions(tmp_path)[0].notes


def test_a_visit_of_oasis3s_web_archive(tmp_path: Path) -> None:
    """Scans under scans/, files by their kind, sess- for ses-, the sidecar in a sister folder."""
    scan = "OAS30001_MR_d0129/scans/anat2-T1w/resources/{}/files/sub-OAS30001_sess-d0129_run-01_T1w.{}"
    touch(tmp_path, scan.format("NIFTI", "nii.gz"), OASIS.format(3, "T2w"))
    sidecar = tmp_path / scan.format("BIDS", "json")
    sidecar.parent.mkdir(parents=True)
    sidecar.write_text(json.dumps({"EchoTime": 0.003}), encoding="utf-8-sig")  # with a byte order mark
    found = find_session(tmp_path).files
    assert set(found) == {"t1w", "t2w"}
    assert fields_beside(found["t1w"]) == ({"EchoTime": 0.003}, f"sidecar {sidecar.name}")


@pytest.mark.parametrize("names", ("sub-OAS30001_ses-d0129_run-01_T1w.json", "sub-OAS30001_sess-d0129_run-01_T1w.json"))
def test_a_sidecar_in_oasis3s_sister_folder_counts_and_another_scans_does_not(tmp_path: Path, names: str) -> None:
    image = touch(tmp_path, OASIS.format(2, "run-01_T1w")) / OASIS.format(2, "run-01_T1w")
    other = touch(tmp_path, OASIS.format(3, "run-02_T1w")) / OASIS.format(3, "run-02_T1w")
    sidecar = tmp_path / "OAS30001_MR_d0129" / "anat2" / "BIDS" / names
    sidecar.parent.mkdir()
    sidecar.write_text(json.dumps({"RepetitionTime": 2.4}), encoding="utf-8")
    assert fields_beside(image) == ({"RepetitionTime": 2.4}, f"sidecar {names}")
    assert fields_beside(other) is None


@pytest.mark.parametrize(
    ("first", "second"),
    (
        ("acq-tra", "acq-cspine"), ("acq-space", "acq-hippo"), ("rec-norm", "rec-nonorm"), ("acq-mprage", "acq-MTon"), ("run-2", "run-10"),
        ("acq-z", "acq-orbit"),
    ),
)  # fmt: skip
def test_of_several_runs_the_heads_scan_is_taken(tmp_path: Path, first: str, second: str) -> None:
    touch(tmp_path, *(f"sub-1/anat/sub-1_{entity}_T1w.nii.gz" for entity in (first, second)))
    assert files_of(tmp_path) == {"t1w": f"sub-1/anat/sub-1_{first}_T1w.nii.gz"}


def test_a_slab_comes_after_a_whole_head(tmp_path: Path) -> None:
    for name, size in (("acq-a", (20, 20, 6)), ("acq-b", (20, 20, 20))):
        picture = sitk.Image(size, sitk.sitkUInt8)
        picture.SetSpacing((8.0, 8.0, 8.0))
        (tmp_path / "sub-1" / "anat").mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(picture, str(tmp_path / "sub-1" / "anat" / f"sub-1_{name}_T2w.nii.gz"))
    assert files_of(tmp_path) == {"t2w": "sub-1/anat/sub-1_acq-b_T2w.nii.gz"}


FOLDERS = {
    "dcm2niix": (
        ("2_t1_mprage_sag_20260101", "2_t1_mprage_sag_20260101_Crop_1", "3_t2_tse_tra_20260101", "3_t2_tse_tra_20260101a",
         "4_t2_tirm_tra_dark-fluid_20260101", "4_t2_tirm_tra_dark-fluid_20260101_Eq_1", "2_t1_mprage_sag_20260101_ph"),
        {"t1w": "2_t1_mprage_sag_20260101", "t2w": "3_t2_tse_tra_20260101", "flair": "4_t2_tirm_tra_dark-fluid_20260101"},
    ),
    "HCP": (
        ("T1w_acpc_dc_restore", "T2w_acpc_dc_restore", "T1w_acpc_dc_restore_brain", "T2w_acpc_dc_restore_brain", "T1wDividedByT2w",
         "ribbon", "wmparc", "brainmask_fs"),
        {"t1w": "T1w_acpc_dc_restore", "t2w": "T2w_acpc_dc_restore"},
    ),
    "UK Biobank": (
        ("T1/T1", "T1/T1_brain", "T1/T1_unbiased", "T1/T1_brain_mask", "T1/T1_fast/T1_brain_pve_1", "T2_FLAIR/T2_FLAIR",
         "T2_FLAIR/T2_FLAIR_brain", "T1/transforms/T1_to_MNI_warp_jac", "T1/transforms/T1_to_MNI_warp"),
        {"t1w": "T1/T1", "flair": "T2_FLAIR/T2_FLAIR"},
    ),
    "ADNI": (
        ("002_S_0295/MPRAGE/2006-04-18_08_20/I45107/ADNI_MPRAGE_br_raw", "002_S_0295/Axial_T2-FLAIR/2006-04-18_08_20/I45108/ADNI_FLAIR"),
        {"t1w": "002_S_0295/MPRAGE/2006-04-18_08_20/I45107/ADNI_MPRAGE_br_raw",
         "flair": "002_S_0295/Axial_T2-FLAIR/2006-04-18_08_20/I45108/ADNI_FLAIR"},
    ),
    "XNAT": (
        ("S1/scans/3-t1_mprage/resources/NIFTI/files/3", "S1/scans/3-t1_mprage/resources/NIFTI/files/t1_mprage",
         "S1/scans/4-t2_tse/resources/NIFTI/files/t2_tse"),
        {"t1w": "S1/scans/3-t1_mprage/resources/NIFTI/files/t1_mprage", "t2w": "S1/scans/4-t2_tse/resources/NIFTI/files/t2_tse"},
    ),
    "BIDS below rawdata, beside derivatives": (
        ("rawdata/sub-01/anat/sub-01_T1w", "derivatives/bet/sub-01/anat/sub-01_desc-brain_T1w"),
        {"t1w": "rawdata/sub-01/anat/sub-01_T1w"},
    ),
    "derivatives alone": (("derivatives/bet/sub-01/anat/sub-01_T1w",), {"t1w": "derivatives/bet/sub-01/anat/sub-01_T1w"}),
}  # fmt: skip


@pytest.mark.parametrize(("names", "taken"), FOLDERS.values(), ids=FOLDERS.keys())
def test_folders_of_common_programs_hold_one_visit(tmp_path: Path, names: tuple[str, ...], taken: dict[str, str]) -> None:
    touch(tmp_path, *(f"{name}.nii.gz" for name in names))
    assert files_of(tmp_path) == {role: f"{name}.nii.gz" for role, name in taken.items()}


@pytest.mark.parametrize(
    "names",
    (
        ("S1/MPRAGE/2006-04-18/I1/a_T1w", "S1/MPRAGE/2007-04-20/I2/a_T1w", "S1/FLAIR/2006-04-18/I3/a_FLAIR"),
        ("T1/S1/a_T1w", "T1/S2/b_T1w", "T2/S1/a_T2w", "T2/S2/b_T2w"),
        ("FLAIR-study/S1/FLAIR", "FLAIR-study/S2/FLAIR"),
    ),
    ids=("two dates", "people sorted by contrast", "a study named after its contrast"),
)
def test_folders_of_contrasts_do_not_make_one_visit_of_several(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{name}.nii.gz" for name in names))
    with pytest.raises(ImageError, match=r"holds \d visits"):
        find_session(tmp_path)


def test_other_formats_and_capitals_are_found(tmp_path: Path) -> None:
    touch(tmp_path, "T1W.NII.GZ", "T2w.nrrd", "FLAIR.mha")
    assert set(find_session(tmp_path).files) == {"t1w", "t2w", "flair"}


def test_what_the_header_calls_a_phase_image_is_left_out_with_a_note(tmp_path: Path) -> None:
    touch(tmp_path, "sub-1/anat/sub-1_run-1_T1w.nii.gz", "sub-1/anat/sub-1_run-2_T1w.nii.gz")
    told = {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}
    (tmp_path / "sub-1" / "anat" / "sub-1_run-1_T1w.json").write_text(json.dumps(told), encoding="utf-8")
    session = find_session(tmp_path)
    assert session.files["t1w"].name == "sub-1_run-2_T1w.nii.gz" and "a phase image" in session.notes[0]
