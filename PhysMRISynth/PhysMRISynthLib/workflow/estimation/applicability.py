"""Whether the inputs are such as the method is made for: a score of what speaks against it, and in words what a user must know."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...fitting.check import LARGEST_GOOD_RESIDUAL, FitCheck
from ...imaging.head.atlas import LEAST_LIKENESS
from ...imaging.intake.acquisition import Acquisition
from .verdict import Cause, Level, Reason

if TYPE_CHECKING:
    from ...network.familiarity import Distances

_MOST_NEGATIVE = 0.05
"""Share of an image's signal that may lie below zero: interpolation leaves less than a hundredth."""
ALL = "all"
"""Instead of an input's name: all of them together."""
_KNOWN = "heads of adults in MR images without tumour, operation or contrast agent, some with white-matter lesions"


@dataclass(frozen=True)
class Applicability:
    """``parts``: by kind, then by input or ALL, a number that is 1 at its limit and 0 at best; ``reasons`` in words for the parts that no
    other check words."""

    parts: Mapping[str, Mapping[str, float]]
    reasons: tuple[Reason, ...]

    @property
    def score(self) -> float:
        """The worst of all parts: above 1, the inputs or what was made of them are not what the method is for (infinite: no brain)."""
        return max((value for part in self.parts.values() for value in part.values()), default=0.0)


def assess(
    acquisitions: Sequence[Acquisition], checks: Mapping[str, FitCheck], likeness: float, distances: Distances | None
) -> Applicability:
    """Judge the inputs by their voxels, by how well the maps explain them, by the reference's ``likeness`` to the atlas and, where a
    network with statistics was used, by its ``distances`` to the heads that it was trained on."""
    residuals = {name: check.rms_percent / LARGEST_GOOD_RESIDUAL for name, check in checks.items()}
    parts = {
        "negative_signal": {a.name: _negative_share(a) / _MOST_NEGATIVE for a in acquisitions if not a.protocol.sequence.signed},
        "fit_residual": {name: value if math.isfinite(value) else math.inf for name, value in residuals.items()},
        "unlike_atlas": {ALL: (1.0 - likeness) / (1.0 - LEAST_LIKENESS)},
    }
    if distances is not None:
        together = {} if distances.together is None else {ALL: distances.together}
        parts["latent_distance"] = dict(zip((a.name for a in acquisitions), distances.inputs, strict=True)) | together
        parts["tissue_distance"] = {ALL: distances.tissues}
    return Applicability(parts, tuple(_reasons(parts)))


def _negative_share(acquisition: Acquisition) -> float:
    """How much of an image's absolute signal is below zero."""
    voxels = acquisition.volume.voxels
    total = float(np.abs(voxels).sum(dtype=np.float64))
    return (total - float(voxels.sum(dtype=np.float64))) / (2.0 * total) if total else 0.0


def _reasons(parts: Mapping[str, Mapping[str, float]]) -> Iterator[Reason]:
    for name, share in parts["negative_signal"].items():
        if share > 1.0:
            text = (
                f"{100 * _MOST_NEGATIVE * share:.0f} % of the signal is below zero, which a magnitude MR image does not have. "
                "Check that it is no CT and that its intensities were not shifted or normalised; give it as the scanner made it."
            )
            yield Reason(Cause.IMAGES, Level.DO_NOT_USE, text, name)
    latents = parts.get("latent_distance", {})
    strange = [f"{name} ({value:.1f} times the limit)" for name, value in latents.items() if value > 1.0 and name != ALL]
    if not strange and latents.get(ALL, 0.0) > 1.0:
        strange = [f"the inputs together ({latents[ALL]:.1f} times the limit)"]
    if strange:
        text = (
            f"Unlike the images that the network was trained on: {', '.join(strange)}. It knows {_KNOWN}. Check that the input is such an "
            "image and that its protocol is right, and compare with the literature prior before use."
        )
        yield Reason(Cause.ANATOMY, Level.CAUTION, text)
    if (value := parts.get("tissue_distance", {}).get(ALL, 0.0)) > 1.0:
        text = (
            f"The tissues that the network found have amounts, shapes or a certainty unlike those of its training ({value:.1f} times the "
            f"limit). It knows {_KNOWN}. Check that the images show a whole head and what they are, and compare with the literature prior."
        )
        yield Reason(Cause.ANATOMY, Level.CAUTION, text)
