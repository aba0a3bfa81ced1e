"""``physmrisynth posterior``: plausible sets of maps that all explain the images of an estimate."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from ..workflow.analysis.posterior_order import PosteriorOrder
from .orders import add_field, order_from
from .progress import progress_bar


def add_posterior(parser: argparse.ArgumentParser) -> None:
    """The options of ``posterior``, which sets ``command`` to what runs it."""
    parser.description = "Samples of the maps that all explain the images, for the uncertainty of numbers that are derived from maps."
    parser.add_argument("--maps", type=Path, required=True, metavar="DIR", help="folder that 'estimate' wrote")
    add_field(parser, PosteriorOrder, "count", metavar="N", help="number of samples, at least 2")
    add_field(parser, PosteriorOrder, "seed", help="makes the samples repeatable")
    parser.add_argument("--protocol", metavar="SPEC", nargs="+", default=[], help="also the tissues' contrast in these renderings")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for posterior_0001 and so on, and posterior.tsv")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_posterior)


def _posterior(options: argparse.Namespace) -> None:
    from ..workflow.analysis.posterior_files import TABLE, write_posterior
    from ..workflow.results.map_set import read_map_set

    order = order_from(options, PosteriorOrder)
    head = read_map_set(options.maps)
    with progress_bar() as bar:
        bar("sample maps", 0.0)
        progress = partial(bar, "sample maps")
        folders = write_posterior(head, order, options.out, options.protocol, options.overwrite, progress)
    for warning in head.doubts:
        print(f"Warning: {warning}", file=sys.stderr)
    print(f"Wrote {len(folders)} samples to {options.out}; their means and spread: {options.out / TABLE}.")
