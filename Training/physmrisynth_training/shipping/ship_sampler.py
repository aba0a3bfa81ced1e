"""From training checkpoints to the released sampling model: files and manifest.

    python -m physmrisynth_training.shipping.ship_sampler --checkpoint FILE --condenser FILE --out resources
    python -m physmrisynth_training.shipping.ship_sampler --metrics results.json --out resources

The first writes the averaged weights into the folder with those of the network itself, with their model card; other entries of its
manifest stay. The second stage's checkpoint is needed if the sampling model samples codes. The second adds an evaluation's tables to the
card.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PhysMRISynthLib import __version__
from PhysMRISynthLib.errors import PhysMRISynthError, WeightsError
from PhysMRISynthLib.network import condenser_weights
from PhysMRISynthLib.network.condenser_weights import CODES_SHA256, codes_sha256, save_expander
from PhysMRISynthLib.network.diffusion import LatentDiffusion
from PhysMRISynthLib.network.diffusion_config import DiffusionConfig
from PhysMRISynthLib.network.diffusion_weights import KIND, load_sampler, save_sampler, with_expander
from PhysMRISynthLib.network.manifest import write_manifest
from PhysMRISynthLib.whole_file import whole_file

from ..learning.checkpoint import load_checkpoint
from ..learning.latent_config import LatentTrainingConfig
from ..learning.train_condenser import condenser_of
from ..learning.train_vae import TRAINING_HEADS
from ..simulator.people_set import people_set_size
from .command_line import finish
from .model_card import read_metrics, rounding_section
from .sampler_card import sampler_card

FILE, MANIFEST, CARD = "sampler.safetensors", "weights.json", "sampler_card.md"
LARGEST_BYTES = 12_500_000
"""Limit of each file: all weights together must not exceed 30 MB."""


def ship_sampler(
    checkpoint: Path,
    out: Path,
    code_version: str = __version__,
    condenser: Path | None = None,
    history: str = "",
    people: Path | None = None,
) -> Path:
    """Write weights, manifest and model card into ``out``; returns the sampling model's file, with the second-stage decoder's beside it
    if it samples codes. For the card: ``history``, a text on the weights that the training started from, if any, and ``people``, the folder
    of people's heads that it learned from.

    Raises PhysMRISynthError when a checkpoint cannot be used or they do not belong together, ImageError when the folder has no table,
    WeightsError when a file would be too large.
    """
    told = {"history": history} | ({} if people is None else {"people": people_set_size(people)})
    state = load_checkpoint(checkpoint)
    try:
        model = LatentDiffusion(DiffusionConfig.from_mapping(state["configuration"]["network"])).eval().requires_grad_(False)
        model.load_state_dict(state["average"])
        vae_sha256 = str(state["vae_sha256"])
        codes, card = str(state[CODES_SHA256]), _card(state, code_version) | told
    except (LookupError, TypeError, RuntimeError, PhysMRISynthError) as error:
        raise PhysMRISynthError(f"{checkpoint} is no checkpoint of 'train ldm' ({error}). Give another.") from None
    files = [_File(out / FILE, KIND, lambda draft: save_sampler(model, vae_sha256, card, draft, codes))]
    if codes:
        files.append(_expander(condenser, codes, vae_sha256, out, code_version))
    _write_all(files)
    write_card(out)
    return out / FILE


def write_card(out: Path, metrics: Path | None = None) -> None:
    """Write the model card of the sampling model in ``out``, with the tables of an evaluation's results.json.

    Raises PhysMRISynthError when there is none, or the metrics cannot be read or are of other weights.
    """
    weights = with_expander(load_sampler(out / FILE), out / FILE)
    of = {"sampler_sha256": weights.sha256}
    files = [FILE]
    if weights.expander:
        of["expander_sha256"] = weights.expander.sha256
        files.append(condenser_weights.FILE)
    found = {} if metrics is None else read_metrics(metrics, of)
    sizes = {file: (out / file).stat().st_size for file in files}
    text = sampler_card(weights, sizes, found, rounding_section(out / MANIFEST, KIND))
    with whole_file(out / CARD) as temporary:
        temporary.write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _File:
    """A file of weights of a ``kind``, which ``save`` writes."""

    path: Path
    kind: str
    save: Callable[[Path], object]

    @property
    def draft(self) -> Path:
        return self.path.with_name(f".{self.path.name}")


def _expander(condenser: Path | None, codes: str, vae_sha256: str, out: Path, code_version: str) -> _File:
    if condenser is None:
        raise PhysMRISynthError("This sampling model samples codes. Give the condenser's checkpoint (--condenser).")
    state = load_checkpoint(condenser)
    network = condenser_of(state, condenser, vae_sha256)
    if codes_sha256(network) != codes:
        raise PhysMRISynthError(f"The sampling model was trained for other codes than those of {condenser}. Give its own.")
    card = _card(state, code_version)
    return _File(out / condenser_weights.FILE, condenser_weights.KIND, lambda draft: save_expander(network, vae_sha256, card, draft))


def _card(state: dict[str, Any], code_version: str) -> dict[str, Any]:
    return {
        "steps": int(state["step"]), "hours": round(float(state["seconds"]) / 3600.0, 1), "version": __version__,
        "code_version": code_version, "configuration": state["configuration"], "label_maps": len(TRAINING_HEADS),
        "heads": int(state["configuration"].get("training", {}).get("heads", LatentTrainingConfig.heads)),
    }  # fmt: skip


def _write_all(files: Sequence[_File]) -> None:
    """Write files and their manifest entries: all or none."""
    files[0].path.parent.mkdir(parents=True, exist_ok=True)
    try:
        for file in files:
            file.save(file.draft)
            if (size := file.draft.stat().st_size) > LARGEST_BYTES:
                raise WeightsError(f"The weights {file.path.name} take {size} bytes, more than {LARGEST_BYTES}. Ship a smaller model.")
        for file in files:
            file.draft.replace(file.path)
            write_manifest(file.path, file.path.parent / MANIFEST, file.kind)
    finally:
        for file in files:
            file.draft.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module. Returns 0, or 2 after an error message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="checkpoint.pt of 'train ldm'")
    parser.add_argument("--condenser", type=Path, metavar="FILE", help="checkpoint.pt of 'train condenser', for a model of codes")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights and weights.json")
    parser.add_argument("--code-version", default=__version__, help="version of the code, such as a git commit")
    parser.add_argument("--history", default="", metavar="TEXT", help="text for the card on the weights that the trainings started from")
    parser.add_argument("--people", type=Path, metavar="SET", help="folder of people's heads that the trainings had, for the card")
    parser.add_argument("--metrics", type=Path, help="results.json of 'physmrisynth evaluate --suite samples' on these weights")
    options = parser.parse_args(arguments)
    if (options.checkpoint is None) == (options.metrics is None):
        parser.error("give --checkpoint to ship, or --metrics to complete the card of shipped weights")
    if options.checkpoint is None:
        return finish(parser, lambda: write_card(options.out, options.metrics))
    return finish(
        parser,
        lambda: print(
            ship_sampler(options.checkpoint, options.out, options.code_version, options.condenser, options.history, options.people)
        ),
    )


if __name__ == "__main__":
    raise SystemExit(main())
