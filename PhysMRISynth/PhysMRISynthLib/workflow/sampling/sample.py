"""Sampling synthetic heads: from a seed to tissue maps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ...errors import RegistrationError, Remedy, WeightsError
from ...imaging.head.atlas import AtlasPlacement, place_tissues
from ...imaging.head.head_volumes import LESION, head_volumes
from ...imaging.head.masks import brain_mask
from ...imaging.head.midline import Midline, midline_of
from ...imaging.head.structures import structure_labels, structures_table
from ...imaging.head.tissue_labels import labels_of
from ...imaging.head.ventricles import ventricle_mask
from ...imaging.intake.volumes import write_image
from ...imaging.smooth import near_means
from ...imaging.tissue_maps import TissueMaps
from ...network.manifest import installed_weights
from ...physics.tissues import BRAIN_TISSUE, PROPERTIES, acceptance_ranges, tissue_table
from ..estimation.tissue_medians import UNITS
from ..results.outputs import REPORT, check_free, whole_folder, write_json
from ..results.report import peak_memory_gb, software_report
from ..results.tissue_output import write_labels
from ..tissue_values import maps_of, sampled_values
from .nuclei import with_nuclei
from .order import SampleOrder
from .place_texture import with_place_texture

if TYPE_CHECKING:
    from ...network.diffusion_weights import SamplerWeights
    from ...network.weights import Weights

SHARPENING = 3.0
"""Power that sharpens the decoder's probabilities: those of an image express its ambiguity, which a synthetic head does not have. Higher
powers show staircase edges."""
Progress = Callable[[float], None]
"""Callback ``(fraction_done)``; may raise to stop."""
STAGE = "sample heads"
"""Name of the stage in progress bars."""
_DRAWN, _DECODED, _ATTEMPTED = 0.6, 0.75, 0.9
"""Usual fractions of an attempt's time after sampling and decoding, and of a head's time after all attempts."""
_BROKEN = "The midline of this head is outside the limits that label maps of adults set (attempts: {made}): {flaws}. Sample another seed."
_NOT_FOUND = "This head was not found in the atlas (attempts: {made}): its midline is not known. Look at it, or sample another seed."
_LEAST_VOXELS = 50
_NAMES = [tissue.name for tissue in tissue_table()]
_BRAIN = [*(row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"), LESION]
_FLUID, _AIR = _NAMES.index("csf"), _NAMES.index("air")
LABELS = "labels"
"""How the files of the structures and their table are called."""


@dataclass(frozen=True)
class SampledFractions:
    """A sampled head before it gets tissue values: ``fractions`` of tissues (classes, z, y, x), device and precision, ``seconds`` of all
    attempts, its ``midline`` (None: not found in the atlas) and ``placement`` of the atlas, the number of its ``attempt``, and how many
    attempts were ``made``."""

    fractions: np.ndarray
    device: str
    precision: str
    seconds: dict[str, float]
    midline: Midline | None
    placement: AtlasPlacement | None
    attempt: int
    made: int = 1

    @property
    def flaw_rank(self) -> tuple[float, ...]:
        """Sort key: smaller is better."""
        return (np.inf,) if self.midline is None else self.midline.flaw_rank

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user about the midline."""
        if self.midline is None:
            return [_NOT_FOUND.format(made=self.made)]
        return [_BROKEN.format(made=self.made, flaws=", and ".join(self.midline.flaws))] if self.midline.flaws else []


@dataclass(frozen=True)
class SampledHead:
    """A synthetic head: its ``maps`` with the report as provenance; ``tissue`` (z, y, x) is the row of the tissue table of the
    most probable tissue (the table's length: lesion), ``brain`` a mask of brain tissue and fluid; ``placement`` is the atlas's, None
    where the head was not found in it."""

    maps: TissueMaps
    tissue: np.ndarray
    brain: np.ndarray
    report: dict[str, Any]
    placement: AtlasPlacement | None = None

    def structures(self) -> np.ndarray:
        """FreeSurfer's number of the anatomical structure of each voxel (z, y, x; uint8), as far as tissue and place tell it (see
        :mod:`~PhysMRISynthLib.imaging.head.structures`). Raises RegistrationError for a head that was not found in the atlas."""
        if self.placement is None:
            raise RegistrationError("This head was not found in the atlas, and its structures are not known. Sample another seed.")
        fluid = (self.tissue == _FLUID).astype(np.float32)
        grid = sitk.GetImageFromArray(self.tissue)  # the atlas was placed on this one
        ventricles = ventricle_mask(self.tissue, self.brain, fluid, grid, self.placement)
        return structure_labels(self.tissue, ventricles, self.placement, grid)


def looked_at(tissue: np.ndarray, progress: Progress) -> tuple[AtlasPlacement | None, Midline | None]:
    """The atlas's place on a synthetic head's ``tissue`` (z, y, x), and its midline; None if the head is not found in the atlas."""
    image = sitk.GetImageFromArray(tissue)
    try:
        placement = place_tissues(image, progress)
    except RegistrationError:
        return None, None
    return placement, midline_of(image, placement.to_atlas)


@dataclass(frozen=True)
class Sampler:
    """The sampling ``model`` with the network that decodes its samples; ``look`` finds a sample's place in the atlas and its midline."""

    model: SamplerWeights
    decoder: Weights
    look: Callable[[np.ndarray, Progress], tuple[AtlasPlacement | None, Midline | None]] = looked_at

    def __post_init__(self) -> None:
        if self.model.config.spatial_dims != 3 or self.decoder.config.head != "classes":
            raise WeightsError("This sampling model samples slices, not heads. Use one trained with the configuration head_3d.")

    def drawn(self, order: SampleOrder, progress: Progress = lambda fraction: None) -> SampledFractions:
        """Sample a head until its midline passes; the best of all attempts if none does.

        Raises PhysMRISynthError for an unknown or impossible condition, and for a device that does not work.
        """
        best: SampledFractions | None = None
        seconds: Counter[str] = Counter()
        for made in range(1, order.attempts + 1):
            drawn = self._attempt(order, order.attempt + made - 1, partial(_in_attempt, progress, made, order.attempts))
            seconds.update(drawn.seconds)
            best = drawn if best is None else min(best, drawn, key=lambda head: head.flaw_rank)
            if drawn.midline is not None and drawn.midline.whole:
                break
        assert best is not None  # an order has at least one attempt
        return replace(best, seconds=dict(seconds), made=made)

    def _attempt(self, order: SampleOrder, attempt: int, progress: Progress) -> SampledFractions:
        import torch

        from ...network.device import autocast, choose_device, fastest_precision
        from ...network.diffusion_config import condition_vector
        from ...network.inference import decode

        began = time.perf_counter()
        condition = torch.from_numpy(condition_vector(self.model.config.condition, order.condition, self.model.model.trained))
        device = choose_device(order.device)
        precision = fastest_precision(device.type) if order.precision == "auto" else order.precision
        progress(0.0)
        with autocast(device, precision):
            seed = _seed_of(order.seed, attempt)
            told = partial(_share, progress, _DRAWN)
            latent = self.model.latent(device, order.steps, seed, condition, told, order.renewal, order.guidance)
        drawn = time.perf_counter()
        found = latent[0].float().cpu().numpy()
        fractions = sharpened(decode(self.decoder, found, device, precision, lambda done: progress(_DRAWN + (_DECODED - _DRAWN) * done)))
        decoded = time.perf_counter()
        tissue = fractions.argmax(axis=0).astype(np.uint8)
        placement, midline = self.look(tissue, lambda done: progress(_DECODED + (1.0 - _DECODED) * done))
        seconds = {"draw": drawn - began, "decode": decoded - drawn, "look at midline": time.perf_counter() - decoded}
        return SampledFractions(fractions, str(device), precision, seconds, midline, placement, attempt)

    def head(self, order: SampleOrder, progress: Progress = lambda fraction: None) -> SampledHead:
        """Sample one head. The same order gives the same voxels on the same machine with the same versions. Raises as :meth:`drawn`."""
        drawn = self.drawn(order, progress)
        began = time.perf_counter()
        rng = np.random.default_rng([order.seed, 1])
        values = sampled_values(order.field_strength, rng)
        maps = maps_of(drawn.fractions, values, rng, lambda done: progress(_ATTEMPTED + (1.0 - _ATTEMPTED) * done))
        if drawn.placement is not None:
            maps = with_place_texture(maps, drawn.fractions, drawn.placement)
            maps = with_nuclei(maps, drawn.fractions, drawn.placement, order.field_strength)
        tissue = drawn.fractions.argmax(axis=0).astype(np.uint8)
        if order.skull_stripped:
            maps, tissue = _stripped(maps, tissue)
        seconds = {**drawn.seconds, "values": time.perf_counter() - began}
        report = {
            **self._identity(order, drawn),
            "tissue_values": values.report(),
            "volumes_ml": {name: round(volume, 1) for name, volume in vars(head_volumes(tissue)).items()},
            "tissue_medians": _medians(maps, tissue),
            "published_ranges": {
                name: {quantity: list(limits) for quantity, limits in ranges.items()}
                for name, ranges in acceptance_ranges(order.field_strength).items()
            },
            "seconds": {part: round(duration, 2) for part, duration in seconds.items()},
            "peak_memory_gb": peak_memory_gb(),
        }
        return SampledHead(replace(maps, provenance=report), tissue, np.isin(tissue, _BRAIN) & maps.mask, report, drawn.placement)

    def _identity(self, order: SampleOrder, drawn: SampledFractions) -> dict[str, Any]:
        """Everything that determines a head, for its report."""
        return {
            "software": software_report() | {"torch": _torch_version()},
            "sampled": {
                "seed": order.seed, "steps": order.steps, "renewal": order.renewal, "guidance": order.guidance,
                "decision": SHARPENING,
                "condition": dict(order.condition), "precision": drawn.precision,
                "attempt": drawn.attempt, "attempts_made": drawn.made,
                "objective": self.model.config.objective, "shape": list(self.model.config.shape),
                "sampler_sha256": self.model.sha256, "decoder_sha256": self.decoder.sha256,
                **({"expander_sha256": self.model.expander.sha256} if self.model.expander else {}),
            },
            "network": {"sha256": self.decoder.sha256, "device": drawn.device},
            "field_strength_tesla": order.field_strength,
            "midline": None if drawn.midline is None else asdict(drawn.midline),
            "warnings": drawn.warnings,
            "order": order.as_json(),
            "units": UNITS,
            "notice": "This is a synthetic head: it was sampled at random from a model of simulated heads. Research only.",
        }  # fmt: skip


def sharpened(probabilities: np.ndarray) -> np.ndarray:
    """Tissue fractions (classes, z, y, x) of a synthetic head: the decoder's ``probabilities`` of the same shape, smoothed to remove the
    upsampling decoder's checkerboard on unseen latents, and sharpened. Structures of one voxel are lost."""
    fractions = np.empty_like(probabilities)
    for row, likely in enumerate(probabilities):
        fractions[row] = near_means(likely) ** SHARPENING
    for z in range(fractions.shape[1]):  # plane by plane: a whole head of float32 would take half a gigabyte
        plane = fractions[:, z].astype(np.float32)
        fractions[:, z] = plane / plane.sum(axis=0)
    return fractions


def _seed_of(seed: int, attempt: int) -> int:
    """The seed of an attempt's noise; the first one's is the order's own."""
    return seed if attempt == 1 else int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])


def _in_attempt(progress: Progress, made: int, attempts: int, done: float) -> None:
    """Progress of all attempts: each takes half of the remaining bar, since it is usually the last one; the last takes all."""
    left = 0.5 ** (made - 1)
    progress(_ATTEMPTED * (1.0 - left * (1.0 - (1.0 if made == attempts else 0.5) * done)))


def _stripped(maps: TissueMaps, tissue: np.ndarray) -> tuple[TissueMaps, np.ndarray]:
    """Maps and tissue of the brain with its fluid alone; the rest is air."""
    brain = brain_mask(np.isin(tissue, _BRAIN).astype(np.float32), maps.grid) & maps.mask
    pd, t1, t2 = (np.where(brain, voxels, np.float32(0.0)) for voxels in (maps.pd, maps.t1, maps.t2))
    return replace(maps, pd=pd, t1=t1, t2=t2, mask=brain), np.where(brain, tissue, np.uint8(_AIR))


def installed_sampler(sampler: Path | None = None, vae: Path | None = None) -> Sampler:
    """The installed sampling model, or that of the files. Raises WeightsError with the reason and the remedy when there is none, or torch
    or MONAI are missing."""
    try:
        if sampler is None:
            installed_weights("sampler")  # before MONAI is asked for
        from ...network.diffusion_weights import sampling_weights
    except ImportError as error:
        raise WeightsError(f"Sampling needs {error.name}.", Remedy.INSTALL(packages=str(error.name), extra="sampling")) from None
    return Sampler(*sampling_weights(sampler, vae))


def sampler_of(order: SampleOrder) -> Sampler:
    """The sampling model that an order names, else the installed one. Raises as :func:`installed_sampler`."""
    return installed_sampler(Path(order.weights) if order.weights else None)


def sampled_heads(sampler: Sampler, order: SampleOrder, progress: Progress = lambda fraction: None) -> Iterator[SampledHead]:
    """The heads of an order, one after the other: of its seed, the next seed, and so on; ``progress`` counts over all of them."""
    for number in range(order.count):
        yield sampler.head(replace(order, seed=order.seed + number, count=1), partial(_of_all, progress, number, order.count))


def _share(progress: Progress, share: float, done: float) -> None:
    progress(share * done)


def _of_all(progress: Progress, number: int, count: int, done: float) -> None:
    progress((number + done) / count)


def folder_name(number: int) -> str:
    """The folder of head ``number``, from 1 on."""
    return f"sample_{number:04d}"


def write_samples(
    sampler: Sampler, order: SampleOrder, out: Path, overwrite: bool = False, progress: Progress = lambda fraction: None
) -> list[Path]:
    """Sample heads into folders ``sample_0001`` … of ``out``, each complete or absent; returns them.

    Raises ImageError, before sampling, when one exists already and ``overwrite`` is False.
    """
    folders = [out / folder_name(number) for number in range(1, order.count + 1)]
    for folder in folders:
        check_free(folder, overwrite)
    for folder, head in zip(folders, sampled_heads(sampler, order, progress), strict=True):
        with whole_folder(folder, overwrite) as temporary:
            for name, image in head.maps.files().items():
                write_image(image, temporary / name)
            write_labels(head.maps.image(labels_of(head.tissue, head.brain)), temporary)
            if head.placement is not None:
                write_labels(head.maps.image(head.structures()), temporary, LABELS, structures_table())
            names = sorted([REPORT, *(file.name for file in temporary.iterdir())])
            write_json({**head.report, "files": names}, temporary / REPORT)
    return folders


def _torch_version() -> str:
    import torch

    return str(torch.__version__)


def _medians(maps: TissueMaps, tissue: np.ndarray) -> dict[str, dict[str, float]]:
    """Median and SD of PD (%), T1 and T2 (ms) over the voxels of each brain tissue, and ``volume_ml``."""
    found = {}
    scaled = dict(zip(PROPERTIES, (100.0 * maps.pd, maps.t1, maps.t2), strict=True))
    for row, entry in enumerate(tissue_table()):
        where = tissue == row
        if entry.name in (*BRAIN_TISSUE, "csf") and where.sum() >= _LEAST_VOXELS:
            values = {name: voxels[where] for name, voxels in scaled.items()}
            medians = {name: round(float(np.median(voxels)), 1) for name, voxels in values.items()}
            sds = {f"{name}_sd": round(float(np.std(voxels)), 2) for name, voxels in values.items()}
            found[entry.name] = {**medians, **sds, "volume_ml": round(float(where.sum()) / 1000.0, 1)}
    return found
