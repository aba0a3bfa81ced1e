"""Common parts of the suites' figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.workflow.results.planes import plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"network": "#4477aa", "literature": "#c98a2b", "oracle regression": "#777777", "truth": "black", "without prior": "#aa3377"}
_DOTS_PER_INCH = 110
_ABOVE_CENTRE_MM = 8.0


@dataclass(frozen=True)
class Picture:
    """One plane with its ``title``, shown from ``low`` to ``high``."""

    title: str
    plane: np.ndarray
    low: float
    high: float
    colours: str = "gray"


def page(rows: int, columns: int, width: float, height: float, dark: bool = False) -> tuple[Figure, Any]:
    """A figure of axes (rows, columns), each of ``width`` × ``height`` inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained", facecolor="black" if dark else "white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whatever the path's suffix."""
    figure.savefig(path, dpi=_DOTS_PER_INCH, format="png")


def draw_pictures(rows: Sequence[Sequence[Picture]], path: Path) -> None:
    """Planes in rows on a dark page."""
    figure, axes = page(len(rows), max(len(row) for row in rows), 2.0, 2.7, dark=True)
    for ax in axes.ravel():
        ax.axis("off")
    for line, row in zip(axes, rows, strict=True):
        for ax, picture in zip(line, row, strict=False):
            _show(ax, picture)
    save(figure, path)


def _show(ax: Axes, picture: Picture) -> None:
    seen = np.ma.masked_equal(picture.plane, 0.0)  # voxels without data are dark in every colour map
    ax.imshow(seen, cmap=picture.colours, vmin=picture.low, vmax=picture.high, interpolation="nearest")
    ax.set_title(picture.title, color="white", fontsize=7)


class View:
    """The axial plane through a ``brain`` mask at the height of the lateral ventricles, cropped to ``shown`` (both masks of
    shape (z, y, x) on ``grid``)."""

    def __init__(self, brain: np.ndarray, shown: np.ndarray, grid: sitk.Image) -> None:
        x, y, z = grid.TransformContinuousIndexToPhysicalPoint(np.median(np.argwhere(brain), axis=0)[::-1].tolist())
        self._grid, self._centre = grid, (x, y, z + _ABOVE_CENTRE_MM)
        self._window = bounding_box(plane(shown, grid, self._centre) > 0.5) or ...

    def plane(self, voxels: np.ndarray) -> np.ndarray:
        """The plane of a volume (z, y, x), at 1 mm: front up, patient's left on the right."""
        return plane(voxels, self._grid, self._centre)[self._window]
