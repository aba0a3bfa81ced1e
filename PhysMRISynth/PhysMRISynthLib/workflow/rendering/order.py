"""The order of a rendering job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ...physics.protocol import Protocol
from ..orders import DEVICES, Order, limited
from .scanner_effects import ScannerEffects


@dataclass(frozen=True)
class RenderOrder(Order):
    """A contrast of tissue maps.

    Attributes
    ----------
    protocol
        A preset's name or ``sequence,NAME=VALUE,…`` (ms, degrees), solved for the maps' head if it nulls tissues; or an unchanged
        Protocol.
    null
        Tissues to null by the inversion times.
    snr
        Mean signal of the head over the noise SD; None: no noise.
    seed
        Makes noise and scanner effects repeatable.
    device
        auto, cpu, cuda or mps (auto: the CPU).
    effects
        Receive field, thick slices, ringing and motion; none by default.

    Raises
    ------
    OrderError
        For a value out of bounds.
    """

    protocol: str | Protocol | None = None
    null: tuple[str, ...] = ()
    snr: float | None = limited(None, "signal-to-noise ratio", above=0.0)
    seed: int = limited(0, "seed", low=0, whole=True)
    device: str = limited("auto", "device", choices=DEVICES)
    effects: ScannerEffects = field(default_factory=ScannerEffects)

    @property
    def added(self) -> str:
        """Noise and scanner effects in a few words: ``SNR 30, slices 5 mm axial, seed 1``; empty for an ideal image."""
        if self.snr is None and not self.effects.any:
            return ""
        noise = "" if self.snr is None else f"SNR {self.snr:g}"
        return ", ".join(filter(None, (noise, self.effects.title, f"seed {self.seed}")))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """As :meth:`Order.from_json`."""
        protocol, null = protocol_from_json(values.get("protocol")), tuple(values.get("null", ()))
        effects = ScannerEffects.from_json(values.get("effects", {}))
        return super().from_json({**values, "protocol": protocol, "null": null, "effects": effects})


def protocol_from_json(value: Any) -> Any:
    """A protocol that was a text or a Protocol when the order was written."""
    return Protocol.from_json(value) if isinstance(value, Mapping) else value
