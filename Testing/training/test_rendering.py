"""Rendered images are those of the signal equations; gains and fields are found in closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from physmrisynth_training.learning.dataset import class_values
from physmrisynth_training.learning.differentiable_rendering import expected_images, render, with_gain_and_field
from physmrisynth_training.learning.losses import squared_error
from physmrisynth_training.simulator.paper_equations import as_published, published_gain
from PhysMRISynthLib.network.vae import CLASSES, TissuePrediction
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES

ROWS = (
    (parse_protocol("mprage"), parse_protocol("tse,TE=80"), parse_protocol("flair,L=150")),
    (parse_protocol("spgr"), None, parse_protocol("flair,TI=1800,TR=6000")),
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_theta(*shape: int) -> Tensor:
    """θ around that of tissue, (B, 3, *S)."""
    middle = torch.tensor([0.75, 1000.0, 100.0]).log().view(1, 3, *[1] * (len(shape) - 1))
    return middle + 0.5 * torch.randn((shape[0], 3, *shape[1:]), generator=generator())


# --- θ of every voxel -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2, 6, 5), (2, 4, 3, 5)])
def test_every_input_is_rendered_by_its_own_protocol(shape: tuple[int, ...]) -> None:
    theta = some_theta(*shape)
    images = render(theta, ROWS)
    assert images.shape == (2, 3, *shape[1:])
    for b, row in enumerate(ROWS):
        for m, protocol in enumerate(row):
            expected = np.zeros(shape[1:]) if protocol is None else protocol.signal(*np.exp(theta[b].double().numpy()))
            np.testing.assert_allclose(images[b, m], expected, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_rendering_of_any_sequence_has_gradients(name: str) -> None:
    theta = some_theta(1, 3, 3).requires_grad_()
    protocol = Protocol.of(name)
    image = render(theta, [[protocol]])
    np.testing.assert_allclose(image[0, 0].detach(), protocol.signal(*np.exp(theta[0].detach().double().numpy())), rtol=1e-3, atol=1e-5)
    image.sum().backward()
    assert theta.grad is not None and theta.grad.isfinite().all()
    assert (theta.grad[:, 0].abs().max() > 0) == protocol.sequence.uses_pd


# --- the paper's equations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("mprage,TR=2300,TI=950", lambda pd, t1, t2: pd * (1 - 2 * np.exp(-950 / t1) / (1 + np.exp(-2300 / t1)))),
        ("se,TR=3000,TE=90", lambda pd, t1, t2: pd * (1 - np.exp(-3000 / t1)) * np.exp(-90 / t2)),
        ("tse,TR=3000,TE=90,L=200", lambda pd, t1, t2: pd * (1 - np.exp(-3000 / t1)) * np.exp(-90 / t2)),
        ("flair,TR=9000,TE=90,TI=2500", lambda pd, t1, t2: pd * (1 - 2 * np.exp(-2500 / t1) + np.exp(-9000 / t1)) * np.exp(-90 / t2)),
    ],
)
def test_published_equations_are_those_of_the_paper(text: str, formula: Callable[..., np.ndarray]) -> None:
    pd, t1, t2 = np.array([0.7, 0.8, 1.0]), np.array([800.0, 1300.0, 4000.0]), np.array([70.0, 90.0, 1800.0])
    np.testing.assert_allclose(as_published(parse_protocol(text)).signal(pd, t1, t2), np.abs(formula(pd, t1, t2)), rtol=1e-6)


def test_published_gain_is_what_an_mprages_flip_angle_takes() -> None:
    assert published_gain(parse_protocol("mprage_simple"), 3.0) == 1.0
    assert published_gain(parse_protocol("spgr"), 3.0) == 1.0
    assert 0.9 < published_gain(parse_protocol("tse"), 3.0) < 1.1
    assert published_gain(parse_protocol("mprage,FA=4"), 3.0) > 1.5 * published_gain(parse_protocol("mprage,FA=8"), 3.0) > 5.0


# --- classes --------------------------------------------------------------------------------------------------------------------


def test_expected_images_are_the_classes_signals_by_their_probabilities() -> None:
    factor, strengths = 2, (1.5, 3.0)
    logits = 2.0 * torch.randn((2, len(CLASSES), 4, 6), generator=generator(1))
    offset = 0.1 * torch.randn((2, 3, 2, 3), generator=generator(2))
    images = expected_images(TissuePrediction(logits, offset, torch.zeros(0)), ROWS, strengths)
    probabilities = torch.softmax(logits, dim=1).double().numpy()
    for b, (row, strength) in enumerate(zip(ROWS, strengths, strict=True)):
        for m, protocol in enumerate(row):
            for y, x in ((0, 0), (1, 1), (2, 3), (3, 5)):
                theta = class_values(strength).astype(float) + offset[b, :, y // factor, x // factor].double().numpy()
                signals = [0.0 if protocol is None else float(protocol.signal(*np.exp(row_theta))) for row_theta in theta]
                assert float(images[b, m, y, x]) == pytest.approx(float(probabilities[b, :, y, x] @ signals), rel=1e-4, abs=1e-6)


def test_expected_images_teach_both_the_classes_and_their_values() -> None:
    logits = torch.zeros(1, len(CLASSES), 4, 4, 4, requires_grad=True)
    offset = torch.zeros(1, 3, 2, 2, 2, requires_grad=True)
    expected_images(TissuePrediction(logits, offset, torch.zeros(0)), ROWS[:1], [3.0]).sum().backward()
    assert logits.grad is not None and offset.grad is not None
    assert logits.grad.abs().max() > 0 and (offset.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


# --- gain and field -------------------------------------------------------------------------------------------------------------


def ramps(*shape: int) -> Tensor:
    """1 and the coordinates from −1 to 1, (1 + d, *shape)."""
    return torch.stack([torch.ones(shape), *torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")])


@pytest.mark.parametrize("shape", [(9, 8), (6, 5, 7)])
def test_a_known_gain_and_linear_field_are_found_exactly(shape: tuple[int, ...]) -> None:
    images = 0.1 + torch.rand((2, 3, *shape), generator=generator(3))
    coefficients = torch.tensor([500.0, 0.01, 3.0]).view(3, 1) * torch.tensor([[1.0, 0.3, -0.2, 0.1][: 1 + len(shape)]])
    targets = images * torch.tensordot(coefficients, ramps(*shape), dims=1)
    known = torch.rand(images.shape, generator=generator(4)) < 0.7
    found = with_gain_and_field(images, torch.where(known, targets, -1e3), known)
    torch.testing.assert_close(found, targets, rtol=1e-4, atol=0.0)


def test_an_image_of_nothing_stays_nothing() -> None:
    images, targets = torch.ones(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    images[0, 1] = 0.0
    known = torch.ones(1, 2, 4, 4, dtype=torch.bool)
    assert with_gain_and_field(images, targets, known)[0, 1].abs().max() == 0.0
    assert with_gain_and_field(images, targets, ~known).isfinite().all()


def test_the_gradient_of_the_error_is_that_with_the_best_gain_all_along() -> None:
    """Against finite differences of the whole, the fit of gain and field included."""
    images = (0.1 + torch.rand((1, 1, 4, 5), generator=generator(5), dtype=torch.float64)).requires_grad_()
    targets, known = torch.rand((1, 1, 4, 5), generator=generator(6), dtype=torch.float64), torch.ones(1, 1, 4, 5, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: squared_error(with_gain_and_field(x, targets, known), targets, known), (images,), eps=1e-5)
