"""Two visits of one patient: ``physmrisynth compare``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_NOTABLE = 2.0


def add_compare(parser: argparse.ArgumentParser) -> None:
    """The options of ``compare``, which sets ``command`` to what runs it."""
    parser.description = "What changed between two visits, and whether by more than the maps' uncertainty: second minus first."
    parser.add_argument("first", type=Path, metavar="VISIT1", help="folder of maps of the earlier visit")
    parser.add_argument("second", type=Path, metavar="VISIT2", help="folder of maps of the later visit")
    parser.add_argument("--regions", type=Path, metavar="LABELS", help="also compare these regions, on the grid of the first visit's maps")
    parser.add_argument("--names", type=Path, metavar="TSV", help="table with columns index and name (default: the one beside LABELS)")
    parser.add_argument("--protocol", nargs="+", default=[], metavar="SPEC", help="also compare these contrasts, rendered at both visits")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_compare)


def _compare(options: argparse.Namespace) -> None:
    from ..physics.presets import protocol_from_spec
    from ..workflow.analysis.compare import compare_visits
    from ..workflow.analysis.comparison_files import write_comparison
    from ..workflow.results.map_set import read_map_set
    from ..workflow.results.outputs import check_apart, check_free
    from ..workflow.results.region_files import read_regions
    from .progress import progress_bar

    protocols = [protocol_from_spec(spec) for spec in options.protocol]
    check_free(options.out, options.overwrite)
    check_apart(options.out, (options.first, options.second))
    first, second = read_map_set(options.first), read_map_set(options.second)
    regions, names = (None, {}) if options.regions is None else read_regions(first, options.regions, options.names)
    with progress_bar() as bar:
        bar("register and compare", 0.0)
        found = compare_visits(first, second, regions, names)
        bar("write the comparison", 0.0)
        write_comparison(found, (str(options.first), str(options.second)), options.out, protocols, options.overwrite)
    for warning in found.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    print(f"Between the visits: {found.registration.shift_mm:.1f} mm, {found.registration.rotation_degrees:.1f}°. Second minus first:")
    for change in found.changes:
        mark = "  <--" if abs(change.z) > _NOTABLE else ""
        print(f"{change.region:<30} {change.quantity} {change.difference:+8.1f} ± {change.sd:.1f} {change.unit}, z {change.z:+.1f}{mark}")
    volume = sum(spot.volume_ml for spot in found.spots)
    print(f"{len(found.spots)} spots of change, {volume:.2f} ml in all. Maps and tables: {options.out}")
