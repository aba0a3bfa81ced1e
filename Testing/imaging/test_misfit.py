"""Motion between images on one grid is measured, mirrored images are recognised."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.misfit import Misfit, measure_misfit
from PhysMRISynthLib.imaging.intake.volumes import image_like
from Testing.imaging.phantoms import grid, head, rotation

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
    found = measure_misfit(image_like(sitk.GetArrayFromImage(head(ON, 1))[..., ::-1], ON), T1W, SHOWN)
    assert found is not None and found.mirrored


def test_too_little_in_common_is_not_measured() -> None:
    assert measure_misfit(T1W, T1W, np.zeros_like(SHOWN)) is None
