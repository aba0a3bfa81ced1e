"""The errors that all voxels of a head share, as data: what an estimate's report says of them, and reading it again.

Gains and a head's own tissue values are fitted once for the whole head. Their errors do not average out over a region, so that the mean of
a thousand voxels is hardly better known than one of them. A voxel errs by (I − K·J)·δθ − K·m·δlog g with its tissue's value error δθ and
the gains' errors δlog g. Tissue means are measured over so many voxels that J·δθ + m·δlog g = 0 but for their own noise, and what is left
is δθ: a voxel shares the error of its tissue's value. To the covariance of the head's tissue values comes what the receive fields leave,
which is alike over centimetres and not the same at two visits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ImageError
from ...fitting.tissue_level import brain_rows, literature_level
from ...physics.tissues import PROPERTIES, tissue_table
from .calibration import sd_factors

if TYPE_CHECKING:
    from .estimate import Estimate

KEY = "shared_errors"
"""Of the entry in a report."""
_FIELDS = "fields_log_covariance"


@dataclass(frozen=True)
class SharedErrors:
    """``covariance`` (3·tissues, 3·tissues) of the errors of log PD, log T1 and log T2, tissue after tissue, that all voxels of a head
    share with their tissue's values; ``prior`` (alike) is that of the literature's values before any image was seen, and ``fields`` (alike)
    that of the errors that the receive fields leave."""

    tissues: tuple[str, ...]
    covariance: np.ndarray
    prior: np.ndarray
    fields: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Covariance of all that a tissue's voxels share."""
        return self.covariance + self.fields

    def variance(self, shares: np.ndarray, quantity: str) -> float:
        """Of the log mean of a quantity ("PD", "T1", "T2") over voxels of which ``shares`` (tissues,) belong to each tissue.

        Shares may be negative: those of one region minus those of another give the variance of the difference.
        """
        rows = np.arange(len(self.tissues)) * len(PROPERTIES) + PROPERTIES.index(quantity)
        return float(max(0.0, shares @ self.total[np.ix_(rows, rows)] @ shares))

    def deviation(self, quantity: str) -> np.ndarray:
        """Log-SD of the shared error of a quantity in each tissue (tissues,)."""
        return np.sqrt(np.diag(self.total)[PROPERTIES.index(quantity) :: len(PROPERTIES)])

    def of_difference(self, other: SharedErrors) -> SharedErrors:
        """What is left in the difference of two estimates of one person.

        Both are pulled to the same literature values by K = covariance · prior⁻¹ of this person's distance from them, which is the same
        at both visits; what the images' noise adds and what the receive fields leave is each visit's own.
        """
        if other.tissues != self.tissues:
            raise ImageError("The maps of the two visits have different tissues. Estimate both with one version.")
        pulls = [np.linalg.solve(e.prior, e.covariance).T for e in (self, other)]
        own = sum(e.covariance - pull @ e.prior @ pull.T for e, pull in zip((self, other), pulls, strict=True))
        apart = pulls[0] - pulls[1]
        left = own + apart @ ((self.prior + other.prior) / 2.0) @ apart.T
        values, vectors = np.linalg.eigh((left + left.T) / 2.0)
        return SharedErrors(self.tissues, (vectors * np.maximum(values, 0.0)) @ vectors.T, self.prior, self.fields + other.fields)

    def report(self) -> dict[str, Any]:
        """As JSON values, which :func:`shared_errors_of` reads back."""
        percent = {
            tissue: {name: round(100.0 * float(self.deviation(name)[row]), 2) for name in PROPERTIES}
            for row, tissue in enumerate(self.tissues)
        }
        matrices = {"log_covariance": self.covariance, "prior_log_covariance": self.prior, _FIELDS: self.fields}
        rounded = {name: [[float(f"{value:.5g}") for value in row] for row in matrix] for name, matrix in matrices.items()}
        return {"sd_percent": percent, "tissues": list(self.tissues), "quantities": list(PROPERTIES), **rounded}


def shared_errors(estimate: Estimate) -> SharedErrors:
    """Of an estimate: the covariance of its head level's tissue values, calibrated as the SD maps are."""
    brain = [tissue for tissue in tissue_table(estimate.head.field_strength) if tissue.region == "brain"]
    size = len(brain) * len(PROPERTIES)
    factors = np.tile(sd_factors(len(estimate.inputs)), len(brain))
    covariance = np.asarray(estimate.head.level.covariance, dtype=float)[:size, :size]
    prior = literature_level(np.zeros(0), (), {}, estimate.head.field_strength).covariance
    scale = np.outer(factors, factors)
    fields = np.zeros_like(covariance)
    for place, row in enumerate(brain_rows()):
        own = slice(len(PROPERTIES) * place, len(PROPERTIES) * (place + 1))
        fields[own, own] = estimate.head.classes.extra[row] - covariance[own, own]
    return SharedErrors(tuple(tissue.name for tissue in brain), covariance * scale, prior * scale, fields * scale)


def shared_errors_of(report: Mapping[str, Any]) -> SharedErrors | None:
    """What a report says, or None where it says nothing (sampled or measured maps). Raises ImageError when the entry is damaged."""
    if KEY not in report:
        return None
    try:
        entry = report[KEY]
        tissues = tuple(str(name) for name in entry["tissues"])
        matrices = [np.array(entry[name], dtype=float) for name in ("log_covariance", "prior_log_covariance")]
        matrices.append(np.array(entry[_FIELDS], dtype=float) if _FIELDS in entry else np.zeros_like(matrices[0]))
        usable = entry["quantities"] == list(PROPERTIES) and all(_is_covariance(matrix, tissues) for matrix in matrices)
    except (LookupError, TypeError, ValueError):
        usable = False
    if not usable:
        raise ImageError(f"The entry {KEY} of the maps' report is damaged. Restore report.json, or estimate the maps again.")
    return SharedErrors(tissues, *matrices)


def _is_covariance(matrix: np.ndarray, tissues: Sequence[str]) -> bool:
    size = len(tissues) * len(PROPERTIES)
    if not tissues or matrix.shape != (size, size) or not np.isfinite(matrix).all():
        return False
    known = {tissue.name for tissue in tissue_table()}
    scale = float(np.abs(matrix).max())
    symmetric = np.abs(matrix - matrix.T).max() <= 1e-3 * scale
    return set(tissues) <= known and bool(symmetric) and float(np.linalg.eigvalsh((matrix + matrix.T) / 2).min()) >= -1e-2 * scale
