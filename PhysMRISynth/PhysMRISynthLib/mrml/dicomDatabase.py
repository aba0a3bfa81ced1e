"""Results straight into Slicer's DICOM database, where they lie beside the patient's other series."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import slicer

from ..errors import ImageError
from ..physics.protocol import Protocol
from ..workflow.results.export import Export
from ..workflow.results.export_order import ExportOrder
from .dicomExport import exportDicom
from .mapNodes import TissueMapNodes

_NO_DATABASE = "Slicer's DICOM database is not open. Open the DICOM module once and choose a folder for it."


def addToDatabase(
    maps: TissueMapNodes, protocols: Iterable[str | Protocol] = (), regions: Any = None, source: str | Path | None = None
) -> Export:
    """Write what :func:`~PhysMRISynthLib.mrml.dicomExport.exportDicom` writes, and copy it into Slicer's DICOM database.

    Without ``source``, the inputs of the maps that were loaded from DICOM lend patient and study; where none was, the patient is
    anonymous. Raises ImageError when there is no database, else as exportDicom.
    """
    database = getattr(slicer, "dicomDatabase", None)
    if database is None or not database.isOpen:
        raise ImageError(_NO_DATABASE)
    with tempfile.TemporaryDirectory(prefix="physmrisynth-") as folder:
        found = source if source is not None else _copiedSource(maps, database, Path(folder) / "source")
        order = ExportOrder(tuple(protocols), None if found is None else Path(found))
        done = exportDicom(maps, Path(folder) / "results", order, regions=regions)
        database.prepareInsert()  # the database may have lost what it remembers of the last insertion
        for name in done.files:
            if name.endswith(".dcm"):
                database.insert(str(Path(folder) / "results" / name), True, False, True)  # copied, no thumbnail, listed under its patient
    return done


def _copiedSource(maps: TissueMapNodes, database: Any, folder: Path) -> Path | None:
    """The files of the input that the maps lie on, or of another one that came from the database; None where none did."""
    inputs = [maps.volume(role) for role in maps.roles() if role.startswith("input_")]
    reference = maps.report.get("reference")
    inputs.sort(key=lambda node: node is not maps.volume(f"input_{reference}"))
    for node in inputs:
        files = [database.fileForInstance(uid) for uid in (node.GetAttribute("DICOM.instanceUIDs") or "").split()] if node else []
        if files and all(name and Path(name).is_file() for name in files):
            folder.mkdir()
            for number, name in enumerate(files):
                shutil.copy(name, folder / f"{number:05d}.dcm")
            return folder
    return None
