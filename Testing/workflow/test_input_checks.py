"""What no scanner made is told from a scan by its voxels alone."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.input_checks import check_inputs
from PhysMRISynthLib.workflow.estimation.reasons import input_reasons
from Testing.imaging.phantoms import grid

ON = grid((40, 40, 40), (5.0, 5.0, 5.0), np.eye(3))
PATCHES = np.kron(np.random.default_rng(0).integers(0, 30, (10, 10, 10)), np.ones((4, 4, 4)))
"""As a segmentation of thirty labels has them."""
NOISE = np.random.default_rng(1).normal(0.0, 2.0, PATCHES.shape)


def given(name: str, voxels: np.ndarray) -> Acquisition:
    return Acquisition(name, volume_from_image(image_like(voxels.astype(np.float32), ON)), Protocol.of("tse"))


@pytest.mark.parametrize("voxels", (PATCHES, PATCHES > 20, 100 * PATCHES), ids=("labels", "mask", "large labels"))
def test_segmentations_and_masks_are_refused(voxels: np.ndarray) -> None:
    with pytest.raises(EstimationError, match="t2w is a segmentation or a mask"):
        check_inputs([given("t2w", voxels)])


@pytest.mark.parametrize(
    "voxels",
    (
        np.rint(100 * PATCHES + 10 * NOISE), np.rint(8 * PATCHES + NOISE), 33.3 * PATCHES,
        np.repeat(np.rint(99 * PATCHES + 99 * NOISE), 2, 2)[..., :40],
    ),
    ids=("a scan", "of 8 bits", "without noise", "enlarged"),
)  # fmt: skip
def test_scans_are_not(voxels: np.ndarray) -> None:
    check_inputs([given("t2w", voxels)])


def test_one_image_in_two_places_is_refused_and_two_images_are_not() -> None:
    one, other = given("t1w", PATCHES + NOISE), given("t2w", PATCHES - NOISE)
    check_inputs([one, other])
    with pytest.raises(EstimationError, match="t1w and flair are the same image"):
        check_inputs([one, other, given("flair", PATCHES + NOISE)])


@pytest.mark.parametrize("count", (1, 2))
def test_what_one_input_cannot_show_is_said(count: int) -> None:
    texts = [reason.text for reason in input_reasons([given(name, PATCHES) for name in ("t1w", "t2w")[:count]])]
    assert any("tumours and other abnormal tissue are not recognised" in text for text in texts) is (count == 1)
