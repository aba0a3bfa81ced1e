"""The pictures of an estimate: a page for readers, a page for those who want to know more, and rendered contrasts."""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...imaging.tissue_maps import PER_CENT
from ...physics.protocol import Protocol
from ...physics.tissues import acceptance_ranges, tissue_table
from ..estimation.estimate import Estimate
from ..rendering.contrast_choice import caption
from .pictures import Box, Colours, cells, draw_bar, draw_picture
from .planes import PLANES, Point, brain_centre, plane, tissue_window
from .report_text import LEVEL_COLOURS, header_lines, table_rows, verdict_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from PIL.Image import Image

_MAPS = {
    "PD": ("PD (% of water)", Colours("gray", 0, 110)),
    "T1": ("T1 (ms)", Colours("inferno", 0, 3000)),
    "T2": ("T2 (ms)", Colours("viridis", 0, 250)),
}
_READERS_MAPS = {"T1": Colours("inferno", 0, 2500), "T2": Colours("viridis", 0, 200)}
_UNCERTAINTY, _RESIDUAL = Colours("magma", 0, 40), Colours("RdBu_r", -10, 10)
_SHOWN_TISSUES = ("white_matter", "cortex")
_COLOURS = {"white_matter": "#c98a2b", "cortex": "#4477aa"}
_A4 = (11.69, 8.27)
_DPI = 110
PNG_EFFORT = 3
"""A tenth larger than by the default of 6, in half the time."""


def first_page(estimate: Estimate, report: Mapping[str, Any]) -> Figure:
    """For readers, A4 landscape: who and how, the verdict, T1 and T2 in three planes, tissue values, what the maps leave unexplained."""
    figure = _new_figure(_A4)
    rows: Any = figure.subfigures(3, 1, height_ratios=(1.15, 2.5, 2.45))
    head, maps, rest = rows
    _draw_header(head, report)
    _draw_maps(maps, estimate)
    table, residuals = rest.subfigures(1, 2, width_ratios=(1.75, 1.0))
    _draw_table(table.add_axes((0.025, 0.0, 0.92, 0.95)), report)
    _draw_residuals(residuals, estimate)
    return figure


def cut(page: Path, figure: Figure) -> tuple[bytes, bytes]:
    """The maps and the residuals of a first page that was written to a PNG file, as PNG files of their own."""
    from PIL import Image

    maps, rest = figure.subfigs[1:]
    with Image.open(page) as picture:
        return _cut(picture, maps), _cut(picture, rest.subfigs[1])


def _cut(picture: Image, part: SubFigure) -> bytes:
    left, bottom, right, top = part.bbox.extents
    stream = io.BytesIO()
    box = (round(left), round(picture.height - top), round(right), round(picture.height - bottom))
    picture.crop(box).save(stream, "PNG", compress_level=PNG_EFFORT)
    return stream.getvalue()


def second_page(estimate: Estimate) -> Figure:
    """For those who want to know more: PD, uncertainties, distributions, and each input beside its image from the maps."""
    rows = 3 + len(estimate.fits)
    height = 3.1 * rows
    figure = _new_figure((11, height))
    boxes = cells(rows, 3, (0.02, 0.1 / height, 0.97, 1.0 - 0.55 / height), (0.1, 0.32))
    centre = brain_centre(estimate)
    voxels = {"PD": estimate.maps.pd, "T1": estimate.maps.t1, "T2": estimate.maps.t2}
    tissues = _tissue_voxels(estimate)
    for column, (name, (title, colours)) in enumerate(_MAPS.items()):
        scale = PER_CENT if name == "PD" else 1.0
        shown, sd = (plane(array, estimate.maps.grid, centre) for array in (voxels[name], estimate.maps.sd[name]))
        _show(figure, boxes[0][column], scale * shown, title, colours)
        relative = np.divide(100 * sd, shown, where=shown > 0, out=np.zeros_like(shown))
        _show(figure, boxes[1][column], relative, f"Voxel uncertainty of {name} (SD, % of value)", _UNCERTAINTY)
        values = {tissue: scale * voxels[name][where] for tissue, where in tissues.items()}
        _histogram(figure.add_axes(boxes[2][column]), values, name, estimate.field_strength)
    for row, (name, fit) in zip(boxes[3:], estimate.fits.items(), strict=True):
        _input_row(figure, row, estimate, name, fit, centre)
    warning = "Research only, not for diagnosis: tissue maps from weighted images are estimates"
    figure.text(0.5, 1.0 - 0.15 / height, warning, size=9, ha="center", va="top")
    return figure


def _draw_maps(parent: SubFigure, estimate: Estimate) -> None:
    """T1 and T2 in three planes each, with the patient's sides."""
    (row,) = cells(1, 6, (0.02, 0.28, 0.98, 0.92), (0.02, 0.0))
    centre = brain_centre(estimate)
    for number, (name, colours) in enumerate(_READERS_MAPS.items()):
        voxels = {"T1": estimate.maps.t1, "T2": estimate.maps.t2}[name]
        boxes = row[3 * number : 3 * number + 3]
        for box, kind in zip(boxes, PLANES, strict=True):
            shown = plane(voxels, estimate.maps.grid, centre, kind)
            left, bottom, width, _ = draw_picture(parent, box, shown, f"{name}, {kind}", colours, kind)
            if kind == PLANES[1]:
                draw_bar(parent, (left - 0.1 * width, bottom - 0.06, 1.2 * width, 0.035), colours, f"{name} (ms)")


def _draw_residuals(parent: SubFigure, estimate: Estimate) -> None:
    """What the maps leave unexplained of each input, as one mosaic."""
    (row,) = cells(1, len(estimate.fits), (0.03, 0.16, 0.99, 0.84), (0.05, 0.0))
    centre = brain_centre(estimate)
    for box, (name, fit) in zip(row, estimate.fits.items(), strict=True):
        title = f"{name}: residual (%)\nRMS {estimate.checks[name].rms_percent:.1f} %"
        _, bottom, _, _ = draw_picture(parent, box, _residual(estimate, name, fit, centre), title, _RESIDUAL, "axial")
    draw_bar(parent, (0.2, bottom - 0.07, 0.6, 0.035), _RESIDUAL)


def _draw_header(parent: SubFigure, report: Mapping[str, Any]) -> None:
    title, *lines = header_lines(report)
    parent.text(0.02, 0.97, title, fontsize=13, weight="bold", va="top")
    parent.text(0.98, 0.97, "Research only, not for diagnosis", fontsize=9, va="top", ha="right")
    inputs = "\n".join(textwrap.shorten(line, 170, placeholder=" …") for line in lines)
    parent.text(0.02, 0.72, inputs, fontsize=8, va="top", linespacing=1.35)
    colour = LEVEL_COLOURS.get(str(report.get("verdict")), "#777777")
    told = textwrap.fill(textwrap.shorten(verdict_line(report), 300, placeholder=" …"), 150)
    box = {"boxstyle": "round,pad=0.4", "facecolor": "none", "edgecolor": colour, "linewidth": 2.5}
    parent.text(0.025, 0.06, told, fontsize=9, va="bottom", bbox=box)


def _draw_table(ax: Axes, report: Mapping[str, Any]) -> None:
    ax.axis("off")
    head, *rows = table_rows(report)
    if rows:
        widths = [0.17, *(0.08, 0.105, 0.085) * 3, 0.06]
        table = ax.table(cellText=rows, colLabels=head, colWidths=widths, loc="upper left", cellLoc="right", edges="horizontal")
        for row in range(len(rows) + 1):
            table[row, 0].set_text_props(ha="left")
        table.auto_set_font_size(False)
        table.set_fontsize(7)
        table.scale(1.0, 1.35)


def _new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure (inches) without a window, to be laid out by hand: matplotlib's own layout takes longer than all the drawing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=_DPI)
    FigureCanvasAgg(figure)
    return figure


def _show(figure: Figure, box: Box, shown: np.ndarray, title: str, colours: Colours) -> None:
    left, bottom, width, height = draw_picture(figure, box, shown, title, colours, "axial")
    draw_bar(figure, (left + 1.03 * width, bottom + 0.1 * height, 0.05 * width, 0.8 * height), colours)


def _residual(estimate: Estimate, name: str, fit: np.ndarray, centre: Point) -> np.ndarray:
    """The axial plane of what the maps leave unexplained, in % of the input's bright tissue, where the input was seen."""
    observed = estimate.inputs[name]
    some = np.s_[::2, ::2, ::2]
    scale = float(np.percentile(observed[some][estimate.maps.mask[some]], 99.5)) or 1.0
    seen = estimate.maps.mask & estimate.alignments[name].covered
    shown, made, where = (plane(voxels, estimate.maps.grid, centre) for voxels in (observed, fit, seen.view(np.uint8)))
    return np.where(where > 0.5, shown - made, 0.0) / scale * 100


def _input_row(figure: Figure, boxes: list[Box], estimate: Estimate, name: str, fit: np.ndarray, centre: Point) -> None:
    observed, grid = estimate.inputs[name], estimate.maps.grid
    grey = Colours("gray", *tissue_window(observed, estimate))
    _show(figure, boxes[0], plane(observed, grid, centre), f"{name}: acquired", grey)
    _show(figure, boxes[1], plane(fit, grid, centre), f"{name}: from the maps (synthetic)", grey)
    title = f"residual (%), RMS {estimate.checks[name].rms_percent:.1f} in the brain"
    _show(figure, boxes[2], _residual(estimate, name, fit, centre), title, _RESIDUAL)


def _tissue_voxels(estimate: Estimate) -> dict[str, tuple[np.ndarray, ...]]:
    """Where in the brain the tissues of the histograms are."""
    names = [tissue.name for tissue in tissue_table()]
    return {tissue: np.nonzero((estimate.tissue == names.index(tissue)) & estimate.brain) for tissue in _SHOWN_TISSUES}


def _histogram(ax: Axes, values: Mapping[str, np.ndarray], name: str, field_strength: float) -> None:
    """Distribution of a map's ``values`` in white matter and cortex; bars on top mark the published ranges of group means."""
    limit = {"PD": 110.0, "T1": 3000.0, "T2": 250.0}[name]
    ranges = acceptance_ranges(field_strength)
    for tissue, found in values.items():
        counts, edges = np.histogram(found, bins=120, range=(0, limit))
        if counts.any():
            share = counts / (counts.sum() * (edges[1] - edges[0]))
            ax.stairs(share, edges, fill=True, color=_COLOURS[tissue], alpha=0.7, label=tissue.replace("_", " "))
        low, high = ranges[tissue][name]
        ax.axvspan(low, high, ymin=0.94, color=_COLOURS[tissue])
    ax.set_yticks([])
    ax.tick_params(labelsize=7)
    ax.set_xlabel(f"{name} ({'%' if name == 'PD' else 'ms'})", fontsize=8)
    ax.set_title("by tissue (bars: published group means)", fontsize=9)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", fontsize=7, frameon=False)


def write_contrasts(estimate: Estimate, contrasts: Mapping[str, np.ndarray], protocols: Mapping[str, Protocol], path: Path) -> None:
    """Draw one axial plane of every rendered contrast into a PNG file, each with its protocol and that it is synthetic."""
    columns = 4
    rows = -(-len(contrasts) // columns)
    figure = _new_figure((3.0 * columns, 3.2 * rows))
    figure.set_facecolor("black")
    edges = (0.005, 0.005, 0.995, 1.0 - 0.5 / (3.2 * rows))
    boxes = itertools.chain.from_iterable(cells(rows, columns, edges, (0.02, 0.2)))
    centre = brain_centre(estimate)
    for box, (name, image) in zip(boxes, contrasts.items(), strict=False):
        low, high = tissue_window(image, estimate)
        inside = np.where(estimate.maps.mask, image, np.float32(low))  # around a head, a signed image is 0: grey
        shown = np.maximum(plane(inside - np.float32(low), estimate.maps.grid, centre) + low, low)
        title = f"{textwrap.fill(caption(protocols[name]), 40)}\nsynthetic"
        draw_picture(figure, box, shown, title, Colours("gray", low, high), ink="white")
    figure.savefig(path, pil_kwargs={"compress_level": PNG_EFFORT})
