"""A film of one parameter: ``physmrisynth sweep``."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arguments import positive
from .progress import progress_bar


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """The options of ``sweep``, which sets ``command`` to what runs it."""
    parser.description = "A film (GIF or MP4) of the middle axial plane while one parameter of a protocol changes."
    parser.add_argument("--maps", type=Path, required=True, metavar="DIR", help="folder with PD, T1 and T2")
    parser.add_argument("--protocol", required=True, metavar="SPEC")
    parser.add_argument("--parameter", required=True, metavar="NAME", help="the parameter to change, such as TI")
    parser.add_argument("--from", type=float, required=True, dest="first", metavar="VALUE", help="ms or degrees")
    parser.add_argument("--to", type=float, required=True, dest="last", metavar="VALUE")
    parser.add_argument("--frames", type=positive, default=25, metavar="N", help="number of frames (25)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.gif", help="film as GIF, or as .mp4 with ffmpeg")
    parser.add_argument("--overwrite", action="store_true")
    parser.set_defaults(command=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    import numpy as np

    from ..imaging.tissue_maps import read_tissue_maps
    from ..physics.presets import protocol_from_spec
    from ..workflow.analysis.sweep import swept, write_film
    from ..workflow.results.outputs import check_free

    values = np.linspace(options.first, options.last, options.frames).tolist()
    protocols = swept(protocol_from_spec(options.protocol), options.parameter, values)
    check_free(options.out, options.overwrite)
    maps = read_tissue_maps(options.maps)
    with progress_bar() as bar:
        bar("render the film", 0.0)
        write_film(maps, protocols, options.parameter, options.out)
    print(f"{options.frames} frames in {options.out}. Synthetic, not for diagnosis.")
