"""The picture of an estimate: maps, uncertainties, inputs, residuals, and T1/T2 histograms with the literature's ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from ..imaging.tissue_maps import PER_CENT
from ..imaging.volumes import image_like
from ..physics.tissues import acceptance_ranges, tissue_table
from .estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAPS = (("PD", "PD (% of water)", "gray", 0, 110), ("T1", "T1 (ms)", "inferno", 0, 3000), ("T2", "T2 (ms)", "viridis", 0, 250))
_SHOWN_TISSUES = ("white_matter", "cortex")
_COLOURS = {"white_matter": "#c98a2b", "cortex": "#4477aa"}


def axial_plane(voxels: np.ndarray, grid: sitk.Image, centre: tuple[float, float, float]) -> np.ndarray:
    """The axial plane through a point (LPS, mm) at 1 mm, 220 mm wide: front up, patient's left on the right."""
    image = image_like(voxels.astype(np.float32), grid)
    size, origin = (220, 220, 1), (centre[0] - 110.0, centre[1] - 110.0, centre[2])
    plane = sitk.Resample(image, size, sitk.Transform(), sitk.sitkLinear, origin, (1.0, 1.0, 1.0), (1, 0, 0, 0, 1, 0, 0, 0, 1), 0.0)
    return sitk.GetArrayFromImage(plane)[0]


def _brain_centre(estimate: Estimate) -> tuple[float, float, float]:
    where = np.argwhere(estimate.brain if estimate.brain.any() else estimate.maps.mask)
    x, y, z = estimate.maps.grid.TransformContinuousIndexToPhysicalPoint(np.median(where, axis=0)[::-1].tolist())
    return x, y, z + 8.0  # through the basal ganglia and the lateral ventricles


def write_figure(estimate: Estimate, field_strength: float, path: Path) -> None:
    """Draw the report's picture into a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = 3 + len(estimate.fits)
    figure = Figure(figsize=(11, 3.1 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 3)
    centre = _brain_centre(estimate)
    voxels = {"PD": estimate.maps.pd * PER_CENT, "T1": estimate.maps.t1, "T2": estimate.maps.t2}
    for column, (name, title, colours, low, high) in enumerate(_MAPS):
        _show(axes[0, column], axial_plane(voxels[name], estimate.maps.grid, centre), title, colours, low, high)
        relative = np.divide(
            estimate.maps.sd[name] * (PER_CENT if name == "PD" else 1.0),
            voxels[name],
            where=voxels[name] > 0,
            out=np.zeros_like(voxels[name]),
        )
        _show(axes[1, column], axial_plane(100 * relative, estimate.maps.grid, centre), f"SD of {name} (% of value)", "magma", 0, 40)
    for row, (name, fit) in enumerate(estimate.fits.items(), start=3):
        _input_row(axes[row], estimate, name, fit, centre)
    for column, (name, *_) in enumerate(_MAPS):
        _histogram(axes[2, column], estimate, name, voxels[name], field_strength)
    figure.suptitle("Research only: tissue maps from weighted images are semi-quantitative", fontsize=9)
    figure.savefig(path, dpi=110)


def _show(axes: Axes, plane: np.ndarray, title: str, colours: str, low: float, high: float) -> None:
    axes.set_facecolor("black")
    drawn = axes.imshow(np.ma.masked_equal(plane, 0.0) if low == 0 else plane, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.figure.colorbar(drawn, ax=axes, shrink=0.8)


def _input_row(axes: Any, estimate: Estimate, name: str, fit: np.ndarray, centre: tuple[float, float, float]) -> None:
    observed = estimate.inputs[name]
    scale = float(np.percentile(observed[estimate.maps.mask], 99.5))
    seen = estimate.maps.mask & estimate.alignments[name].covered
    residual = np.where(seen, observed - fit, 0.0) / scale * 100
    darkest = -scale if observed.min() < 0 else 0.0
    check = estimate.checks[name]
    _show(axes[0], axial_plane(observed, estimate.maps.grid, centre), f"{name}: input", "gray", darkest, scale)
    _show(axes[1], axial_plane(fit, estimate.maps.grid, centre), f"{name}: from the maps", "gray", darkest, scale)
    _show(
        axes[2],
        axial_plane(residual, estimate.maps.grid, centre),
        f"residual (%), RMS {check.rms_percent:.1f} in the brain",
        "RdBu_r",
        -10,
        10,
    )


def _histogram(axes: Axes, estimate: Estimate, name: str, voxels: np.ndarray, field_strength: float) -> None:
    """Distribution of a map in white matter and cortex; bars on top mark the published ranges of group means."""
    names = [tissue.name for tissue in tissue_table()]
    limit = {"PD": 110.0, "T1": 3000.0, "T2": 250.0}[name]
    ranges = acceptance_ranges(field_strength)
    for tissue in _SHOWN_TISSUES:
        where = (estimate.tissue == names.index(tissue)) & estimate.brain & (voxels <= limit)
        if where.any():
            axes.hist(
                voxels[where], bins=120, range=(0, limit), density=True, color=_COLOURS[tissue], alpha=0.7, label=tissue.replace("_", " ")
            )
        low, high = ranges[tissue][name]
        axes.axvspan(low, high, ymin=0.94, color=_COLOURS[tissue])
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.set_title(f"{name} (bars: published group means)", fontsize=9)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", fontsize=7, frameon=False)


def write_contrasts(estimate: Estimate, contrasts: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw one axial plane of every rendered contrast into a PNG file; signed images (PSIR) are centred on zero."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 4
    rows = -(-len(contrasts) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.8 * rows), layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    centre = _brain_centre(estimate)
    for ax, (name, image) in zip(axes, contrasts.items(), strict=False):
        shown = estimate.brain if estimate.brain.any() else estimate.maps.mask
        high = float(np.percentile(np.abs(image[shown]), 99.5))
        ax.imshow(axial_plane(image, estimate.maps.grid, centre), cmap="gray", vmin=-high if image.min() < 0 else 0, vmax=high)
        ax.set_title(name, color="white", fontsize=9)
    for ax in axes:
        ax.axis("off")
    figure.savefig(path, dpi=110)
