"""What the command lines of this room share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError


def finish(parser: argparse.ArgumentParser, work: Callable[[], object]) -> int:
    """Do the work of a command and return 0; exit with 2 after what is wrong was said."""
    try:
        work()
    except PhysMRISynthError as error:
        parser.exit(2, f"{error}\n")
    return 0


def write_reference(build: Callable[[Path], sitk.Image], holds: str, doc: str | None, arguments: Sequence[str] | None) -> None:
    """The command of a module that builds a reference image of the package from a folder that ``holds`` label maps."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {holds}")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    sitk.WriteImage(build(options.data), str(options.out), useCompression=True, compressionLevel=9)
