"""Whether a scan is a T1w, a T2w or a FLAIR image, by its name, series description or timing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .contrast_agent import names_agent, spoken
from .header_values import number_of, text_of
from .sequence_family import role_of_sequence, words

ROLES = ("t1w", "t2w", "flair")
"""The inputs that panel, command line, cohorts and networks know by name; training data keep their order. Further inputs
(``--also``) are the MORE_ROLES of ``workflow/estimation/more_inputs.py``."""
_NO_ROLE = (
    words(r"post|part-(?:real|imag)"),  # after an operation; half of a complex image
    words(r"localizer|localiser|loc|scout|aascout|survey|calibration|cal|fieldmap|fmap|sbref|phase|spectro|mrs|test"),
    words(r"seg\w*|aseg|aparc|labels?|\w*mask|lesions?|rois?|atlas|gt|fit|residual|sd|t[12]-(?:map\w*|rho|star)|t2\*|map"),
    words(
        r"dwi|dti|diff\w*|adc|trace\w*|b\d{1,4}|epi|bold|fmri|rest|asl|pcasl|perf\w*|dsc|dce|swi|swan|qsm|hemo|tof|mra|mrv|angio|gre|medic"
    ),
    words(r"pd|pdw|pdt2|proton|mp2rage|psir|dir|stir"),
    words(r"pve|probseg|dseg|jacobian|warp|warpfield|ribbon|wmparc|brainmask\w*|divided|ratio|myelin|ph|real|imaginary|dixon-?(?:f|fat)"),
)
_T1_FLAIR = words(r"t1w?-(?:weighted)?-(?:(?:fse|tse|frfse|se|fs|2d|3d|ax|sag|cor|propeller|blade)-)*flair")
_FLAIR = words(r"(?:3d)?-(?:t2w?)?-(?:flair|dark-fluid|darkflair|da-fl)(?:3d)?|t2f")
_NAMED = words(r"(?:3d)?-t([12])(?:w|wi|n|weighted|w?(?:3d|2d|tse|fse|tfe|ffe|se|spc|mpr|mprage|space|cube))?")
_TIRM = words("tirm")
"""Turbo inversion recovery, used for FLAIR and STIR."""
_INVERSION_OF_T1 = (300.0, 1500.0)


def role_of_name(name: str) -> str | None:
    """``t1w``, ``t2w`` or ``flair`` by the words of a name (``patient_T1w``, ``t1_mpr_sag``, ``T2_FLAIR``), else None.

    Localizers, segmentations, maps, other contrasts and contrast-enhanced images have no role.
    """
    if excludes_every_role(name):
        return None
    text = spoken(name)
    if _T1_FLAIR.search(text):
        return "t1w"
    if _FLAIR.search(text):
        return "flair"
    named = _NAMED.search(text)
    if named:
        return f"t{named[1]}w"
    return role_of_sequence(text)


def needs_timing(name: str) -> bool:
    """Whether only the timing can give the role: of a turbo inversion recovery (TIRM) that is not called FLAIR or dark-fluid."""
    return bool(_TIRM.search(spoken(name))) and role_of_name(name) == "t2w"


def role_of_series(name: str, fields: Mapping[str, Any]) -> str | None:
    """As :func:`role_of_name`; if the name is ambiguous or an inversion time contradicts it, the timing in ``fields`` decides."""
    named, timed = role_of_name(name), role_of_timing(fields)
    decides = needs_timing(name) or (named is not None and number_of(fields, "InversionTime"))
    return (timed if decides else None) or named


def excludes_every_role(name: str) -> bool:
    """Whether a name excludes any role (a localizer, a mask, a contrast agent …), rather than giving none."""
    text = spoken(name)
    return names_agent(name) or any(pattern.search(text) for pattern in _NO_ROLE)


def role_of_timing(fields: Mapping[str, Any]) -> str | None:
    """The role by BIDS-like header fields (numbers, seconds) alone, if they are unambiguous."""
    stated = text_of(fields, "ScanningSequence").upper()
    spin_echo = "SE" in stated
    tr, te, ti = (1000.0 * (number_of(fields, key) or 0.0) for key in ("RepetitionTime", "EchoTime", "InversionTime"))
    if "EP" in stated or not te or ("IR" in stated and not ti):
        return None
    if ti > _INVERSION_OF_T1[1]:
        return "flair" if spin_echo else None
    if te < 30.0 and (_INVERSION_OF_T1[0] <= ti or (spin_echo and not ti and 0.0 < tr < 1000.0)):
        return "t1w"
    return "t2w" if spin_echo and not ti and te >= 70.0 and tr >= 2000.0 else None
