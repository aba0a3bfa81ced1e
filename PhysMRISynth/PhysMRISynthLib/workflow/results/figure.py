"""The pictures of an estimate: a page for readers, a page for those who want to know more, and rendered contrasts."""

from __future__ import annotations

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
from .planes import PLANES, Point, brain_centre, draw_sides, plane, tissue_window
from .report_text import LEVEL_COLOURS, header_lines, table_rows, verdict_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAPS = (("PD", "PD (% of water)", "gray", 0, 110), ("T1", "T1 (ms)", "inferno", 0, 3000), ("T2", "T2 (ms)", "viridis", 0, 250))
_READERS_MAPS = (("T1", "inferno", 0, 2500), ("T2", "viridis", 0, 200))
_SHOWN_TISSUES = ("white_matter", "cortex")
_COLOURS = {"white_matter": "#c98a2b", "cortex": "#4477aa"}
_A4 = (11.69, 8.27)
_DPI = 110


def first_page(estimate: Estimate, report: Mapping[str, Any]) -> Figure:
    """For readers, A4 landscape: who and how, the verdict, T1 and T2 in three planes, tissue values, what the maps leave unexplained."""
    figure = new_figure(_A4)
    rows: Any = figure.subfigures(3, 1, height_ratios=(1.15, 2.5, 2.45))
    head, maps, rest = rows
    _draw_header(head.add_axes((0.02, 0.0, 0.96, 1.0)), report)
    draw_maps(maps, estimate)
    table, residuals = rest.subfigures(1, 2, width_ratios=(1.45, 1.0))
    _draw_table(table.add_axes((0.03, 0.0, 0.96, 0.95)), report)
    draw_residuals(residuals, estimate)
    return figure


def second_page(estimate: Estimate) -> Figure:
    """For those who want to know more: PD, uncertainties, distributions, and each input beside its image from the maps."""
    rows = 3 + len(estimate.fits)
    height = 3.1 * rows
    figure = new_figure((11, height))
    edges = {"left": 0.02, "right": 0.97, "top": 1.0 - 0.55 / height, "bottom": 0.1 / height, "hspace": 0.32, "wspace": 0.1}
    axes = figure.subplots(rows, 3, gridspec_kw=edges)
    centre = brain_centre(estimate)
    voxels = {"PD": estimate.maps.pd, "T1": estimate.maps.t1, "T2": estimate.maps.t2}
    tissues = _tissue_voxels(estimate)
    for column, (name, title, colours, low, high) in enumerate(_MAPS):
        scale = PER_CENT if name == "PD" else 1.0
        shown, sd = (plane(array, estimate.maps.grid, centre) for array in (voxels[name], estimate.maps.sd[name]))
        _show(axes[0, column], scale * shown, title, colours, low, high)
        relative = np.divide(100 * sd, shown, where=shown > 0, out=np.zeros_like(shown))
        _show(axes[1, column], relative, f"Voxel uncertainty of {name} (SD, % of value)", "magma", 0, 40)
        values = {tissue: scale * voxels[name][where] for tissue, where in tissues.items()}
        _histogram(axes[2, column], values, name, estimate.field_strength)
    for row, (name, fit) in enumerate(estimate.fits.items(), start=3):
        _input_row(axes[row], estimate, name, fit, centre)
    figure.suptitle("Research only, not for diagnosis: tissue maps from weighted images are estimates", fontsize=9, y=1.0 - 0.15 / height)
    return figure


def draw_maps(parent: Any, estimate: Estimate) -> None:
    """T1 and T2 in three planes each, with the patient's sides."""
    axes = parent.subplots(1, 6, gridspec_kw={"wspace": 0.02, "left": 0.02, "right": 0.98, "top": 0.92, "bottom": 0.28})
    centre = brain_centre(estimate)
    for group, (name, colours, low, high) in enumerate(_READERS_MAPS):
        voxels = {"T1": estimate.maps.t1, "T2": estimate.maps.t2}[name]
        row = axes[3 * group : 3 * group + 3]
        for ax, kind in zip(row, PLANES, strict=True):
            drawn = _picture(ax, plane(voxels, estimate.maps.grid, centre, kind), f"{name}, {kind}", colours, low, high)
            draw_sides(ax, kind)
        parent.colorbar(drawn, ax=list(row), orientation="horizontal", fraction=0.05, pad=0.02, label=f"{name} (ms)")


def draw_residuals(parent: Any, estimate: Estimate) -> None:
    """What the maps leave unexplained of each input, as one mosaic."""
    edges = {"wspace": 0.05, "left": 0.14, "right": 0.98, "top": 0.84, "bottom": 0.12}
    axes = parent.subplots(1, len(estimate.fits), squeeze=False, gridspec_kw=edges)[0]
    centre = brain_centre(estimate)
    for ax, (name, fit) in zip(axes, estimate.fits.items(), strict=True):
        title = f"{name}: residual (%)\nRMS {estimate.checks[name].rms_percent:.1f} %"
        drawn = _picture(ax, _residual(estimate, name, fit, centre), title, "RdBu_r", -10, 10)
        draw_sides(ax, "axial", "black")
    parent.colorbar(drawn, ax=list(axes), orientation="horizontal", fraction=0.06, pad=0.03)


def _draw_header(ax: Axes, report: Mapping[str, Any]) -> None:
    ax.axis("off")
    title, *lines = header_lines(report)
    ax.text(0.0, 0.97, title, fontsize=13, weight="bold", va="top")
    ax.text(1.0, 0.97, "Research only, not for diagnosis", fontsize=9, va="top", ha="right")
    ax.text(0.0, 0.72, "\n".join(textwrap.shorten(line, 170, placeholder=" …") for line in lines), fontsize=8, va="top", linespacing=1.35)
    colour = LEVEL_COLOURS.get(str(report.get("verdict")), "#777777")
    told = textwrap.fill(textwrap.shorten(verdict_line(report), 300, placeholder=" …"), 150)
    box = {"boxstyle": "round,pad=0.4", "facecolor": "none", "edgecolor": colour, "linewidth": 2.5}
    ax.text(0.005, 0.06, told, fontsize=9, va="bottom", bbox=box)


def _draw_table(ax: Axes, report: Mapping[str, Any]) -> None:
    ax.axis("off")
    head, *rows = table_rows(report)
    if rows:
        widths = [0.2, *(0.08, 0.105, 0.085) * 3, 0.06]
        table = ax.table(cellText=rows, colLabels=head, colWidths=widths, loc="upper left", cellLoc="right", edges="horizontal")
        for row in range(len(rows) + 1):
            table[row, 0].set_text_props(ha="left")
        table.auto_set_font_size(False)
        table.set_fontsize(7)
        table.scale(1.0, 1.35)


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure (inches) without a window, to be laid out by hand: matplotlib's own layout takes longer than all the drawing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    return figure


def _picture(ax: Axes, shown: np.ndarray, title: str, colours: str, low: float, high: float) -> Any:
    ax.set_facecolor("black")
    drawn = ax.imshow(np.ma.masked_equal(shown, 0.0) if low == 0 else shown, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    ax.set_title(title, fontsize=8)
    ax.set_xticks([])
    ax.set_yticks([])
    return drawn


def _show(ax: Axes, shown: np.ndarray, title: str, colours: str, low: float, high: float) -> None:
    drawn = _picture(ax, shown, title, colours, low, high)
    draw_sides(ax, "axial")
    ax.figure.colorbar(drawn, ax=ax, shrink=0.8)


def _residual(estimate: Estimate, name: str, fit: np.ndarray, centre: Point) -> np.ndarray:
    """The axial plane of what the maps leave unexplained, in % of the input's bright tissue, where the input was seen."""
    observed = estimate.inputs[name]
    some = np.s_[::2, ::2, ::2]
    scale = float(np.percentile(observed[some][estimate.maps.mask[some]], 99.5)) or 1.0
    seen = estimate.maps.mask & estimate.alignments[name].covered
    shown, made, where = (plane(voxels, estimate.maps.grid, centre) for voxels in (observed, fit, seen.view(np.uint8)))
    return np.where(where > 0.5, shown - made, 0.0) / scale * 100


def _input_row(axes: Any, estimate: Estimate, name: str, fit: np.ndarray, centre: Point) -> None:
    observed, check = estimate.inputs[name], estimate.checks[name]
    low, high = tissue_window(observed, estimate)
    _show(axes[0], plane(observed, estimate.maps.grid, centre), f"{name}: acquired", "gray", low, high)
    _show(axes[1], plane(fit, estimate.maps.grid, centre), f"{name}: from the maps (synthetic)", "gray", low, high)
    _show(axes[2], _residual(estimate, name, fit, centre), f"residual (%), RMS {check.rms_percent:.1f} in the brain", "RdBu_r", -10, 10)


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
    figure = new_figure((3.0 * columns, 3.2 * rows))
    figure.set_facecolor("black")
    edges = {"left": 0.005, "right": 0.995, "top": 1.0 - 0.5 / (3.2 * rows), "bottom": 0.005, "hspace": 0.2, "wspace": 0.02}
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=edges).ravel()
    centre = brain_centre(estimate)
    for ax, (name, image) in zip(axes, contrasts.items(), strict=False):
        low, high = tissue_window(image, estimate)
        inside = np.where(estimate.maps.mask, image, np.float32(low))  # around a head, a signed image is 0: grey
        ax.imshow(np.maximum(plane(inside - np.float32(low), estimate.maps.grid, centre) + low, low), cmap="gray", vmin=low, vmax=high)
        ax.set_title(f"{textwrap.fill(caption(protocols[name]), 40)}\nsynthetic", color="white", fontsize=8)
    for ax in axes:
        ax.axis("off")
    figure.savefig(path, dpi=_DPI)
