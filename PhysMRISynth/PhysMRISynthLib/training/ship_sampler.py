"""From a training's checkpoint to the sampling model that users get: file and manifest.

    python -m PhysMRISynthLib.training.ship_sampler --checkpoint FILE --out resources

writes the averaged weights into the folder that holds those of the network itself; other entries of its manifest stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..errors import PhysMRISynthError, WeightsError
from ..network.diffusion import LatentDiffusion
from ..network.diffusion_config import DiffusionConfig
from ..network.diffusion_weights import KIND, save_sampler
from ..network.weights import write_manifest
from .checkpoint import load_checkpoint

FILE, MANIFEST = "sampler.safetensors", "weights.json"
LARGEST_BYTES = 30_000_000


def ship_sampler(checkpoint: Path, out: Path, code_version: str = __version__) -> Path:
    """Write weights and manifest into ``out``; returns the weights' file.

    Raises PhysMRISynthError when the checkpoint cannot be used, WeightsError when the file would be too large.
    """
    state = load_checkpoint(checkpoint)
    try:
        model = LatentDiffusion(DiffusionConfig.from_mapping(state["configuration"]["network"])).eval().requires_grad_(False)
        model.load_state_dict(state["average"])
        vae_sha256 = str(state["vae_sha256"])
        card = {
            "steps": int(state["step"]), "hours": round(float(state["seconds"]) / 3600.0, 1), "version": __version__,
            "code_version": code_version, "configuration": state["configuration"],
        }  # fmt: skip
    except (LookupError, TypeError, RuntimeError) as error:
        raise PhysMRISynthError(f"{checkpoint} is no checkpoint of 'train ldm' ({error}). Give another.") from None
    out.mkdir(parents=True, exist_ok=True)
    path, draft = out / FILE, out / f".{FILE}"
    try:
        save_sampler(model, vae_sha256, card, draft)
        if (size := draft.stat().st_size) > LARGEST_BYTES:
            raise WeightsError(f"The weights take {size} bytes, more than {LARGEST_BYTES}. Ship a smaller model.")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    write_manifest(path, out / MANIFEST, KIND)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of this module. Returns 0, or 2 after what is wrong was said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.pt of 'train ldm'")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights and weights.json")
    parser.add_argument("--code-version", default=__version__, help="what the code was, such as a git commit")
    options = parser.parse_args(arguments)
    try:
        print(ship_sampler(options.checkpoint, options.out, options.code_version))
    except PhysMRISynthError as error:
        parser.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
