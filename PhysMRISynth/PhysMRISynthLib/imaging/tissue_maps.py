"""Tissue maps: PD, T1, T2, their uncertainty, mask, geometry and provenance, in memory and as a folder of NIfTI files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..errors import ImageError
from .intake.volumes import image_like, same_grid
from .map_files import MapFiles, find_map_files

PER_CENT = 100.0
_MOST_LONGER_T2 = 0.1
"""Share of the head where noise may put T2 above T1; no tissue has T2 above T1."""


@dataclass(frozen=True)
class TissueMaps:
    """Physical properties of the tissue on one grid; arrays are float32 of shape (z, y, x).

    ``pd`` is the fraction of water (files hold per cent), ``t1`` and ``t2`` are ms; ``sd`` holds the SDs of "PD", "T1", "T2" in the
    same units where they are known; ``mask`` is True in the head; ``grid`` is any image of the maps' geometry (voxels unused);
    ``provenance`` says how the maps came about (JSON values).
    """

    pd: np.ndarray
    t1: np.ndarray
    t2: np.ndarray
    mask: np.ndarray
    grid: sitk.Image
    sd: Mapping[str, np.ndarray] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    fluid_fraction: np.ndarray | None = None
    """Volume fraction of cerebrospinal fluid in every voxel, if known. PD, T1 and T2 are those of the whole voxel: its water, and the
    mean rates of its water, so that tissue and fluid can be separated again (:attr:`fluid`)."""
    fluid: tuple[float, float, float] | None = None
    """PD (fraction of water), T1 and T2 (ms) of that fluid."""

    def image(self, voxels: np.ndarray) -> sitk.Image:
        """``voxels`` (z, y, x) as an image on the maps' grid."""
        return image_like(voxels, self.grid)

    def files(self) -> dict[str, sitk.Image]:
        """The images that stand for the maps, by file name: PD in % of water, T1 and T2 in ms, mask 0/1."""
        images = {"PD": self.pd * np.float32(PER_CENT), "T1": self.t1, "T2": self.t2}
        for name, sd in self.sd.items():
            images[f"{name}_sd"] = sd * np.float32(PER_CENT) if name == "PD" else sd
        named = {f"{name}.nii.gz": self.image(voxels) for name, voxels in images.items()}
        if self.fluid_fraction is not None:
            named["fluid_fraction.nii.gz"] = self.image(self.fluid_fraction)
        return {**named, "mask.nii.gz": self.image(self.mask.astype(np.uint8))}


def read_tissue_maps(folder: Path) -> TissueMaps:
    """Read ``PD.nii.gz`` (%), ``T1.nii.gz``, ``T2.nii.gz`` (ms) and, where present, ``mask.nii.gz`` and ``report.json``; or the same of a
    BIDS derivative of one visit (``…_T1map.nii.gz`` and so on, in the unit that the JSON beside it states, seconds if none).

    Raises ImageError when a map is missing, when the grids differ, when values cannot be PD, T1 or T2 in these
    units, or when the report is damaged.
    """
    files = find_map_files(folder)
    pd, t1, t2 = (files.read(name) for name in ("PD", "T1", "T2"))
    mask = files.read("mask") if files.path("mask").exists() else None
    for other in (t1, t2, mask):
        if other is not None and not same_grid(pd.image, other.image):
            raise ImageError(f"{other.path} and {pd.path} lie on different grids. Give maps of one estimate.")
    inside = pd.voxels > 1.0 if mask is None else mask.voxels > 0.5
    density = pd.voxels / np.float32(PER_CENT)
    density[~inside] = np.maximum(density[~inside], 0.0)  # interpolation can give negative voxels in the air around a head
    provenance = _provenance(files.report)
    fraction, fluid = _fluid(files, provenance, pd.image)
    maps = TissueMaps(density, t1.voxels, t2.voxels, inside, pd.image, {}, provenance, fraction, fluid)
    _check_ranges(maps, files)
    return maps


def _fluid(files: MapFiles, provenance: Mapping[str, Any], grid: sitk.Image) -> tuple[np.ndarray | None, tuple[float, float, float] | None]:
    """The fluid fraction and the fluid's values, or None for both if either is missing."""
    stated = provenance.get("fluid")
    if not files.path("fluid_fraction").exists() or not isinstance(stated, dict):
        return None, None
    volume = files.read("fluid_fraction")
    if not same_grid(grid, volume.image):
        raise ImageError(f"{volume.path} and {files.path('PD')} lie on different grids. Give maps of one estimate.")
    try:
        values = (float(stated["PD_percent"]) / PER_CENT, float(stated["T1_ms"]), float(stated["T2_ms"]))
    except (LookupError, TypeError, ValueError):
        raise ImageError(f"{files.report}: 'fluid' does not state PD_percent, T1_ms and T2_ms as numbers. Restore the report.") from None
    return np.clip(volume.voxels, 0.0, 1.0), values


def _provenance(report: Path) -> dict[str, Any]:
    if not report.is_file():
        return {}
    try:
        fields = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageError(f"{report} is not readable JSON ({error}). Restore it, or delete it to use the maps without it.") from error
    if not isinstance(fields, dict):
        raise ImageError(f"{report} is not a report. Restore it, or delete it to use the maps without it.")
    return fields


def _check_ranges(maps: TissueMaps, files: MapFiles) -> None:
    """Refuse maps in other units, such as PD as a fraction or T1 in seconds, and values of no tissue."""
    if not maps.mask.any():
        raise ImageError(f"{files.folder}: the mask is empty. Give maps of a head.")
    allowed = {
        "PD": (maps.pd, 0.05, 2.0, 10.0, "% of water"),
        "T1": (maps.t1, 100.0, 6000.0, 50_000.0, "ms"),
        "T2": (maps.t2, 10.0, 4000.0, 50_000.0, "ms"),
    }
    for name, (voxels, low, high, most, unit) in allowed.items():
        file, scale = files.path(name), PER_CENT if name == "PD" else 1.0
        inside = voxels[maps.mask]
        if inside.min() < 0:
            raise ImageError(f"{file} has negative voxels in the head, which no {name} has. Restore the map.")
        if not low <= (middle := float(np.median(inside))) <= high:
            raise ImageError(f"{file}: a median of {scale * middle:.3g} over the head cannot be {name} in {unit}. Check its unit.")
        if inside.max() > most:
            raise ImageError(f"{file} has voxels of up to {scale * inside.max():.3g} {unit}, which no tissue has. Restore the map.")
    _check_tissue(maps, files)


def _check_tissue(maps: TissueMaps, files: MapFiles) -> None:
    """Refuse tissue without T1 or T2, and T2 longer than T1."""
    for name, voxels in (("T1", maps.t1), ("T2", maps.t2)):
        if empty := int(np.count_nonzero((voxels <= 0) & (maps.pd > 0) & maps.mask)):
            raise ImageError(
                f"{files.path(name)} is 0 or NaN in {empty} voxels of tissue. Restore the map, or leave them out of "
                f"{files.path('mask').name}."
            )
    if (share := float(np.mean(maps.t2[maps.mask] > maps.t1[maps.mask]))) > _MOST_LONGER_T2:
        raise ImageError(f"{files.folder}: T2 is longer than T1 in {100 * share:.0f} % of the head. Check that they are not exchanged.")
