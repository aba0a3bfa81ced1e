"""Inputs beside T1w, T2w and FLAIR: roles are data, every one needs its protocol, and the fit takes any number of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...errors import EstimationError
from ...imaging.intake.acquisition import Acquisition
from .inputs import read_acquisition
from .order import USUAL, EstimateOrder

MORE_ROLES = {
    "pdw": ("t2w", "PD-weighted, or the first echo of a dual-echo spin echo"),
    "t1w_2": ("t1w", "a second T1w image of another flip angle, inversion time or sequence"),
    "t2w_2": ("t2w", "a second T2w image of another echo time, such as the second echo of a dual-echo spin echo"),
    "flair_2": ("flair", "a second image after an inversion, such as STIR or DIR"),
}
"""By name: the role whose headers and checks apply, and what it is for. T2* weighted images have no equation here: they decay faster."""


def read_more(given: Sequence[tuple[str, Path, str]], order: EstimateOrder = USUAL) -> list[Acquisition]:
    """Read further inputs: (role, file, protocol). Raises EstimationError for an unknown or repeated role, ImageError, ProtocolError."""
    found: dict[str, Acquisition] = {}
    for role, path, spec in given:
        if role not in MORE_ROLES:
            known = ", ".join(f"{name} ({title})" for name, (_base, title) in MORE_ROLES.items())
            raise EstimationError(f"'{role}' is no further input. Use one of {known}.")
        if role in found:
            raise EstimationError(f"Two images are given as {role}. Give each a role of its own.")
        read = read_acquisition(MORE_ROLES[role][0], path, spec, order)
        found[role] = replace(read, name=role)
    return list(found.values())
