"""Finding the sessions in a folder of scans: BIDS, OASIS-3 as downloaded, file names containing T1w, T2w and FLAIR, or DICOM."""

from __future__ import annotations

import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import ImageError, ProtocolError, Remedy
from ...headers.contrast_agent import names_agent
from ...headers.image_type import is_derived, what_it_is
from ...headers.preference import (
    coverage_level,
    has_magnetisation_transfer,
    is_unnormalised,
    names_body_part,
    natural,
    processing_steps,
    without_processing,
)
from ...headers.roles import ROLES, excludes_every_role, needs_timing, role_of_name, role_of_series
from .dicom_series import series_below
from .nifti import read_header
from .series_choice import choose_series
from .sidecar import fields_beside, read_sidecar, sidecar_of
from .visit_folders import visit_folder, without_derived

_log = logging.getLogger(__name__)
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".nhdr", ".mhd")
_ANAT = ("anat*/", "scans/anat*/")
"""Folders of a visit with its scans: BIDS and OASIS-3, and OASIS-3 as packed by its web archive."""
_BIDS_ROLES = {"T1w": "t1w", "T2w": "t2w", "FLAIR": "flair"}
_VISITS = ("sub-*/ses-*", "sub-*", "*_MR_*", "ses-*")
"""Folders of one visit below a chosen folder: BIDS, a download of OASIS-3, and BIDS again if the folder is a subject."""
_VISITS_DEEPER = ("*/*_MR_*", "*/*/*_MR_*")
"""A download of OASIS-3 in deeper folders; searched if there is no other visit."""
_RUN = re.compile(r"run[-_]?\d+", re.IGNORECASE)
_SHOWN = 12
_MOST_COVERAGE = 3
_DEEPEST = 8
"""Levels of folders that are searched."""
_MOST = 20_000
"""Files and folders of one visit, with all its DICOM slices; a whole disk would keep the user waiting."""


@dataclass(frozen=True)
class Session:
    """Files of one visit of a ``subject`` by role (t1w, t2w, flair; those there are): of a DICOM series its first image.

    ``notes`` report choices among several runs or series, and the series that were left out, with the reason.
    """

    name: str
    subject: str
    files: dict[str, Path]
    notes: tuple[str, ...] = ()


def find_session(folder: Path, most: int = _MOST) -> Session:
    """The one visit in a folder: as :func:`find_sessions` finds it, else its DICOM series as ``choose_series`` chooses them.

    Raises ImageError when there is none, or several, which it lists, or more than ``most`` files, as no visit has.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder. Choose the folder of one visit, in BIDS or with names such as T1w.nii.gz.")
    for count, _path in enumerate(_below(folder)):
        if count == most:
            raise ImageError(f"{folder} holds more than {most} files and folders. Choose the folder of one visit.")
    found = _sessions(folder) or _dicom_session(folder)
    if not found:
        raise ImageError(
            f"There is no T1w, T2w or FLAIR volume in {folder}. Expected are anat*/…_T1w.nii.gz as in BIDS and OASIS-3, NIfTI files "
            f"whose names contain T1w, T2w or FLAIR, or DICOM series.{''.join(f' {note}' for note in _left_out(folder)[:_SHOWN])}"
        )
    if len(found) > 1:
        names = [session.name for session in found[:_SHOWN]] + ["…"] * (len(found) > _SHOWN)
        raise ImageError(
            f"{folder} holds {len(found)} visits: {', '.join(names)}.",
            Remedy.DO(this="choose the folder of one of them"),
            Remedy.GIVE_IMAGES,
        )
    return found[0]


def find_sessions(folder: Path) -> list[Session]:
    """Sessions of a folder, sorted, or an empty list; a choice among several runs of a contrast is logged and noted.

    In BIDS' layout, ``[sub-*/][ses-*/]anat*/…_T1w.nii[.gz]`` (``_T2w``, ``_FLAIR``), and OASIS-3's ``*_MR_*/[scans/]anat*``, where there
    is nothing else also one or two folders deeper; else image files, up to eight folders deep, whose names tell their contrast
    (``role_of_name``). Left out, with a note, are those whose names or headers say that they are something else (after a contrast agent,
    phase). Of several runs that is taken which shows most of the head, was processed least, and is the first by its number.
    """
    found = _sessions(folder)
    for note in (note for session in found for note in session.notes):
        _log.warning(note)
    return found


def _sessions(folder: Path) -> list[Session]:
    return [session for session in _bids_sessions(folder) if session.files] or [*_named_sessions(folder)]


def _left_out(folder: Path) -> list[str]:
    """Notes on the images left out in a BIDS folder without a usable image."""
    return [note for session in _bids_sessions(folder) for note in session.notes]


def _dicom_session(folder: Path) -> list[Session]:
    """The visit of a folder's DICOM series, or none without DICOM. Raises ImageError when no series is usable."""
    series = list(series_below(folder))
    if not series:
        return []
    choice = choose_series(series)
    if not choice.series:
        raise ImageError(f"{folder} holds no DICOM series that can be used. {' '.join(choice.notes[:_SHOWN])}")
    name = folder.resolve().name
    return [Session(name, name, {role: chosen.files[0] for role, chosen in choice.series.items()}, choice.notes)]


def _bids_sessions(folder: Path) -> Iterator[Session]:
    """Visits in BIDS layout, also those without a usable image."""
    visits = {path for pattern in _VISITS for path in folder.glob(pattern) if _has_scans(path)}
    if not visits and _has_scans(folder):
        visits = {folder}
    if not visits:
        deeper = (path for pattern in _VISITS_DEEPER for path in folder.glob(pattern) if _has_scans(path))
        for parent in sorted({path.parent for path in deeper}):
            yield from _bids_sessions(parent)
    for visit in sorted(visits):
        images = _volumes(path for scans in _ANAT for path in visit.glob(f"{scans}**/*"))
        roles = [(_BIDS_ROLES.get(_stem(path).rpartition("_")[2]), path) for path in images]
        reasons = {path: reason for role, path in roles if role and (reason := _excluded(path))}
        parts = visit.relative_to(folder).parts or (visit.name,)
        subjects = [match[0] for path in images if (match := re.match(r"sub-[^_]+", path.name))]
        session = _session("_".join(parts), (subjects or parts)[0], [(role, path) for role, path in roles if path not in reasons])
        notes = (f"{path.name} is left out: {reason}." for path, reason in reasons.items())
        yield replace(session, notes=(*session.notes, *notes))


def _has_scans(folder: Path) -> bool:
    return any(True for scans in _ANAT for _path in folder.glob(scans))


def _excluded(path: Path) -> str | None:
    """Why an image with BIDS' suffix of a role does not have it, by the other words of its name or its ImageType; None where it has."""
    entities = f"{_stem(path).rpartition('_')[0]}_"
    if names_agent(entities):
        return "its name says that it was taken after a contrast agent"
    if excludes_every_role(entities):
        return "its name says that it is something else"
    kind = what_it_is(_fields(path))
    return f"its header says that it is {kind}" if kind else None


def _fields(path: Path) -> dict[str, Any]:
    """Fields of an image's sidecar; empty if it is damaged, which is reported when the image is used."""
    try:
        return (fields_beside(path) or ({}, ""))[0]
    except ProtocolError:
        return {}


def _named_sessions(folder: Path) -> Iterator[Session]:
    """Where a folder has several images of a contrast, what is left of their names may tell its sessions apart."""
    by_folder: dict[Path, list[tuple[str | None, Path]]] = defaultdict(list)
    roles = {path: role for path in _volumes(_below(folder)) if (role := _role(path))}
    scans = without_derived(list(roles), folder)
    homes = {path.parent for path in scans}
    for path in scans:
        by_folder[visit_folder(path.parent, folder, homes)].append((roles[path], path))
    for inner, images in sorted(by_folder.items()):
        groups: dict[str, list[tuple[str | None, Path]]] = defaultdict(list)
        for role, path in images:
            groups[_rest_of_name(path)].append((role, path))
        if not _tells_visits(groups):
            groups = {"": images}
        for rest, group in sorted(groups.items()):
            parts = inner.relative_to(folder).parts or (inner.resolve().name,)
            name = "_".join([*parts, *([rest] if len(groups) > 1 and rest else [])])
            yield _session(name, parts[0], group)


def _tells_visits(groups: Mapping[str, list[tuple[str | None, Path]]]) -> bool:
    """Whether groups of images by what is left of their names are visits: some contrast is in several, and they have the same contrasts."""
    roles = [frozenset(role for role, _path in group) for group in groups.values()]
    repeated = any(sum(role in some for some in roles) > 1 for role in ROLES)
    return repeated and (len(set(roles)) == 1 or min(map(len, roles)) > 1)


def _below(folder: Path) -> Iterator[Path]:
    """Everything in a folder that is not too deep; links to folders are not followed, and what cannot be read is left out."""
    for place, folders, files in os.walk(folder):
        if len(Path(place).relative_to(folder).parts) >= _DEEPEST:
            folders.clear()
        yield from (Path(place) / name for name in (*folders, *files))


def _role(path: Path) -> str | None:
    """By name; if that is ambiguous, by the timing in the sidecar."""
    name, sidecar = _stem(path), sidecar_of(path)
    if sidecar is None or not needs_timing(name):
        return role_of_name(name)
    try:
        return role_of_series(name, read_sidecar(sidecar))
    except ProtocolError:  # a damaged sidecar is reported when the image is used
        return role_of_name(name)


def _session(name: str, subject: str, images: Iterable[tuple[str | None, Path]]) -> Session:
    runs: dict[str, list[Path]] = defaultdict(list)
    for role, path in images:
        if role is not None:
            runs[role].append(path)
    chosen = {role: min(runs[role], key=_preference) for role in ROLES if runs[role]}
    notes = tuple(
        f"{name} has {len(runs[role])} {role} images: {path.name} is taken." for role, path in chosen.items() if len(runs[role]) > 1
    )
    return Session(name, subject, chosen, notes)


def _preference(path: Path) -> tuple[Any, ...]:
    """Sort key, preferred first: whole head, no other part of the body, normalised, without magnetisation transfer,
    original before processed, and the first by name."""
    name = _stem(path)
    fields = _fields(path)
    return (
        -_coverage(path), names_body_part(name), is_derived(fields) if fields.get("ImageType") else False, is_unnormalised(name),
        has_magnetisation_transfer(name), processing_steps(name), natural(name),
    )  # fmt: skip


def _coverage(path: Path) -> int:
    """How much of a head an image may show, by the size in its header (the most if unreadable, which is reported later)."""
    try:
        header = read_header(path) if path.name.lower().endswith((".nii", ".nii.gz")) else None
    except (ImageError, OSError):
        header = None
    if header is None or len(header.dimensions) < 3:
        return _MOST_COVERAGE
    return coverage_level([n * s for n, s in zip(header.dimensions[:3], header.spacing[1:], strict=True)])


def _volumes(paths: Iterable[Path]) -> list[Path]:
    """The volume files among paths, sorted, numbers as numbers; of an image that is there twice, the compressed file."""
    files: dict[tuple[Path, str], Path] = {}
    for path in sorted(paths, key=lambda path: (path.as_posix().lower().endswith(_ENDINGS[0]), path)):
        if _stem(path) and path.is_file():
            files[path.parent, _stem(path)] = path
    return [files[key] for key in sorted(files, key=lambda key: (key[0], natural(key[1])))]


def _rest_of_name(path: Path) -> str:
    """A name without the words of its contrast, the number of its run, and what was done to it."""
    words = re.split(r"[^a-z0-9]+", without_processing(_RUN.sub(" ", _stem(path))).lower())
    return "_".join(word for word in words if word and role_of_name(word) is None)


def _stem(path: Path) -> str:
    """The name without a volume file's ending; empty for other files."""
    return next((path.name[: -len(ending)] for ending in _ENDINGS if path.name.lower().endswith(ending)), "")
