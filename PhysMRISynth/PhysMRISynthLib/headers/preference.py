"""Preference among several images of one contrast: whole head before slabs, head before spine, originals before processed
images."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .contrast_agent import spoken
from .sequence_family import words

_WHOLE_HEAD_MM, _LEVELS = 120.0, 3
"""Least side of a volume that shows all of a brain, and number of levels for smaller ones."""
_BODY = words(
    r"[chblt]ws|c-?spine|cspine|t-?spine|l-?spine|spine|spinal|myelon|cervical|lumbar|thorac\w*|neck|hals|orbita?|orbits|iac|iam|innenohr|"
    r"hippo\w*|hipp|pituitary|sella|hypophyse|tmj|knee|shoulder|prostate|abdomen|pelvis|cord"
)
_UNNORMALISED = words(r"non?-?norm(?:alized|alised)?|without-norm|unnorm\w*|nd")
_MAGNETISATION_TRANSFER = words(r"mt-?on|mtc|with-mt")
_PROCESSED = words(
    r"brain|brain-?extracted|bet|stripped|restore|unbiased|biascorr\w*|n4|crop|cropped|eq|norm-?ed|preproc|defaced|warped|coreg\w*|"
    r"resampled|reoriented|denoised|recon-all|acpc|dc"
)
_NUMBERED = re.compile(r"((?:crop|eq)[_-]?\d+)|(?<=\d)[a-d](?![a-z0-9])", re.IGNORECASE)
"""Suffixes of dcm2niix: _Crop_1, _Eq_1, and a letter if the name was taken."""
_DIGITS = re.compile(r"(\d+)")


def coverage_level(sides_mm: Sequence[float]) -> int:
    """0 for the thinnest slab to 3 for a volume that shows a whole brain, by the lengths of its sides."""
    return int(min(*sides_mm, _WHOLE_HEAD_MM) * _LEVELS / _WHOLE_HEAD_MM)


def names_body_part(name: str) -> bool:
    """Whether a name indicates another part of the body, or a small part of the head."""
    return bool(_BODY.search(spoken(name)))


def is_unnormalised(name: str) -> bool:
    """Whether a name indicates that the receive field was not normalised."""
    return bool(_UNNORMALISED.search(spoken(name)))


def has_magnetisation_transfer(name: str) -> bool:
    """Whether a name indicates magnetisation transfer, which the signal equations do not model."""
    return bool(_MAGNETISATION_TRANSFER.search(spoken(name)))


def processing_steps(name: str) -> int:
    """Number of words in a name that denote processing steps."""
    return len(_PROCESSED.findall(spoken(name))) + len(_NUMBERED.findall(name))


def without_processing(name: str) -> str:
    """A name without the words that denote processing steps."""
    return _PROCESSED.sub(" ", spoken(_NUMBERED.sub(" ", name)))


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """A key that sorts names with numbers as numbers: run-2 before run-10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(name))
