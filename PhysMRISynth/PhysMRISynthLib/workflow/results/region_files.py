"""Regions from a label file, and their measurements as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError, Remedy
from ...imaging.dicom_out.measurement_report import QUANTITY_CODES, Finding, Value
from ...imaging.head.tissue_labels import tissue_labels
from ...imaging.intake.volumes import read_volume, same_grid
from .map_set import MapSet
from .regions import Region, measure_regions
from .tables import read_names

_MOST_REGIONS = 2000


def measure_file(
    head: MapSet, labels: Path, names: Path | None = None, only: Sequence[str] | None = None, resample: bool = False
) -> list[Region]:
    """Measure the regions of a label file; names from the table ``names``, else from the .tsv of the file's own name where there is one.

    ``resample`` takes a label map on another grid of the same space, by nearest neighbour. Raises ImageError when the file is no label
    map, lies on another grid (without ``resample``), or a name has no region.
    """
    return measure_regions(head, *read_regions(head, labels, names, resample), only)


def read_regions(head: MapSet, labels: Path, names: Path | None = None, resample: bool = False) -> tuple[np.ndarray, Mapping[int, str]]:
    """The label map (z, y, x) of a file on the grid of the maps, and its names, as :func:`measure_file` takes them. Raises ImageError."""
    regions = _regions(head, labels, resample)
    table = names or beside(labels)
    return regions, read_names(table) if table is not None else {}


def beside(labels: Path) -> Path | None:
    """The table of names beside a label file (x_dseg.tsv beside x_dseg.nii.gz), None where there is none."""
    stem = labels.name.removesuffix(".gz").rpartition(".")[0]
    table = labels.with_name(f"{stem}.tsv")
    return table if table.is_file() else None


def _regions(head: MapSet, labels: Path, resample: bool) -> np.ndarray:
    volume = read_volume(labels, constant=True)  # a region may reach the image's corners
    voxels = volume.voxels
    if (voxels != np.round(voxels)).any() or voxels.min() < 0:
        raise ImageError(f"{labels} is not a label map: it has values that are no whole numbers from 0 on. Give a segmentation.")
    if len(np.unique(voxels)) > _MOST_REGIONS:
        raise ImageError(f"{labels} has more than {_MOST_REGIONS} different values. Give a segmentation, not a scan.")
    if same_grid(volume.image, head.maps.grid):
        return voxels.astype(np.int64)
    if not resample:
        register = Remedy.DO(this="else register the label map to the maps first")
        raise ImageError(f"{labels} and the maps lie on different grids.", Remedy.RESAMPLE_REGIONS, register)
    moved = sitk.Resample(volume.image, head.maps.grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(moved).astype(np.int64)


def region_rows(regions: Sequence[Region]) -> list[dict[str, Any]]:
    """A row for each region and quantity, as :func:`~PhysMRISynthLib.workflow.results.tables.write_table` takes them."""
    rows = []
    for region in regions:
        shared = {
            "label": region.label, "region": region.name, "tissue": region.tissue, "voxels": region.voxels, "volume_ml": region.volume_ml,
        }  # fmt: skip
        for m in region.measurements.values():
            low, high = m.published or (None, None)
            rows.append({
                **shared, "quantity": m.quantity, "unit": m.unit, "mean": m.mean, "mean_sd": m.mean_sd, "median": m.median,
                "quartile_1": m.quartiles[0], "quartile_3": m.quartiles[1], "voxel_sd": m.voxel_sd, "published_low": low,
                "published_high": high, "other_side": m.other_side, "difference": m.difference, "difference_sd": m.difference_sd,
                "source": "literature" if m.from_literature else "images",
            })  # fmt: skip
    return rows


def findings_of(regions: Sequence[Region]) -> list[Finding]:
    """The measurements as a DICOM report states them; regions without a voxel in the head are left out."""
    codes = {label.title: label.code for label in tissue_labels()}
    found = []
    for region in regions:
        values = [Value(m.quantity, m.mean, m.mean_sd, m.median) for m in region.measurements.values() if m.quantity in QUANTITY_CODES]
        if values:
            found.append(Finding(region.label, region.name, codes.get(region.name), region.volume_ml, tuple(values)))
    return found
