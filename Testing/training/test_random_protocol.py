"""The random transform: seeded, batched, each image what its protocol says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from physmrisynth_training.simulator.random_protocol import RandomProtocol
from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.workflow.examples.small_head import small_head


def maps(batch: int = 0) -> dict[str, torch.Tensor]:
    head = small_head().maps
    found = {name: torch.from_numpy(values)[None] for name, values in (("PD", head.pd), ("T1", head.t1), ("T2", head.t2))}
    return {name: values.repeat(batch, 1, 1, 1, 1) for name, values in found.items()} if batch else found


def test_an_image_is_what_its_protocol_says() -> None:
    data = RandomProtocol(noise=(0.0, 0.0), field=0.0, seed=3)(maps())
    head, image = small_head().maps, data["image"][0].numpy()
    signal = data["drawn"].protocol.signal(head.pd[head.mask], head.t1[head.mask], head.t2[head.mask])
    ratio = image[head.mask] / signal
    assert ratio.max() / ratio.min() - 1 < 1e-3
    assert (image[~head.mask] == 0).all() and np.quantile(image[head.mask], 0.99) == pytest.approx(1.0, rel=0.02)


def test_a_seed_repeats_its_images_and_a_batch_has_a_protocol_each() -> None:
    one, other = (RandomProtocol(seed=5)(maps(3)) for _ in range(2))
    assert torch.equal(one["image"], other["image"]) and one["image"].shape == maps(3)["PD"].shape
    assert len({drawn.protocol.spec for drawn in one["drawn"]}) == 3
    transform = RandomProtocol(seed=5)
    first, second = transform(maps(3))["image"], transform(maps(3))["image"]
    assert not torch.equal(first, second) and torch.equal(first, transform.set_random_state(5)(maps(3))["image"])


def test_noise_and_field_are_what_was_asked_for() -> None:
    plain, noisy, shaded = (
        RandomProtocol(("t2w",), noise=(noise, noise), field=field, seed=1)(maps()) for noise, field in ((0, 0), (0.03, 0), (0, 0.4))
    )
    assert noisy["drawn"].protocol.spec == plain["drawn"].protocol.spec
    head = torch.from_numpy(small_head().maps.mask)[None]
    bright = head & (plain["image"] > 0.5)
    assert (noisy["image"] - plain["image"])[bright].std() == pytest.approx(0.03, rel=0.1)
    log = torch.log(shaded["image"][bright] / plain["image"][bright])
    assert 0.05 < log.max() - log.min() < 0.9


@pytest.mark.parametrize(
    ("given", "told"),
    [({"T1": None}, "one shape"), ({"drop": "T2"}, "lack T2")],
)
def test_maps_that_cannot_be_are_refused(given: dict[str, Any], told: str) -> None:
    data: dict[Any, Any] = dict(maps())
    if "drop" in given:
        del data[given["drop"]]
    else:
        data["T1"] = data["T1"][0]
    with pytest.raises(ImageError, match=told):
        RandomProtocol()(data)


@pytest.mark.parametrize("options", [{"roles": ("ct",)}, {"roles": ()}, {"noise": (0.5, 0.1)}, {"field": -1.0}])
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        RandomProtocol(**options)
