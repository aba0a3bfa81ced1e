"""A patient's head as the estimate sees it: the inputs on one grid, and where the atlas lies in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...imaging.head.alignment import Alignment
from ...imaging.head.atlas import AtlasPlacement
from ...imaging.intake.acquisition import Acquisition
from .head_voxels import HeadVoxels


@dataclass(frozen=True)
class StrongField:
    """``strength``: ratio of the 95th and 5th percentile in the brain; ``field`` on the estimate's grid, about 1 in the brain."""

    strength: float
    field: sitk.Image


@dataclass(frozen=True)
class AlignedInputs:
    """The inputs of an estimate on one grid.

    Attributes
    ----------
    acquisitions
        What was measured, each with its protocol.
    reference
        The one whose head the others were moved to.
    field_strength
        Tesla.
    grid
        That of the maps.
    alignments
        By input, its image on the grid.
    mask
        True (z, y, x) in the head.
    """

    acquisitions: Sequence[Acquisition]
    reference: Acquisition
    field_strength: float
    grid: sitk.Image
    alignments: Mapping[str, Alignment]
    mask: np.ndarray


@dataclass(frozen=True)
class AlignedHead(AlignedInputs):
    """The inputs with the place of the atlas.

    Attributes
    ----------
    placement
        Of the atlas in the reference.
    fields
        By input, the receive fields that are too strong for the fit.
    voxels
        Those of the mask, with what is expected in them.
    """

    placement: AtlasPlacement
    fields: Mapping[str, StrongField]
    voxels: HeadVoxels

    @classmethod
    def of(cls, inputs: AlignedInputs, placement: AtlasPlacement, fields: Mapping[str, StrongField]) -> AlignedHead:
        """The head of aligned inputs."""
        return cls(**vars(inputs), placement=placement, fields=fields, voxels=HeadVoxels.inside(inputs.mask, inputs.grid, placement))
