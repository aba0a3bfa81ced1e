"""Seeded, unlimited simulated scans of simulated heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .anatomy import ORIENTATION, AddLesions, DrawTissueValues, LabelledHead, PlaceHead, SplitTissues, find_label_maps, read_labelled_head
from .scanner import Acquire, Digitise, Misregister, ReceiveField, ScaleIntensity, StripSkull, SuppressFat, TransmitField
from .simulated_head import Chain, Sample


@dataclass(frozen=True)
class Simulator:
    """Samples of ``shape`` (z, y, x; 1 mm) from ``heads``; sample number ``index`` of a seed is always the same."""

    heads: tuple[LabelledHead, ...]
    lesion_masks: tuple[np.ndarray, ...]
    shape: tuple[int, int, int]
    seed: int = 0
    scanner: Chain = field(
        default_factory=lambda: Chain(
            (TransmitField(), Acquire(), SuppressFat(), Misregister(), StripSkull(), Digitise(), ReceiveField(), ScaleIntensity())
        )
    )

    def sample(self, index: int, shape: tuple[int, int, int] | None = None) -> Sample:
        """Sample number ``index``, of another ``shape`` when given."""
        rng = np.random.default_rng([self.seed, index])
        head = self.heads[int(rng.integers(len(self.heads)))]
        anatomy = Chain((PlaceHead(head, shape or self.shape), AddLesions(self.lesion_masks), SplitTissues(), DrawTissueValues()))
        empty = Sample(np.zeros((0, 0, 0), dtype=np.uint8))
        return self.scanner(anatomy(empty, rng), rng)


def read_simulator(data: Path, numbers: Sequence[int], shape: tuple[int, int, int], seed: int = 0) -> Simulator:
    """A simulator from ``data``/head_labels (the heads of these numbers) and, if present, ``data``/ms_lesion_masks."""
    heads = tuple(read_labelled_head(path) for path in find_label_maps(data / "head_labels", numbers))
    masks = tuple(_lesion_mask(path) for path in sorted((data / "ms_lesion_masks").glob("*.nii.gz")))
    return Simulator(heads, tuple(mask for mask in masks if mask.any()), shape, seed)


def _lesion_mask(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path), sitk.sitkUInt8), ORIENTATION)) > 0
