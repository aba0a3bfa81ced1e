"""The colour maps: even for the eye, told apart by colour-blind readers, and showable."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.mrml.colours import NAMES, labColours, rgbColours, srgbFromLab

SEQUENTIAL = [name for name in NAMES if name != "residual"]
# From linear RGB to what dichromats see: Viénot, Brettel and Mollon, Color Res Appl 24:243 (1999), eqs. for protanopia and deuteranopia.
PROTANOPIA = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
DEUTERANOPIA = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])


def linear(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def test_known_colours_are_converted_exactly() -> None:
    # sRGB's white, mid grey, red and blue in CIELAB (D65), as colour tables list them
    lab = np.array([[100, 0, 0], [53.585, 0, 0], [53.241, 80.092, 67.203], [32.297, 79.188, -107.860]])
    rgb = np.array([[1, 1, 1], [128 / 255] * 3, [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(srgbFromLab(lab), rgb, atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_screen_can_show_every_colour(name: str) -> None:
    colours = srgbFromLab(labColours(name))
    assert colours.shape == (256, 3)
    assert colours.min() > -1e-6 and colours.max() < 1 + 1e-6


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_equal_steps_of_the_value_are_equal_steps_for_the_eye(name: str) -> None:
    lab = labColours(name)
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.std() < 0.02 * steps.mean()
    assert (np.diff(lab[:, 0]) > 0).all(), "lightness tells the value"
    assert np.ptp(lab[:, 0]) > 90


@pytest.mark.parametrize("name", SEQUENTIAL)
@pytest.mark.parametrize("sight", [PROTANOPIA, DEUTERANOPIA], ids=["protanopia", "deuteranopia"])
def test_the_order_survives_colour_blindness(name: str, sight: np.ndarray) -> None:
    luminance = np.clip(linear(rgbColours(name)) @ sight.T, 0, None) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance[2:]) > 0).all()


def test_residuals_of_both_signs_are_equally_bright_and_of_other_hue() -> None:
    lab = labColours("residual")
    np.testing.assert_allclose(lab[:, 0], lab[::-1, 0], atol=1.5)
    assert lab[127:129, 0].max() < 2, "no residual is black"
    assert (lab[:100, 2] < -10).all() and (lab[156:, 2] > 10).all(), "blue and orange, which colour-blind readers tell apart"
