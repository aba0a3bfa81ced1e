"""Latents of simulated whole heads: computed once, kept in the run's folder, resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.head.head_volumes import head_volumes
from PhysMRISynthLib.network.condition import protocol_condition
from PhysMRISynthLib.network.config import NetworkConfig
from PhysMRISynthLib.network.device import autocast, fastest_precision
from PhysMRISynthLib.network.diffusion_config import CONDITIONS
from PhysMRISynthLib.network.weights import Weights
from PhysMRISynthLib.whole_file import whole_file

from ..simulator.anatomy import BRAIN, LESION, TISSUES, AddLesions, DrawTissueValues, LabelledHead, PlaceHead, SplitTissues
from ..simulator.hemisphere_mixing import JOINING, Halves
from ..simulator.scanner import Acquire, Digitise, ReceiveField, ScaleIntensity, SuppressFat, TransmitField
from ..simulator.simulated_head import Chain, Sample
from ..simulator.simulated_scans import Simulator, read_simulator
from .loop import quiet_worker

SCANNER = Chain(
    (TransmitField(0.1), Acquire(), SuppressFat(), Digitise(thickest_mm=1.6, widest_mm=1.0, noise=(0.003, 0.01)), ReceiveField(0.2),
     ScaleIntensity(0.0))
)  # fmt: skip
"""A good session: complete, aligned, thin slices, little noise, since samples cannot be better than the latents."""
PLACEMENT: Mapping[str, Any] = {
    "turn_degrees": 4.0, "scale": 0.07, "shear": 0.02, "warps": ((96.0, 3.0), (24.0, 1.0)), "elsewhere": 0.0, "stray": 0.15,
}  # fmt: skip
"""Milder than for the network, which must handle unusual positions and shapes: samples will look like these heads."""
_GREY_AND_WHITE = tuple(TISSUES.index(name) for name in ("white_matter", "cortex"))
SCALP_MM, _LEAST_AREA_MM2 = 24, 300
_DEPTH = 160
"""Planes simulated of a head for the training on axial slices."""
_DESCRIPTION = "description.json"
_PLANES = 16
"""Slices encoded at once."""


@dataclass(frozen=True)
class LatentHead:
    """The ``latent`` of a simulated head, float32 (1, channels, *S), or of its axial slices with brain (planes, channels, *S); its source's
    ``name``; and its numbers by the names of CONDITIONS."""

    latent: np.ndarray
    name: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def conditions(self, names: Sequence[str]) -> np.ndarray:
        """The condition vector of these values (len(names),), float32, NaN if unknown."""
        found = [CONDITIONS[name].transform(self.numbers[name]) if name in self.numbers else np.nan for name in names]
        return np.array(found, dtype=np.float32)


class LatentShape(Interface):
    """Shape of the latents of a model: see :class:`~PhysMRISynthLib.network.diffusion_config.DiffusionConfig`."""

    @property
    def spatial_dims(self) -> int: ...

    @property
    def latent_channels(self) -> int: ...

    @property
    def factor(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class HeadLatents(Interface):
    """Latents of heads by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> LatentHead: ...

    def pieces(self) -> list[tuple[int, int]]:
        """Number and position of every latent: one per head, or one per slice."""


def good_scan(simulator: Simulator, index: int, halves: Halves | None = None) -> Sample:
    """Simulated session number ``index`` of a whole head, augmented; heads take turns. With ``halves``, one hemisphere is taken from
    another of the heads."""
    rng = np.random.default_rng([simulator.seed, index])
    number = index % len(simulator.heads)
    head = simulator.heads[number] if halves is None else halves.head(number, rng)
    place = PlaceHead(head, simulator.shape, **PLACEMENT)
    anatomy = Chain((place, AddLesions(simulator.lesion_masks), SplitTissues(), DrawTissueValues()))
    return SCANNER(anatomy(Sample(np.zeros((0, 0, 0), dtype=np.uint8)), rng), rng)


def whole_heads(
    data: Path, numbers: Sequence[int], shape: tuple[int, int, int], seed: int, others: Sequence[LabelledHead] = ()
) -> Simulator:
    """A simulator as of :func:`read_simulator`, with ``others`` after its heads, all placed so that nothing above the neck's fluid is cut
    off.

    A brain's box extends far down with the fluid in the spine: the piece starts at the top of skull and scalp, and the rest of its height
    is for the brain.
    """
    simulator = read_simulator(data, numbers, shape, seed)
    return replace(simulator, heads=tuple(_from_the_top(head, shape[0]) for head in (*simulator.heads, *others)))


def _from_the_top(head: LabelledHead, height: int) -> LabelledHead:
    low, high = head.brain_box
    top = brain_top(head.tissue)
    return replace(head, brain_box=(np.array([top - 2 * (height // 2 - SCALP_MM), *low[1:]]), np.array([top, *high[1:]])))


def brain_top(tissue: np.ndarray) -> int:
    """The plane above the brain of a head (z, y, x); stray labels lie above some brains."""
    areas = np.isin(tissue, _GREY_AND_WHITE).sum(axis=(1, 2))
    return 1 + int(np.flatnonzero(areas >= min(_LEAST_AREA_MM2, int(areas.max()))).max())


def simulated_shape(config: LatentShape) -> tuple[int, int, int]:
    """The shape (z, y, x) of the heads to simulate for a sampling model."""
    depth, height, width = config.shape if config.spatial_dims == 3 else (_DEPTH, *config.shape)
    return depth, height, width


class StoredLatents:
    """The latents of ``count`` heads in a ``folder``, by number; ``sliced``: those of their axial slices."""

    def __init__(self, folder: Path, count: int, sliced: bool = False) -> None:
        self.folder, self.count, self.sliced = folder, count, sliced

    def __len__(self) -> int:
        return self.count

    def path(self, index: int) -> Path:
        """The file of latent number ``index``."""
        return self.folder / f"head_{index:05d}.safetensors"

    def missing(self) -> list[int]:
        """Numbers of the missing latents."""
        return [index for index in range(self.count) if not self.path(index).exists()]

    def __getitem__(self, index: int) -> LatentHead:
        """Raises PhysMRISynthError when the file is damaged."""
        try:
            with safe_open(self.path(index), framework="pt") as file:
                metadata = file.metadata()
                return LatentHead(file.get_tensor("latent").float().numpy(), metadata["head"], json.loads(metadata["numbers"]))
        except (SafetensorError, OSError, LookupError, ValueError, TypeError) as error:
            raise PhysMRISynthError(f"The latent {self.path(index)} is damaged ({error}). Delete it, and start again.") from None

    def pieces(self) -> list[tuple[int, int]]:
        """As :meth:`HeadLatents.pieces`. Raises PhysMRISynthError when a file is damaged."""
        if not self.sliced:
            return [(index, 0) for index in range(self.count)]
        return [(index, plane) for index in range(self.count) for plane in range(len(self[index].latent))]

    def write(self, index: int, head: LatentHead) -> None:
        """Write a latent in half precision, completely or not at all."""
        metadata = {"head": head.name, "numbers": json.dumps(dict(head.numbers))}
        with whole_file(self.path(index)) as temporary:
            save_file({"latent": torch.from_numpy(head.latent).to(torch.float16).contiguous()}, temporary, metadata=metadata)


class Latents(StoredLatents):
    """Those of a ``simulator``'s heads, with hemisphere mixing if ``mixed``."""

    def __init__(self, folder: Path, simulator: Simulator, count: int, sliced: bool = False, mixed: bool = True) -> None:
        super().__init__(folder, count, sliced)
        self.simulator, self.mixed = simulator, mixed


def check_network(network: NetworkConfig, config: LatentShape) -> None:
    """Raise PhysMRISynthError when the network's latents do not match the sampling model."""
    if (network.spatial_dims, network.latent_channels, network.factor) != (config.spatial_dims, config.latent_channels, config.factor):
        raise PhysMRISynthError(
            f"The network gives {network.latent_channels} channels for {network.factor} voxels in {network.spatial_dims}D, the "
            f"configuration expects {config.latent_channels} for {config.factor} in {config.spatial_dims}D. Change the configuration, or "
            "give the --condenser whose codes it expects."
        )
    if any(side % network.multiple for side in config.shape):
        raise PhysMRISynthError(f"A sampling model's shape must be multiples of {network.multiple} for this network, not {config.shape}.")


def description(weights: Weights, config: LatentShape, seed: int, people: Sequence[LabelledHead] = ()) -> dict[str, Any]:
    """What identifies the latents of simulated heads, among them those of ``people``, if any, without hemisphere mixing."""
    whose: dict[str, Any] = {"people": [head.name for head in people]} if people else {"halves": JOINING}
    placed = {"placement": _as_json(PLACEMENT), "scalp_mm": SCALP_MM, **whose}
    return {"vae_sha256": weights.sha256, "shape": list(simulated_shape(config)), "seed": seed, **placed}


def check_latents(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Write the description ``wanted`` of the latents in ``folder``. Raises PhysMRISynthError when it holds others."""
    path = folder / _DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else wanted
    except (OSError, ValueError):
        found = None
    if found != wanted:
        raise PhysMRISynthError(
            f"{folder} holds latents of another network, shape, seed or kind of heads. Delete it, or choose another --out or --latents."
        )
    if path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(dict(wanted)), encoding="utf-8")


def _as_json(values: Mapping[str, Any]) -> Any:
    """Values as read back from JSON."""
    return json.loads(json.dumps(dict(values)))


def compute_latents(
    latents: Latents, weights: Weights, device: torch.device, workers: int, until: float | None, progress: Callable[[str], None]
) -> bool:
    """Compute missing latents; ``progress`` gets a line per head. False if the time ``until`` (of time.monotonic) was reached first."""
    missing = latents.missing()
    latents.folder.mkdir(parents=True, exist_ok=True)
    precision = fastest_precision(device.type)
    data = _Scans(latents.simulator, missing, _halves(latents, missing))
    known = {head.name: head.numbers for head in latents.simulator.heads}
    scans = DataLoader(data, batch_size=None, num_workers=workers, worker_init_fn=quiet_worker)
    for done, (index, sample) in enumerate(zip(missing, _stopping(scans, until), strict=False), start=len(latents) - len(missing) + 1):
        head = latent_of(sample, weights, device, precision)
        latents.write(index, replace(head, numbers={**head.numbers, **known.get(head.name, {})}))
        progress(f"latent {done} of {len(latents)} in {latents.folder.name}")
    return not latents.missing()


def _halves(latents: Latents, missing: Sequence[int]) -> Halves | None:
    """Hemisphere mixing, if there is more than one head: no training head is one person's. Of many people's heads each stays its own."""
    heads = latents.simulator.heads
    return Halves.of(heads) if latents.mixed and missing and len(heads) > 1 else None


def _stopping(scans: DataLoader[Sample], until: float | None) -> Iterator[Sample]:
    for sample in scans:
        yield sample
        if until is not None and time.monotonic() > until:
            return


class _Scans(Dataset[Sample]):
    """Sessions by number, reduced to what the encoder needs."""

    def __init__(self, simulator: Simulator, numbers: Sequence[int], halves: Halves | None) -> None:
        self.simulator, self.numbers, self.halves = simulator, list(numbers), halves

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Sample:
        return replace(good_scan(self.simulator, self.numbers[place], self.halves), theta=None, b1=None)


def latent_of(sample: Sample, weights: Weights, device: torch.device, precision: str, at_once: int = _PLANES) -> LatentHead:
    """Encode a session by all its inputs: the mean of their product of experts; slices so many ``at_once``."""
    conditions = np.stack([protocol_condition(sample.protocols[role], sample.field_strength) for role in ROLES])
    images = np.stack([sample.images[role] for role in ROLES]).astype(np.float32)
    if weights.config.spatial_dims == 2:
        images = images[:, np.isin(sample.tissue, (*BRAIN, LESION)).any(axis=(1, 2))].swapaxes(0, 1)
    else:
        images = images[None]
    latent = encoded(images, conditions, np.ones(len(ROLES), dtype=bool), weights, device, precision, at_once)
    return LatentHead(latent, str(sample.record["PlaceHead"]["head"]), head_volumes(sample.tissue).conditions())


@torch.inference_mode()
def encoded(
    images: np.ndarray,
    conditions: np.ndarray,
    present: np.ndarray,
    weights: Weights,
    device: torch.device,
    precision: str,
    at_once: int = _PLANES,
) -> np.ndarray:
    """Posterior means (B, channels, …) of images (B, M, …) under conditions (M, K), by inputs ``present`` (M), so many ``at_once``."""
    network, found = weights.network.to(device), []
    for start in range(0, len(images), at_once):
        piece = torch.from_numpy(np.ascontiguousarray(images[start : start + at_once], dtype=np.float32)).to(device)
        known = torch.from_numpy(conditions)[None].expand(len(piece), -1, -1).to(device)
        there = torch.from_numpy(present)[None].expand(len(piece), -1).to(device)
        with autocast(device, precision):
            found.append(network.encode(piece, known, there).mean.float().cpu().numpy())
    return np.concatenate(found)
