"""Weighted scans and measured maps of the same people: two folders with BIDS names, paired by participant and session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.preference import natural
from PhysMRISynthLib.imaging.intake.sessions import Session, find_sessions

SUFFIXES = {"T1map": "T1", "R1map": "T1", "T2map": "T2", "R2map": "T2", "PDmap": "PD"}
_ENDINGS = (".nii.gz", ".nii")
_SHOWN = 8
Key = tuple[str, str | None]
"""BIDS' labels of a participant and a session (None: without)."""


@dataclass(frozen=True)
class Person:
    """A visit with weighted ``scans`` by role and measured ``maps`` by quantity."""

    name: str
    scans: Mapping[str, Path]
    maps: Mapping[str, Path]


@dataclass(frozen=True)
class People:
    """People with both, and ``notes`` on omissions and choices."""

    pairs: tuple[Person, ...]
    notes: tuple[str, ...]


def find_people(scans: Path | None, maps: Path | None) -> People:
    """Pair the visits of two folders.

    A map without a session label belongs to every visit of its participant. Raises PhysMRISynthError when a folder is missing or empty, or
    when no person is in both.
    """
    found = find_sessions(_folder(scans, "--scans", "weighted scans (T1w, T2w, FLAIR)"))
    if not found:
        raise PhysMRISynthError(f"There is no T1w, T2w or FLAIR image in {scans}. Give a folder in BIDS' layout with --scans.")
    measured = _maps(_folder(maps, "--maps", "measured maps"))
    if not measured:
        names = ", ".join(f"…_{suffix}.nii.gz" for suffix in SUFFIXES)
        raise PhysMRISynthError(f"There is no measured map in {maps}. Expected are files named as in BIDS: {names}.")
    pairs, notes = [], [note for session in found for note in session.notes]
    for session in found:
        participant, visit = key = _key(next(iter(session.files.values())))
        own = measured.get(key) or measured.get((participant, None)) or _only(measured, participant, visit)
        if own is None:
            notes.append(f"{session.name} has no measured map.")
            continue
        chosen, further = _chosen(session, own)
        notes += further
        if {"T1", "T2"} & set(chosen):
            pairs.append(Person(session.name, session.files, chosen))
        else:
            notes.append(f"{session.name} has neither a T1 nor a T2 map.")
    if not pairs:
        raise PhysMRISynthError(
            f"No person has both weighted scans and a measured T1 or T2 map. Scans: {_listed([s.name for s in found])}. "
            f"Maps: {_listed(['_'.join(filter(None, key)) for key in measured])}. Name both folders' files alike (sub-…[_ses-…]_…)."
        )
    return People(tuple(pairs), tuple(notes))


def _folder(path: Path | None, option: str, what: str) -> Path:
    if path is None:
        raise PhysMRISynthError(f"This suite compares estimates with measured maps. Give the folder of {what} with {option}.")
    if not path.is_dir():
        raise PhysMRISynthError(f"{path} is not a folder. Give the folder of {what} with {option}.")
    return path


def _maps(folder: Path) -> dict[Key, dict[str, list[Path]]]:
    """Map files by person and quantity, in natural order."""
    found: dict[Key, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.rglob("*"), key=lambda path: natural(path.as_posix())):
        ending = next((ending for ending in _ENDINGS if path.name.endswith(ending)), None)
        quantity = SUFFIXES.get(path.name.removesuffix(ending).rpartition("_")[2]) if ending else None
        if quantity is not None and path.is_file():
            found[_key(path)][quantity].append(path)
    return found


def _key(path: Path) -> Key:
    """The labels in a file's name, else in its folders'."""
    words = [*path.name.split("_"), *(part for folder in reversed(path.parent.parts) for part in folder.split("_"))]
    labels = {kind: next((word for word in words if word.startswith(kind)), None) for kind in ("sub-", "ses-")}
    return labels["sub-"] or path.parent.name, labels["ses-"]


def _only(measured: Mapping[Key, dict[str, list[Path]]], participant: str, visit: str | None) -> dict[str, list[Path]] | None:
    """Maps of a participant whose scans have no session label, if there is only one session of maps."""
    own = [maps for (name, _), maps in measured.items() if name == participant]
    return own[0] if visit is None and len(own) == 1 else None


def _chosen(session: Session, own: Mapping[str, list[Path]]) -> tuple[dict[str, Path], list[str]]:
    """One map of each quantity: the first by its name."""
    several = [
        f"{session.name} has {len(paths)} {quantity} maps: {paths[0].name} is taken." for quantity, paths in own.items() if len(paths) > 1
    ]
    return {quantity: paths[0] for quantity, paths in own.items()}, several


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
