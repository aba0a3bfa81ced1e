"""One visit of a cohort: its derivative, whole or not at all, and its row of the table."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import ImageError, PhysMRISynthError, Remedy
from ...headers.roles import ROLES
from ...imaging.intake.sidecar import fields_beside
from ...whole_file import TEMPORARY
from ..estimation.order import EstimateOrder
from ..orders import Order
from ..results.bids_derivatives import REPORT, write_derivative
from ..results.outputs import write_json

_log = logging.getLogger(__name__)
ESTIMATED, KEPT, FAILED = "estimated", "complete before", "failed"
"""What became of a visit."""
_OLD, _NEW = "old", "new"
"""The visit's folders within its temporary one: new maps are whole when old ones are there."""
_OTHER = {"options": "with other options", "images": "from other images or headers", "version": "by another version"}
"""How maps that are there may differ from those that were to be made, by the entry of ``made_from`` in their report."""


@dataclass(frozen=True)
class Visit:
    """A visit: BIDS labels of participant (sub-…) and session (ses-…, or None), files by role, notes on how they were chosen."""

    participant: str
    session: str | None
    files: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How the names of its files begin."""
        return "_".join(label for label in (self.participant, self.session) if label)

    @property
    def folder(self) -> Path:
        """Where its maps go, from the derivatives' root."""
        return Path(*(label for label in (self.participant, self.session) if label), "anat")


@dataclass(frozen=True)
class Row:
    """A row of the table: ``status`` is estimated, complete before or failed (then with the ``reason``); medians in ms;
    ``verdict`` as :class:`~.verdict.Level` has it."""

    participant: str
    session: str | None
    status: str
    reason: str = ""
    inputs: str = ""
    seconds: float | None = None
    warnings: int | None = None
    white_matter_t1: float | None = None
    white_matter_t2: float | None = None
    verdict: str = ""


Make = Callable[[Visit, Any, Path, Path], dict[str, Any]]
"""Writes a visit's files into a folder, given the data set's root, and returns the report."""


def make_derivative(visit: Visit, order: EstimateOrder, root: Path, folder: Path) -> dict[str, Any]:
    """Estimate a visit's maps and write them as BIDS has it. Raises a PhysMRISynthError with cause and remedy."""
    from ..estimation.estimate import estimate_tissue_maps
    from ..estimation.inputs import field_strength_of, read_acquisitions

    files = {role: visit.files[role] for role in ROLES if role in visit.files}
    protocols = {role: spec for role, spec in order.protocols.items() if role in files}
    acquisitions = read_acquisitions(files, replace(order, protocols=protocols))
    strength, source = field_strength_of(acquisitions, order.field_strength)
    estimate = estimate_tissue_maps(acquisitions, order)
    report = write_derivative(estimate, folder, visit.name, {role: _uri(path, root) for role, path in files.items()})
    told = [f"The field strength of {strength:g} T is assumed: no header states it."] if source == "assumed" else []
    return {**report, "warnings": [*told, *report["warnings"]]}


@dataclass(frozen=True)
class Task:
    """A visit with all that another process needs for it; ``make`` does the work (tests have quick ones)."""

    visit: Visit
    order: Order
    root: Path
    out: Path
    overwrite: bool = False
    make: Make = make_derivative

    def row(self, status: str, reason: str = "", seconds: float | None = None, report: Mapping[str, Any] | None = None) -> Row:
        """The visit's row."""
        report = report or {}
        medians = report.get("tissue_medians", {}).get("white_matter", {})
        return Row(
            self.visit.participant, self.visit.session, status, " ".join(reason.split()), ",".join(self.visit.files),
            None if seconds is None else round(seconds, 1), len(report["warnings"]) if "warnings" in report else None,
            medians.get("T1"), medians.get("T2"), report.get("verdict", ""),
        )  # fmt: skip


def estimate_visit(task: Task) -> Row:
    """Make a visit's derivative unless it is complete. Never raises an Exception: a cohort goes on, whatever one visit does."""
    start = time.perf_counter()
    try:
        clear_unfinished(task)
        made_from = _made_from(task)
        earlier = earlier_report(task, made_from)
        if earlier is not None:
            return task.row(KEPT, report=earlier)
        with _whole_visit(task) as folder:
            made = task.make(task.visit, task.order, task.root, folder)
            report = {**made, "notes": task.visit.notes, "made_from": made_from}
            write_json(report, folder / f"{task.visit.name}_{REPORT}")
        return task.row(ESTIMATED, seconds=time.perf_counter() - start, report=report)
    except PhysMRISynthError as error:
        return task.row(FAILED, str(error))
    except OSError as error:
        return task.row(FAILED, f"{error}. Check files, permissions and free space.")
    except MemoryError:
        return task.row(FAILED, "Not enough memory. Run fewer jobs at a time.")
    except Exception as error:
        _log.exception("%s", task.visit.name)
        return task.row(FAILED, f"Unexpected {type(error).__name__}: {error}. Report it with this visit's log.")


def _made_from(task: Task) -> dict[str, Any]:
    """What a visit's maps depend on, as JSON values; images and the headers beside them by their SHA-256, which copying does not change.

    Raises OSError for an image, ProtocolError for a header that cannot be read.
    """
    images = {
        role: {"source": _uri(path, task.root), "sha256": _hash_of_file(path), "header_sha256": _hash(fields_beside(path))}
        for role, path in task.visit.files.items()
    }
    told: dict[str, Any] = json.loads(json.dumps({"version": __version__, "options": task.order.as_json(), "images": images}))
    return told


def _hash_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def earlier_report(task: Task, made_from: Mapping[str, Any]) -> dict[str, Any] | None:
    """The report of a visit that is complete, None where it is to be made.

    Raises ImageError when its place holds something else, or maps that were made from something else than ``made_from`` says.
    """
    place = task.out / task.visit.folder
    if not place.exists():
        return None
    try:
        report = json.loads((place / f"{task.visit.name}_{REPORT}").read_text(encoding="utf-8"))
        before = {name: report["made_from"][name] for name in _OTHER}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ImageError(
            f"{place} holds files that this command did not write.", Remedy.DO(this="move them"), Remedy.CHOOSE_OUTPUT
        ) from error
    if task.overwrite:
        return None
    if other := " and ".join(told for name, told in _OTHER.items() if before[name] != made_from[name]):
        raise ImageError(f"{place} holds maps that were made {other}.", Remedy.CHOOSE_OUTPUT, Remedy.OVERWRITE)
    return report


def clear_unfinished(task: Task) -> None:
    """Remove what a process that was killed has left of a visit; where it was about to put new maps in the place of old ones, do that."""
    place = task.out / task.visit.folder
    for left in task.out.glob(f"{_begin(task)}*"):
        if (left / _OLD).exists() and not place.exists():
            try:
                (left / _NEW).replace(place)
            except OSError:  # nothing is lost while both stay where they are
                continue
        shutil.rmtree(left, ignore_errors=True)


def _begin(task: Task) -> str:
    """How the names of the visit's temporary folders begin."""
    return f"{TEMPORARY}{task.visit.name}-"


@contextmanager
def _whole_visit(task: Task) -> Iterator[Path]:
    """A temporary folder that becomes the visit's at the end, by one renaming; one that is there goes into the temporary folder before."""
    place = task.out / task.visit.folder
    with tempfile.TemporaryDirectory(dir=task.out, prefix=_begin(task)) as name:
        old, new = Path(name) / _OLD, Path(name) / _NEW
        new.mkdir()
        yield new
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            if not task.overwrite:  # it was not there when this run began
                raise ImageError(f"Another run has written {place} meanwhile; its maps were kept.")
            place.replace(old)
        try:
            new.replace(place)
        except OSError:
            if old.exists():
                old.replace(place)
            raise


def _uri(path: Path, root: Path) -> str:
    """BIDS' URI of a file of the data set, which may be a link to where the voxels are kept."""
    return f"bids:raw:{path.absolute().relative_to(root.absolute()).as_posix()}"
