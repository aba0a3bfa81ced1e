"""What a user must know of inputs that do not show all of the brain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...imaging.head.alignment import Alignment
from .verdict import Cause, Level, Reason

_WORTH_TELLING = 0.01
_CUT = 0.05
"""The atlas's brain differs from this one by up to a few per cent at its edges."""


def coverage_reasons(alignments: Mapping[str, Alignment], brain: np.ndarray, outside: float) -> Iterator[Reason]:
    """Reasons for inputs without data in part of the ``brain`` mask (z, y, x), and for maps that a share ``outside`` of it lies beyond."""
    if outside > _CUT:
        text = f"About {100 * outside:.0f} % of the brain lies outside the maps: the reference does not show it. Medians are of the rest."
        yield Reason(Cause.IMAGES, Level.CAUTION, text)
    for name, alignment in alignments.items():
        share = float((brain & ~alignment.covered).sum()) / max(1, int(brain.sum()))
        if share > _WORTH_TELLING:
            text = f"{100 * share:.0f} % of the brain is not in this image; the maps rest on the other inputs there (see the SDs)."
            yield Reason(Cause.IMAGES, Level.CAUTION, text, name)
