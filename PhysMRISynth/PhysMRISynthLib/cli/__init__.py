"""The command line: ``physmrisynth estimate | render | sample | simulate | export | presets | info | demo | train | evaluate``."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable, Sequence

from .. import __version__
from ..errors import PhysMRISynthError
from ..training.commands import add_evaluate, add_train
from .about import info, presets
from .estimate import add_demo, add_estimate
from .maps import add_export, add_render, add_simulate
from .sample import add_sample

_EXIT_BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 on success; 2 after bad input, with a one-line cause and remedy on standard error; 3 where ``--strict``
    was given and the maps are not to be used."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal or a log may lack letters of a path
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int | None] = options.command
    try:
        return command(options) or 0
    except PhysMRISynthError as error:
        print(f"physmrisynth: {error}", file=sys.stderr)
        return _EXIT_BAD_INPUT
    except (OSError, MemoryError) as error:
        print(f"physmrisynth: {error or 'not enough memory'}. Check files, permissions, free space and memory.", file=sys.stderr)
        return _EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("physmrisynth: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="physmrisynth", description="Tissue maps (PD, T1, T2) from T1w, T2w and FLAIR, and any contrast from tissue maps."
    )
    parser.add_argument("--version", action="version", version=f"physmrisynth {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_estimate(commands.add_parser("estimate", help="tissue maps from a patient's images"))
    add_render(commands.add_parser("render", help="the image of any protocol from tissue maps"))
    add_export(commands.add_parser("export", help="tissue maps and rendered contrasts as DICOM"))
    add_sample(commands.add_parser("sample", help="tissue maps of heads that do not exist"))
    add_simulate(commands.add_parser("simulate", help="T1w, T2w and FLAIR of known maps, with noise, gains and receive fields"))
    commands.add_parser("presets", help="list the protocols known by name").set_defaults(command=presets)
    commands.add_parser("info", help="versions, sequences with their parameters, and what this installation can do").set_defaults(
        command=info
    )
    add_train(commands.add_parser("train", help="train a network on label maps"))
    add_evaluate(commands.add_parser("evaluate", help="measure maps and rendered images on simulated heads and real scans"))
    add_demo(commands.add_parser("demo", help="the whole path on an embedded example, or on your files"))
    return parser
