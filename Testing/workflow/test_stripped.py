"""In a skull-stripped image a 0 outside the brain is no data; a 0 that the brain encloses is dark fluid."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.aligned_head import AlignedHead
from PhysMRISynthLib.workflow.estimation.estimate import observation_of
from PhysMRISynthLib.workflow.estimation.head_voxels import HeadVoxels


@pytest.mark.parametrize("stripped", [True, False])
def test_enclosed_zeros_are_data_and_those_outside_are_not(stripped: bool) -> None:
    brain = np.zeros((24, 24, 24), dtype=bool)
    brain[4:20, 4:20, 4:20] = True
    fluid = np.zeros_like(brain)
    fluid[10:14, 10:14, 10:14] = True
    shown = np.random.default_rng(0).uniform(100.0, 110.0, brain.shape).astype(np.float32) * (brain & ~fluid)
    image = sitk.GetImageFromArray(shown)
    image.SetSpacing((6.0, 6.0, 6.0))
    everywhere = np.ones_like(brain)
    index = np.arange(brain.size)
    nothing = np.zeros((1, brain.size), dtype=np.uint8)
    voxels = HeadVoxels(index, (24, 24, 24), (6.0, 6.0, 6.0), nothing, nothing)
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    placement: Any = SimpleNamespace(skull_stripped=stripped)
    head = AlignedHead([acquisition], acquisition, 3.0, image, {"t1w": align(image, image)}, everywhere, placement, {}, voxels)
    covered = observation_of(head, acquisition).covered.reshape(brain.shape)
    assert covered[fluid].all() and covered[brain].all()
    assert not covered[~brain].any()  # zeros that reach the image's faces: cut away, or beyond what was scanned
