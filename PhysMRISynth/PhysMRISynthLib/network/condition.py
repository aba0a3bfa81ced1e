"""What the encoder is told about an input's protocol."""

from __future__ import annotations

import numpy as np

from ..physics.protocol import Protocol
from ..physics.sequences import SEQUENCES
from ..physics.tissues import tissue_table

_SCALES = {"TR": 1000.0, "TE": 50.0, "TI": 1000.0}
_UNITS = len(_SCALES) + 2
EVIDENCE = ("white_matter", "cortex", "csf", "fat", "muscle", "bone")
"""Tissues whose expected brightness the encoder compares with every voxel's: the poles between which the others lie."""
EVIDENCE_POSITIONS = tuple(len(SEQUENCES) + _UNITS + [t.name for t in tissue_table()].index(name) for name in EVIDENCE)
"""Where their expected signals stand in the conditioning vector."""
CONDITION_SIZE = len(SEQUENCES) + _UNITS + len(tissue_table())


def protocol_condition(protocol: Protocol, field_strength: float) -> np.ndarray:
    """The conditioning vector (CONDITION_SIZE,), float32, of one input.

    The sequence (one of SEQUENCES), log TR, log TE, log TI (0 where the sequence has none), flip angle, field strength in tesla; and
    the equation's own word on the contrast: the signal of every tissue of the table, relative to the brightest of the brain, so that
    a protocol never seen in training is not a stranger.
    """
    family = np.array([name == protocol.sequence.name for name in SEQUENCES], dtype=float)
    values = {**protocol.values}
    values.setdefault("TI", values.get("TI1", 0.0))
    times = [np.log1p(values.get(name, 0.0) / scale) for name, scale in _SCALES.items()]
    flip_angle = values.get("FA", values.get("FA1", 90.0)) / 90.0
    table = tissue_table(field_strength)
    signals = protocol.signal(*np.exp(np.stack([tissue.theta for tissue in table], axis=1)))
    brain = [row for row, tissue in enumerate(table) if tissue.region == "brain"]
    contrast = np.clip(signals / np.abs(signals[brain]).max(), -2.0, 2.0)
    return np.concatenate([family, times, [flip_angle, field_strength / 3.0], contrast]).astype(np.float32)
