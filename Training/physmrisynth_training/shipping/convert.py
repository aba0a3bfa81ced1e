"""Rewrite the weights of a folder in this version's format, with their manifest and cards.

    python -m physmrisynth_training.shipping.convert --out resources --note "Measured before the weights were stored in less space: …"

The network's new hash replaces the old one in the sampling model and its second-stage decoder. An evaluation's tables stay in the cards,
below the note, since they describe the weights before conversion.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from PhysMRISynthLib.network import condenser_weights, diffusion_weights
from PhysMRISynthLib.network.condenser_weights import load_expander, write_expander
from PhysMRISynthLib.network.diffusion_weights import load_sampler, save_sampler
from PhysMRISynthLib.network.manifest import write_manifest
from PhysMRISynthLib.network.weights import load_weights, save_weights

from . import ship_sampler
from . import ship_vae as ship
from .command_line import finish

_BEGIN, _END = "## Metrics\n\n", "\n\n## Configuration"


def convert(out: Path, note: str) -> None:
    """Rewrite the weights, weights.json and the cards in ``out``. Raises PhysMRISynthError when they cannot be read."""
    vae, sampler, expander = out / ship.FILE, out / ship_sampler.FILE, out / condenser_weights.FILE
    weights, model, other = load_weights(vae), load_sampler(sampler), load_expander(expander)
    sha256 = save_weights(weights.network, weights.card, vae, weights.familiarity)
    save_sampler(model.model, sha256, model.card, sampler, model.codes_sha256)
    write_expander(other.network, other.network.config, sha256, other.codes_sha256, other.card, expander)
    for path, kind in ((vae, "vae"), (sampler, diffusion_weights.KIND), (expander, condenser_weights.KIND)):
        write_manifest(path, out / ship.MANIFEST, kind)
    cards(out, f"{note}\n\n")


def cards(out: Path, note: str = "") -> None:
    """Rewrite the cards of the weights in ``out``, with their tables below a ``note``. Raises as :func:`convert`."""
    _card(out / ship.CARD, note, lambda: ship.write_card(out))
    _card(out / ship_sampler.CARD, note, lambda: ship_sampler.write_card(out))


def _card(card: Path, note: str, write: Callable[[], None]) -> None:
    metrics = card.read_text(encoding="utf-8").split(_BEGIN)[1].split(_END)[0]
    write()
    head, rest = card.read_text(encoding="utf-8").split(_BEGIN)
    card.write_text(f"{head}{_BEGIN}{note}{metrics}{_END}{rest.split(_END)[1]}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module. Returns 0, or 2 after an error message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights, weights.json and the cards")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--note", help="text above the cards' evaluation tables")
    what.add_argument("--cards", action="store_true", help="rewrite the cards only, with the rounding text of weights.json")
    options = parser.parse_args(arguments)
    return finish(parser, lambda: cards(options.out) if options.cards else convert(options.out, options.note))


if __name__ == "__main__":
    raise SystemExit(main())
