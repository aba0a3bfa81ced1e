"""From trainings' checkpoints to the sampling model that users get: files and manifest.

    python -m PhysMRISynthLib.training.ship_sampler --checkpoint FILE --condenser FILE --out resources

writes the averaged weights into the folder that holds those of the network itself; other entries of its manifest stay. The condenser's
checkpoint is needed where the sampling model draws codes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import PhysMRISynthError, WeightsError
from ..network import condenser_weights
from ..network.condenser_weights import CODES_SHA256, codes_sha256, save_expander
from ..network.diffusion import LatentDiffusion
from ..network.diffusion_config import DiffusionConfig
from ..network.diffusion_weights import KIND, save_sampler
from ..network.weights import write_manifest
from .checkpoint import load_checkpoint
from .train_condenser import condenser_of

FILE, MANIFEST = "sampler.safetensors", "weights.json"
LARGEST_BYTES = 30_000_000


def ship_sampler(checkpoint: Path, out: Path, code_version: str = __version__, condenser: Path | None = None) -> Path:
    """Write weights and manifest into ``out``; returns the sampling model's file, beside which lies the expander's where it draws codes.

    Raises PhysMRISynthError when a checkpoint cannot be used or they do not belong together, WeightsError when a file would be too large.
    """
    state = load_checkpoint(checkpoint)
    try:
        model = LatentDiffusion(DiffusionConfig.from_mapping(state["configuration"]["network"])).eval().requires_grad_(False)
        model.load_state_dict(state["average"])
        vae_sha256 = str(state["vae_sha256"])
        codes, card = str(state[CODES_SHA256]), _card(state, code_version)
    except (LookupError, TypeError, RuntimeError, PhysMRISynthError) as error:
        raise PhysMRISynthError(f"{checkpoint} is no checkpoint of 'train ldm' ({error}). Give another.") from None
    files = [_File(out / FILE, KIND, lambda draft: save_sampler(model, vae_sha256, card, draft, codes))]
    if codes:
        files.append(_expander(condenser, codes, vae_sha256, out, code_version))
    _write_all(files)
    return out / FILE


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
        raise PhysMRISynthError("This sampling model draws codes. Give the condenser's checkpoint (--condenser).")
    state = load_checkpoint(condenser)
    network = condenser_of(state, condenser, vae_sha256)
    if codes_sha256(network) != codes:
        raise PhysMRISynthError(f"The sampling model was trained for other codes than those of {condenser}. Give its own.")
    card = _card(state, code_version)
    return _File(out / condenser_weights.FILE, condenser_weights.KIND, lambda draft: save_expander(network, vae_sha256, card, draft))


def _card(state: dict[str, Any], code_version: str) -> dict[str, Any]:
    return {
        "steps": int(state["step"]), "hours": round(float(state["seconds"]) / 3600.0, 1), "version": __version__,
        "code_version": code_version, "configuration": state["configuration"],
    }  # fmt: skip


def _write_all(files: Sequence[_File]) -> None:
    """Write files and their manifest entries: all, or none where one cannot be."""
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
    """Command line of this module. Returns 0, or 2 after what is wrong was said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.pt of 'train ldm'")
    parser.add_argument("--condenser", type=Path, metavar="FILE", help="checkpoint.pt of 'train condenser', where codes are drawn")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights and weights.json")
    parser.add_argument("--code-version", default=__version__, help="what the code was, such as a git commit")
    options = parser.parse_args(arguments)
    try:
        print(ship_sampler(options.checkpoint, options.out, options.code_version, options.condenser))
    except PhysMRISynthError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
