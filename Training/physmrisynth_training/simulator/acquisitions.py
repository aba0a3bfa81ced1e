"""The test acquisitions by name: what a head of known maps looks like to a fit."""

from __future__ import annotations

import numpy as np

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image

from .oasis3 import oasis3_scans
from .standard_acquisition import NOISE, PROTOCOLS, standard_acquisition

STANDARD, OASIS3, OASIS3_HEADERS = "standard", "oasis3", "oasis3-headers"
ACQUISITIONS = {
    STANDARD: "three protocols that are exactly true, unknown gains, receive fields of ±20 %.",
    OASIS3: (
        "protocols by the proportions of OASIS-3, stated as they were run; magnetisation transfer, imperfect inversions, a transmit field "
        "and T2* unknown to the fit."
    ),
    OASIS3_HEADERS: (
        "as oasis3, but the fit gets only the header's TR, TE and TI: train lengths are assumed, echo times of variable-flip "
        "trains nominal, some inversion times missing."
    ),
}


def inputs_of(head: KnownHead, rng: np.random.Generator, noise: float = NOISE, acquisition: str = STANDARD) -> tuple[Acquisition, ...]:
    """T1w, T2w and FLAIR of a head by one of the ACQUISITIONS; ``noise`` relative to an image's 99th percentile."""
    if acquisition == STANDARD:
        images = standard_acquisition(head.maps, rng, noise=noise)
        return tuple(Acquisition(name, volume_from_image(image), PROTOCOLS[name]) for name, image in images.items())
    scans = oasis3_scans(head, rng, noise, from_headers=acquisition == OASIS3_HEADERS)
    return tuple(scan.input for scan in scans.values())
