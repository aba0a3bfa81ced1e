"""An image computed from tissue maps, to order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...imaging.intake.volumes import image_like
from ...imaging.tissue_maps import TissueMaps
from ...physics.protocol import Protocol
from ..compute import Compute
from .contrast_choice import protocol_of
from .order import RenderOrder
from .render import render, scale_of, signed_signal
from .scanner_effects import scanned


@dataclass(frozen=True)
class Rendering:
    """The ``voxels`` (z, y, x; float32) of an ``order``, the ``protocol`` that it became for these maps, and the ``grid`` of the image:
    that of the maps, or of thick slices."""

    order: RenderOrder
    protocol: Protocol
    voxels: np.ndarray
    grid: sitk.Image

    @property
    def image(self) -> sitk.Image:
        """The voxels as an image."""
        return image_like(self.voxels, self.grid)


def rendered(maps: TissueMaps, order: RenderOrder, source: str = "command line") -> Rendering:
    """Compute the image of an order; ``source`` says who gave the protocol's values.

    Raises ProtocolError for a protocol that cannot be, tissues that cannot be nulled or scanner effects that do not fit, EstimationError
    for a device that cannot be had.
    """
    protocol = protocol_of(maps, order.protocol, order.null, source)
    compute, scale = Compute.on(order.device), scale_of(protocol)
    if not order.effects.any:
        return Rendering(order, protocol, render(maps, protocol, order.snr, order.seed, scale, compute), maps.grid)
    scan = scanned(signed_signal(maps, protocol, scale, compute), maps, protocol, order.effects, order.snr, order.seed)
    return Rendering(order, protocol, scan.voxels, scan.grid)
