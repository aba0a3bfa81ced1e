"""``physmrisynth presets`` and ``info``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import PhysMRISynthError
from .maps import add_presets_option, load_own
from .remedies import WORDS

if TYPE_CHECKING:
    from ..physics.presets import Preset


def add_presets(parser: argparse.ArgumentParser) -> None:
    """The options of ``presets``, which sets ``command`` to what runs it."""
    parser.add_argument("--role", choices=("t1w", "t2w", "flair", "pd", "other"), help="only presets of this contrast")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="show inversion times solved for these maps")
    add_presets_option(parser)
    parser.set_defaults(command=_presets)


def add_info(parser: argparse.ArgumentParser) -> None:
    """``info`` has no options."""
    parser.set_defaults(command=_info)


def _presets(options: argparse.Namespace) -> None:
    """List the protocols known by name, clinical ones first."""
    from ..physics.presets import all_presets

    load_own(options)
    chosen = [preset for preset in all_presets().values() if options.role in (None, preset.role)]
    protocols = _solved(options.maps, [preset.name for preset in chosen])
    for group in dict.fromkeys(preset.group for preset in chosen):
        print(f"{group.upper()}")
        for preset in (preset for preset in chosen if preset.group == group):
            field = "any field" if preset.field_strength is None else f"{preset.field_strength:g} T"
            print(f"{preset.name:<16} {preset.title}, {field}: {protocols[preset.name]}\n{'':<16} {preset.source}")
            for note in (*_nulls(preset), *preset.protocol.notes):
                print(f"{'':<16} Note: {note}")


def _solved(maps: Path | None, names: list[str]) -> dict[str, str]:
    """The spec of each preset, for the maps in a folder where one is given."""
    from ..physics.presets import protocol_for, protocol_from_spec

    if maps is None:
        return {name: protocol_from_spec(name).spec for name in names}
    from ..imaging.tissue_maps import read_tissue_maps
    from ..workflow.rendering.head_points import head_points

    points = head_points(read_tissue_maps(maps))
    found = {}
    for name in names:
        try:
            found[name] = protocol_for(name, points).spec
        except PhysMRISynthError as error:
            found[name] = error.told(WORDS)
    return found


def _nulls(preset: Preset) -> list[str]:
    tissues = " and ".join(name.replace("_", " ") for name in preset.null)
    return [f"its inversion times null {tissues} and are solved for each head."] if tissues else []


def _info(options: argparse.Namespace) -> None:
    """Versions, sequences with their parameters, and what this installation can do."""
    import platform

    from ..physics.sequences import SEQUENCES

    print(
        f"physmrisynth {__version__} on Python {platform.python_version()}, {platform.system()}",
        _priors(),
        sep="\n",
    )
    for sequence in SEQUENCES.values():
        ranges = ", ".join(f"{p.name} {p.minimum:g}–{p.maximum:g}{' ' + p.unit if p.unit else ''}" for p in sequence.parameters)
        print(f"{sequence.name:<14} {sequence.title}: {ranges}")


def _priors() -> str:
    """Which priors this installation has, and why one is missing."""
    from ..workflow.estimation.network_prior import usable_weights

    try:
        weights = usable_weights("network")
    except PhysMRISynthError as error:
        return f"Priors: literature. {error.told(WORDS)}"
    assert weights is not None
    return f"Priors: network (SHA-256 {weights.sha256[:12]}), literature"
