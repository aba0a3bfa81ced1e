"""Simulated scans of known tissue maps: noise, an unknown gain and a receive field per image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...imaging.tissue_maps import TissueMaps
from ...physics.noise import add_noise, receive_field, sigma_for_snr
from ...physics.protocol import Protocol
from .render import render_arrays

BRIGHTEST = 1000.0
"""The 99th percentile of a simulated image before its gain, about a scanner's range."""


def simulate(maps: TissueMaps, protocols: Mapping[str, Protocol], snr: float, field: float, seed: int) -> dict[str, np.ndarray]:
    """Images (z, y, x), float32, of ``maps`` under each protocol.

    ``snr`` relates the 99th percentile to the noise SD; ``field`` is the receive field's largest log deviation (0.2: about ±20 %);
    each image has its own gain (log-normal, SD 50 %), field and noise, all determined by ``seed``.
    """
    rng = np.random.default_rng(seed)
    images = {}
    for name, protocol in protocols.items():
        clean = render_arrays(protocol, maps.pd, maps.t1, maps.t2)
        if protocol.sequence.uses_pd:
            clean *= receive_field(clean.shape, maps.grid.GetSpacing()[::-1], field, rng)
            clean *= np.float32(BRIGHTEST * np.exp(rng.normal(0.0, 0.5)) / np.percentile(np.abs(clean[maps.mask]), 99))
        sigma = sigma_for_snr(np.percentile(np.abs(clean[maps.mask]), 99), snr)
        images[name] = add_noise(clean, sigma, rng, signed=protocol.sequence.signed)
    return images
