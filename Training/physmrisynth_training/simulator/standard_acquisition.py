"""The standard test acquisition: scans of known PD, T1 and T2 with unknown gains and receive fields, for comparable figures.

Tissue values are those of the 3 T table times log-normal factors of SD 3, 6 and 8 % (PD, T1, T2) per head and tissue, with a texture of
SD 2 %; MPRAGE, T2w TSE and FLAIR TSE; one gain per image (log-normal, SD 50 %), receive field ±20 %, Rician noise of 1 % of the image's
99th percentile.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.noise import add_noise, receive_field
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table

from .labels import tissue_index

PROTOCOLS = {
    "t1w": Protocol.of("mprage", "standard test", TR=2400, TI=1000, TE=3.16, FA=8, ESP=7.6, N=176),
    "t2w": Protocol.of("tse", "standard test", TR=4500, TE=100, L=150),
    "flair": Protocol.of("flair", "standard test", TR=9000, TE=90, TI=2500, L=150),
}
HEAD_SPREAD = np.array([0.03, 0.06, 0.08])
TEXTURE = 0.02
GAIN_SPREAD = 0.5
FIELD = 0.2
NOISE = 0.01
INFORMATION_BOUND = {
    "white_matter": (1.8, 2.5, 1.5),
    "cortex": (1.6, 1.4, 1.8),
    "deep_grey": (1.6, 1.6, 1.6),
    "thalamus": (1.6, 1.8, 1.6),
    "csf": (1.3, 0.2, 20.0),
}
"""Lower bound of the median absolute error in % (PD, T1, T2) by a linear-Gaussian analysis of three inputs with unknown gains."""


def known_head(labels: sitk.Image, rng: np.random.Generator, field_strength: float = 3.0) -> KnownHead:
    """Maps of a label map (FreeSurfer-style numbers) with tissue values sampled around the table's."""
    tissue = tissue_index(sitk.GetArrayFromImage(labels).astype(np.int32))
    table = tissue_table(field_strength)
    theta = np.stack([t.theta + rng.normal(0.0, HEAD_SPREAD) for t in table]).astype(np.float32)
    pd, t1, t2 = (np.exp(theta[tissue, j] + TEXTURE * rng.standard_normal(tissue.shape, dtype=np.float32)) for j in range(3))
    mask = tissue != [t.name for t in table].index("air")
    return KnownHead(TissueMaps(pd, t1, t2, mask=mask, grid=labels, provenance={"source": "simulated"}), tissue)


def standard_acquisition(
    maps: TissueMaps, rng: np.random.Generator, protocols: Mapping[str, Protocol] = PROTOCOLS, noise: float = NOISE
) -> dict[str, sitk.Image]:
    """Images of ``maps`` under each protocol, in units of an unknown gain; ``noise`` relative to the 99th percentile."""
    return {name: as_scanned(protocol.signal(maps.pd, maps.t1, maps.t2), maps, rng, noise) for name, protocol in protocols.items()}


def as_scanned(clean: np.ndarray, maps: TissueMaps, rng: np.random.Generator, noise: float = NOISE) -> sitk.Image:
    """A noise-free image (z, y, x) of ``maps`` with a receive field, in units of an unknown gain and with noise."""
    clean = clean * receive_field(maps.pd.shape, maps.grid.GetSpacing()[::-1], FIELD, rng)
    gain = 300.0 * np.exp(rng.normal(0.0, GAIN_SPREAD)) / np.percentile(clean, 99)
    scaled = (clean * gain).astype(np.float32)
    return maps.image(add_noise(scaled, noise * np.percentile(scaled, 99), rng))
