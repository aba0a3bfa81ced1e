"""The protocol in the parameter node: sequence, preset and values, which may contradict each other while a user is at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import slicer

from ..errors import ProtocolError
from ..mrml.orders import orderOf
from ..physics.contrast import TissuePoint
from ..physics.presets import Preset, adapted, all_presets
from ..physics.protocol import Protocol, parse_protocol
from ..physics.sequences import OWN_SEQUENCES, SEQUENCES, Sequence, sequence_named
from ..workflow.rendering.live import Noise
from ..workflow.rendering.scanner_effects import ScannerEffects

FIRST_PRESET = "synthetic-flair"
"""What the panel starts with."""


@dataclass(frozen=True)
class ProtocolState:
    """``preset`` is empty for values of the user's own; ``values`` in ms and degrees."""

    sequence: str
    preset: str
    values: Mapping[str, float]

    @classmethod
    def ofPreset(cls, name: str, points: Mapping[str, TissuePoint] | None = None) -> ProtocolState:
        """A preset's values: what it nulls is nulled in the head of these ``points``; without them, or where it cannot be, in the tissue
        table's."""
        preset = all_presets()[name]
        protocol = preset.protocol if points is None else _solved(preset, points)
        return cls(protocol.sequence.name, name, dict(protocol.values))

    @classmethod
    def ofSequence(cls, name: str, points: Mapping[str, TissuePoint] | None = None) -> ProtocolState:
        """A sequence's first preset, or its defaults where it has none."""
        named = next((preset.name for preset in all_presets().values() if preset.protocol.sequence.name == name), None)
        return cls.ofPreset(named, points) if named else cls(name, "", dict(Protocol.of(name).values))

    @classmethod
    def ofSpec(cls, spec: str) -> ProtocolState:
        """The values of ``sequence,TR=…``. Raises ProtocolError for what cannot be understood."""
        protocol = parse_protocol(spec, "panel")
        return cls(protocol.sequence.name, "", dict(protocol.values))

    @classmethod
    def read(cls, parameters: Any) -> ProtocolState:
        """What the parameter node says; what cannot be understood is the first preset."""
        try:
            values = {name: float(value) for name, value in json.loads(parameters.values or "{}").items()}
        except (ValueError, TypeError, AttributeError):
            return cls.ofPreset(FIRST_PRESET)
        if parameters.sequence not in (*SEQUENCES, *OWN_SEQUENCES) or not values:
            return cls.ofPreset(parameters.preset if parameters.preset in all_presets() else FIRST_PRESET)
        return cls(parameters.sequence, parameters.preset, values)

    def write(self, parameters: Any) -> None:
        """Put it into the parameter node, as one change."""
        with slicer.util.NodeModify(parameters):
            parameters.sequence, parameters.preset = self.sequence, self.preset
            parameters.values = json.dumps(dict(self.values))

    def changed(self, name: str, value: float) -> ProtocolState:
        """With another value, which makes it the user's own."""
        return ProtocolState(self.sequence, "", {**self.values, name: value})

    @property
    def equation(self) -> Sequence:
        """The sequence itself."""
        return sequence_named(self.sequence)

    def protocol(self) -> Protocol:
        """The protocol. Raises ProtocolError when values contradict each other."""
        return Protocol.of(self.sequence, "panel", **self.values)


def noiseOf(parameters: Any) -> Noise | None:
    """The noise that the parameter node asks for, or None."""
    return Noise(parameters.snr, parameters.noiseSeed) if parameters.noisy else None


EFFECTS = ("receiveField", "sliceThickness", "ringing", "motion")
"""The scanner effects in the parameter node; 0: none."""


def effectsOf(parameters: Any) -> ScannerEffects:
    """The scanner effects that the parameter node asks for."""
    return orderOf(ScannerEffects, **{name: getattr(parameters, name) for name in EFFECTS})


def _solved(preset: Preset, points: Mapping[str, TissuePoint]) -> Protocol:
    try:
        return adapted(preset, points)
    except ProtocolError:
        return preset.protocol
