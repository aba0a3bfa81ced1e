"""The contrasts of the paper's Figure 3, by its own equations, and bright backgrounds in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from PhysMRISynthLib.imaging.intake.acquisition import CONVENTIONAL_ECHO_TIME
from PhysMRISynthLib.physics.equations import inversion_recovery, mprage_simple, turbo_spin_echo

MPRAGE, SPIN_ECHO, FLAIR = "MPRAGE", "spin echo", "FLAIR"
BRIGHT = 0.25
"""A background is bright from this share of the brain's mean signal on."""


@dataclass(frozen=True)
class Contrast:
    """One of the paper's signal equations (its Eq. 1) with TE, TR and TI in ms; ``ti`` is 0 in a spin echo."""

    family: str
    te: float
    tr: float
    ti: float = 0.0

    @property
    def title(self) -> str:
        """TE-TR-TI, as in the paper's Figure 3."""
        return "-".join(f"{value:g}" for value in (self.te, self.tr, self.ti) if value)

    def image(self, maps: np.ndarray) -> np.ndarray:
        """The magnitude image (…) of PD, T1 and T2 (3, …; ms) at gain 1; 0 where T1 or T2 is 0."""
        pd, t1, t2 = maps
        known = (t1 > 0) & (t2 > 0)
        r1, r2 = (1.0 / np.where(known, t, 1.0) for t in (t1, t2))
        return np.where(known, np.abs(pd * self._signal(r1, r2)), 0.0).astype(np.float32)

    def _signal(self, r1: np.ndarray, r2: np.ndarray) -> np.ndarray:
        if self.family == MPRAGE:
            return mprage_simple(r1, r2, TR=self.tr, TI=self.ti)
        if self.family == SPIN_ECHO:
            return turbo_spin_echo(r1, r2, TR=self.tr, TE=self.te, L=0.0)
        return inversion_recovery(r1, r2, TR=self.tr, TE=self.te, TI=self.ti, L=0.0)


COMMON = (Contrast(MPRAGE, 3, 2400, 1000), Contrast(SPIN_ECHO, CONVENTIONAL_ECHO_TIME, 3200), Contrast(FLAIR, 91, 9000, 2500))
"""The usual protocols of OASIS-3. Its T2w is a train with a nominal TE of 455 ms, which looks like a spin echo of this conventional one."""
UNSEEN = (
    Contrast(MPRAGE, 3, 100, 1000), Contrast(MPRAGE, 3, 2400, 500), Contrast(MPRAGE, 3, 2400, 250),
    Contrast(SPIN_ECHO, 800, 3200), Contrast(SPIN_ECHO, 200, 3200), Contrast(SPIN_ECHO, 450, 1000),
    Contrast(FLAIR, 450, 9000, 2500), Contrast(FLAIR, 91, 9000, 5000), Contrast(FLAIR, 500, 9000, 4000),
)  # fmt: skip
"""Protocols that no training image had: the nine of the authors' repository (github.com/sven-luepke/phy-ldm-mri)."""


def background_ratios(images: np.ndarray) -> np.ndarray:
    """Mean signal of the air over that of the brain, (N,), in images (N, y, x) with a centred head.

    Air is outside of the ellipse that touches the image's sides, where no head reaches; brain is inside of the one half as large.
    """
    rows, columns = (np.linspace(-1.0, 1.0, n) for n in images.shape[1:])
    radius = np.hypot(rows[:, None], columns)
    air, brain = (images[:, where].mean(axis=1) for where in (radius > 1.0, radius < 0.5))
    return air / np.maximum(brain, 1e-9)


def bright_backgrounds(maps: np.ndarray, contrasts: Sequence[Contrast] = (*COMMON, *UNSEEN)) -> Mapping[Contrast, int]:
    """How many of the slices with these maps (3, N, y, x) have a bright background, by contrast."""
    return {contrast: int((background_ratios(contrast.image(maps)) > BRIGHT).sum()) for contrast in contrasts}
