"""What is exported as DICOM beside the maps, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ...physics.protocol import Protocol
from ..orders import Order, limited
from ..rendering.order import RenderOrder, protocol_from_json
from ..rendering.scanner_effects import ScannerEffects


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
    snr, seed, effects
        Noise and scanner effects of the contrasts, as of a RenderOrder; the derivation states them.

    Raises
    ------
    OrderError
        For a value out of bounds.
    """

    protocols: tuple[str | Protocol, ...] = ()
    source: Path | None = None
    title: str = "PD, T1, T2"
    snr: float | None = limited(None, "signal-to-noise ratio", above=0.0)
    seed: int = limited(0, "seed", low=0, whole=True)
    effects: ScannerEffects = field(default_factory=ScannerEffects)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """As :meth:`Order.from_json`."""
        protocols = tuple(protocol_from_json(value) for value in values.get("protocols", ()))
        source, effects = values.get("source"), ScannerEffects.from_json(values.get("effects", {}))
        return super().from_json({**values, "protocols": protocols, "source": None if source is None else Path(source), "effects": effects})

    def rendering(self, protocol: Protocol, place: int) -> RenderOrder:
        """The order of the contrast at a ``place``, from 0: each has its own random numbers, those of seed + place."""
        return RenderOrder(protocol, snr=self.snr, seed=self.seed + place, effects=self.effects)


USUAL = ExportOrder()
"""The maps alone, of an anonymous patient."""
