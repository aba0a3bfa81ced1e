"""Volumes of the brain and its tissues in ml, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError, RegistrationError
from ...imaging.head.head_volumes import LESION, PARENCHYMA
from ...imaging.head.tissue_labels import rows_of, tissue_labels
from ...imaging.head.ventricles import ventricle_mask
from ...physics.tissues import tissue_table
from .map_set import MapSet
from .tissue_fractions import BRAIN_ROWS, Fractions, brain_of, tissue_fractions

_NAMES = [tissue.name for tissue in tissue_table()]
RELATIVE_SD = {
    "intracranial": 0.02, "brain": 0.02, "white_matter": 0.03, "cortical_grey": 0.05, "deep_grey": 0.08, "csf": 0.05, "ventricles": 0.05,
    "lesions": 0.30,
}  # fmt: skip
"""Relative error of each volume, from simulated heads of known volumes (docs/tissues.md): for good scans of the whole head."""


@dataclass(frozen=True)
class Volume:
    """A volume in ``ml`` with its uncertainty; ``title`` for readers."""

    name: str
    title: str
    ml: float
    sd_ml: float


@dataclass(frozen=True)
class BrainVolumes:
    """``volumes`` by name, and brain tissue in per cent of the intracranial space (brain parenchymal fraction) with its SD."""

    volumes: dict[str, Volume]
    parenchymal_percent: float
    parenchymal_sd: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be measured, and why."""
        return () if "ventricles" in self.volumes else (_NO_VENTRICLES,)


_NO_VENTRICLES = "The brain was not found in the atlas: ventricles were not measured. Check that the maps show a whole brain, upright."
_TITLES = {
    "intracranial": "Intracranial space", "brain": "Brain tissue without fluid", "white_matter": "White matter",
    "cortical_grey": "Cortical grey matter", "deep_grey": "Deep grey matter and thalamus", "csf": "Cerebrospinal fluid",
    "ventricles": "Ventricles", "lesions": "Lesions",
}  # fmt: skip


def brain_volumes(head: MapSet) -> BrainVolumes:
    """Volumes of a head from its maps and its tissue labels; each voxel counts with its fractions of white matter, grey matter and fluid,
    at the brain's surface with that part of it which is brain.

    Lesions are counted where the network marked some; ventricles are left out where the brain is not found in the atlas. Raises ImageError
    when there is no label map of the tissues, or no brain in it.
    """
    tissue, brain, fractions = fractions_of(head)
    voxel_ml = float(np.prod(head.maps.grid.GetSpacing())) / 1000.0
    by_row = dict(zip(BRAIN_ROWS, fractions.values.sum(axis=1, dtype=np.float64) * voxel_ml, strict=True))
    fluid = fractions.of(_NAMES.index("csf"))
    inside = _ventricles(tissue, brain, fluid, head)
    ml = {
        "intracranial": sum(by_row.values()),
        "brain": sum(by_row[row] for row in PARENCHYMA),
        "white_matter": by_row[_NAMES.index("white_matter")] + by_row[LESION],
        "cortical_grey": by_row[_NAMES.index("cortex")],
        "deep_grey": by_row[_NAMES.index("deep_grey")] + by_row[_NAMES.index("thalamus")],
        "csf": by_row[_NAMES.index("csf")],
        "lesions": by_row[LESION],
    }
    if inside is not None:
        ml["ventricles"] = float(fluid[inside].sum(dtype=np.float64)) * voxel_ml
    volumes = {name: Volume(name, title, ml[name], RELATIVE_SD[name] * ml[name]) for name, title in _TITLES.items() if name in ml}
    percent = 100.0 * ml["brain"] / ml["intracranial"]
    return BrainVolumes(volumes, percent, percent * RELATIVE_SD["brain"])


def volume_rows(found: BrainVolumes) -> list[dict[str, Any]]:
    """A row for each volume, and one for the parenchymal fraction."""
    rows = [{"name": v.name, "title": v.title, "value": v.ml, "sd": v.sd_ml, "unit": "ml"} for v in found.volumes.values()]
    fraction = {"value": found.parenchymal_percent, "sd": found.parenchymal_sd, "unit": "%"}
    return [*rows, {"name": "parenchymal_fraction", "title": "Brain parenchymal fraction", **fraction}]


def _ventricles(tissue: np.ndarray, brain: np.ndarray, fluid: np.ndarray, head: MapSet) -> np.ndarray | None:
    try:
        return ventricle_mask(tissue, brain, fluid, head.maps.grid)
    except RegistrationError:
        return None


def fractions_of(head: MapSet) -> tuple[np.ndarray, np.ndarray, Fractions]:
    """Rows of the tissue table and the brain mask (z, y, x), and the fractions. Raises ImageError."""
    if head.labels is None:
        raise ImageError("The maps have no label map of the tissues (tissues.nii.gz). Estimate them again with this version.")
    tissue, brain = rows_of(head.labels), brain_of(head.labels)
    if not brain.any():
        raise ImageError("The label map of the tissues has no brain. Estimate the maps again.")
    return tissue, brain, tissue_fractions(head.maps, tissue, brain, head.field_strength)


def probability_maps(head: MapSet) -> Mapping[str, sitk.Image]:
    """The fraction of every brain tissue in each voxel, float32 from 0 to 1, by its name; at the brain's surface they add up to the part of
    the voxel that is brain. Raises ImageError where the maps have no label map of the tissues."""
    _tissue, _brain, fractions = fractions_of(head)
    names = {label.index - 1: label.name for label in tissue_labels()}
    return {names[row]: head.maps.image(fractions.of(row)) for row in BRAIN_ROWS}
