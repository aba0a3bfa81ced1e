"""Finding the sessions of a folder of scans: BIDS, as OASIS-3 comes, or a folder for each session."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)
_SUFFIXES = {"t1w": "_T1w", "t2w": "_T2w", "flair": "_FLAIR"}
_ENDINGS = (".nii.gz", ".nii")
_CONTRAST_AGENT = "_ce-"
"""BIDS' entity for images after a contrast agent, which no signal equation of a native tissue explains."""


@dataclass(frozen=True)
class Session:
    """Files of one visit of a ``subject`` by role (t1w, t2w, flair; those there are)."""

    name: str
    subject: str
    files: dict[str, Path]


def find_sessions(folder: Path) -> list[Session]:
    """Sessions of a folder, sorted, or an empty list.

    In BIDS' layout, ``sub-*/[ses-*/]anat*/…_T1w.nii[.gz]`` (``_T2w``, ``_FLAIR``): of several runs the first in sorted order. Else folders
    at any depth that hold ``t1w``, ``t2w`` or ``flair`` with ``.nii`` or ``.nii.gz``.
    """
    return list(_bids_sessions(folder)) or list(_flat_sessions(folder))


def _bids_sessions(folder: Path) -> Iterator[Session]:
    for subject in sorted(folder.glob("sub-*/")):
        for visit in sorted(subject.glob("ses-*/")) or [subject]:
            name = subject.name if visit == subject else f"{subject.name}_{visit.name}"
            images = sorted(path for path in visit.glob("anat*/**/*") if _CONTRAST_AGENT not in path.name and _stem(path))
            runs = {role: [path for path in images if _stem(path).endswith(suffix)] for role, suffix in _SUFFIXES.items()}
            for role, paths in runs.items():
                if len(paths) > 1:
                    _log.warning("%s has %d %s images: %s is taken.", name, len(paths), role, paths[0])
            if files := {role: paths[0] for role, paths in runs.items() if paths}:
                yield Session(name, subject.name, files)


def _flat_sessions(folder: Path) -> Iterator[Session]:
    for inner in sorted({path.parent for ending in _ENDINGS for role in _SUFFIXES for path in folder.rglob(f"{role}{ending}")}):
        parts = inner.relative_to(folder).parts or (folder.name,)
        files = {role: path for role in _SUFFIXES for ending in reversed(_ENDINGS) if (path := inner / f"{role}{ending}").is_file()}
        yield Session("_".join(parts), parts[0], files)


def _stem(path: Path) -> str:
    """The name without a NIfTI file's ending; empty for other files."""
    return next((path.name.removesuffix(ending) for ending in _ENDINGS if path.name.endswith(ending)), "")
