"""Contradictions of a header with its image's role, with itself, or with another header of the same image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .header_values import SERIES_NAMES, number_of, text_of
from .roles import excludes_every_role, role_of_series, role_of_timing
from .sequence_family import is_inverted

_TITLES = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}
_COMPARED = {"RepetitionTime": "s", "EchoTime": "s", "InversionTime": "s", "FlipAngle": "°", "MagneticFieldStrength": "T"}
_STIR = re.compile("stir", re.IGNORECASE)
"""Implies no role by itself, but has an equation as a T2w image."""
_ALIKE = 0.01
_SHORTEST_T2_WEIGHTING, _SHORTEST_REPETITION = 0.04, 0.6
"""s: shortest echo and repetition time of a T2w spin echo."""


def contradictions(fields: Mapping[str, Any], role: str) -> tuple[str, ...]:
    """Notes if the header's names or timing indicate another image than one of ``role`` t1w, t2w or flair."""
    timed = role_of_timing(fields)
    named: str | None = None
    notes = []
    for name in SERIES_NAMES:
        text = text_of(fields, name)[:60]
        named = role_of_series(text, fields)
        expected = _STIR.sub("", text) if role == "t2w" else text
        if named not in (None, role) or excludes_every_role(expected):
            what = _TITLES[named] if named else "another kind of image (a localizer, a map, diffusion, after contrast agent …)"
            notes.append(f"The image is given as {_TITLES[role]}, but {name} '{text}' indicates {what}. Check that it is the right file.")
            break
    if timed is not None and timed not in (role, named):
        notes.append(
            f"The image is given as {_TITLES[role]}, but the header's timing is that of {_TITLES[timed]}. Check the file and header."
        )
    echo_time = number_of(fields, "EchoTime")
    if role == "t2w" and timed is None and echo_time is not None and 0.0 < echo_time < _SHORTEST_T2_WEIGHTING:
        notes.append(f"An echo time of {1000 * echo_time:g} ms is short for a T2w image: is this one proton density weighted?")
    repetition = number_of(fields, "RepetitionTime")
    if role == "t2w" and repetition is not None and echo_time is not None and repetition < _SHORTEST_REPETITION < 20.0 * echo_time:
        notes.append(f"A repetition time of {1000 * repetition:g} ms is short for a T2w image: is this a localizer or a gradient echo?")
    if role == "flair" and timed is None and text_of(fields, "ScanningSequence") and not is_inverted(fields):
        notes.append("The header states no inversion, which a FLAIR image has. Check that it is the right file.")
    return tuple(notes)


def disagreements(used: Mapping[str, Any], source: str, other: Mapping[str, Any], other_source: str) -> tuple[str, ...]:
    """Notes on values that two headers of one image state differently; those of ``source`` are the ones in use."""
    notes = []
    for name, unit in _COMPARED.items():
        first, second = number_of(used, name), number_of(other, name)
        if first is not None and second is not None and abs(first - second) > _ALIKE * max(abs(first), abs(second)):
            notes.append(f"{name} is {first:g} {unit} in {source}, which is used, but {second:g} {unit} in {other_source}.")
    return tuple(notes)
