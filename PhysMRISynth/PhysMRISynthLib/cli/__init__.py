"""The command line: ``physmrisynth COMMAND``, commands as listed in COMMANDS, and those that installed packages register."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import entry_points

from .. import __version__
from ..errors import PhysMRISynthError
from .about import add_info, add_presets
from .compare import add_compare
from .design import add_design
from .estimate import add_demo, add_estimate
from .harmonise import add_complete, add_match
from .help import Parser, add_command
from .maps import add_export, add_render, add_simulate
from .measured import add_import
from .posterior import add_posterior
from .regions import add_measure, add_volumes
from .remedies import WORDS
from .sample import add_sample
from .sweep import add_sweep

_EXIT_BAD_INPUT = 2
COMMANDS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "estimate": add_estimate, "render": add_render, "design": add_design, "export": add_export, "sweep": add_sweep, "import": add_import,
    "measure": add_measure, "volumes": add_volumes, "posterior": add_posterior, "compare": add_compare, "complete": add_complete,
    "match": add_match,
    "sample": add_sample, "simulate": add_simulate, "presets": add_presets, "info": add_info, "demo": add_demo,
}  # fmt: skip
"""What adds the options of each command, in the order of the help."""
_ENTRY_POINTS = "physmrisynth.commands"
"""The group in which other packages register what adds the options of a command; its docstring is the command's help."""


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
        print(f"physmrisynth: {error.told(WORDS)}", file=sys.stderr)
        return _EXIT_BAD_INPUT
    except (OSError, MemoryError) as error:
        print(f"physmrisynth: {error or 'not enough memory'}. Check files, permissions, free space and memory.", file=sys.stderr)
        return _EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("physmrisynth: stopped.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="physmrisynth",
        description="Tissue maps (PD, T1, T2) from T1w, T2w and FLAIR, and any contrast from them. Research only, not for diagnosis.",
        epilog="physmrisynth COMMAND --help shows a command's options with examples.",
    )
    parser.add_argument("--version", action="version", version=f"physmrisynth {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, add in COMMANDS.items():
        add(add_command(commands, name))
    for name, add in _registered().items():
        add(add_command(commands, name, add.__doc__))
    return parser


def _registered() -> dict[str, Callable[[argparse.ArgumentParser], None]]:
    """Commands of other packages; one whose package was removed is left out."""
    found = {}
    for entry in sorted(entry_points(group=_ENTRY_POINTS), key=lambda entry: entry.name):
        with suppress(ModuleNotFoundError):
            found[entry.name] = entry.load()
    return found
