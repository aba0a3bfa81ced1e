"""What the network expects where: its tissue probabilities on the reference's grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ...errors import Remedy, WeightsError
from ...fitting.tissue_level import brain_rows
from ...imaging.head.masks import bounding_box
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.volumes import image_like
from ..chunks import for_each_chunk
from .aligned_head import AlignedHead

if TYPE_CHECKING:
    from ...network.familiarity import Distances
    from ...network.weights import Weights

_SPACING_MM, _MARGIN_MM = 1.0, 12.0
_BRAIN_POSSIBLE = 25
"""Of 255: where the atlas gives the brain less, the network is not asked."""
_CHUNK = 1 << 15
_DOUBT = 0.003
"""Least probability that network and atlas give any tissue: either may err."""


@dataclass(frozen=True)
class NetworkPrior:
    """Tissue fractions expected at the head's voxels, uint8 (tissues + lesion, N), what gave them, the ``numbers`` that tell the head (see
    :func:`~PhysMRISynthLib.network.familiarity.head_numbers`), and how far it is from those that the network was trained on (None: the
    weights do not tell)."""

    fractions: np.ndarray
    sha256: str
    device: str
    numbers: Mapping[str, np.ndarray]
    distances: Distances | None = None


def usable_weights(prior: str, file: str = "") -> Weights | None:
    """The network that ``prior`` ("auto", "network", "literature") asks for, or None for the literature; that of a ``file`` if given, else
    the installed one.

    "auto" takes the network where torch and weights are there, else the literature prior. Weights that are there but
    damaged are refused under "auto" too: maps that silently came from another prior than yesterday's would be worse than none.
    Raises WeightsError then, and when "network" cannot be had.
    """
    if prior == "literature":
        return None
    try:
        from ...network.manifest import shipped_weights
        from ...network.weights import load_weights
    except ImportError:
        if prior == "auto" and not file:
            return None
        raise WeightsError(
            "The network needs torch and safetensors.",
            Remedy.INSTALL(packages="torch and safetensors", extra="inference"),
            Remedy.USE_LITERATURE_PRIOR,
        ) from None
    if file:
        return load_weights(Path(file), remedies=(Remedy.DO(this="choose another file of weights"), Remedy.USE_LITERATURE_PRIOR))
    shipped = shipped_weights()
    if shipped is None:
        if prior == "auto":
            return None
        raise WeightsError("No network weights are installed.", Remedy.USE_LITERATURE_PRIOR)
    return load_weights(*shipped)


def loadable_weights(prior: str, file: str = "") -> Callable[[], Weights | None]:
    """What gives :func:`usable_weights` and may be called on another thread: torch alone takes a second to import.

    What cannot be had is refused at once: the installed weights are compared with their hash, those of a ``file`` are read.
    """
    if prior != "literature" and not file and find_spec("torch") is not None:
        from ...network.manifest import REINSTALL, checked_file, shipped_weights

        shipped = shipped_weights()
        if shipped is not None:
            checked_file(*shipped, REINSTALL)
            return partial(usable_weights, prior)
    found = usable_weights(prior, file)
    return lambda: found


def network_prior(
    weights: Weights, head: AlignedHead, device: str, progress: Callable[[float], None] = lambda fraction: None
) -> NetworkPrior:
    """Run the network on the brain of a ``head`` and combine its tissue probabilities with the atlas's at the head's voxels.

    The placed atlas says where the brain is. Inputs are divided by their strong receive fields, which the network does not know.
    """
    from ...network.device import choose_device
    from ...network.familiarity import distances_of, head_numbers
    from ...network.inference import infer

    chosen = choose_device(device)
    index, atlas = head.voxels.index, head.voxels.atlas
    view = _view_of(_where_brain_may_be(head.mask, index, atlas), head.grid)
    protocols = [acquisition.protocol for acquisition in head.acquisitions]
    found = infer(weights, [_seen(a, head, view) for a in head.acquisitions], protocols, head.field_strength, chosen, progress)
    numbers = head_numbers(found)
    distances = None if weights.familiarity is None else distances_of(weights.familiarity, numbers)
    fractions = joined_with_atlas(_on_grid(found.probabilities, view, head.grid, index), atlas)
    return NetworkPrior(fractions, weights.sha256, str(chosen), numbers, distances)


def _seen(acquisition: Acquisition, head: AlignedHead, view: sitk.Image) -> np.ndarray:
    """An input (z, y, x) as the network's view has it, from the file's own voxels: nothing is interpolated twice."""
    seen = sitk.Resample(acquisition.volume.image, view, head.alignments[acquisition.name].to_image, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    if acquisition.name in head.fields:
        seen = seen / sitk.Resample(head.fields[acquisition.name].field, view, sitk.Transform(), sitk.sitkLinear, 1.0)
    return np.abs(sitk.GetArrayFromImage(seen))


def joined_with_atlas(fractions: np.ndarray, atlas: np.ndarray) -> np.ndarray:
    """A network's tissue ``fractions`` (tissues + lesion, N) times those of the ``atlas`` (tissues, N), uint8 with 255 = certain.

    The network, which learned from pieces of heads, knows contrasts and neighbourhoods; the atlas knows places. Of lesions only the network
    speaks; where it was not asked (all 0), the atlas alone does.
    """
    joined = fractions.copy()

    def work(piece: slice) -> None:
        tissues, lesion = fractions[:-1, piece], fractions[-1:, piece].astype(np.float32)
        joint = (tissues / np.float32(255.0) + np.float32(_DOUBT)) * (atlas[:, piece] / np.float32(255.0) + np.float32(_DOUBT))
        joint *= (np.float32(255.0) - lesion) / joint.sum(axis=0)
        joined[:-1, piece] = np.round(joint)

    for_each_chunk(fractions.shape[1], _CHUNK, work)
    return joined


def _where_brain_may_be(mask: np.ndarray, voxels: np.ndarray, atlas: np.ndarray) -> np.ndarray:
    """The part of the mask that the atlas counts to the brain, or all of it where that is nothing."""
    likely = atlas[brain_rows()].sum(axis=0, dtype=np.int32) > _BRAIN_POSSIBLE
    brain = np.zeros(mask.size, dtype=bool)
    brain[voxels[likely]] = True
    return brain.reshape(mask.shape) if likely.any() else mask


def _view_of(mask: np.ndarray, grid: sitk.Image) -> sitk.Image:
    """An empty 1 mm image around the mask whose axes point to the left, the back and the top, as the network was trained."""
    box = bounding_box(mask)
    assert box is not None
    low, high = np.array([(side.start, side.stop - 1) for side in box[::-1]]).T
    corners = np.array(
        [grid.TransformContinuousIndexToPhysicalPoint([float(c) for c in np.where(pick, high, low)]) for pick in np.ndindex(2, 2, 2)]
    )
    first, last = corners.min(axis=0) - _MARGIN_MM, corners.max(axis=0) + _MARGIN_MM
    view = sitk.Image([int(np.ceil(extent / _SPACING_MM)) for extent in last - first], sitk.sitkUInt8)
    view.SetOrigin(first.tolist())
    return view


def _on_grid(probabilities: np.ndarray, view: sitk.Image, grid: sitk.Image, voxels: np.ndarray) -> np.ndarray:
    """Probabilities (classes, z, y, x) of the view at ``voxels`` of the grid, uint8 (classes, N), 255 = certain."""
    fractions = np.empty((len(probabilities), voxels.size), dtype=np.uint8)
    for row, one in enumerate(probabilities):
        image = image_like(_in_steps(one), view)
        moved = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0, sitk.sitkUInt8)
        fractions[row] = sitk.GetArrayViewFromImage(moved).reshape(-1)[voxels]
    return fractions


def _in_steps(probability: np.ndarray) -> np.ndarray:
    """A probability (z, y, x) as uint8, 255 = certain; plane by plane, which stays in the processor's cache."""
    found = np.empty(probability.shape, dtype=np.uint8)
    for plane, own in zip(probability, found, strict=True):
        own[...] = np.rint(np.float32(255.0) * plane)
    return found
