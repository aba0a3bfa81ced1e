"""Measured maps: ``physmrisynth import``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_QUANTITIES = ("pd", "t1", "t2")


def add_import(parser: argparse.ArgumentParser) -> None:
    """The options of ``import``, which sets ``command`` to what runs it."""
    parser.description = "Make tissue maps of measured ones (SyMRI, MP2RAGE, QALAS, MRF, hMRI …), for every command that takes --maps."
    for name in _QUANTITIES:
        rate = "" if name == "pd" else ", or of its rate"
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"map of {name.upper()}{rate}")
        units = "%%, fraction or relative" if name == "pd" else "ms, s, 1/s or 1/ms"
        parser.add_argument(f"--{name}-unit", metavar="UNIT", help=f"{units}; default: the sidecar's, else judged by the values")
    parser.add_argument("--field-strength", type=float, metavar="TESLA", default=3.0, help="of the scanner (3)")
    parser.add_argument("--register", action=argparse.BooleanOptionalAction, default=None, help="default: only where grids differ")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_import)


def _import(options: argparse.Namespace) -> None:
    from ..workflow.analysis.measured_maps import import_maps, read_measured, write_imported
    from ..workflow.results.outputs import check_free

    check_free(options.out, options.overwrite)
    given = {name.upper(): getattr(options, name) for name in _QUANTITIES}
    units = {name.upper(): getattr(options, f"{name}_unit") for name in _QUANTITIES}
    measured = {name: read_measured(name, path, units[name]) for name, path in given.items() if path is not None}
    found = import_maps(measured, options.field_strength, options.register)
    write_imported(found, options.out, options.overwrite)
    for warning in found.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    for name, m in measured.items():
        print(f"{name}: {given[name]} in {m.unit} (from {m.source})")
    print(f"Tissue maps in {options.out}.")
