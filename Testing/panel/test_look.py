"""Text is readable in the light and in the dark theme: the contrast of text to what is behind it is at least 4.5 (WCAG 2.1, relative
luminance), of the colours that the panel fixes, and of the pixels of the whole panel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from PySide6 import QtGui, QtWidgets

from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.panel.estimates import FakeClient, addImages, finish
from Testing.panel.harness import DrivenPanel, application, drivenPanel, importedFromPanel
from Testing.panel.screenshots import darkPalette

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
    style = getattr(importedFromPanel("styles"), name)
    fills = re.findall(r"background-color: (#[0-9a-f]{6})", style)
    assert len(fills) == 3
    assert min(contrast(fill, "white") for fill in fills) >= LEAST


def test_marked_text_is_readable_in_every_theme() -> None:
    background, text = re.findall(r"color: (#[0-9a-f]{6})", importedFromPanel("styles").MARKED)
    assert contrast(background, text) >= LEAST


def test_a_verdict_is_readable_in_every_theme() -> None:
    styles = importedFromPanel("styles")
    assert "color: white" in styles.BADGE
    assert min(contrast(colour, "white") for colour in styles.LEVEL_COLOURS.values()) >= LEAST


@pytest.fixture(params=["light", "dark"])
def themed(request: pytest.FixtureRequest, client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[DrivenPanel]:
    """The panel in a theme."""
    monkeypatch.setattr("PhysMRISynthLib.mrml.estimation.newClient", lambda: client)
    standard = QtGui.QPalette(application().palette())
    application().setPalette(darkPalette() if request.param == "dark" else QtWidgets.QApplication.style().standardPalette())
    with drivenPanel() as driven:
        yield driven
    application().setPalette(standard)


def texts(driven: DrivenPanel) -> Iterator[tuple[str, QtGui.QImage]]:
    """Every text that is shown, and that can be used: its widget's name and its picture without the edges. Single signs are pictures."""
    driven.picture(400)
    kinds = (QtWidgets.QLabel, QtWidgets.QPushButton, QtWidgets.QCheckBox, QtWidgets.QToolButton)
    shown = (widget for kind in kinds for widget in driven.parent.findChildren(kind) if QtWidgets.QWidget.isVisible(widget))
    for widget in shown:
        rect = QtWidgets.QWidget.rect(widget).adjusted(3, 3, -3, -3)
        if len(widget.text) > 1 and widget.enabled and rect.width() > 8 and rect.height() > 8:
            yield widget.name, QtWidgets.QWidget.grab(widget, rect).toImage()


def readability(image: QtGui.QImage) -> float:
    """The largest contrast of any pixel to the colour that most pixels have."""
    colours = Counter(image.pixelColor(x, y).name() for x in range(image.width()) for y in range(image.height()))
    behind = colours.most_common(1)[0][0]
    return max(contrast(colour, behind) for colour in colours)


def test_every_text_of_the_panel_is_readable(themed: DrivenPanel, client: FakeClient) -> None:
    faint = {name: readability(image) for name, image in texts(themed)}
    addImages("t1w", "flair", known=small_head(1.5))
    themed.enter()
    faint |= {f"{name}, assumed": readability(image) for name, image in texts(themed)}
    themed.click("applyButton")
    finish(themed, client, known=small_head(1.5), fieldStrength=1.5, warnings=("Poor fit of t1w.",))
    themed.click("detailsButton")
    faint |= {f"{name}, result": readability(image) for name, image in texts(themed)}
    assert len(faint) > 40
    assert {name: value for name, value in faint.items() if value < LEAST} == {}
