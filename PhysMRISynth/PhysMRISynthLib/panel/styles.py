"""Styles that the panel sets. Fills have both colours fixed; everything else keeps the palette's own text on a coloured edge, so that it is
readable with dark and light palettes (contrast of text at least 4.5:1)."""

from ..workflow.estimation.verdict import Level

_BUTTON = (
    "QPushButton {{ background-color: {colour}; color: white; border: none; border-radius: 4px; font-weight: bold; padding: 6px; }}"
    "QPushButton:hover, QPushButton:focus {{ background-color: {darker}; }} QPushButton:pressed {{ background-color: {darkest}; }}"
    "QPushButton:disabled {{ background-color: rgba(128, 128, 128, 70); color: palette(window-text); }}"
)
PRIMARY = _BUTTON.format(colour="#1f6fb2", darker="#1a5c94", darkest="#154a77")
"""The button that the user came for."""
DOUBTFUL = _BUTTON.format(colour="#8f5600", darker="#774700", darkest="#5e3800")
"""The same button, where what it will give is not worth much."""
PLAIN = ""
"""A button in Slicer's own style."""
PRESSED = "QPushButton:checked { border: 2px solid palette(highlight); border-radius: 3px; padding: 3px; font-weight: bold; }"
"""A button that stays pressed while the views show something else than the sliders say."""
MARKED = '<span style="background-color: #8f5600; color: #ffffff">&nbsp;{}&nbsp;</span>'
"""Rich text of a word or two that catches the eye: what is assumed or out of range. It does not glare in a dark theme."""
WARNED = "<b>⚠</b> {}"
"""Rich text of a sentence that catches the eye."""
_EDGE = "QFrame#verdictFrame {{ border: none; border-left: 5px solid {colour}; background-color: rgba(128, 128, 128, 28); }}"
LEVEL_COLOURS = {Level.GOOD: "#1f7a45", Level.CAUTION: "#8f5600", Level.DO_NOT_USE: "#b02a2a"}
BADGE = '<span style="background-color: {colour}; color: white"><b>&nbsp;{icon} {title}&nbsp;</b></span>'
"""Rich text for the verdict in a few words."""
LEVEL_ICONS = {Level.GOOD: "✔", Level.CAUTION: "⚠", Level.DO_NOT_USE: "✖"}


def edge(level: Level) -> str:
    """The style of the frame of a verdict."""
    return _EDGE.format(colour=LEVEL_COLOURS[level])
