"""Which of a study's DICOM series are its T1w, T2w and FLAIR, and why the others are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from ..errors import ImageError
from .contrast_agent import contrast_agent
from .dicom_series import Series
from .header_values import number_of, series_names, text_of
from .roles import ROLES, role_of_series, role_of_timing, rules_out_a_role

_NOT_MAGNITUDE = {
    "P": "a phase image", "PHASE": "a phase image", "PHASE MAP": "a phase image", "R": "a real part", "REAL": "a real part",
    "I": "an imaginary part", "IMAGINARY": "an imaginary part",
}  # fmt: skip
_PROCESSED = {
    "MPR": "a reformatted image", "REFORMATTED": "a reformatted image", "MIP": "a projection", "MIN_IP": "a projection",
    "PROJECTION IMAGE": "a projection", "SUB": "a subtraction", "SUBTRACTION": "a subtraction", "MOSAIC": "a mosaic",
    "ADC": "a diffusion image", "DIFFUSION": "a diffusion image", "T1 MAP": "a map", "T2 MAP": "a map",
}  # fmt: skip
_CHOSEN_FOR = "It has the finest voxels; of equals the clearest contrast; else it comes first."


@dataclass(frozen=True)
class Choice:
    """The series by role, and ``notes``: what was chosen among several, and each series that was left out with the reason."""

    series: dict[str, Series]
    notes: tuple[str, ...]


def choose_series(found: Iterable[Series]) -> Choice:
    """The series of each role. Raises ImageError when they are of several patients or studies.

    Left out are localizers, phase images, reformats, what was taken after a contrast agent (as T1w), what is no volume, and what is no
    T1w, T2w or FLAIR by name and timing. Of several of a role: an original before a derived one, without contrast agent before with, then
    the one with the finest voxels, then the shortest echo time for T1w and the longest for the others (the first echo of two shows PD).
    """
    found = list(found)
    _check_one_visit(found)
    notes, candidates = [], defaultdict(list)
    scattered = _scattered(found)
    for series in found:
        role, reason = _role(series)
        if reason is None and series.uid in scattered:
            reason = "its images lie in several folders: put them into one"
        if reason:
            notes.append(f"{series.title} is left out: {reason}.")
        elif role:
            candidates[role].append(series)
    chosen = {role: min(candidates[role], key=partial(_last_choice, role)) for role in ROLES if candidates[role]}
    told = [_choice_note(role, series, candidates[role]) for role, series in chosen.items()]
    return Choice(chosen, (*(note for note in told if note), *notes))


def _role(series: Series) -> tuple[str | None, str | None]:
    """The role, or why there is none."""
    fields = series.fields
    kinds = [kind.upper() for kind in text_of(fields, "ImageType").split("\\")]
    names = series_names(fields)
    modality = text_of(fields, "Modality").upper()
    if modality not in ("", "MR"):
        return None, f"its modality is {modality[:20]}"
    if "LOCALIZER" in kinds:
        return None, "it is a localizer"
    for told in (_NOT_MAGNITUDE, _PROCESSED):
        if kind := next((told[kind] for kind in kinds[2:] if kind in told), None):
            return None, f"it is {kind}"
    by_name = (role_of_series(name, fields) for name in names)
    excluded = next((name for name in names if rules_out_a_role(name)), None)
    role = None if excluded else next((role for role in (*by_name, role_of_timing(fields)) if role), None)
    agent = contrast_agent(fields)
    if agent is not None and (role in (None, "t1w")):
        return None, f"it was taken after a contrast agent ({agent})"
    if role is None:
        return None, (
            f"its name '{excluded}' says that it is something else"
            if excluded
            else "neither its name nor its timing tells that it is T1w, T2w or FLAIR"
        )
    return role, series.flaw


def _last_choice(role: str, series: Series) -> tuple[bool, bool, float, float, int]:
    """Smaller is better; what is equal keeps the order of the scan."""
    echo_time = number_of(series.fields, "EchoTime") or 0.0
    agent = contrast_agent(series.fields) is not None
    return _is_derived(series), agent, round(series.voxel_mm, 2), echo_time if role == "t1w" else -echo_time, -series.slices


def _choice_note(role: str, series: Series, candidates: list[Series]) -> str | None:
    derived = f"{series.title} is a derived image: there is no original of {role}." if _is_derived(series) else None
    if len(candidates) == 1:
        return derived
    others = ", ".join(_described(other) for other in candidates if other is not series)
    why = "It is an original." if not _is_derived(series) and all(_is_derived(o) for o in candidates if o is not series) else _CHOSEN_FOR
    return f"There are {len(candidates)} {role} series: {_described(series)} is taken, not {others}. {derived or why}"


def _described(series: Series) -> str:
    echo_time = number_of(series.fields, "EchoTime")
    told = (f"{series.voxel_mm:.2g} mm", echo_time and f"TE {1000 * echo_time:g} ms", _is_derived(series) and "derived")
    return f"{series.title} ({', '.join(part for part in told if part)})"


def _is_derived(series: Series) -> bool:
    kinds = [kind.upper() for kind in text_of(series.fields, "ImageType").split("\\")]
    return kinds[0] == "DERIVED" or "SECONDARY" in kinds[1:2]


def _check_one_visit(found: list[Series]) -> None:
    studies = sorted({series.study for series in found})
    if len({patient for patient, _study, _date in studies}) > 1:
        raise ImageError("The folder holds DICOM images of several patients. Choose the folder of one visit.")
    if len(studies) > 1:
        dates = ", ".join(date or "without a date" for _patient, _study, date in studies)
        raise ImageError(f"The folder holds {len(studies)} DICOM studies ({dates}). Choose the folder of one visit.")


def _scattered(found: list[Series]) -> set[str]:
    """The series whose images lie in several folders."""
    places = defaultdict(set)
    for series in found:
        places[series.uid].add(series.files[0].parent)
    return {uid for uid, folders in places.items() if len(folders) > 1}
