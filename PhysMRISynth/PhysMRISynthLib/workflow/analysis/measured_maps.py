"""Maps that were measured, by whatever method, as tissue maps: units found or asked for, grids brought together, what is missing filled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError, RegistrationError, Remedy
from ...imaging.head.alignment import align
from ...imaging.head.masks import largest_piece
from ...imaging.intake.sidecar import sidecar_path
from ...imaging.intake.volumes import Volume, read_volume, write_image
from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.tissues import BRAIN_TISSUE, PROPERTIES, Tissue, tissue_table
from ..results.outputs import REPORT, whole_folder, write_json
from ..results.report import software_report
from ..results.tissue_output import labels_image, write_labels
from .measured_tissues import measured_tissues

_MS_PER_S = 1000.0
UNITS = {"PD": ("%", "fraction", "relative"), "T1": ("ms", "s", "1/s", "1/ms"), "T2": ("ms", "s", "1/s", "1/ms")}
"""What can be stated by quantity; "relative" is PD in arbitrary units, scaled so that white matter has the literature's."""
_SIDECAR_UNITS = {"percent": "%", "arbitrary": "relative", "a.u.": "relative", "Hz": "1/s", "s-1": "1/s", "msec": "ms", "sec": "s"}
_SUFFIXES = {"R1map": "1/s", "R2map": "1/s", "T1map": "s", "T2map": "s"}
"""What BIDS' suffixes mean where no sidecar says otherwise."""
_RANGES = {
    "PD": (("fraction", 0.3, 1.3), ("%", 30.0, 130.0)),
    "T1": (("ms", 150.0, 5000.0),),
    "T2": (("s", 0.02, 0.5), ("1/s", 4.0, 29.0), ("ms", 30.0, 500.0)),
}
"""Of the median over the head, by unit; T1 in s and its rate in 1/s have the same range, so that somebody must say which."""
_KIND = "measured maps"
_NO_TISSUES = (
    "The head was not found in the maps, so that there is no label map of the tissues. Check that they show a whole brain, upright."
)
_POSSIBLE_MS = {"T1": (50.0, 6000.0), "T2": (5.0, 4000.0)}
_POSSIBLE_MEDIAN = {"T1": (100.0, 8000.0), "T2": (10.0, 4000.0)}
"""ms, of a map's positive voxels."""
_OF_WHITE = 0.15
"""Log distance from the literature's T1 of white matter within which a voxel counts for the scale of a relative PD."""


class UnknownUnitError(ImageError):
    """The unit of a map is not known: ``cause`` says why, ``units`` are those that can be stated."""

    def __init__(self, cause: str, quantity: str | None = None) -> None:
        self.units = UNITS[quantity] if quantity else ()
        given = () if quantity is None else (Remedy.GIVE_UNIT(quantity=quantity, option=quantity.lower(), units=", ".join(self.units)),)
        super().__init__(cause, *given)


@dataclass(frozen=True)
class Measured:
    """A measured map: its ``volume`` in the ``unit`` that was stated or found, and where that is known from."""

    volume: Volume
    unit: str
    source: str


@dataclass(frozen=True)
class Imported:
    """``maps`` with SDs of what was ``filled``, and ``warnings`` for the user; ``tissue`` (z, y, x; row of the tissue table, 255: none
    is likelier than not) and the ``brain`` mask are None where the head was not found in the atlas."""

    maps: TissueMaps
    filled: tuple[str, ...]
    warnings: tuple[str, ...]
    tissue: np.ndarray | None = None
    brain: np.ndarray | None = None


def read_measured(quantity: str, path: Path, unit: str | None = None) -> Measured:
    """Read the map of "PD", "T1" or "T2" (or of a rate, 1/T1) from a file whose ``unit`` is given, in its sidecar or BIDS name, or plain
    from its values. Raises ImageError when the file cannot be read or its unit is not known."""
    volume = read_volume(path)
    stated = _stated(path) if unit is None else None
    if stated is not None:
        known = _SIDECAR_UNITS.get(stated, stated)
        if known not in UNITS[quantity]:
            raise UnknownUnitError(f"{sidecar_path(path)}: {quantity} in units of '{stated}' is not known.", quantity)
        return _possible(quantity, Measured(volume, known, "sidecar"), path)
    suffix = path.name.partition(".")[0].rpartition("_")[2]
    if unit is None and suffix in _SUFFIXES and "_" in path.name:
        return _possible(quantity, Measured(volume, _SUFFIXES[suffix], "file name"), path)
    return measured_of(quantity, volume, unit, str(path))


def measured_of(quantity: str, volume: Volume, unit: str | None, title: str) -> Measured:
    """A map that is in memory, in its ``unit`` or the one that its values tell; ``title`` names it in messages. Raises ImageError."""
    if unit is None:
        return Measured(volume, _unit_of_values(quantity, volume, title), "values")
    if unit not in UNITS[quantity]:
        raise UnknownUnitError(f"{quantity} in units of '{unit}' is not known.", quantity)
    return Measured(volume, unit, "given")


def _stated(path: Path) -> str | None:
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return None
    try:
        fields = json.loads(sidecar.read_text(encoding="utf-8"))
        return str(fields["Units"]) if "Units" in fields else None
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(f"{sidecar} is not a readable JSON sidecar ({error}). Restore it, or remove it.") from error


def _possible(quantity: str, measured: Measured, path: Path) -> Measured:
    """The same, unless its values cannot be in its unit. Raises UnknownUnitError then."""
    inside = measured.volume.voxels[measured.volume.voxels > 0]
    if quantity in _POSSIBLE_MEDIAN and inside.size:
        low, high = _POSSIBLE_MEDIAN[quantity]
        middle = np.median(inside)
        if not low <= float(_milliseconds(middle[None], measured)[0]) <= high:
            cause = f"{path}: a median of {middle:.3g} cannot be in {measured.unit}, the unit by its {measured.source}."
            raise UnknownUnitError(cause, quantity)
    return measured


def _unit_of_values(quantity: str, volume: Volume, title: str) -> str:
    inside = volume.voxels[volume.voxels > 0]
    middle = float(np.median(inside)) if inside.size else 0.0
    for unit, low, high in _RANGES[quantity]:
        if low <= middle <= high:
            return unit
    raise UnknownUnitError(f"{title}: a median of {middle:.3g} does not tell the unit of {quantity}.", quantity)


def import_maps(measured: Mapping[str, Measured], field_strength: float, register: bool | None = None) -> Imported:
    """Tissue maps of measured ones as :func:`scaled_maps`, with the tissues that the atlas and their values tell at each place of the
    head. Raises as that."""
    return _with_tissues(scaled_maps(measured, field_strength, register), field_strength)


def scaled_maps(measured: Mapping[str, Measured], field_strength: float, register: bool | None = None) -> Imported:
    """Tissue maps of measured ones, on the grid of the first of T1, T2 and PD that there is, without tissues.

    What is missing is the tissue table's at a voxel's T1 (else T2), with its spread as SD. ``register`` as in
    :func:`~PhysMRISynthLib.imaging.head.alignment.align`. Raises ImageError when neither T1 nor T2 is given, values cannot be theirs, or T2
    is longer than T1 in much of the head; RegistrationError when the maps do not overlap.
    """
    if not {"T1", "T2"} & set(measured):
        raise ImageError("Neither T1 nor T2 is given: PD alone does not tell the tissue. Give a map of T1 or T2.")
    tissues = tissue_table(field_strength)
    reference = measured[next(name for name in ("T1", "T2", "PD") if name in measured)].volume.image
    values = {name: _aligned(m, reference, register) for name, m in measured.items()}
    leading = "T1" if "T1" in values else "T2"
    inside = largest_piece(np.logical_and.reduce([v > 0 for v in values.values()]), reference)
    times: dict[str, np.ndarray] = {}
    for name, (low, high) in _POSSIBLE_MS.items():
        if name in values:
            times[name] = np.where(inside, np.clip(_milliseconds(values[name], measured[name]), low, high), np.float32(0))
    filled = {name: _filled(name, leading, times[leading], inside, tissues) for name in PROPERTIES if name not in measured}
    pd = filled["PD"][0] if "PD" in filled else np.where(inside, _density(values["PD"], measured["PD"], times, inside, tissues), 0)
    t1, t2 = (filled[name][0] if name in filled else times[name] for name in ("T1", "T2"))
    report = _report(measured, tuple(filled), field_strength)
    sd = {name: deviation for name, (_, deviation) in filled.items()}
    maps = TissueMaps(pd.astype(np.float32), t1, t2, inside, reference, sd, report)
    return _checked(Imported(maps, tuple(filled), _warnings(maps, tuple(filled), tissues)))


def _with_tissues(found: Imported, field_strength: float) -> Imported:
    told = [name for name in PROPERTIES if name not in found.filled]
    try:
        tissue, brain = measured_tissues(found.maps, told, field_strength)
    except RegistrationError:
        return replace(found, warnings=(*found.warnings, _NO_TISSUES))
    return replace(found, tissue=tissue, brain=brain)


def _aligned(measured: Measured, reference: sitk.Image, register: bool | None) -> np.ndarray:
    return sitk.GetArrayFromImage(align(measured.volume.image, reference, register).image)


def _milliseconds(values: np.ndarray, measured: Measured) -> np.ndarray:
    if measured.unit.startswith("1/"):
        values = 1.0 / np.maximum(values, np.float32(1e-6))
    return (values * np.float32(_MS_PER_S if measured.unit.endswith("s") and not measured.unit.endswith("ms") else 1.0)).astype(np.float32)


def _density(
    values: np.ndarray, measured: Measured, times: Mapping[str, np.ndarray], inside: np.ndarray, tissues: tuple[Tissue, ...]
) -> np.ndarray:
    if measured.unit == "relative":
        white = next(tissue for tissue in tissues if tissue.name == "white_matter")
        if "T1" not in times:
            raise ImageError("A relative PD needs T1, which tells white matter. Give a map of T1, or PD in % or as a fraction.")
        where = inside & (np.abs(np.log(np.maximum(times["T1"], 1.0)) - white.theta[1]) < _OF_WHITE)
        if not where.any():
            raise ImageError("No voxel has the T1 of white matter, so that a relative PD cannot be scaled. Check T1's unit.")
        return values * np.float32(np.exp(white.theta[0]) / np.median(values[where]))
    return values / np.float32(PER_CENT if measured.unit == "%" else 1.0)


def _filled(name: str, leading: str, times: np.ndarray, inside: np.ndarray, tissues: tuple[Tissue, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Values (z, y, x) of a quantity that was not measured, and their SD: interpolated between the brain's tissues by the ``leading``
    time."""
    rows = [tissue for tissue in tissues if tissue.name in (*BRAIN_TISSUE, "csf")]
    rows.sort(key=lambda tissue: tissue.theta[PROPERTIES.index(leading)])
    at, column = [tissue.theta[PROPERTIES.index(leading)] for tissue in rows], PROPERTIES.index(name)
    place = np.log(np.maximum(times, np.float32(1.0)))
    found = np.exp(np.interp(place, at, [tissue.theta[column] for tissue in rows]))
    spread = np.interp(place, at, [float(np.hypot(tissue.between_heads[column], tissue.within_head[column])) for tissue in rows])
    return np.where(inside, found, 0.0).astype(np.float32), np.where(inside, found * spread, 0.0).astype(np.float32)


def _warnings(maps: TissueMaps, filled: tuple[str, ...], tissues: tuple[Tissue, ...]) -> tuple[str, ...]:
    told = []
    if filled:
        were = "were" if len(filled) > 1 else "was"
        told.append(f"{' and '.join(filled)} {were} not measured: values of tissues from the literature.")
    white = next(tissue for tissue in tissues if tissue.name == "white_matter")
    if "T1" not in filled:
        near = np.abs(np.log(maps.t1[maps.mask]) - white.theta[1]) < 2 * _OF_WHITE
        if near.mean() < 0.02:
            told.append("Hardly a voxel has the T1 of white matter at this field strength. Check T1's unit and the field strength.")
    return tuple(told)


def _report(measured: Mapping[str, Measured], filled: tuple[str, ...], field_strength: float) -> dict[str, Any]:
    files = {
        name: {"file": str(m.volume.path), "unit": m.unit, "unit_from": m.source, "notes": list(m.volume.notes)}
        for name, m in measured.items()
    }
    return {
        "kind": _KIND, "software": software_report(), "field_strength_tesla": field_strength, "measured": files, "filled": list(filled),
        "notice": "Measured maps, brought to one grid and one set of units. Research only.",
    }  # fmt: skip


def write_imported(found: Imported, out: Path, overwrite: bool = False) -> None:
    """Write the maps, the label map of the tissues and ``report.json`` into the folder ``out``, all or nothing. Raises ImageError."""
    with whole_folder(out, overwrite) as folder:
        for name, image in found.maps.files().items():
            write_image(image, folder / name)
        if found.tissue is not None and found.brain is not None:
            strength = float(found.maps.provenance["field_strength_tesla"])
            write_labels(labels_image(found.maps, found.tissue, found.brain, strength), folder)
        names = sorted([REPORT, *(file.name for file in folder.iterdir())])
        write_json({**found.maps.provenance, "warnings": list(found.warnings), "files": names}, folder / REPORT)


def _checked(found: Imported) -> Imported:
    """The same, unless T2 is longer than T1 in much of the head. Raises ImageError then."""
    maps = found.maps
    if (share := float(np.mean(maps.t2[maps.mask] > maps.t1[maps.mask]))) > 0.1:
        raise ImageError(f"T2 is longer than T1 in {100 * share:.0f} % of the head. Check that they are not exchanged, and their units.")
    return replace(found, maps=replace(maps, t2=np.minimum(maps.t2, maps.t1)))
