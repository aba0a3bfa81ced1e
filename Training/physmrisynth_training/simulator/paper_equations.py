"""The paper's signal equations (Lüpke et al., Eq. 1), at gain 1 as for its images."""

from __future__ import annotations

import numpy as np

from PhysMRISynthLib.imaging.intake.acquisition import CONVENTIONAL_ECHO_TIME
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table


def as_published(protocol: Protocol) -> Protocol:
    """A protocol with the paper's equation of its family: no readout train, neither flip angle nor echo time in an MPRAGE.

    Families outside the paper keep their own equation.
    """
    name, values = protocol.sequence.name, protocol.values
    if name == "mprage":
        return Protocol.of("mprage_simple", "published equation", TR=values["TR"], TI=values["TI"])
    echo_time = CONVENTIONAL_ECHO_TIME if name.startswith("space") else values.get("TE", 0.0)
    if name in ("se", "tse", "space"):
        return Protocol.of("tse", "published equation", TR=values["TR"], TE=echo_time, L=0.0)
    if name == "space_flair":
        return Protocol.of("flair", "published equation", TR=values["TR"], TE=echo_time, TI=values["TI"], L=0.0)
    if name in ("ir", "flair", "stir"):
        return protocol.changed("published equation", L=0.0)
    return protocol


def brightest_tissue(protocol: Protocol, field_strength: float) -> float:
    """Signal at gain 1 of the brightest brain tissue of the literature."""
    theta = np.stack([tissue.theta for tissue in tissue_table(field_strength) if tissue.region == "brain"], axis=1)
    return float(np.abs(protocol.signal(*np.exp(theta))).max())


def published_gain(protocol: Protocol, field_strength: float) -> float:
    """Brightness of the paper's equation over the protocol's own: an MPRAGE's lacks the sine of its small flip angle."""
    return brightest_tissue(as_published(protocol), field_strength) / brightest_tissue(protocol, field_strength)
