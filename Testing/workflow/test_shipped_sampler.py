"""The shipped sampling model: a seed is a head that looks like one, whatever contrast is made of it."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from physmrisynth_training.evaluation.anatomies import anatomy_of
from physmrisynth_training.evaluation.kinship import distance
from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.imaging.head.head_volumes import head_volumes
from PhysMRISynthLib.imaging.head.midline import Midline
from PhysMRISynthLib.physics.tissues import acceptance_ranges
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import SampledHead, Sampler, installed_sampler

STEPS = 15


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return installed_sampler()


@pytest.fixture(scope="module")
def any_head(sampler: Sampler) -> SampledHead:
    return sampler.head(SampleOrder(1, STEPS))


@pytest.fixture(scope="module", params=[pytest.param(None, marks=pytest.mark.nightly), 1350.0], ids=["any volume", "1350 ml"])
def head(sampler: Sampler, request: pytest.FixtureRequest) -> SampledHead:
    """A head of no, or of this, wanted brain volume (ml)."""
    if request.param is None:
        return cast(SampledHead, request.getfixturevalue("any_head"))
    return sampler.head(SampleOrder(3, STEPS, {"brain_volume": request.param}))


def brain_volume(fractions: np.ndarray) -> float:
    return head_volumes(fractions.argmax(axis=0).astype(np.uint8)).brain


def test_its_volumes_and_tissues_are_those_of_people(head: SampledHead) -> None:
    volumes = head.report["volumes_ml"]
    assert 750 < volumes["brain"] < 1700 and 0.3 < volumes["white_matter"] / volumes["brain"] < 0.6 and 5 < volumes["ventricles"] < 150
    for tissue in ("white_matter", "cortex"):
        for quantity, (low, high) in acceptance_ranges(3.0)[tissue].items():
            assert low <= head.report["tissue_medians"][tissue][quantity] <= high, (tissue, quantity)


def test_no_contrast_has_a_bright_background(head: SampledHead) -> None:
    """Air is dark around the head, and the head does not reach the volume's upper corners."""
    for protocol in PROTOCOLS.values():
        image = render(head.maps, protocol)
        assert (image[~head.maps.mask] == 0).all() and np.median(image[head.brain]) > 0
    top = head.maps.mask[-20:]  # z, y, x: the uppermost 2 cm
    assert not top[:, :20, :20].any() and not top[:, :20, -20:].any() and 0.2 < head.maps.mask.mean() < 0.8


def test_its_midline_is_whole(head: SampledHead) -> None:
    assert head.report["warnings"] == [] and Midline(**head.report["midline"]).whole


@pytest.fixture(scope="module")
def again(sampler: Sampler, any_head: SampledHead) -> np.ndarray:
    """Fractions of the attempt that the head's report names, drawn once more."""
    return sampler.drawn(SampleOrder(1, STEPS, attempt=any_head.report["sampled"]["attempt"], attempts=1)).fractions


@pytest.mark.nightly  # test_sample.py does the same with a tiny model
def test_the_same_seed_and_attempt_give_the_same_head(again: np.ndarray, any_head: SampledHead) -> None:
    assert brain_volume(again) == pytest.approx(any_head.report["volumes_ml"]["brain"], abs=0.1)


@pytest.mark.nightly
def test_its_halves_mirror_each_other_and_seeds_do_not(again: np.ndarray, sampler: Sampler) -> None:
    """A brain is more like its own mirror image than like another head, and both are found where the atlas has brain."""
    drawn = {"again": again, "other": sampler.drawn(SampleOrder(2, STEPS, attempts=1)).fractions}
    own, other = (anatomy_of(name, fractions, 1) for name, fractions in drawn.items())
    assert own.aligned is not None and other.aligned is not None
    mirrored = np.corrcoef(own.aligned.ravel(), own.aligned[..., ::-1].ravel())[0, 1]
    assert mirrored > np.corrcoef(own.aligned.ravel(), other.aligned.ravel())[0, 1]
    assert mirrored > 0.8 and distance(own.aligned, other.aligned) > 0.03


def test_a_head_has_the_volume_that_was_asked_for(head: SampledHead) -> None:
    wanted = head.report["sampled"]["condition"].get("brain_volume")
    assert wanted is None or head.report["volumes_ml"]["brain"] == pytest.approx(wanted, rel=0.12)


@pytest.mark.nightly
def test_a_small_brain_is_had_too(sampler: Sampler) -> None:
    drawn = sampler.drawn(SampleOrder(3, STEPS, {"brain_volume": 950.0}, attempts=1))
    assert brain_volume(drawn.fractions) == pytest.approx(950.0, rel=0.12)
