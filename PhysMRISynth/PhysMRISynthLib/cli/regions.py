"""Measuring maps: ``physmrisynth measure`` and ``volumes``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..workflow.results.regions import Measurement, Region

_SHOWN = ("PD", "T1", "T2")


def add_measure(parser: argparse.ArgumentParser) -> None:
    """The options of ``measure``, which sets ``command`` to what runs it."""
    parser.description = "PD, T1, T2, R1 and R2 of regions with the uncertainty of each mean, as a tab-separated table."
    parser.add_argument("--maps", type=Path, required=True, metavar="DIR", help="folder with PD, T1 and T2, and their SDs where known")
    parser.add_argument("--regions", type=Path, required=True, metavar="LABELS", help="label file on the grid of the maps (0: no region)")
    parser.add_argument("--names", type=Path, metavar="TSV", help="table with columns index and name (default: the one beside LABELS)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these regions")
    parser.add_argument("--resample", action="store_true", help="resample labels from another grid in the same coordinates")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.tsv")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_measure)


def add_volumes(parser: argparse.ArgumentParser) -> None:
    """The options of ``volumes``, which sets ``command`` to what runs it."""
    parser.description = "Volumes of brain, white matter, grey matter, fluid and lesions in ml, and the brain parenchymal fraction."
    parser.add_argument("--maps", type=Path, required=True, metavar="DIR", help="folder written by 'estimate' or 'sample'")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.tsv")
    parser.add_argument("--probabilities", type=Path, metavar="DIR", help="also write the fraction of each tissue in every voxel")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_volumes)


def _measure(options: argparse.Namespace) -> None:
    from ..workflow.results.map_set import read_map_set
    from ..workflow.results.region_files import measure_file, region_rows
    from ..workflow.results.regions import warnings_of
    from ..workflow.results.tables import check_table, write_table

    check_table(options.out, options.overwrite)
    head = read_map_set(options.maps)
    regions = measure_file(head, options.regions, options.names, options.only, options.resample)
    write_table(region_rows(regions), options.out)
    for warning in (*head.doubts, *warnings_of(regions)):
        print(f"Warning: {warning}", file=sys.stderr)
    for region in regions:
        print(_line(region))
    print(f"Measured {len(regions)} region{'s' * (len(regions) > 1)}: {options.out}")


def _line(region: Region) -> str:
    values = (_value(region.measurements[name]) for name in _SHOWN if name in region.measurements)
    return f"{region.name:<24} {region.volume_ml:8.1f} ml   {'   '.join(values)}"


def _value(m: Measurement) -> str:
    known = "" if m.mean_sd is None else f" ± {m.mean_sd:.{_decimals(m.mean_sd)}f}"
    source = " (literature)" if m.from_literature else ""
    return f"{m.quantity} {m.mean:.{_decimals(m.mean)}f}{known} {m.unit}{source}"


def _decimals(value: float) -> int:
    return 0 if abs(value) >= 10 else 1


def _volumes(options: argparse.Namespace) -> None:
    from ..workflow.results.map_set import read_map_set
    from ..workflow.results.outputs import check_free, whole_folder
    from ..workflow.results.tables import check_table, write_table
    from ..workflow.results.tissue_volumes import brain_volumes, probability_maps, volume_rows
    from .progress import progress_bar

    check_table(options.out, options.overwrite)
    if options.probabilities is not None:
        check_free(options.probabilities, options.overwrite)
    head = read_map_set(options.maps)
    with progress_bar() as bar:
        bar("measure volumes", 0.0)
        volumes = brain_volumes(head)
        if options.probabilities is not None:
            from ..imaging.intake.volumes import write_image

            with whole_folder(options.probabilities, options.overwrite) as folder:
                for name, image in probability_maps(head).items():
                    write_image(image, folder / f"{name}.nii.gz")
        write_table(volume_rows(volumes), options.out)
    for warning in (*head.doubts, *volumes.warnings):
        print(f"Warning: {warning}", file=sys.stderr)
    for volume in volumes.volumes.values():
        print(f"{volume.title:<32} {volume.ml:7.{_decimals(volume.ml)}f} ± {volume.sd_ml:.{_decimals(volume.sd_ml)}f} ml")
    print(f"{'Brain parenchymal fraction':<32} {volumes.parenchymal_percent:7.1f} ± {volumes.parenchymal_sd:.1f} %")
    print(f"Volumes in {options.out}.")
