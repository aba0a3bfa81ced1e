"""Weights of the second-stage decoder, which every sampling model of codes needs, and the identity of these codes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import Remedy, WeightsError
from .condenser import Condenser, CondenserConfig, Expander
from .storage import restored, stored
from .weights import check_finite, identities, network_of, read_tensors, write_tensors

KIND, FILE = "expander", "expander.safetensors"
CODES_SHA256 = "codes_sha256"
STEP = 0.055
"""Quantisation step of large tensors in a file: a relative error of 1.6 %."""
_FORMAT = "physmrisynth-expander-1"
_IN_FULL = ("space.mean", "space.sd", "space.axes", "space.spread")
"""The few numbers that all positions share, kept in full; half precision suffices for those of single positions."""
_REINSTALL = (Remedy.REINSTALL, Remedy.DO(this="train with 'physmrisynth train condenser'"))


@dataclass(frozen=True)
class ExpanderWeights:
    """A second-stage decoder with its identity: ``sha256`` of its file, ``codes_sha256`` of the encoder whose codes it decodes,
    ``vae_sha256`` of the network that decodes its latents, and its ``card``."""

    network: Expander
    sha256: str
    codes_sha256: str
    vae_sha256: str
    card: dict[str, Any]


def codes_sha256(condenser: Condenser) -> str:
    """SHA-256 of all weights that determine the codes: not the decoder's, which may be trained further for the same codes."""
    digest = hashlib.sha256()
    parts = {"space": condenser.expander.space, "reader": condenser.reader, "normal": condenser.normal}
    for part, module in parts.items():
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{part}.{name}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_expander(condenser: Condenser, vae_sha256: str, card: dict[str, Any], path: Path) -> str:
    """As :func:`write_expander`, for the decoder of a condenser."""
    return write_expander(condenser.expander, condenser.config, vae_sha256, codes_sha256(condenser), card, path)


def write_expander(
    expander: Expander, config: CondenserConfig, vae_sha256: str, codes_sha256: str, card: dict[str, Any], path: Path
) -> str:
    """Write the decoder in the format of :mod:`.storage`, its latent space in 16 bits and the numbers that all positions share in full, to
    ``path`` (.safetensors); returns its SHA-256.

    Raises WeightsError when a stored weight is not finite.
    """
    tensors = stored(expander.state_dict(), STEP, _kept_as)
    check_finite(restored(tensors), path)
    described = {
        "format": _FORMAT, "config": json.dumps(config.mapping()), "card": json.dumps(card),
        "vae_sha256": vae_sha256, CODES_SHA256: codes_sha256,
    }  # fmt: skip
    return write_tensors(tensors, described, path)


def _kept_as(name: str) -> torch.dtype | None:
    return torch.float32 if name in _IN_FULL else torch.float16 if name.startswith("space.") else None


def load_expander(path: Path, sha256: str | None = None) -> ExpanderWeights:
    """Read weights; the file must have this ``sha256``. Raises WeightsError when the file is missing, damaged or of another kind."""
    metadata, tensors, found = read_tensors(path, sha256, _REINSTALL)
    if metadata.get("format") != _FORMAT:
        raise WeightsError(
            f"{path.name} holds other weights than this version's second-stage decoder. Use the weights of the same version."
        )
    check_finite(tensors, path)
    vae, codes = identities(metadata, path, _REINSTALL, "vae_sha256", CODES_SHA256)
    network, card = network_of(metadata, tensors, lambda config: Expander(CondenserConfig.from_mapping(config)), path, _REINSTALL)
    return ExpanderWeights(network, found, codes, vae, card)
