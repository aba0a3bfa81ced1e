"""Motion between interleaved passes and interpolated slices are recognised, along any axis; noise and thick slices are neither."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.slices import SliceFaults, slice_faults
from Testing.imaging.phantoms import head
from Testing.imaging.test_misfit import ON, T1W, moved

NONE, INTERLEAVED, INTERPOLATED = SliceFaults(), SliceFaults(interleaved=True), SliceFaults(interpolated=True)


def test_motion_between_interleaved_passes_is_recognised() -> None:
    voxels, late = (sitk.GetArrayFromImage(head(ON, 1, motion)) for motion in (None, moved(3.5, 0.0)))
    voxels[:, 1::2] = late[:, 1::2]
    assert slice_faults(voxels) == INTERLEAVED


@pytest.mark.parametrize("axis", (0, 2))
def test_slices_between_thicker_ones_are_recognised(axis: int) -> None:
    voxels = np.moveaxis(sitk.GetArrayFromImage(T1W), axis, 0)
    thick = voxels[: len(voxels) // 3 * 3].reshape(-1, 3, *voxels.shape[1:]).mean(axis=1)
    places = (np.arange(len(voxels)) - 1.0) / 3.0
    low = np.clip(np.floor(places).astype(int), 0, len(thick) - 2)
    share = np.clip(places - low, 0.0, 1.0)[:, None, None]
    assert slice_faults(np.moveaxis((1.0 - share) * thick[low] + share * thick[low + 1], 0, axis)) == INTERPOLATED
    assert slice_faults(np.moveaxis(thick, 0, axis)) == NONE


@pytest.mark.parametrize("noise", (0.01, 0.05, 0.2))
def test_scans_are_left_alone(noise: float) -> None:
    assert slice_faults(sitk.GetArrayFromImage(head(ON, 1, noise=noise))) == NONE
    assert slice_faults(np.zeros((8, 8, 8))) == NONE
