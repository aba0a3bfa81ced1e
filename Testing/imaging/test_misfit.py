"""Motion between images on one grid is measured, mirrored images are recognised."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.misfit import Misfit, measure_misfit
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.imaging.phantoms import grid, head, rotation
from Testing.validation.anatomies import unequal_halves
from Testing.validation.defects import clean_scans

ON = grid((80, 96, 84), (2.5, 2.2, 2.4), rotation(4, -6, 8))
SHOWN = np.ones(ON.GetSize()[::-1], dtype=bool)
T1W = head(ON, 0)


def moved(millimetres: float, degrees: float) -> sitk.Euler3DTransform:
    motion = sitk.Euler3DTransform()
    motion.SetRotation(np.deg2rad(degrees), 0.0, 0.0)
    motion.SetTranslation((0.0, 0.6 * millimetres, 0.8 * millimetres))
    return motion


@pytest.mark.parametrize(("millimetres", "degrees"), ((0.0, 0.0), (1.5, 0.0), (0.0, 2.5), (1.5, 2.0), (4.0, 3.0)))
def test_the_motion_between_two_contrasts_is_measured(millimetres: float, degrees: float) -> None:
    found = measure_misfit(head(ON, 1, moved(millimetres, degrees)), T1W, SHOWN)
    assert found is not None and not found.mirrored
    assert found.distance_mm == pytest.approx(Misfit(millimetres, degrees, False).distance_mm, abs=0.8)  # ellipsoids turn with few edges


def test_what_is_not_shown_does_not_count() -> None:
    half = SHOWN.copy()
    half[:42] = False
    voxels = sitk.GetArrayFromImage(head(ON, 1, moved(0.5, 0.0)))
    voxels[:42] = sitk.GetArrayFromImage(head(ON, 1, moved(9.0, 0.0)))[:42]
    found = measure_misfit(image_like(voxels, ON), T1W, half)
    assert found is not None and found.distance_mm < 1.0


def test_left_and_right_exchanged_is_recognised() -> None:
    """Of a head as unequal as people's are; also where it does not lie straight in the grid, since the mirror doubles its angle."""
    known = unequal_halves(small_head())
    scans = clean_scans(known)
    lying = sitk.Euler3DTransform(known.maps.grid.TransformContinuousIndexToPhysicalPoint([24.5, 29.5, 24.5]), *np.deg2rad((4, -9, 10)))
    for motion in (sitk.Euler3DTransform(), lying):
        fixed, sound = (sitk.Resample(scans[role], scans[role], motion) for role in ("t1w", "t2w"))
        for image, mirrored in ((sound, False), (image_like(sitk.GetArrayFromImage(sound)[..., ::-1], sound), True)):
            found = measure_misfit(image, fixed, np.ones(known.tissue.shape, dtype=bool))
            assert found is not None and found.mirrored == mirrored


def test_a_symmetric_head_is_not_called_mirrored() -> None:
    """Noise and coarse voxels alone make one side tell more than the other."""
    known = small_head()
    for seed in range(2):
        scans = clean_scans(known, seed)
        found = [measure_misfit(scans[role], scans["t1w"], np.ones(known.tissue.shape, dtype=bool)) for role in ("t2w", "flair")]
        assert all(one is not None and not one.mirrored for one in found)


def test_too_little_in_common_is_not_measured() -> None:
    assert measure_misfit(T1W, T1W, np.zeros_like(SHOWN)) is None
