"""What tells that an image was taken after a contrast agent: the header's fields on it, the names of the series, the file's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.headers.contrast_agent import check_contrast_agent, contrast_agent
from PhysMRISynthLib.headers.dicom_header import dicom_fields
from PhysMRISynthLib.headers.roles import role_of_name
from PhysMRISynthLib.imaging.intake.sessions import find_session
from Testing.imaging.dicom_folders import FLAIR, T1W, picture, write_series

AFTER = [
    "t1_mprage_sag_post_Gd", "T1W_3D_TFE_GADOVIST", "T1 Dotarem", "T1 gadavist", "T1 FS POSTGAD", "t1_mprage_sag_CM", "T1+K", "T1 mit KM",
    "T1 SAG POST", "AX T1 C+", "T1 +C", "t1ce", "T1Gd", "sub-01_ce-gadolinium_T1w", "sub-01_acq-postgd_T1w", "sub-01_acq-2dpostgd_T1w",
    "sub-01_ses-2_acq-postContrast_T1w", "T1 inj", "T1_MPRAGE_GadoC", "MPRAGE ENHANCED", "T2 FLAIR post contrast", "T1 MPRAGE nach KM",
]  # fmt: skip
BEFORE = [
    "t1_mprage_sag", "sub-01_T1w", "sub-01_ce-none_T1w", "sub-01_acq-pregd_T1w", "sub-01_ses-post_T1w", "sub-GD_ses-km_T1w",
    "T1 pre contrast", "T1_preGd", "AX T1 -C", "T1 without contrast", "T1 w/o Gd", "T1 ohne KM", "T1 sans injection", "t1_mpr_5_cm",
    "T1 post-op", "OAS30001_MR_d0129_T1w",
]  # fmt: skip
NOT_GIVEN = [
    "", " ", "-", "NONE", "None ", "no", "No contrast agent", "NO CONTRAST GIVEN", "UNKNOWN", "kein", "keines", "kein KM", "non", "Sans",
    "WITHOUT CONTRAST", "w/o", "0", "0 ML", "0.0 ml", "n/a", "N.A.", "(none)", "N", "false", "no gadolinium", "not given",
]  # fmt: skip
GIVEN = ["GADAVIST", "MAGNEVIST 10 ml", "yes", "Dotarem", "0.1 mmol/kg Gadovist", "N-methylglucamine gadoterate", "contrast agent", "1"]


@pytest.mark.parametrize("name", AFTER)
def test_a_name_tells_of_an_agent(name: str) -> None:
    assert contrast_agent({}, f"{name}.nii.gz") == "says its name"
    for field in ("SeriesDescription", "ProtocolName"):
        assert contrast_agent({field: name}) == f"{field} '{name}', says its header"
    assert role_of_name(name) is None


@pytest.mark.parametrize("name", BEFORE)
def test_a_name_of_a_native_image_tells_of_none(name: str) -> None:
    assert contrast_agent({"SeriesDescription": name, "ProtocolName": name}, f"{name}.nii.gz") is None


@pytest.mark.parametrize("text", NOT_GIVEN)
def test_the_words_for_none_are_no_agent(text: str) -> None:
    assert contrast_agent({"ContrastBolusAgent": text, "ContrastBolusIngredient": [text], "ContrastBolusRoute": text}) is None


@pytest.mark.parametrize("text", GIVEN)
def test_the_name_of_an_agent_is_told(text: str) -> None:
    for field in ("ContrastBolusAgent", "ContrastBolusIngredient"):
        assert contrast_agent({field: text}) == f"{text}, says its header"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ContrastBolusVolume": 7.5}, "7.5 ml"),
        ({"ContrastBolusVolume": "7.5", "ContrastBolusAgent": "NONE"}, "7.5 ml"),
        ({"ContrastBolusRoute": "IV"}, "ContrastBolusRoute IV"),
        ({"ContrastBolusStartTime": "101500"}, "ContrastBolusStartTime 101500"),
        ({"ContrastBolusRoute": "IV", "ContrastBolusVolume": 0}, None),
        ({"ContrastBolusRoute": "IV", "ContrastBolusAgent": "NONE"}, None),
        ({"ContrastBolusVolume": 0}, None),
        ({"ContrastBolusVolume": "some"}, None),
    ],
)
def test_how_much_and_how_it_was_given_tell_of_it(fields: dict[str, Any], told: str | None) -> None:
    assert contrast_agent(fields) == (told and f"{told}, says its header")


@pytest.mark.parametrize(
    "fields", [{"ContrastBolusVolume": "7.5"}, {"ContrastBolusRoute": "IV"}, {"ContrastBolusIngredient": "GADOLINIUM"}]
)
def test_a_dicom_header_is_asked_the_same(fields: dict[str, Any], tmp_path: Path) -> None:
    file = write_series(tmp_path, 1, picture(), **T1W, **fields)[0]
    agent = contrast_agent(dicom_fields(file))
    assert agent is not None
    with pytest.raises(ImageError, match=r"'scan' was taken after a contrast agent \(.*says its header\)"):
        check_contrast_agent("'scan'", "t1w", agent)


def test_the_finest_t1w_after_an_agent_is_not_taken_for_the_native_one(tmp_path: Path) -> None:
    write_series(tmp_path, 1, picture(), **T1W)
    write_series(tmp_path, 2, picture(spacing=(7, 7, 9)), **{**T1W, "SeriesDescription": "T1W_3D_TFE_GADOVIST"})
    write_series(tmp_path, 3, picture(spacing=(7, 7, 8)), **T1W, ContrastBolusVolume="7.5")
    write_series(tmp_path, 4, picture(spacing=(7, 7, 8)), **FLAIR, ContrastBolusAgent="No contrast agent")
    found = find_session(tmp_path)
    assert set(found.files) == {"t1w", "flair"} and dicom_fields(found.files["t1w"])["SeriesDescription"] == "t1_se_tra"
    assert "contrast agent (SeriesDescription 'T1W_3D_TFE_GADOVIST', says its header)" in found.notes[0]
    assert "contrast agent (7.5 ml, says its header)" in found.notes[1] and len(found.notes) == 2
