"""Tissue maps and contrasts rendered from them as DICOM, in one study and one folder that appears whole or not at all."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import ImageError, Remedy
from ...imaging.dicom_out.identity import Identity, anonymous_identity, share_within, source_identity
from ...imaging.dicom_out.measurement_report import write_measurement_report
from ...imaging.dicom_out.mr_series import write_mr_series
from ...imaging.dicom_out.parametric_map import QUANTITIES, write_parametric_map
from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.protocol import Protocol
from ..estimation.knowledge import Knowledge
from ..rendering.contrast_choice import protocol_of
from ..rendering.rendered import rendered
from .export_order import USUAL, ExportOrder
from .outputs import REPORT, check_free, whole_folder, write_json
from .region_files import findings_of
from .regions import Region

_KIND = "DICOM export"
_SOURCE = "export"
"""Of the values of contrasts that are named."""
_MEASUREMENTS = "measurements.dcm"
_NOTICE = "Estimated maps and synthetic images. Not for diagnosis."
_LEAST_SHARE = 0.5
"""Of the head that the source's images show, when the maps came from them or from a scan of the same session."""


@dataclass(frozen=True)
class Export:
    """The names of the ``files`` of an export, and ``warnings`` for its user."""

    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def export_dicom(
    maps: TissueMaps,
    out: Path,
    order: ExportOrder = USUAL,
    overwrite: bool = False,
    regions: Sequence[Region] = (),
) -> Export:
    """Write PD, T1, T2 and their SDs as Parametric Maps, each contrast of the ``order`` as an MR series, and the measurements of any
    ``regions`` as a Structured Report.

    Results refer to the source's series on the maps' grid, or to the only one. Raises ImageError when DICOM packages are missing, when
    ``out`` is taken or holds other results, when the source is of several patients, studies or frames of reference, or does not overlap
    the maps.
    """
    _check_packages()
    source, origin = order.source, order.title
    check_export(out, overwrite, source)
    protocols = [protocol_of(maps, protocol, source=_SOURCE) for protocol in order.protocols]
    if maps.provenance.get("protocols") == Knowledge.UNKNOWN:
        origin = f"{origin}; acquisition parameters assumed"
    identity = anonymous_identity() if source is None else source_identity(source, maps.grid)
    warnings = _source_warnings(identity, maps)
    with whole_folder(out, overwrite) as folder:
        number = _write_maps(maps, identity, folder)
        if regions:
            sources = {name: folder / f"{name}.dcm" for name in QUANTITIES}
            write_measurement_report(findings_of(regions), sources, number, folder / _MEASUREMENTS)
            number += 1
        steps = _write_contrasts(maps, order, protocols, identity, number, folder, origin)
        names = sorted([REPORT, *(file.name for file in folder.iterdir())])
        told = {"kind": _KIND, "notice": _NOTICE, "warnings": warnings, "anonymous": source is None, "quantisation_steps": steps}
        write_json({**told, "files": names}, folder / REPORT)
    return Export(tuple(names), warnings)


def _source_warnings(identity: Identity, maps: TissueMaps) -> tuple[str, ...]:
    told = []
    share = share_within(identity, maps)
    if share < _LEAST_SHARE:
        told.append(
            f"Only {max(1, round(100 * share))} % of the maps' head lies within the source's images. Check that the maps came from this "
            "study: they are filed under its patient and frame of reference."
        )
    if len(identity.sources) > 1:
        told.append(
            f"The maps may have come from any of {len(identity.sources)} series of the source, so that the files name none of them. "
            "Give the folder of that series if they are to."
        )
    return tuple(told)


def check_export(out: Path, overwrite: bool, source: Path | None = None) -> None:
    """Raise ImageError when ``out`` may not be written: taken, the source itself, or the place of another command's results."""
    out = Path(out)
    check_free(out, overwrite)
    if source is not None and Path(source).resolve() in (out.resolve(), *out.resolve().parents):
        raise ImageError(f"{out} lies in the source, which its files would become part of.", Remedy.CHOOSE_OUTPUT)
    report = out / REPORT
    if not report.exists():
        return
    try:
        foreign = not report.is_file() or json.loads(report.read_text(encoding="utf-8")).get("kind") != _KIND
    except (OSError, ValueError, AttributeError):
        foreign = True
    if foreign:
        raise ImageError(f"{out} holds results of another command.", Remedy.CHOOSE_OUTPUT)


def _check_packages() -> None:
    missing = [name for name in ("pydicom", "highdicom") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImageError(f"Writing DICOM needs {' and '.join(missing)}.", Remedy.INSTALL(packages=" and ".join(missing), extra="dicom"))


def _write_maps(maps: TissueMaps, identity: Identity, folder: Path) -> int:
    """Write the Parametric Maps; returns the next free series number."""
    number, assumed = identity.series_number, maps.provenance.get("protocols") == Knowledge.UNKNOWN
    for values, deviation in (({"PD": maps.pd, "T1": maps.t1, "T2": maps.t2}, False), (maps.sd, True)):
        for name, voxels in values.items():
            known = np.where(maps.mask | np.isfinite(voxels), voxels, np.float32(0.0))  # air may hold NaN
            scaled = known * np.float32(PER_CENT) if name == "PD" else known
            file = f"{name}_sd.dcm" if deviation else f"{name}.dcm"
            write_parametric_map(scaled, maps.grid, QUANTITIES[name], deviation, identity, number, folder / file, assumed)
            number += 1
    return number


def _write_contrasts(
    maps: TissueMaps, order: ExportOrder, protocols: Sequence[Protocol], identity: Identity, number: int, folder: Path, origin: str
) -> dict[str, float]:
    """Write an MR series for every protocol; returns the quantisation step of each by the stem of its files."""
    steps: dict[str, float] = {}
    seen: Counter[str] = Counter()
    for offset, protocol in enumerate(protocols):
        name = protocol.sequence.name
        seen[name] += 1
        stem = name if seen[name] == 1 else f"{name}-{seen[name]}"
        image = rendered(maps, order.rendering(protocol, offset))
        at, added = number + offset, image.order.added
        steps[stem] = write_mr_series(image.voxels, image.grid, protocol, identity, at, folder, stem, origin, added)
    return steps
