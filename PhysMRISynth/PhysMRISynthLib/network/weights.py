"""Weights with an identity: what is loaded is what was shipped, or it is refused with a reason."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ..errors import WeightsError
from .condition import CONDITION_SIZE
from .config import NetworkConfig
from .vae import CLASSES, TissueVAE

RESOURCES = Path(__file__).parent.parent / "resources"
MANIFEST = RESOURCES / "weights.json"
_FORMAT = "physmrisynth-vae-1"


@dataclass(frozen=True)
class Weights:
    """A network with what it is: ``sha256`` of its file, its ``config`` and its ``card`` (data, steps, metrics; JSON values)."""

    network: TissueVAE
    config: NetworkConfig
    sha256: str
    card: dict[str, Any]


def save_weights(network: TissueVAE, card: dict[str, Any], path: Path) -> str:
    """Write half-precision weights with their configuration and card into ``path`` (.safetensors); returns the file's SHA-256."""
    tensors = {name: tensor.detach().to(torch.float16).contiguous().clone() for name, tensor in network.state_dict().items()}
    described = {"format": _FORMAT, "config": json.dumps(network.config.mapping()), "card": json.dumps(card), "classes": ",".join(CLASSES)}
    temporary = path.with_suffix(".partial")
    save_file(tensors, temporary, metadata={**described, "condition_size": str(CONDITION_SIZE)})
    temporary.replace(path)
    return file_sha256(path)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_weights(path: Path, sha256: str | None = None) -> Weights:
    """Read weights; ``sha256`` is what the file must have. Raises WeightsError when the file is missing, damaged, foreign or another."""
    if not path.is_file():
        raise WeightsError(f"There are no network weights at {path}. Use --prior literature, or reinstall the extension.")
    found = file_sha256(path)
    if sha256 is not None and found != sha256:
        raise WeightsError(f"The network weights {path.name} are not the shipped ones (SHA-256 {found[:12]}…). Reinstall the extension.")
    try:
        with safe_open(path, framework="pt") as file:
            told = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"The network weights {path.name} are damaged ({error}). Reinstall the extension.") from None
    if told.get("format") != _FORMAT or told.get("classes") != ",".join(CLASSES) or told.get("condition_size") != str(CONDITION_SIZE):
        raise WeightsError(f"{path.name} holds other weights than this version's. Use the weights of the same version.")
    config = NetworkConfig.from_mapping(json.loads(told["config"]))
    network = TissueVAE(config).eval().requires_grad_(False)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"The network weights {path.name} do not fit their own description ({str(error).splitlines()[0]})") from None
    return Weights(network, config, found, json.loads(told["card"]))


def shipped_weights() -> tuple[Path, str] | None:
    """File and SHA-256 of the weights that come with this version, or None when there are none."""
    if not MANIFEST.is_file():
        return None
    entry = json.loads(MANIFEST.read_text(encoding="utf-8"))["vae"]
    return RESOURCES / entry["file"], str(entry["sha256"])
