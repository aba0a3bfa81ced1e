"""DICOM's ImageType of images that are not magnitude scans: phase, a map, a projection, the fat of a Dixon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .header_values import text_of

UNIFORM = "the uniform image of an MP2RAGE"
_NOT_MAGNITUDE = {
    "P": "a phase image", "PHASE": "a phase image", "PHASE MAP": "a phase image", "R": "a real part", "REAL": "a real part",
    "I": "an imaginary part", "IMAGINARY": "an imaginary part",
}  # fmt: skip
_PROCESSED = {
    "MIP": "a projection", "MIN_IP": "a projection", "PROJECTION IMAGE": "a projection", "SUB": "a subtraction",
    "SUBTRACTION": "a subtraction", "MOSAIC": "a mosaic", "ADC": "a diffusion image", "DIFFUSION": "a diffusion image",
    "T1 MAP": "a map", "T2 MAP": "a map", "T2_STAR MAP": "a map", "R2 MAP": "a map", "B1 MAP": "a map", "PDMAP": "a map",
    "FAT": "the fat of a Dixon", "F": "the fat of a Dixon", "FAT_FRACTION": "a map", "UNI": UNIFORM,
}  # fmt: skip
_SEPARATOR, _MARKS = re.compile(r"\\|['\"]\s*,"), " []'\""
_REFORMATTED = ("MPR", "REFORMATTED")


def kinds(fields: Mapping[str, Any]) -> list[str]:
    """The values of ImageType, in capitals; tables of scan parameters write the list as a text with brackets and quotes."""
    return [kind.strip(_MARKS).upper() for kind in _SEPARATOR.split(text_of(fields, "ImageType").strip(_MARKS))]


def what_it_is(fields: Mapping[str, Any]) -> str | None:
    """The kind of an image that is not a weighted magnitude image, by its ImageType; else None."""
    values = kinds(fields)[2:]
    if "MAP" in values and {"T1", "T2"} & set(values):
        return "a map"
    return next((table[kind] for table in (_NOT_MAGNITUDE, _PROCESSED) for kind in values if kind in table), None)


def is_reformatted(fields: Mapping[str, Any]) -> bool:
    """Whether an image was interpolated from another one."""
    return any(kind in _REFORMATTED for kind in kinds(fields)[2:])


def is_derived(fields: Mapping[str, Any]) -> bool:
    """Whether an image was computed from others."""
    values = kinds(fields)
    return values[0] == "DERIVED" or "SECONDARY" in values[1:2]


def is_normalised(fields: Mapping[str, Any]) -> bool:
    """Whether the scanner has divided out its receive coils (prescan normalisation)."""
    return "NORM" in kinds(fields)[2:]
