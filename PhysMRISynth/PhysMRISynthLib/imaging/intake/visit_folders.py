"""The folders of one visit in a folder of scans without a standard layout."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from ...headers.roles import excludes_every_role, role_of_name

_DATE = re.compile(r"(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d")
_DERIVED = re.compile(r"derivatives|(?:pre-?)?processed(?:[-_]data)?|preproc", re.IGNORECASE)


def visit_folder(folder: Path, top: Path, homes: Collection[Path]) -> Path:
    """The folder of a visit: that of its images; or the parent folder if folders are named after contrasts (``T1/``, ``T2_FLAIR/``,
    ``MPRAGE/2006-04-18/I45107/``), with the date in their names.

    ``homes`` are all folders below ``top`` with images: a folder named after a contrast that holds several of one date is a
    collection of scans, of one person or of several.
    """
    place = folder
    for outer in (folder, *folder.parents):
        if outer == top:
            break
        if outer == place:  # all folders up to here are named after a contrast or another kind of image (segmentations/)
            named = role_of_name(outer.name) is not None or excludes_every_role(outer.name)
        else:
            named = role_of_name(outer.name) is not None and _holds_only(outer, folder, homes)
        place = outer.parent if named else place
    date = _date(folder.relative_to(place).parts)
    return place / date if date else place


def without_derived(scans: Sequence[Path], top: Path) -> list[Path]:
    """The scans outside folders of derived images, or all if there are none."""
    raw = [path for path in scans if not any(_DERIVED.fullmatch(part) for part in path.relative_to(top).parts[:-1])]
    return raw or list(scans)


def _holds_only(outer: Path, folder: Path, homes: Collection[Path]) -> bool:
    """Whether ``folder`` is the only one of its date with images below ``outer``."""
    date = _date(folder.relative_to(outer).parts)
    inside = [home for home in homes if home.is_relative_to(outer) and _date(home.relative_to(outer).parts) == date]
    return inside == [folder]


def _date(parts: Sequence[str]) -> str:
    return next((match[0] for part in parts if (match := _DATE.search(part))), "")
