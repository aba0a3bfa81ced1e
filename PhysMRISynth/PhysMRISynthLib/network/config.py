"""The network's shape, as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import PhysMRISynthError
from ..resource_files import RESOURCES

CONFIGURATIONS = RESOURCES / "configurations"
SAMPLER_CONFIGURATIONS, CONDENSER_CONFIGURATIONS = CONFIGURATIONS / "sampler", CONFIGURATIONS / "condenser"

Described = TypeVar("Described")


def check_known(config: type, values: Mapping[str, Any], what: str) -> None:
    """Raise PhysMRISynthError if ``values`` name a field that the dataclass ``config`` of ``what`` lacks."""
    known = {f.name for f in fields(config)}
    if unknown := sorted(set(values) - known):
        raise PhysMRISynthError(f"Unknown field of {what}: {', '.join(unknown)}. Known: {', '.join(sorted(known))}.")


def read_fields(config: type[Described], values: Mapping[str, Any], what: str) -> Described:
    """A dataclass that describes ``what`` ("a network") from JSON types. Raises PhysMRISynthError that names an unknown or missing
    field."""
    check_known(config, values, what)
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return config(**given)
    except TypeError as error:
        raise PhysMRISynthError(f"{what.capitalize()}'s description is incomplete or of wrong types: {error}.") from None


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of the variational autoencoder.

    The encoder folds blocks of ``stem`` voxels a side into channels, downsamples by 2 after ``level_blocks`` residual blocks for each of
    ``down_widths``, then has a pyramid of ``trunk_widths`` (one level of factor 2 each) with ``trunk_blocks`` residual blocks a level.
    The decoder has the same pyramid, upsamples by 2 for each of ``up_widths``, with as many blocks, and unfolds blocks of ``tail`` voxels.
    ``head``: "classes" (tissue probabilities and a correction of their values) or "exp" (PD, T1, T2 as in the paper).
    ``norm``: "voxel" (over channels, the same on a crop as on a whole head) or "group". ``adaptive``: conditioned on the
    protocol, by a scale and a shift of each layer's every channel; or, ``shared_adaptation``, by one of both for all layers, as in the
    paper. ``centred``: inputs are taken from −1 to 1 instead of 0 to 1. ``evidence``: the encoder also gets each voxel's closeness
    to the tissues' expected signals (needs ``adaptive`` without ``shared_adaptation``).
    """

    spatial_dims: int
    stem: int
    down_widths: tuple[int, ...]
    trunk_widths: tuple[int, ...]
    trunk_blocks: tuple[int, ...]
    latent_channels: int
    up_widths: tuple[int, ...]
    tail: int
    head: str = "classes"
    norm: str = "voxel"
    adaptive: bool = True
    evidence: bool = False
    level_blocks: int = 1
    shared_adaptation: bool = False
    centred: bool = False

    def __post_init__(self) -> None:
        if self.spatial_dims not in (2, 3) or self.head not in ("classes", "exp") or self.norm not in ("voxel", "group"):
            raise PhysMRISynthError(
                "A network needs spatial_dims 2 or 3, head 'classes' or 'exp', norm 'voxel' or 'group'; "
                f"not {self.spatial_dims}, '{self.head}', '{self.norm}'."
            )
        widths = (self.stem, self.tail, self.latent_channels, self.level_blocks, *self.down_widths, *self.trunk_widths, *self.up_widths)
        if not all(isinstance(width, int) and width > 0 for width in widths):
            raise PhysMRISynthError("A network's stem, tail, latent_channels, level_blocks and widths must be whole numbers above 0.")
        if self.evidence and (not self.adaptive or self.shared_adaptation):
            raise PhysMRISynthError(
                "A network with evidence needs to be adaptive, without shared_adaptation: the protocol gives the expected signals."
            )
        if self.stem * 2 ** len(self.down_widths) != self.tail * 2 ** len(self.up_widths):
            raise PhysMRISynthError("A network's way down (stem, down_widths) and up (tail, up_widths) must be of one factor.")
        if not self.trunk_widths or len(self.trunk_widths) != len(self.trunk_blocks):
            raise PhysMRISynthError("A network needs as many trunk_blocks as trunk_widths, at least one.")

    @property
    def factor(self) -> int:
        """Voxels per latent position along each axis."""
        return self.stem * 2 ** len(self.down_widths)

    @property
    def multiple(self) -> int:
        """Every side of an input must be a multiple of this."""
        return self.factor * 2 ** (len(self.trunk_widths) - 1)

    @classmethod
    def from_mapping(cls, values: dict[str, Any]) -> NetworkConfig:
        """Read from JSON types. Raises PhysMRISynthError that names an unknown or missing field."""
        return read_fields(cls, values, "a network")

    def mapping(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def read_configuration(name: str | Path, folder: Path = CONFIGURATIONS) -> dict[str, Any]:
    """A configuration (``network`` and ``training`` sections) by the name of a shipped one in ``folder`` or by file.

    Raises PhysMRISynthError when there is none, or it is not JSON.
    """
    path = Path(name)
    if not path.suffix:
        path = folder / f"{name}.json"
    if not path.is_file():
        shipped = ", ".join(sorted(p.stem for p in folder.glob("*.json")))
        raise PhysMRISynthError(f"There is no configuration '{name}': give a JSON file, or one of {shipped}.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PhysMRISynthError(f"The configuration {path} cannot be read: {error}.") from None
    if not isinstance(found, dict) or not isinstance(found.get("network"), dict):
        raise PhysMRISynthError(f"The configuration {path} has no section 'network'.")
    return found
