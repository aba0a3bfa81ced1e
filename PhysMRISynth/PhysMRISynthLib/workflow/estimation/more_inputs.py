"""Inputs beside T1w, T2w and FLAIR: roles are data, every one needs its protocol, and the fit takes any number of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ...errors import EstimationError, ProtocolError
from ...imaging.intake.acquisition import Acquisition
from ...physics.presets import protocol_from_spec
from .inputs import read_acquisition
from .order import USUAL, EstimateOrder


class MoreRole(NamedTuple):
    """A further input's role: the ``base`` role whose headers and checks apply, its ``title``, and its ``sequences`` (empty: any)."""

    base: str
    title: str
    sequences: tuple[str, ...] = ()


MORE_ROLES = {
    "pdw": MoreRole("t2w", "PD-weighted, or the first echo of a dual-echo spin echo"),
    "t1w_2": MoreRole("t1w", "a second T1w image of another flip angle, inversion time or sequence"),
    "t2w_2": MoreRole("t2w", "a second T2w image of another echo time, such as the second echo of a dual-echo spin echo"),
    "flair_2": MoreRole("flair", "a second image after an inversion, such as STIR or DIR"),
    "inv1": MoreRole("t1w", "the first inversion image of an MP2RAGE, in magnitude", ("mp2rage_inv1",)),
    "inv2": MoreRole("t1w", "the second inversion image of an MP2RAGE, in magnitude", ("mp2rage_inv2",)),
    "t2starw": MoreRole("t1w", "a T2* weighted gradient echo, in magnitude", ("spgr",)),
}
"""The roles by name."""


def read_more(given: Sequence[tuple[str, Path, str]], order: EstimateOrder = USUAL) -> list[Acquisition]:
    """Read further inputs: (role, file, protocol). Raises EstimationError for an unknown or repeated role, ImageError, and ProtocolError,
    also for a sequence that the role does not take."""
    found: dict[str, Acquisition] = {}
    for role, path, spec in given:
        if role not in MORE_ROLES:
            known = ", ".join(f"{name} ({more.title})" for name, more in MORE_ROLES.items())
            raise EstimationError(f"'{role}' is no further input. Use one of {known}.")
        if role in found:
            raise EstimationError(f"Two images are given as {role}. Give each a role of its own.")
        more, sequence = MORE_ROLES[role], protocol_from_spec(spec).sequence.name
        if more.sequences and sequence not in more.sequences:
            raise ProtocolError(f"{role} is {more.title}: its sequence is {more.sequences[0]}, not {sequence}.")
        found[role] = replace(read_acquisition(more.base, path, spec, order), name=role)
    return list(found.values())
