"""Text is readable: the contrast of every pair of colours that the panel fixes is at least 4.5 (WCAG 2.1, relative luminance)."""

from __future__ import annotations

import re

import pytest
from panel.harness import importedFromPanel

LEAST = 4.5


def luminance(colour: str) -> float:
    if colour == "white":
        colour = "#ffffff"
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["PRIMARY", "DOUBTFUL"])
def test_a_button_is_readable_at_rest_under_the_mouse_and_pressed(name: str) -> None:
    style = getattr(importedFromPanel("look"), name)
    fills = re.findall(r"background-color: (#[0-9a-f]{6})", style)
    assert len(fills) == 3
    assert min(contrast(fill, "white") for fill in fills) >= LEAST


def test_marked_text_is_readable_in_every_theme() -> None:
    background, text = re.findall(r"color: (#[0-9a-f]{6})", importedFromPanel("look").MARKED)
    assert contrast(background, text) >= LEAST
