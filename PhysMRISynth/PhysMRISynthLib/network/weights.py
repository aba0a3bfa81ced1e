"""Weights with an identity: only the shipped weights are loaded; others are refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import PhysMRISynthError, Remedy, Step, WeightsError
from ..whole_file import whole_file
from .condition import CONDITION_SIZE
from .config import NetworkConfig
from .familiarity import Familiarity, familiarity_arrays, familiarity_from
from .manifest import REINSTALL, checked_file, file_sha256
from .storage import restored, stored
from .vae import CLASSES, TissueVAE

STEP = 1 / 32
"""Quantisation step of large tensors in a file: a relative error of 1 %."""
_FORMAT = "physmrisynth-vae-1"
_STATISTICS = "familiarity."
"""Prefix of the tensors that are not the network's."""
Remedies = Sequence[Remedy | Step]

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Weights:
    """A network with its identity: ``sha256`` of its file, its ``config`` and its ``card`` (data, steps, metrics; JSON values); and the
    statistics of its training heads (None: not stored)."""

    network: TissueVAE
    config: NetworkConfig
    sha256: str
    card: dict[str, Any]
    familiarity: Familiarity | None = None


def save_weights(network: TissueVAE, card: dict[str, Any], path: Path, familiarity: Familiarity | None = None) -> str:
    """Write weights in the format of :mod:`.storage` with configuration, card and statistics to ``path`` (.safetensors); returns the
    file's SHA-256. Raises WeightsError when a stored weight is not finite."""
    tensors = stored(network.state_dict(), STEP)
    check_finite(restored(tensors), path)
    tensors |= _statistics(familiarity or {})
    described = {"format": _FORMAT, "config": json.dumps(network.config.mapping()), "card": json.dumps(card), "classes": ",".join(CLASSES)}
    return write_tensors(tensors, {**described, "condition_size": str(CONDITION_SIZE)}, path)


def add_statistics(plain: Path, path: Path, familiarity: Familiarity) -> str:
    """Write the weights of the file ``plain``, bit for bit, with statistics to ``path``; returns its SHA-256."""
    with safe_open(plain, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    return write_tensors(tensors | _statistics(familiarity), metadata, path)


def _statistics(familiarity: Familiarity) -> dict[str, Tensor]:
    return {_STATISTICS + name: torch.from_numpy(array) for name, array in familiarity_arrays(familiarity).items()}


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], path: Path) -> str:
    """Write tensors and their ``metadata`` to a safetensors file, completely or not at all; returns its SHA-256."""
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
    return file_sha256(path)


def load_weights(path: Path, sha256: str | None = None, remedies: Remedies = REINSTALL) -> Weights:
    """Read weights; the file must have this ``sha256``. Raises WeightsError, with the ``remedies``, when the file is missing, damaged or of
    another kind."""
    metadata, tensors, found = read_tensors(path, sha256, remedies)
    expected = {"format": _FORMAT, "classes": ",".join(CLASSES), "condition_size": str(CONDITION_SIZE)}
    if any(metadata.get(name) != value for name, value in expected.items()):
        raise WeightsError(f"{path.name} holds other weights than this version's. Use the weights of the same version.")
    check_finite(tensors, path)
    statistics = {name.removeprefix(_STATISTICS): tensors.pop(name).numpy() for name in list(tensors) if name.startswith(_STATISTICS)}
    network, card = network_of(metadata, tensors, lambda config: TissueVAE(NetworkConfig.from_mapping(config)), path, remedies)
    return Weights(network, network.config, found, card, familiarity_from(statistics))


def read_tensors(path: Path, sha256: str | None, remedies: Remedies) -> tuple[dict[str, str], dict[str, Tensor], str]:
    """The metadata of a file of weights, its tensors in float32, and its SHA-256, which must be ``sha256`` if given.

    Raises WeightsError with the ``remedies`` when the file is missing, damaged or of another version.
    """
    found = checked_file(path, sha256, remedies)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = restored({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (not a dictionary)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"The network weights {path.name} are damaged ({error}).", *remedies) from None
    return metadata, tensors, found


def check_finite(tensors: dict[str, Tensor], path: Path) -> None:
    """Raise WeightsError when a tensor of the file ``path`` is not finite."""
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise WeightsError(f"The network weights {path.name} are not numbers in {', '.join(broken[:3])}. Train again, or reinstall.")


def identities(metadata: dict[str, str], path: Path, remedies: Remedies, *names: str) -> list[str]:
    """The hashes with these ``names`` in a file's metadata. Raises WeightsError with the ``remedies`` when one is missing."""
    if missing := [name for name in names if name not in metadata]:
        raise WeightsError(f"The description in the network weights {path.name} is damaged (no {', '.join(missing)}).", *remedies)
    return [metadata[name] for name in names]


def network_of(
    metadata: dict[str, str],
    tensors: dict[str, Tensor],
    made: Callable[[dict[str, Any]], Network],
    path: Path,
    remedies: Remedies,
) -> tuple[Network, dict[str, Any]]:
    """The network ``made`` from a file's description, with its ``tensors``, ready for use, and the file's card.

    Raises WeightsError with the ``remedies`` when the description is damaged, or the tensors do not fit it.
    """
    try:
        card = json.loads(metadata["card"])
        network = made(json.loads(metadata["config"])).eval().requires_grad_(False)
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError, PhysMRISynthError) as error:
        raise WeightsError(f"The description in the network weights {path.name} is damaged ({error}).", *remedies) from None
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"The network weights {path.name} do not fit their own description ({str(error).splitlines()[0]})") from None
    return network, card
