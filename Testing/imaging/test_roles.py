"""Which scans are taken for T1w, T2w and FLAIR, by their names and their timing."""

from __future__ import annotations

import pytest

from PhysMRISynthLib.headers.roles import role_of_name, role_of_series, role_of_timing

T1W = [
    "sub-01_T1w", "sub-01_ses-2_acq-mprage_run-1_T1w", "T1", "t1.nii", "MPRAGE", "3: MPRAGE_GRAPPA2", "t1_mpr_sag_p2_iso", "T1_MPRAGE_SAG",
    "mp_rage", "mpRage", "Sag 3D T1 BRAVO", "BRAVO", "3DT1", "sT1W_3D_TFE_32ch", "T1W_SE", "t1_se_tra", "AX T1 FLAIR", "T1wFLAIR", "t1n",
    "T1 pre contrast", "T1 without contrast", "T1_preGd", "T1 w/o contrast", "AX T1 -C", "T1 SPACE", "IR-FSPGR", "sub-01_space-T2w_T1w",
    "T1WI", "T1-weighted", "IXI002-Guys-0828-T1", "OAS30001_MR_d0129_T1w",
]  # fmt: skip
T2W = [
    "sub-01_T2w", "t2_tse_tra", "T2", "AX T2 FSE", "T2W_TSE", "t2_space_sag", "SPACE", "3D CUBE T2",
    "T2 PROPELLER", "VISTA", "t2_blade_tra",
    "sub-01_space-T1w_T2w", "sub-01_space-MNI152NLin2009cAsym_desc-preproc_T2w", "T2WI",
]  # fmt: skip
FLAIR = [
    "FLAIR", "sub-01_FLAIR", "T2_FLAIR", "T2w_FLAIR", "t2_tirm_tra_dark-fluid", "t2_space_dark-fluid_sag", "3D_FLAIR", "Ax T2 FLAIR FS",
    "sub-01_space-T1w_FLAIR", "FLAIR_SPACE", "t2f", "3DT2FLAIR", "Sag CUBE FLAIR", "flair_reg", "darkFluid",
    "t2_spc_da-fl_irprep_sag_p2_iso",
]  # fmt: skip
NONE = [
    "localizer", "AAScout_T1", "3-plane loc", "T1w_seg", "T1_aseg", "flair_lesions", "sub-01_desc-brain_mask", "brainmask", "T1_gd",
    "T1Gd", "t1ce",
    "T1c", "T1 +C", "AX T1 C+", "T1 post contrast", "FLAIR post", "sub-01_ce-gadolinium_T1w", "T1KM", "T1 map", "T2 map", "T2*", "t2star",
    "T1rho", "T2_star_gre",
    "ep2d_diff_b1000", "DWI", "ADC", "PD_TSE", "PD T2 dual echo", "SWI", "TOF_MRA", "mp2rage_UNI_T1w", "fit_t1w",
    "patient", "head 1", "T12 vertebra", "CT1", "CT2mm", "", "scan T11",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "role"), [(name, role) for names, role in ((T1W, "t1w"), (T2W, "t2w"), (FLAIR, "flair"), (NONE, None)) for name in names]
)
def test_names_tell_the_role(name: str, role: str | None) -> None:
    assert role_of_name(name) == role


@pytest.mark.parametrize(
    ("role", "fields"),
    [
        ("t1w", {"RepetitionTime": 2.3, "EchoTime": 0.003, "InversionTime": 0.9, "ScanningSequence": "GR\\IR"}),
        ("t1w", {"RepetitionTime": 0.5, "EchoTime": 0.012, "ScanningSequence": "SE"}),
        ("t2w", {"RepetitionTime": 4.5, "EchoTime": 0.1, "ScanningSequence": "SE"}),
        ("flair", {"RepetitionTime": 9.0, "EchoTime": 0.12, "InversionTime": 2.5, "ScanningSequence": "SE\\IR"}),
        (None, {"RepetitionTime": 4.5, "EchoTime": 0.015, "ScanningSequence": "SE"}),  # proton density
        (None, {"RepetitionTime": 4.0, "EchoTime": 0.05, "InversionTime": 0.16, "ScanningSequence": "SE\\IR"}),  # STIR
        (None, {"RepetitionTime": 5.0, "EchoTime": 0.39, "ScanningSequence": "SE\\IR"}),  # FLAIR or STIR
        (None, {"RepetitionTime": 4.0, "EchoTime": 0.09, "ScanningSequence": "EP\\SE"}),  # diffusion
        (None, {"RepetitionTime": 0.65, "EchoTime": 0.02, "ScanningSequence": "GR"}),  # T2*
        (None, {"RepetitionTime": 0.022, "EchoTime": 0.004, "ScanningSequence": "GR"}),  # angiography, or a T1w: not certain
        (None, {}),
    ],
)
def test_timing_tells_the_role_only_where_it_is_certain(role: str | None, fields: dict) -> None:
    assert role_of_timing(fields) == role


@pytest.mark.parametrize(
    ("name", "inversion", "role"),
    [
        ("t2_tirm_tra", 2.5, "flair"),
        ("t2_tirm_tra", 0.16, "t2w"),  # STIR
        ("t2_tirm_tra", None, "t2w"),
        ("t2_tirm_tra_dark-fluid", 0.9, "flair"),  # its name leaves nothing open
        ("t2_tse_tra", 2.5, "flair"),  # its timing contradicts it
        ("t1_tirm_tra", 2.5, "flair"),
    ],
)
def test_timing_decides_what_a_tirm_is(name: str, inversion: float | None, role: str) -> None:
    fields = {"RepetitionTime": 9.0, "EchoTime": 0.09, "InversionTime": inversion, "ScanningSequence": "SE\\IR"}
    assert role_of_series(name, fields) == role
