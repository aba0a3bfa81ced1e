"""Estimates of known content, so that a suite can be tested without estimating."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.fitting.fields import PolynomialBasis
from PhysMRISynthLib.fitting.head import HeadModel
from PhysMRISynthLib.fitting.mixture import ClassSignals, literature_classes
from PhysMRISynthLib.fitting.tissue_level import literature_level
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import Estimate

_NAMES = [tissue.name for tissue in tissue_table()]


def slab_head(shape: tuple[int, int, int] = (10, 14, 12), texture: float = 0.03) -> KnownHead:
    """Air around a brain of the four tissues and fluid in slabs, literature values with a texture; 8 mm."""
    tissue = np.full(shape, _NAMES.index("air"), dtype=np.uint8)
    tissues = [_NAMES.index(name) for name in ("white_matter", "cortex", "deep_grey", "thalamus", "csf")]
    tissue[2:-2, 2:-2, 2:-2] = np.resize(tissues, shape[1] - 4)[None, :, None]
    theta = np.stack([entry.theta for entry in tissue_table()]).astype(np.float32)
    noise = texture * np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    pd, t1, t2 = (np.exp(theta[tissue, j] + noise[j]) for j in range(3))
    grid = sitk.Image(shape[::-1], sitk.sitkFloat32)
    grid.SetSpacing((8.0, 8.0, 8.0))
    return KnownHead(TissueMaps(pd, t1, t2, tissue != _NAMES.index("air"), grid), tissue)


def scans(maps: TissueMaps, gains: Sequence[float] = (1.0, 2.0, 3.0)) -> tuple[Acquisition, ...]:
    """Noise-free images of the maps, each with its gain; dark where there is no head."""
    images = {name: np.where(maps.mask, p.signal(maps.pd, maps.t1, maps.t2), 0.0) for name, p in PROTOCOLS.items()}
    return tuple(
        Acquisition(name, volume_from_image(image_like((g * image).astype(np.float32), maps.grid)), PROTOCOLS[name])
        for g, (name, image) in zip(gains, images.items(), strict=True)
    )


def head_model(maps: TissueMaps, gains: Sequence[float], echo_times: dict[str, float] | None = None) -> HeadModel:
    """A head level without receive fields, of these gains and fitted echo times (ms)."""
    positions = np.argwhere(maps.mask) * np.array(maps.grid.GetSpacing()[::-1])
    basis = PolynomialBasis.around(positions)
    level = replace(literature_level(np.log(gains), (), echo_times or {}, 3.0), equation_errors=np.zeros(len(gains)))
    classes = literature_classes(3.0)
    looks = ClassSignals(*(np.zeros((len(classes.names), *(len(gains),) * dims)) for dims in (1, 2, 2)))
    coefficients, corrections = np.zeros((len(gains), len(basis.orders))), np.zeros((len(classes.names), len(gains)))
    return HeadModel(basis, coefficients, level, classes, 3.0, looks, corrections, 1.0, (0.0,))


def estimate_of(maps: TissueMaps, inputs: Sequence[Acquisition], gains: Sequence[float] = (1.0, 2.0, 3.0), **others: Any) -> Estimate:
    """An estimate with these maps whose fits are the inputs themselves; the brain is the maps' mask."""
    images = {a.name: a.volume.voxels for a in inputs}
    covered = np.ones(maps.mask.shape, dtype=bool)
    content = {
        "maps": maps, "brain": maps.mask, "inputs": images, "fits": images, "network": None,
        "alignments": {a.name: SimpleNamespace(covered=covered) for a in inputs},
        "head": head_model(maps, gains[: len(inputs)]),
    }  # fmt: skip
    return cast(Estimate, SimpleNamespace(**{**content, **others}))
