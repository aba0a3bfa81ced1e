"""JSON sidecars and tables of scan parameters beside an image: finding, reading and writing them (BIDS, dcm2niix, OASIS-3; seconds)."""

from __future__ import annotations

import csv
import glob
import json
from pathlib import Path
from typing import Any

from ...errors import ProtocolError, Remedy
from ...headers.header_protocol import SPEC_KEY
from ...physics.protocol import Protocol
from .volumes import SUFFIXES

_REMEDIES = (Remedy.DO(this="correct it"), Remedy.GIVE_PROTOCOL(form=""))
_FIELDS = {"TR": "RepetitionTime", "TE": "EchoTime", "TI": "InversionTime"}
_TABLES = "*MR_json*.csv"
"""Name of OASIS-3's table: a row for each scan, columns with the fields' names, and ``filename`` of the scan's JSON file."""
_EMPTY = (None, "", "nan", "NaN", "N/A")
_KIND_FOLDERS = ("nifti", "bids", "files", "nii")
"""Folders with one scan's files of one kind, next to folders for sidecars."""
_KIND_LEVELS = 2
_LEVELS = 4
"""Number of folders above an image that are searched for its table and inherited sidecars (subject, session, anat, NIFTI)."""


def sidecar_of(path: Path) -> Path | None:
    """The JSON file beside a volume (same name without its suffixes), if it exists."""
    candidate = sidecar_path(path)
    return candidate if candidate.is_file() else None


def sidecar_path(path: Path) -> Path:
    """Path of a volume's JSON file."""
    return path.with_name(f"{_stem(path)}.json")


def read_sidecar(path: Path) -> dict[str, Any]:
    """The fields of a sidecar. Raises ProtocolError when it is not a JSON object."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ProtocolError(f"{path} is not a readable JSON sidecar ({error}).", *_REMEDIES) from error
    if not isinstance(fields, dict):
        raise ProtocolError(f"{path} is not a JSON object.", *_REMEDIES)
    return fields


def fields_beside(path: Path | None) -> tuple[dict[str, Any], str] | None:
    """Fields of a volume's sidecars, else of its row in a table like OASIS-3's ``OASIS3_MR_json.csv``, and the source's name.

    A sidecar may be in a sister folder, as in archives. In a BIDS data set, sidecars apply to all volumes below them,
    unless a nearer one overrides them. The table is beside the volume or up to four folders above. Raises ProtocolError when either
    cannot be read.
    """
    if path is None:
        return None
    sidecars = _sidecars(path)
    if sidecars:
        fields = {name: value for sidecar in sidecars for name, value in read_sidecar(sidecar).items()}
        return fields, f"sidecar {' + '.join(sidecar.name for sidecar in sidecars)}"
    tables = (table for folder in list(path.absolute().parents)[: _LEVELS + 1] for table in sorted(folder.glob(_TABLES)))
    rows = ((_row(table, _stem(path)), f"table {table.name}") for table in tables)
    return next(((fields, source) for fields, source in rows if fields is not None), None)


def sidecar_fields(protocol: Protocol) -> dict[str, Any]:
    """The BIDS fields (seconds, degrees) of a protocol, and the protocol itself for ``protocol_from_sidecar``."""
    fields: dict[str, Any] = {key: protocol.values[name] / 1000.0 for name, key in _FIELDS.items() if name in protocol.values}
    if "FA" in protocol.values:
        fields["FlipAngle"] = protocol.values["FA"]
    return {**fields, SPEC_KEY: protocol.spec}


def _sidecars(path: Path) -> list[Path]:
    """The sidecar beside a volume and, by BIDS' inheritance principle, those above it whose entities are all in its name; nearest last."""
    own = sidecar_of(path) or _in_sister_folder(path)
    words = _stem(path).split("_")
    found: list[Path] = []
    for folder in list(path.absolute().parents)[: _LEVELS + 1] if words[0].startswith("sub-") else ():
        applicable = [file for file in folder.glob(f"*{glob.escape(words[-1])}.json") if set(file.stem.split("_")) <= set(words)]
        found = sorted(applicable, key=lambda file: len(file.stem)) + found
        if (folder / "dataset_description.json").is_file():
            return found
    return [own] if own else []


def _in_sister_folder(path: Path) -> Path | None:
    """The sidecar of a volume's name in the folders of one scan, where archives keep files by their kind: NIFTI/….nii.gz, BIDS/….json
    (OASIS-3), or resources/NIFTI/files/… and resources/BIDS/files/… (XNAT), or in a folder for sidecars beside the volume."""
    names = {f"{_stem(path)}.json", f"{_stem(path)}.json".replace("_sess-", "_ses-"), f"{_stem(path)}.json".replace("_ses-", "_sess-")}
    folder = path.absolute().parent
    for _ in range(_KIND_LEVELS + 1):
        inside = (sister for sister in (sorted(folder.iterdir()) if folder.is_dir() else ()) if _holds_one_kind(sister))
        places = [place for sister in inside for place in (sister, sister / "files")]
        found = next((place / name for place in places for name in sorted(names) if (place / name).is_file()), None)
        if found is not None or not _holds_one_kind(folder):
            return found
        folder = folder.parent
    return None


def _holds_one_kind(folder: Path) -> bool:
    """Whether a folder holds one scan's files of one kind, by its name."""
    name = folder.name.lower()
    return (name in _KIND_FOLDERS or "json" in name or "sidecar" in name) and folder.is_dir()


def _row(table: Path, stem: str) -> dict[str, Any] | None:
    """The row of a scan, without empty cells."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            row = next((row for row in csv.DictReader(lines) if str(row.get("filename")).removesuffix(".json") == stem), None)
    except (OSError, ValueError, csv.Error) as error:
        raise ProtocolError(f"{table} is not a readable table of scan parameters ({error}).", *_REMEDIES) from error
    return row and {name: value for name, value in row.items() if name and value not in _EMPTY}


def _stem(path: Path) -> str:
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), path.suffix)
    return path.name[: len(path.name) - len(suffix)]
