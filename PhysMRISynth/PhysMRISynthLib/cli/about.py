"""``physmrisynth presets`` and ``info``."""

from __future__ import annotations

import argparse

from .. import __version__
from ..errors import PhysMRISynthError


def presets(options: argparse.Namespace) -> None:
    """List the protocols known by name."""
    from ..physics.presets import load_presets

    for preset in load_presets().values():
        citable = "" if preset.citable else " (typical values, not citable)"
        print(f"{preset.name:<16} {preset.field_strength:g} T  {preset.protocol.spec}{citable}\n{'':<16} {preset.source}")
        for note in preset.protocol.notes:
            print(f"{'':<16} Note: {note}")


def info(options: argparse.Namespace) -> None:
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
    from ..workflow.network_prior import usable_weights

    try:
        weights = usable_weights("network")
    except PhysMRISynthError as error:
        return f"Priors: literature. {error}"
    assert weights is not None
    return f"Priors: network (SHA-256 {weights.sha256[:12]}), literature"
