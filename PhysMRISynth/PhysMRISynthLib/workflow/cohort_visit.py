"""One visit of a cohort: its derivative, whole or not at all, and its row of the table."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ImageError, PhysMRISynthError
from ..imaging.roles import ROLES
from ..imaging.volumes import TEMPORARY
from .bids_derivatives import REPORT, write_derivative
from .outputs import write_json

_log = logging.getLogger(__name__)
ESTIMATED, KEPT, FAILED = "estimated", "complete before", "failed"
"""What became of a visit."""


@dataclass(frozen=True)
class Options:
    """How all visits are estimated: protocols by role where they are not the headers', and what ``estimate_tissue_maps`` takes."""

    protocols: Mapping[str, str | None] = field(default_factory=dict)
    field_strength: float | None = None
    reference: str | None = None
    register: bool | None = None
    prior: str = "auto"
    device: str = "auto"
    spacing_mm: float | None = None
    allow_contrast_agent: bool = False


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
    """A row of the table: ``status`` is estimated, complete before or failed (then with the ``reason``); medians in ms."""

    participant: str
    session: str | None
    status: str
    reason: str = ""
    inputs: str = ""
    seconds: float | None = None
    warnings: int | None = None
    white_matter_t1: float | None = None
    white_matter_t2: float | None = None


Make = Callable[[Visit, Options, Path, Path], dict[str, Any]]
"""Writes a visit's files into a folder, given the data set's root, and returns the report."""


def make_derivative(visit: Visit, options: Options, root: Path, folder: Path) -> dict[str, Any]:
    """Estimate a visit's maps and write them as BIDS has it. Raises a PhysMRISynthError with cause and remedy."""
    from .estimate import estimate_tissue_maps
    from .inputs import field_strength_of, read_acquisitions

    files = {role: visit.files[role] for role in ROLES if role in visit.files}
    acquisitions = read_acquisitions(files, {role: options.protocols.get(role) for role in files}, options.allow_contrast_agent)
    strength, source = field_strength_of(acquisitions, options.field_strength)
    estimate = estimate_tissue_maps(
        acquisitions, options.reference, options.register, strength, prior=options.prior, device=options.device,
        spacing_mm=options.spacing_mm,
    )  # fmt: skip
    sources = {role: _uri(path, root) for role, path in files.items()}
    report = write_derivative(estimate, acquisitions, strength, folder, visit.name, sources)
    told = [f"The field strength of {strength:g} T is {source}."] if source.startswith("assumed") else []
    return {**report, "warnings": [*told, *report["warnings"]]}


@dataclass(frozen=True)
class Task:
    """A visit with all that another process needs for it; ``make`` does the work (tests have quick ones)."""

    visit: Visit
    options: Options
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
            medians.get("T1"), medians.get("T2"),
        )  # fmt: skip


def estimate_visit(task: Task) -> Row:
    """Make a visit's derivative unless it is complete. Never raises an Exception: a cohort goes on, whatever one visit does."""
    start = time.perf_counter()
    try:
        earlier = earlier_report(task)
        if earlier is not None:
            return task.row(KEPT, report=earlier)
        with _whole_visit(task) as folder:
            made = task.make(task.visit, task.options, task.root, folder)
            report = {**made, "notes": task.visit.notes, "options": asdict(task.options)}
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


def earlier_report(task: Task) -> dict[str, Any] | None:
    """The report of a visit that is complete, None where it is to be made.

    Raises ImageError when its place holds something else, or maps that were made with other options.
    """
    place = task.out / task.visit.folder
    if not place.exists():
        return None
    try:
        report = json.loads((place / f"{task.visit.name}_{REPORT}").read_text(encoding="utf-8"))
        options = report["options"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ImageError(f"{place} holds files that this command did not write. Move them, or choose another --out.") from error
    if task.overwrite:
        return None
    if options != json.loads(json.dumps(asdict(task.options))):
        raise ImageError(f"{place} holds maps that were made with other options. Choose another --out, or add --overwrite.")
    return report


def discard_unfinished(task: Task) -> None:
    """Remove what a process that was killed has left of a visit."""
    for left in task.out.glob(f"{_begin(task)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _begin(task: Task) -> str:
    """How the names of the visit's temporary folders begin."""
    return f"{TEMPORARY}{task.visit.name}-"


@contextmanager
def _whole_visit(task: Task) -> Iterator[Path]:
    """A temporary folder that becomes the visit's at the end, by one renaming; what a killed run left of the visit goes first."""
    discard_unfinished(task)
    place = task.out / task.visit.folder
    with tempfile.TemporaryDirectory(dir=task.out, prefix=_begin(task)) as name:
        folder = Path(name) / "new"
        folder.mkdir()
        yield folder
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            place.replace(Path(name) / "old")
        folder.replace(place)


def _uri(path: Path, root: Path) -> str:
    """BIDS' URI of a file of the data set, which may be a link to where the voxels are kept."""
    return f"bids:raw:{path.absolute().relative_to(root.absolute()).as_posix()}"
