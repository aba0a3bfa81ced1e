"""Derivatives of every signal equation, both array libraries, single precision, transmit field and sign."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from PhysMRISynthLib.physics.dual import Dual, cos, exp, log, sin
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.sequences import SEQUENCES
from Testing.physics.test_equations import PROTOCOLS, T1, T2, protocol_of, theta_of

PD = np.array([0.69, 0.82, 1.0, 0.85])


@pytest.mark.parametrize("spec", PROTOCOLS)
def test_derivatives_are_the_slopes_of_the_signal(spec: str) -> None:
    protocol, theta, step = protocol_of(spec), theta_of(PD), 1e-5
    signal, derivatives = protocol.signal_and_derivatives(theta)
    np.testing.assert_allclose(np.abs(signal), np.abs(protocol.signal(PD, T1, T2)), rtol=1e-12, atol=1e-14)
    for row, derivative in enumerate(derivatives):
        shift = np.zeros_like(theta)
        shift[row] = step
        slope = (protocol.signal_and_derivatives(theta + shift)[0] - protocol.signal_and_derivatives(theta - shift)[0]) / (2 * step)
        np.testing.assert_allclose(0.0 if derivative is None else derivative, slope, rtol=2e-6, atol=1e-9)


@pytest.mark.parametrize("name, absent", [("mprage_simple", (2,)), ("mp2rage", (0, 2)), ("se", ()), ("mprage", ()), ("bssfp", ())])
def test_a_derivative_that_is_zero_everywhere_is_none(name: str, absent: tuple[int, ...]) -> None:
    derivatives = Protocol.of(name).signal_and_derivatives(theta_of(PD))[1]
    assert tuple(row for row, derivative in enumerate(derivatives) if derivative is None) == absent


@pytest.mark.parametrize("spec", PROTOCOLS)
def test_torch_gives_the_same_signal_and_its_autograd_the_same_derivatives(spec: str) -> None:
    protocol = protocol_of(spec)
    signal, derivatives = protocol.signal_and_derivatives(theta_of(PD))
    theta = torch.tensor(theta_of(PD), requires_grad=True)
    by_torch, dual = protocol.signal_and_derivatives(theta)
    np.testing.assert_allclose(by_torch.detach().numpy(), signal, rtol=1e-12, atol=1e-14)
    (gradient,) = torch.autograd.grad(by_torch.sum(), theta)
    for row, derivative in enumerate(derivatives):
        expected = np.zeros(4) if derivative is None else derivative
        np.testing.assert_allclose(gradient[row].numpy(), expected, rtol=1e-9, atol=1e-12)
        assert (dual[row] is None) == (derivative is None)
        if derivative is not None:
            np.testing.assert_allclose(dual[row].detach().numpy(), derivative, rtol=1e-12, atol=1e-14)
    image = protocol.signal(*(torch.tensor(x) for x in (PD, T1, T2)))
    np.testing.assert_allclose(image.numpy(), protocol.signal(PD, T1, T2), rtol=1e-12, atol=1e-14)


DUAL_FUNCTIONS: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, lambda x, y: x / y, lambda x, y: 2.0 - x, lambda x, y: 3.0 + y,
    lambda x, y: x / 4.0, lambda x, y: 5.0 / y, lambda x, y: -x * 2.0, lambda x, y: exp(-x) + 0.0 * y, lambda x, y: y - 1.0,
    lambda x, y: np.array([2.0, 3.0]) * x, lambda x, y: np.array([2.0, 3.0]) - y,
]  # fmt: skip


@pytest.mark.parametrize("function", DUAL_FUNCTIONS)
def test_dual_arithmetic_follows_the_rules_of_calculus(function: Callable[[Any, Any], Any]) -> None:
    x, y, step, ones = np.array([0.4, 1.3]), np.array([2.1, 0.7]), 1e-6, np.ones(2)
    result = function(Dual(x, d1=ones), Dual(y, d2=ones))
    np.testing.assert_allclose(result.value, function(x, y), rtol=1e-14)
    for derivative, slope in (
        (result.d1, (function(x + step, y) - function(x - step, y)) / (2 * step)),
        (result.d2, (function(x, y + step) - function(x, y - step)) / (2 * step)),
    ):
        np.testing.assert_allclose(0.0 if derivative is None else derivative, slope, rtol=1e-8, atol=1e-9)


def test_functions_of_numbers_arrays_and_tensors_agree() -> None:
    for function, reference in ((exp, math.exp), (log, math.log), (sin, math.sin), (cos, math.cos)):
        assert function(0.3) == reference(0.3)
        assert isinstance(function(0.3), float)
        assert function(np.array([0.3]))[0] == pytest.approx(reference(0.3), rel=1e-15)
        assert function(torch.tensor(0.3, dtype=torch.float64)).item() == pytest.approx(reference(0.3), rel=1e-15)


# --- single precision, transmit field, sign -------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", PROTOCOLS)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_single_precision_in_single_precision_out(spec: str, library: str) -> None:
    protocol = protocol_of(spec)
    convert: Callable[[np.ndarray], Any] = (lambda x: x.astype(np.float32)) if library == "numpy" else (lambda x: torch.tensor(x).float())
    single = np.float32 if library == "numpy" else torch.float32
    image = protocol.signal(*(convert(x) for x in (PD, T1, T2)))
    assert image.dtype == single
    np.testing.assert_allclose(np.asarray(image), protocol.signal(PD, T1, T2), rtol=0, atol=2e-5)
    with_field = protocol.signal(*(convert(x) for x in (PD, T1, T2)), b1=convert(np.array([0.8, 0.9, 1.0, 1.1])))
    assert with_field.dtype == single
    signal, derivatives = protocol.signal_and_derivatives(convert(theta_of(PD)))
    assert signal.dtype == single
    assert all(derivative is None or derivative.dtype == single for derivative in derivatives)


@pytest.mark.parametrize("name, angles", [("mprage", ("FA",)), ("spgr", ("FA",)), ("bssfp", ("FA",)), ("mp2rage", ("FA1", "FA2"))])
def test_the_transmit_field_scales_every_flip_angle(name: str, angles: tuple[str, ...]) -> None:
    nominal = Protocol.of(name)
    scaled = Protocol.of(name, **{angle: 0.8 * nominal.values[angle] for angle in angles})
    np.testing.assert_allclose(nominal.signal(PD, T1, T2, b1=0.8), scaled.signal(PD, T1, T2), rtol=1e-12)
    np.testing.assert_allclose(nominal.signal(PD, T1, T2, b1=np.full(4, 0.8)), scaled.signal(PD, T1, T2), rtol=1e-12)


@pytest.mark.parametrize("name", SEQUENCES)
def test_only_phase_sensitive_sequences_have_negative_signal(name: str) -> None:
    pd = np.full(300, 0.8)
    image = Protocol.of(name).signal(pd, np.geomspace(150, 6000, 300), np.full(300, 90.0))
    assert (image.min() < 0) == (name in ("psir", "mp2rage"))
    assert np.isfinite(image).all()


@pytest.mark.parametrize("name", SEQUENCES)
def test_signal_is_proportional_to_proton_density(name: str) -> None:
    protocol = Protocol.of(name)
    factor = 1.0 if name == "mp2rage" else 0.5
    np.testing.assert_allclose(protocol.signal(0.5 * PD, T1, T2), factor * protocol.signal(PD, T1, T2), rtol=1e-13)


@pytest.mark.parametrize("name", SEQUENCES)
def test_images_keep_the_shape_of_the_maps(name: str) -> None:
    maps = [np.full((2, 3, 4), value) for value in (0.8, 1000.0, 80.0)]
    assert Protocol.of(name).signal(*maps).shape == (2, 3, 4)
