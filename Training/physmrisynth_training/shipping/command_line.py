"""Common parts of the command lines of this package."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError


def finish(parser: argparse.ArgumentParser, work: Callable[[], object]) -> int:
    """Run a command and return 0; exit with 2 after an error message."""
    try:
        work()
    except PhysMRISynthError as error:
        parser.exit(2, f"{error}\n")
    return 0


def write_reference(build: Callable[[Path], sitk.Image], holds: str, doc: str | None, arguments: Sequence[str] | None) -> None:
    """Command line of a module that builds a reference image from a folder that ``holds`` label maps."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--data", type=Path, required=True, help=f"folder that holds {holds}")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    sitk.WriteImage(build(options.data), str(options.out), useCompression=True, compressionLevel=9)
