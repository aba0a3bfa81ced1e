"""The conditioning vector of the encoder, from an input's protocol."""

from __future__ import annotations

import numpy as np

from ..physics.protocol import Protocol
from ..physics.tissues import tissue_table

NETWORK_SEQUENCES = ("mprage", "mprage_simple", "se", "tse", "ir", "flair", "stir", "psir", "dir", "spgr", "bssfp", "mp2rage")
"""The sequences that networks know by name; their order is part of every file of weights."""
_STANDS_FOR = {"tse_rf": "tse", "space": "tse", "space_flair": "flair"}
"""Sequences added later, by the one that they resemble. Others have no name: the expected signals describe them."""
_VARIABLE_FLIP, _VARIABLE_FLIP_TE = ("space", "space_flair"), 95.0
"""The echo time of a train of variable angles is nominal: networks get the effective one (ms)."""
_SCALES = {"TR": 1000.0, "TE": 50.0, "TI": 1000.0}
_UNITS = len(_SCALES) + 2
EVIDENCE = ("white_matter", "cortex", "csf", "fat", "muscle", "bone")
"""Tissues whose expected signal the encoder compares with every voxel: the extremes between which the others lie."""
EVIDENCE_POSITIONS = tuple(len(NETWORK_SEQUENCES) + _UNITS + [t.name for t in tissue_table()].index(name) for name in EVIDENCE)
"""Positions of their expected signals in the conditioning vector."""
CONDITION_SIZE = len(NETWORK_SEQUENCES) + _UNITS + len(tissue_table())


def protocol_condition(protocol: Protocol, field_strength: float) -> np.ndarray:
    """The conditioning vector (CONDITION_SIZE,), float32, of one input.

    The sequence (one of NETWORK_SEQUENCES), log TR, log TE, log TI (0 where the sequence has none), flip angle, field strength in tesla;
    and the contrast by the equation: the signal of every tissue of the table, relative to the brightest of the brain, so that
    the network generalises to protocols outside its training.
    """
    own = protocol.sequence.name
    family = np.array([name == _STANDS_FOR.get(own, own) for name in NETWORK_SEQUENCES], dtype=float)
    values = {**protocol.values}
    if own in _VARIABLE_FLIP:
        values["TE"] = _VARIABLE_FLIP_TE
    values.setdefault("TI", values.get("TI1", 0.0))
    times = [np.log1p(values.get(name, 0.0) / scale) for name, scale in _SCALES.items()]
    flip_angle = values.get("FA", values.get("FA1", 90.0)) / 90.0
    table = tissue_table(field_strength)
    signals = protocol.signal(*np.exp(np.stack([tissue.theta for tissue in table], axis=1)))
    brain = [row for row, tissue in enumerate(table) if tissue.region == "brain"]
    contrast = np.clip(signals / np.abs(signals[brain]).max(), -2.0, 2.0)
    return np.concatenate([family, times, [flip_angle, field_strength / 3.0], contrast]).astype(np.float32)
