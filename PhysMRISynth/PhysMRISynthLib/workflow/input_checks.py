"""Inputs that no scanner made: a segmentation in place of a scan, and one scan in two places; and maps without values."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..errors import EstimationError
from ..imaging.acquisition import Acquisition
from ..imaging.tissue_maps import TissueMaps
from ..imaging.volumes import same_grid

_PIECEWISE = 0.3
"""Share of voxels that equal the next one: noise leaves a scan of whole numbers a few hundredths, small lesions leave a mask 0.6."""
_MOST_LABELS = 300


def check_inputs(acquisitions: Sequence[Acquisition]) -> None:
    """Raise EstimationError for a segmentation or mask, and for two inputs that are the same image."""
    for a in acquisitions:
        if _is_segmentation(a.volume.voxels):
            raise EstimationError(f"{a.name} is a segmentation or a mask. Give the scan that it was made from.")
    for one, other in combinations(acquisitions, 2):
        if same_grid(one.volume.image, other.volume.image) and np.array_equal(one.volume.voxels, other.volume.voxels):
            raise EstimationError(f"{one.name} and {other.name} are the same image. Give each contrast its own, or leave one out.")


def check_maps(maps: TissueMaps) -> None:
    """Raise EstimationError where a map or its SD has no finite value somewhere in the head."""
    bad = np.zeros(maps.mask.shape, dtype=bool)
    for voxels in (maps.pd, maps.t1, maps.t2, *maps.sd.values()):
        bad |= ~np.isfinite(voxels)
    share = float((bad & maps.mask).sum()) / max(1, int(maps.mask.sum()))
    if share > 0.0:
        raise EstimationError(
            f"The fit found no values in {100 * share:.3g} % of the head. Look at the inputs for parts that are empty or of another scale, "
            "and leave out the input that has them."
        )


def _is_segmentation(voxels: np.ndarray) -> bool:
    """Whether an image (z, y, x) consists of patches of a few whole numbers."""
    here, following = voxels[..., :-1], voxels[..., 1:]
    shown = here != 0
    if not shown.any() or not np.array_equal(voxels, np.rint(voxels)):
        return False
    alike = float(np.mean(here[shown] == following[shown])) > _PIECEWISE
    return alike and np.unique(here[shown]).size <= _MOST_LABELS
