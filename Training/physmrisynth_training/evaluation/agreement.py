"""Agreement of two methods of measurement: bias and limits of agreement (Bland & Altman, Lancet 327:307, 1986)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 4000
"""Most points of each colour in a figure."""
_NORMAL_95 = 1.96
_FEWEST_CORRELATED = 3
TISSUE_COLOURS = {"white_matter": "#ee7733", "cortex": "#0077bb", "deep_grey": "#009988", "thalamus": "#cc3377", "csf": "#33bbee"}


@dataclass(frozen=True)
class Agreement:
    """``bias`` and 95 % ``limits`` of estimate − reference in % of their mean, over so many pairs; medians of both; Pearson's
    ``correlation`` (None: fewer than three pairs, or no spread), and the share of pairs within one SD of the estimate (None:
    without SD)."""

    count: int
    reference: float
    estimate: float
    bias: float
    limits: tuple[float, float]
    correlation: float | None
    within_one_sd_percent: float | None = None


def difference_percent(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Difference in % of the mean of both."""
    return 200.0 * (estimate - reference) / (estimate + reference)


def agreement(estimate: np.ndarray, reference: np.ndarray, sd: np.ndarray | None = None) -> Agreement:
    """Agreement of N pairs of positive values, and coverage of the reference by the estimate's ``sd``."""
    estimate, reference = np.asarray(estimate, dtype=float), np.asarray(reference, dtype=float)
    differences = difference_percent(estimate, reference)
    bias, spread = float(differences.mean()), float(differences.std(ddof=1)) if differences.size > 1 else float("nan")
    enough = differences.size >= _FEWEST_CORRELATED and estimate.std() > 0 and reference.std() > 0
    return Agreement(
        int(differences.size), float(np.median(reference)), float(np.median(estimate)), bias,
        (bias - _NORMAL_95 * spread, bias + _NORMAL_95 * spread),
        float(np.corrcoef(estimate, reference)[0, 1]) if enough else None,
        None if sd is None else float(100.0 * np.mean(np.abs(estimate - reference) <= sd)),
    )  # fmt: skip


def cells(found: Agreement) -> tuple[str, ...]:
    """Table cells: count, reference, estimate, bias, limits, correlation, coverage."""
    low, high = found.limits
    return (
        f"{found.count}", f"{found.reference:.4g}", f"{found.estimate:.4g}", f"{found.bias:+.1f}",
        "–" if np.isnan(low) else f"{low:+.1f} to {high:+.1f}",
        "–" if found.correlation is None else f"{found.correlation:.2f}",
        "–" if found.within_one_sd_percent is None else f"{found.within_one_sd_percent:.0f}",
    )  # fmt: skip


COLUMNS = ("pairs", "reference", "estimate", "bias %", "limits of agreement %", "correlation", "within one SD %")


def draw_agreement(ax: Axes, pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], unit: str, colours: Mapping[str, str]) -> None:
    """Difference over mean of (estimate, reference) by name, with bias and limits of all of them together."""
    means, differences = [], []
    for name, (estimate, reference) in pairs.items():
        every = max(1, len(estimate) // _SHOWN)
        mean, difference = (estimate + reference) / 2.0, difference_percent(estimate, reference)
        ax.plot(mean[::every], difference[::every], ".", markersize=2, alpha=0.4, color=colours.get(name), label=name.replace("_", " "))
        means.append(mean)
        differences.append(difference)
    if not means:
        return
    every_difference = np.concatenate(differences)
    bias, spread = every_difference.mean(), every_difference.std()
    for level, style in ((bias, "-"), (bias - _NORMAL_95 * spread, "--"), (bias + _NORMAL_95 * spread, "--")):
        ax.axhline(level, color="black", linewidth=0.8, linestyle=style)
    _frame(ax, np.concatenate(means), every_difference)
    ax.set_xlabel(f"mean of both ({unit})", fontsize=7)
    ax.set_ylabel("estimate − reference (%)", fontsize=7)
    ax.tick_params(labelsize=7)
    ax.legend(fontsize=6, markerscale=4, frameon=False)


def _frame(ax: Axes, means: np.ndarray, differences: np.ndarray) -> None:
    """Show all but the outermost points."""
    low, high = np.percentile(means, [0.2, 99.8])
    reach = 1.2 * max(float(np.percentile(np.abs(differences), 99.0)), 1.0)
    margin = 0.05 * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(-reach, reach)


def pooled(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of several people or series as one."""
    estimate, reference = zip(*pairs, strict=True)
    return np.concatenate(estimate), np.concatenate(reference)
