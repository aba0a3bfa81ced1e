"""What the network expects where: its tissue probabilities on the reference's grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..errors import WeightsError
from ..imaging.acquisition import Acquisition
from ..imaging.alignment import Alignment
from ..imaging.masks import bounding_box
from ..imaging.volumes import image_like

if TYPE_CHECKING:
    from ..network.weights import Weights

_SPACING_MM, _MARGIN_MM = 1.0, 6.0
_GREATEST_EXTENT_MM = 272.0
"""More than any head measures: what a field of view shows beyond is neck and table."""


@dataclass(frozen=True)
class NetworkPrior:
    """Tissue fractions expected at the head's voxels, uint8 (tissues + lesion, N), and what gave them."""

    fractions: np.ndarray
    sha256: str
    device: str


def usable_weights(prior: str) -> Weights | None:
    """The network that ``prior`` ("auto", "network", "literature") asks for, or None for the literature.

    "auto" takes the network where torch and weights are there. Raises WeightsError when "network" cannot be had.
    """
    if prior == "literature":
        return None
    try:
        from ..network.weights import load_weights, shipped_weights
    except ImportError:
        if prior == "auto":
            return None
        raise WeightsError("The network needs torch and safetensors. Install physmrisynth[inference], or use --prior literature.") from None
    shipped = shipped_weights()
    if shipped is None:
        if prior == "auto":
            return None
        raise WeightsError("No network weights are installed. Use --prior literature (or auto).")
    return load_weights(*shipped)


def network_prior(
    weights: Weights,
    acquisitions: Sequence[Acquisition],
    alignments: Mapping[str, Alignment],
    grid: sitk.Image,
    mask: np.ndarray,
    field_strength: float,
    device: str,
    progress: Callable[[float], None] = lambda fraction: None,
) -> NetworkPrior:
    """Run the network on the head inside ``mask`` (z, y, x) of ``grid`` and bring its probabilities to the mask's voxels."""
    from ..network.device import choose_device
    from ..network.inference import class_probabilities

    chosen = choose_device(device)
    view = _view_of(mask, grid)
    images = []
    for acquisition in acquisitions:
        # from the file's own voxels: nothing is interpolated twice
        seen = sitk.Resample(acquisition.volume.image, view, alignments[acquisition.name].to_image, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
        images.append(np.abs(sitk.GetArrayFromImage(seen)))
    protocols = [acquisition.protocol for acquisition in acquisitions]
    probabilities = class_probabilities(weights, images, protocols, field_strength, chosen, progress)
    return NetworkPrior(_on_grid(probabilities, view, grid, np.flatnonzero(mask)), weights.sha256, str(chosen))


def _view_of(mask: np.ndarray, grid: sitk.Image) -> sitk.Image:
    """An empty 1 mm image around the mask whose axes point to the left, the back and the top, as the network was trained."""
    box = bounding_box(mask)
    assert box is not None
    low, high = np.array([(side.start, side.stop - 1) for side in box[::-1]]).T
    corners = np.array(
        [grid.TransformContinuousIndexToPhysicalPoint([float(c) for c in np.where(pick, high, low)]) for pick in np.ndindex(2, 2, 2)]
    )
    first, last = corners.min(axis=0) - _MARGIN_MM, corners.max(axis=0) + _MARGIN_MM
    first[2] = max(first[2], last[2] - _GREATEST_EXTENT_MM)
    view = sitk.Image([int(np.ceil(extent / _SPACING_MM)) for extent in last - first], sitk.sitkUInt8)
    view.SetOrigin(first.tolist())
    return view


def _on_grid(probabilities: np.ndarray, view: sitk.Image, grid: sitk.Image, voxels: np.ndarray) -> np.ndarray:
    """Probabilities (classes, z, y, x) of the view at ``voxels`` of the grid, uint8 (classes, N), 255 = certain."""
    fractions = np.empty((len(probabilities), voxels.size), dtype=np.uint8)
    for row, one in enumerate(probabilities):
        image = image_like(np.round(255.0 * one).astype(np.uint8), view)
        moved = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0, sitk.sitkUInt8)
        fractions[row] = sitk.GetArrayViewFromImage(moved).reshape(-1)[voxels]
    return fractions
