"""Choice of a study's T1w, T2w and FLAIR among its DICOM series, with the reasons against the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from ...errors import ImageError
from ...headers.contrast_agent import contrast_agent
from ...headers.header_values import number_of, series_names, text_of
from ...headers.image_type import is_derived, is_normalised, is_reformatted, kinds, what_it_is
from ...headers.preference import coverage_level, names_body_part
from ...headers.roles import ROLES, excludes_every_role, role_of_series, role_of_timing
from .dicom_series import Series

_WHY = (
    "It shows more of the head.", "The names of the others indicate another part of the body.", "It is an original.",
    "It was taken without contrast agent.", "The scanner's receive coils were divided out.", "It has the finest voxels.",
    "It has the clearest contrast.", "It has the most slices.",
)  # fmt: skip
"""Why a series is taken, in the order of the criteria."""
_FIRST = "It comes first."


@dataclass(frozen=True)
class Choice:
    """The series by role, and ``notes``: choices among several, and each series that was left out, with the reason."""

    series: dict[str, Series]
    notes: tuple[str, ...]


def choose_series(found: Iterable[Series]) -> Choice:
    """The series of each role. Raises ImageError when they are of several patients or studies.

    Left out are localizers, phase images, reformats, contrast-enhanced T1w, incomplete volumes, and series that are not
    T1w, T2w or FLAIR by timing and name. Preference among several of a role: most of the head, original before derived, without
    contrast agent before with, normalised before not, then the finest voxels, then the shortest echo time for T1w and the
    longest for the others (the first of two echoes shows PD).
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
    choices = [_choice_note(role, series, candidates[role]) for role, series in chosen.items()]
    return Choice(chosen, (*_visit_notes(found), *(note for note in choices if note), *notes))


def _role(series: Series) -> tuple[str | None, str | None]:
    """The role, or the reason why there is none."""
    fields = series.fields
    names = series_names(fields)
    modality = text_of(fields, "Modality").upper()
    if modality not in ("", "MR"):
        return None, f"its modality is {modality[:20]}"
    if "LOCALIZER" in kinds(fields):
        return None, "it is a localizer"
    kind = what_it_is(fields) or ("a reformatted image" if is_reformatted(fields) else None)
    if kind:
        return None, f"it is {kind}"
    by_name = (role_of_series(name, fields) for name in names)
    excluded = next((name for name in names if excludes_every_role(name)), None)
    role = None if excluded else next((role for role in (*by_name, role_of_timing(fields)) if role), None)
    agent = contrast_agent(fields)
    if agent is not None and (role in (None, "t1w")):
        return None, f"it was taken after a contrast agent ({agent})"
    if role is None:
        return None, (
            f"its name '{excluded}' says that it is something else"
            if excluded
            else "neither its name nor its timing identifies it as T1w, T2w or FLAIR"
        )
    return role, series.flaw


def _last_choice(role: str, series: Series) -> tuple[float, ...]:
    """Smaller is better, in the order of ``_WHY``; what is equal keeps the order of the scan."""
    fields = series.fields
    echo_time = number_of(fields, "EchoTime") or 0.0
    coverage = coverage_level(series.sides_mm) if series.sides_mm else 0
    body = any(names_body_part(name) for name in series_names(fields))
    return (
        -coverage, body, is_derived(fields), contrast_agent(fields) is not None, not is_normalised(fields), round(series.voxel_mm, 2),
        echo_time if role == "t1w" else -echo_time, -series.slices,
    )  # fmt: skip


def _choice_note(role: str, series: Series, candidates: list[Series]) -> str | None:
    derived = f"{series.title} is a derived image: there is no original of {role}." if is_derived(series.fields) else None
    if len(candidates) == 1:
        return derived
    listed = [other for other in candidates if other is not series]
    others = ", ".join(_described(other) for other in listed)
    own = _last_choice(role, series)
    second = min(_last_choice(role, other) for other in listed)
    why = next((reason for reason, a, b in zip(_WHY, own, second, strict=True) if a != b), _FIRST)
    return f"There are {len(candidates)} {role} series: {_described(series)} is taken, not {others}. {derived or why}"


def _described(series: Series) -> str:
    echo_time = number_of(series.fields, "EchoTime")
    facts = (f"{series.voxel_mm:.2g} mm", echo_time and f"TE {1000 * echo_time:g} ms", is_derived(series.fields) and "derived")
    return f"{series.title} ({', '.join(part for part in facts if part)})"


def _check_one_visit(found: list[Series]) -> None:
    studies = sorted({series.study for series in found})
    if len({patient for patient, _study, _date in studies}) > 1:
        raise ImageError("The folder holds DICOM images of several patients. Choose the folder of one visit.")
    if len(studies) > 1 and not _study_for_each_series(found):
        dates = ", ".join(date or "without a date" for _patient, _study, date in studies)
        raise ImageError(f"The folder holds {len(studies)} DICOM studies ({dates}). Choose the folder of one visit.")


def _study_for_each_series(found: list[Series]) -> bool:
    """Whether every series has its own study on one known date, as in some exports: still one visit."""
    dates = {date for _patient, _study, date in (series.study for series in found)}
    series_of = defaultdict(set)
    for series in found:
        series_of[series.study].add(series.uid)
    return len(dates) == 1 and dates != {""} and all(len(uids) == 1 for uids in series_of.values())


def _visit_notes(found: list[Series]) -> list[str]:
    studies = {series.study for series in found}
    if len(studies) < 2:
        return []
    return [f"Each series has a study of its own ({len(studies)} studies), but one patient and date: they are taken as one visit."]


def _scattered(found: list[Series]) -> set[str]:
    """UIDs of the series with images in several folders."""
    places = defaultdict(set)
    for series in found:
        places[series.uid].add(series.files[0].parent)
    return {uid for uid, folders in places.items() if len(folders) > 1}
