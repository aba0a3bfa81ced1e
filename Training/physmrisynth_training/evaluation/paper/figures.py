"""Figures of the suite ``paper``: the paper's Figures 1, 3, 4 and 5, and errors of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.physics.tissues import PROPERTIES

from ..distributions import published_medians
from ..drawing import Picture, draw_pictures, page, save
from .contrasts import COMMON, UNSEEN, background_ratios
from .samples import Samples
from .slices import KnownSlices
from .tables import signal_values
from .whole_heads import ALONE, LITERATURE_FIT, NETWORK_FIT, SUBSETS_3D, Reconstruction

_SHOWN_SAMPLES, _SHOWN_SUBJECTS = 4, 4
_HIGHEST = {"PD": 1.2, "T1": 3000.0, "T2": 300.0}
_CLIPPED = 95
"""Per cent: highest value shown in a distribution, as in the paper."""
_BINS = 80
_COLOURS = {ALONE: "#88bbdd", NETWORK_FIT: "#4477aa", LITERATURE_FIT: "#999933"}
_COLOUR_2D = "#aa3377"


def draw_maps(samples: Samples, path: Path) -> None:
    """Figure 1: maps of the first run's samples with the darkest backgrounds."""
    shown = _by_background(samples)[:_SHOWN_SAMPLES]
    maps = samples.first[:, shown]
    rows = []
    for name, values, colours in zip(("PD", "T1", "T2"), maps, ("gray", "inferno", "viridis"), strict=True):
        scale = np.percentile(values, 99.5) if name == "PD" else 1.0
        high = 1.0 if name == "PD" else _HIGHEST[name]
        unit = "over its 99.5th percentile" if name == "PD" else f"0 to {high:.0f} ms"
        rows.append([Picture(f"{name}, seed {n}\n{unit}", v / scale, 0.0, high, colours) for n, v in zip(shown, values, strict=True)])
    draw_pictures(rows, path)


def _by_background(samples: Samples) -> list[int]:
    """Numbers of the samples, the darkest background in the usual T1w contrast first."""
    return [int(n) for n in np.argsort(background_ratios(COMMON[0].image(samples.first)))]


def draw_contrasts(samples: Samples, path: Path) -> None:
    """Figure 3: the first run's sample with the darkest background by three signal models; first the usual protocol, then three that no
    training image had."""
    darkest = _by_background(samples)[0]
    one = samples.first[:, darkest : darkest + 1]
    rows = []
    for usual in COMMON:
        pictures = []
        for contrast in (usual, *(c for c in UNSEEN if c.family == usual.family)):
            image = contrast.image(one)[0]
            pictures.append(Picture(f"{contrast.family} {contrast.title}\nseed {darkest}", image, 0.0, _bright_level(image)))
        rows.append(pictures)
    draw_pictures(rows, path)


def draw_reconstructions(slices: Sequence[KnownSlices], found: Sequence[Reconstruction], path: Path) -> None:
    """Figure 5: acquired images above, reconstructions below, of the middle slice of a few subjects."""
    acquired, rebuilt = [], []
    for those, reconstruction in list(zip(slices, found, strict=True))[:_SHOWN_SUBJECTS]:
        middle = len(those.planes) // 2
        for role, target, image in zip(ROLES, those.images[:, middle], reconstruction.images[:, middle], strict=True):
            level = _bright_level(target)
            acquired.append(Picture(f"{those.name.removeprefix('sub-')}\n{role}, acquired", target, 0.0, level))
            rebuilt.append(Picture("reconstruction", image, 0.0, level))
    half = -(-len(acquired) // 2)
    draw_pictures([acquired[:half], rebuilt[:half], acquired[half:], rebuilt[half:]], path)


def _bright_level(image: np.ndarray) -> float:
    return max(float(np.nanpercentile(image, 99.5)), 1e-9)


def draw_distributions(by_method: Mapping[str, np.ndarray], path: Path) -> None:
    """Figure 4: T1 and T2 of pixels with signal; the dashed lines are published medians."""
    figure, axes = page(1, 2, 5.2, 3.2)
    for column, (ax, name) in enumerate(zip(axes[0], ("T1", "T2"), strict=True)):
        for method, maps in by_method.items():
            values = signal_values(maps)[column]
            highest = np.percentile(values, _CLIPPED)
            shown = values[values <= highest]
            weights = np.full(shown.size, 100.0 / shown.size)
            ax.hist(shown, _BINS, range=(0.0, _HIGHEST[name]), weights=weights, histtype="step", label=method)
        for tissue, medians in published_medians(3.0).items():
            ax.axvline(medians[name], color="black", linewidth=0.8, linestyle="--")
            ax.text(
                medians[name], 0.99, f" {tissue.replace('_', ' ')}", transform=ax.get_xaxis_transform(), fontsize=6, va="top", rotation=90
            )
        ax.set_xlabel(f"{name} (ms)", fontsize=8)
        ax.set_ylabel("% of pixels a bin", fontsize=8)
        ax.tick_params(labelsize=7)
    axes[0, 0].legend(loc="upper right", fontsize=6, frameon=False)
    save(figure, path)


def draw_errors(records: Sequence[Mapping[str, Any]], best: str, path: Path) -> None:
    """Errors of PD, T1 and T2 by inputs: the 2D model and the 3D methods on the same subjects."""
    figure, axes = page(1, len(PROPERTIES), 4.4, 3.0)
    methods = (best, *_COLOURS)
    same = {r["subject"] for r in records if r["kind"] == "maps" and r["method"] in _COLOURS}
    maps = [r for r in records if r["kind"] == "maps" and (not same or r["subject"] in same)]
    for ax, name in zip(axes[0], PROPERTIES, strict=True):
        for place, method in enumerate(methods):
            of = {
                names: [r["error_percent"][name] for r in maps if r["method"] == method and r["inputs"] == list(names)]
                for names in SUBSETS_3D
            }
            shown = [(number, np.median(values)) for number, values in enumerate(of.values()) if values]
            label = f"2D model ({best})" if method == best else method
            where = [number + 0.2 * (place - 1.5) for number, _ in shown]
            ax.bar(where, [error for _, error in shown], 0.2, color=_COLOURS.get(method, _COLOUR_2D), label=label)
        ax.set_xticks(range(len(SUBSETS_3D)), ["\n".join(names) for names in SUBSETS_3D], fontsize=6)
        ax.set_title(f"{name}: median absolute error (%)", fontsize=9)
        ax.tick_params(labelsize=7)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=len(methods), fontsize=8, frameon=False)
    save(figure, path)
