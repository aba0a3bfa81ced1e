"""The test acquisitions by name: what a head of known maps looks like to a fit."""

from __future__ import annotations

import numpy as np

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.physics.protocol import Protocol

from .oasis3 import oasis3_scans
from .standard_acquisition import NOISE, PROTOCOLS, standard_acquisition

STANDARD, STANDARD_OFF, OASIS3, OASIS3_HEADERS = "standard", "standard-off", "oasis3", "oasis3-headers"
ACQUISITIONS = {
    STANDARD: "three protocols that are exactly true, unknown gains, receive fields of ±20 %.",
    STANDARD_OFF: "as standard, but protocols are stated slightly wrong: TR, TI by 2 %, TE 4 %, angle 5 %, echo spacing 8 %, train 25 %.",
    OASIS3: (
        "protocols by the proportions of OASIS-3, stated as they were run; magnetisation transfer, imperfect inversions, a transmit field "
        "and T2* unknown to the fit."
    ),
    OASIS3_HEADERS: (
        "as oasis3, but the fit gets only the header's TR, TE and TI: train lengths are assumed, echo times of variable-flip "
        "trains nominal, some inversion times missing."
    ),
}
_STATED_WRONG = {"TR": 0.02, "TI": 0.02, "TE": 0.04, "FA": 0.05, "ESP": 0.08, "L": 0.25}
"""Log-normal SD of each parameter of ``standard-off``."""


def inputs_of(head: KnownHead, rng: np.random.Generator, noise: float = NOISE, acquisition: str = STANDARD) -> tuple[Acquisition, ...]:
    """T1w, T2w and FLAIR of a head by one of the ACQUISITIONS; ``noise`` relative to an image's 99th percentile."""
    if acquisition in (STANDARD, STANDARD_OFF):
        images = standard_acquisition(head.maps, rng, noise=noise)
        stated = PROTOCOLS if acquisition == STANDARD else {name: _stated_wrong(protocol, rng) for name, protocol in PROTOCOLS.items()}
        return tuple(Acquisition(name, volume_from_image(image), stated[name]) for name, image in images.items())
    scans = oasis3_scans(head, rng, noise, from_headers=acquisition == OASIS3_HEADERS)
    return tuple(scan.input for scan in scans.values())


def _stated_wrong(protocol: Protocol, rng: np.random.Generator) -> Protocol:
    """A protocol with every parameter a little off."""
    wrong = {name: value * np.exp(rng.normal(0.0, _STATED_WRONG[name])) for name, value in protocol.values.items() if name in _STATED_WRONG}
    return protocol.changed("stated slightly wrong", **wrong)
