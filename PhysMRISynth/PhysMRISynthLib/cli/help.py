"""Help text and examples of each command, and suggestions for mistyped names."""

from __future__ import annotations

import argparse
import re
from difflib import get_close_matches
from typing import Any, NoReturn

HELP = {
    "estimate": ("tissue maps from a patient's images", [
        "physmrisynth estimate --t1w t1.nii.gz --flair flair.nii.gz --out maps",
        "physmrisynth estimate --session sub-01/ses-1 --dry-run",
        "physmrisynth estimate --t1w t1.nii.gz --t1w-protocol se,TR=600,TE=15 --field-strength 1.5 --out maps",
    ]),
    "render": ("images of any protocol from tissue maps", [
        "physmrisynth render --maps maps --protocol synthetic-dir --out dir.nii.gz",
        "physmrisynth render --maps maps --null white_matter,csf --out dir.nii.gz",
        "physmrisynth render --maps maps --protocol flair,TR=9000,TE=120,TI=2500 --snr 30 --out flair.nii.gz",
        "physmrisynth render --maps maps --protocol oasis3-flair --snr 30 --slice-thickness 3 --ringing --motion 0.3 --out flair.nii.gz",
    ]),
    "design": ("the protocol at which two tissues differ most", [
        "physmrisynth design --maps maps --maximise lesion/white_matter --sequence dir --max-tr 11000",
        "physmrisynth design --maps maps --maximise cortex/white_matter --sequence flair --dark csf=5 --out mine.json",
        "physmrisynth design --maps maps --maximise mark/white_matter --region mark=lesion.nii.gz --sequence flair",
    ]),
    "export": ("tissue maps and rendered contrasts as DICOM", [
        "physmrisynth export --maps maps --protocol synthetic-dir synthetic-flair --source dicom/ --out dicom-out",
    ]),
    "sweep": ("a film of one parameter of a protocol", [
        "physmrisynth sweep --help",
    ]),
    "import": ("tissue maps from measured maps, in any unit", ["physmrisynth import --help"]),
    "measure": ("PD, T1, T2 of regions, with the uncertainty of each mean", [
        "physmrisynth measure --maps maps --regions labels.nii.gz --out regions.tsv",
    ]),
    "volumes": ("volumes of the brain and its tissues", ["physmrisynth volumes --help"]),
    "posterior": ("plausible sets of maps that all explain the images", [
        "physmrisynth posterior --maps maps --count 20 --protocol synthetic-flair --out samples",
    ]),
    "compare": ("what changed between two visits of a patient", ["physmrisynth compare --help"]),
    "complete": ("a cohort's missing contrasts, rendered from its maps", [
        "physmrisynth complete --bids raw --maps derivatives --out completed",
    ]),
    "match": ("the protocol whose rendering is nearest to a given image", [
        "physmrisynth match --image target.nii.gz --maps maps --sequence flair",
    ]),
    "sample": ("tissue maps of synthetic heads, or a data set of their images", [
        "physmrisynth sample --seed 7 --count 3 --out heads",
        "physmrisynth sample --count 200 --protocols oasis3-t1w,oasis3-flair --noise --bids dataset",
    ]),
    "simulate": ("T1w, T2w and FLAIR from known maps, with noise, gains and receive fields", [
        "physmrisynth simulate --maps maps --snr 50 --out simulated",
    ]),
    "presets": ("list the protocol presets", [
        "physmrisynth presets --role flair",
        "physmrisynth presets --maps maps",
    ]),
    "info": ("versions, sequences with their parameters, and features of this installation", ["physmrisynth info"]),
    "demo": ("the whole workflow on an embedded example, or on your files", ["physmrisynth demo --out demo"]),
}  # fmt: skip
"""For each command: a one-line description, and runnable examples."""


class Parser(argparse.ArgumentParser):
    """Suggests a similar name for an unknown command or option."""

    def error(self, message: str) -> NoReturn:
        """Argparse's error, with a suggestion."""
        super().error(message + _suggestion(message, self))


def add_command(commands: Any, name: str, about: str | None = None) -> argparse.ArgumentParser:
    """Add the parser of one command, with description and examples; ``about`` describes a command registered by another package."""
    line, examples = HELP.get(name, ((about or "").strip().rstrip("."), []))
    epilog = "examples:\n" + "\n".join(f"  {example}" for example in examples) if examples else None
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=line, description=f"{line[:1].upper()}{line[1:]}.", epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser


def _suggestion(message: str, parser: argparse.ArgumentParser) -> str:
    """A suggestion for the unknown name in argparse's message, or an empty text."""
    if found := re.search(r"invalid choice: '([^']+)'", message):
        known = list(HELP)
    elif found := re.search(r"unrecognized arguments: (--[a-z0-9-]+)", message):
        known = [option for action in parser._actions for option in action.option_strings]
        known += [option for child in _children(parser) for action in child._actions for option in action.option_strings]
    else:
        return ""
    close = get_close_matches(found[1], known, n=1)
    return f". Did you mean {close[0]}?" if close else ""


def _children(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [child for group in groups for child in group.choices.values()]
