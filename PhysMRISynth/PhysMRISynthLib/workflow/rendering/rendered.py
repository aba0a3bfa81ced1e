"""An image computed from tissue maps, to order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...imaging.tissue_maps import TissueMaps
from ...physics.protocol import Protocol
from ..compute import Compute
from .contrast_choice import protocol_of
from .order import RenderOrder
from .render import render, scale_of


@dataclass(frozen=True)
class Rendering:
    """The ``voxels`` (z, y, x; float32) of an ``order``, and the ``protocol`` that it became for these maps."""

    order: RenderOrder
    protocol: Protocol
    voxels: np.ndarray


def rendered(maps: TissueMaps, order: RenderOrder, source: str = "command line") -> Rendering:
    """Compute the image of an order; ``source`` says who gave the protocol's values.

    Raises ProtocolError for a protocol that cannot be or tissues that cannot be nulled, EstimationError for a device that cannot be had.
    """
    protocol = protocol_of(maps, order.protocol, order.null, source)
    voxels = render(maps, protocol, order.snr, order.seed, scale_of(protocol), Compute.on(order.device))
    return Rendering(order, protocol, voxels)
