"""What is exported as DICOM beside the maps, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ...physics.protocol import Protocol
from ..orders import Order
from ..rendering.order import protocol_from_json


@dataclass(frozen=True)
class ExportOrder(Order):
    """An export of tissue maps.

    Attributes
    ----------
    protocols
        Contrasts to write as MR series, as :class:`~PhysMRISynthLib.workflow.rendering.order.RenderOrder` has its protocol.
    source
        A folder of DICOM images whose patient, study and frame of reference the files get; None: an anonymous patient.
    title
        Names the maps in the derivation.
    """

    protocols: tuple[str | Protocol, ...] = ()
    source: Path | None = None
    title: str = "PD, T1, T2"

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """As :meth:`Order.from_json`."""
        protocols = tuple(protocol_from_json(value) for value in values.get("protocols", ()))
        source = values.get("source")
        return super().from_json({**values, "protocols": protocols, "source": None if source is None else Path(source)})


USUAL = ExportOrder()
"""The maps alone, of an anonymous patient."""
