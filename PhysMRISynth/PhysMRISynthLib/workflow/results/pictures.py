"""Pictures and colour bars in boxes of a figure (left, bottom, width, height, as parts of it): axes with their ticks take far longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .planes import SIDES

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

Box = tuple[float, float, float, float]
_TICKS = 5
_TITLE_GAP_PIXELS = 6
_LIGHT = ("RdBu_r",)
"""Colour maps whose middle is white."""


class Colours(NamedTuple):
    """A colour map and the values at its ends."""

    map: str
    low: float
    high: float


def cells(rows: int, columns: int, edges: Box, gaps: tuple[float, float] = (0.0, 0.0)) -> list[list[Box]]:
    """The boxes of a table between ``edges`` (left, bottom, right, top); ``gaps`` across and down are parts of a cell."""
    left, bottom, right, top = edges
    width, height = (right - left) / (columns + gaps[0] * (columns - 1)), (top - bottom) / (rows + gaps[1] * (rows - 1))
    lefts = [left + column * (1.0 + gaps[0]) * width for column in range(columns)]
    bottoms = [top - height - row * (1.0 + gaps[1]) * height for row in range(rows)]
    return [[(x, y, width, height) for x in lefts] for y in bottoms]


def draw_picture(
    parent: Figure | SubFigure, box: Box, shown: np.ndarray, title: str, colours: Colours, kind: str = "", ink: str = "black"
) -> Box:
    """Draw the plane ``shown`` as large as ``box`` allows, its title above; return where it is.

    On a scale from 0, zeros are black. ``kind``, one of PLANES, writes the patient's sides at the edges. ``ink`` is the title's colour.
    """
    left, bottom, width, height = box
    page = parent.bbox.height / parent.bbox.width
    side = min(width, height * page * shown.shape[1] / shown.shape[0])
    across, up = side, side / page * shown.shape[0] / shown.shape[1]
    placed = (left + 0.5 * (width - across), bottom + 0.5 * (height - up), across, up)
    _draw_image(parent, placed, np.ma.masked_equal(shown, 0.0) if colours.low == 0 else shown, colours)
    above = _TITLE_GAP_PIXELS / parent.bbox.height
    parent.text(placed[0] + 0.5 * across, placed[1] + up + above, title, size=8, ha="center", va="bottom", color=ink)
    letters = "black" if colours.map in _LIGHT else "white"
    for text, part, align in zip(SIDES.get(kind, ()), (0.02, 0.98), ("left", "right"), strict=False):
        parent.text(placed[0] + part * across, placed[1] + 0.5 * up, text, size=8, ha=align, va="center", color=letters)
    return placed


def draw_bar(parent: Figure | SubFigure, box: Box, colours: Colours, label: str = "") -> None:
    """Draw a colour bar along the longer side of ``box``, with some values beside it and a label under a horizontal one."""
    from matplotlib.ticker import MaxNLocator

    left, bottom, width, height = box
    upright = height * parent.bbox.height > width * parent.bbox.width
    steps = np.linspace(colours.low, colours.high, 128)
    _draw_image(parent, box, steps[::-1, None] if upright else steps[None], colours)
    for value in MaxNLocator(_TICKS, steps=[1, 2.5, 5, 10]).tick_values(colours.low, colours.high):
        part = (value - colours.low) / (colours.high - colours.low)
        if -1e-6 <= part <= 1.0 + 1e-6:
            x, y = (left + 1.2 * width, bottom + part * height) if upright else (left + part * width, bottom - 0.4 * height)
            parent.text(x, y, f"{value:g}", size=7, ha="left" if upright else "center", va="center" if upright else "top")
    if label:
        parent.text(left + 0.5 * width, bottom - 0.4 * height, f"\n{label}", size=8, ha="center", va="top")


def _draw_image(parent: Figure | SubFigure, box: Box, values: Any, colours: Colours) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from matplotlib.image import BboxImage
    from matplotlib.transforms import Bbox, TransformedBbox

    place = TransformedBbox(Bbox.from_bounds(*box), parent.transSubfigure)
    cmap = colormaps[colours.map].with_extremes(bad="black")
    norm = Normalize(colours.low, colours.high)
    image = BboxImage(place, cmap=cmap, norm=norm, interpolation="none", origin="upper")  # others would be joined in a PDF
    image.set_data(values)
    parent.add_artist(image)
