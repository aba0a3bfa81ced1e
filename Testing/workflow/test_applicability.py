"""Applicability: what is not what it seems raises the score above 1 and is named."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from PhysMRISynthLib.fitting.check import LARGEST_GOOD_RESIDUAL, FitCheck
from PhysMRISynthLib.imaging.head.atlas import LEAST_LIKENESS
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.network.familiarity import Distances
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.applicability import ALL, Applicability, assess
from Testing.imaging.phantoms import grid

GOOD = 0.9
"""A skull-stripped head's likeness to the atlas."""


def acquisition(name: str, voxels: np.ndarray | None = None, protocol: Protocol | None = None) -> Acquisition:
    reference = grid((20, 20, 20), (4.0, 4.0, 4.0), np.eye(3))
    if voxels is None:
        voxels = np.random.default_rng(0).rayleigh(100.0, (20, 20, 20))
    return Acquisition(name, volume_from_image(image_like(voxels.astype(np.float32), reference)), protocol or Protocol.of("mprage"))


def checks(names: tuple[str, ...], percent: float = 1.0) -> Mapping[str, FitCheck]:
    return {name: FitCheck(percent, 0.0, None) for name in names}


def assessed(
    voxels: np.ndarray | None = None, percent: float = 1.0, likeness: float = GOOD, distances: Distances | None = None,
    protocol: Protocol | None = None,
) -> Applicability:  # fmt: skip
    inputs = [acquisition("t1w", voxels, protocol), acquisition("t2w")]
    return assess(inputs, checks(("t1w", "t2w"), percent), likeness, distances)


def ct() -> np.ndarray:
    """Hounsfield units: brain and bone in air."""
    voxels = np.random.default_rng(0).normal(-1000.0, 10.0, (20, 20, 20))
    voxels[4:16, 4:16, 4:16] = 1000.0
    voxels[5:15, 5:15, 5:15] = 35.0
    return voxels


def test_an_ordinary_head_is_under_the_limit_and_causes_no_word() -> None:
    found = assessed(distances=Distances((0.5, 0.6), 0.4, 0.7))
    assert found.score == pytest.approx(0.7) and found.reasons == ()
    assert found.parts["latent_distance"] == {"t1w": 0.5, "t2w": 0.6, ALL: 0.4} and found.parts["tissue_distance"] == {ALL: 0.7}


def test_without_a_network_the_other_parts_count() -> None:
    found = assessed()
    assert set(found.parts) == {"negative_signal", "fit_residual", "unlike_atlas"}
    assert found.score == pytest.approx(1.0 / LARGEST_GOOD_RESIDUAL)


def test_a_ct_is_told_by_its_negative_values() -> None:
    found = assessed(ct())
    assert found.score > 5 and found.parts["negative_signal"]["t2w"] == 0.0
    assert len(found.reasons) == 1 and found.reasons[0].image == "t1w" and "CT" in found.reasons[0].text


def test_normalised_intensities_are_told_too() -> None:
    voxels = np.random.default_rng(0).rayleigh(100.0, (20, 20, 20))
    assert assessed((voxels - voxels.mean()) / voxels.std()).parts["negative_signal"]["t1w"] > 1


def test_the_little_that_interpolation_leaves_below_zero_is_allowed() -> None:
    voxels = np.random.default_rng(0).rayleigh(100.0, (20, 20, 20))
    voxels[::7] *= -0.02
    assert assessed(voxels).reasons == ()


def test_images_that_keep_their_sign_may_be_negative() -> None:
    found = assessed(ct(), protocol=Protocol.of("psir"))
    assert found.reasons == () and "t1w" not in found.parts["negative_signal"]


@pytest.mark.parametrize(("likeness", "value"), ((LEAST_LIKENESS, 1.0), (1.0, 0.0), (0.0, 2.0)))
def test_likeness_counts_from_its_limit(likeness: float, value: float) -> None:
    assert assessed(likeness=likeness).parts["unlike_atlas"][ALL] == pytest.approx(value)


def test_residuals_count_from_their_limit_and_no_brain_is_the_end() -> None:
    assert assessed(percent=2 * LARGEST_GOOD_RESIDUAL).score == pytest.approx(2.0)
    assert assessed(percent=math.nan).score == math.inf


@pytest.mark.parametrize(
    ("distances", "named", "unnamed"),
    (
        (Distances((1.4, 0.6), 1.2, 0.5), "t1w (1.4 times the limit)", "t2w"),
        (Distances((0.4, 3.0), 0.2, 0.5), "t2w (3.0 times the limit)", "t1w ("),
        (Distances((0.9, 0.6), 1.25, 0.5), "the inputs together (1.2 times the limit)", "t1w"),
        (Distances((0.9, 0.6), 0.2, 1.5), "The tissues that the network found", "Unlike the images"),
    ),
)
def test_what_is_strange_is_named(distances: Distances, named: str, unnamed: str) -> None:
    found = assessed(distances=distances)
    assert len(found.reasons) == 1 and named in found.reasons[0].text and unnamed not in found.reasons[0].text
    assert "literature prior" in found.reasons[0].text
    assert found.score == max(*distances.inputs, distances.together or 0.0, distances.tissues)
