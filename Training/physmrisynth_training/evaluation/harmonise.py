"""Suite ``harmonise``: people scanned with ten protocols at two field strengths; variation of their FLAIR images before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.results.tissue_volumes import brain_volumes

from ..simulator.drawn_protocols import random_protocol
from ..simulator.standard_acquisition import known_head, standard_acquisition
from .drawing import page, save
from .plan import Plan, progress_bar
from .results import Findings, Table
from .volumes import map_set

PEOPLE = ("06", "12", "24", "30")
FIELD_STRENGTHS = (1.5, 3.0)
SCANNERS = 5
"""Sets of three protocols at each field strength."""
TARGET = Protocol.of("flair", "target", TR=9000, TE=120, TI=2400, L=150)
_TISSUES = ("white_matter", "cortex", "deep_grey", "csf")
_VOLUMES = ("white_matter", "cortical_grey", "csf")
_ROWS = {name: row for row, name in enumerate(tissue.name for tissue in tissue_table())}
_METHODS = ("99th percentile", "z-score", "histogram matching", "rendered in one protocol")
_NOTES = (
    "Four test people (label maps at 2 mm), each scanned five times at 1.5 T and five times at 3 T with other T1w, T2w and FLAIR "
    "protocols, gains, receive fields and noise. Of each scan's FLAIR the mean of each tissue, after one of four treatments: divided by "
    "the 99th percentile; z-score in the brain; histogram matched to the person's first scan; or rendered from the scan's maps in one "
    "protocol. "
    "Variation: SD over a person's scans, of intensities in % of the contrast between the brightest and the darkest of these tissues (a "
    "z-score has no zero to refer to), of volumes in % of the volume; mean over people. "
    "T1 differs between the field strengths, and with it the rendering.",
)
_COLOURS = {1.5: "#4477aa", 3.0: "#c98a2b"}
"""By field strength."""
Record = dict[str, Any]


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError when a label map is missing."""
    for person in PEOPLE:
        plan.file(_file(person))


def _file(person: str) -> str:
    return f"people/person_{person}_labels.nii.gz"


def measure(plan: Plan) -> Findings:
    """Variation of intensities and volumes of every treatment."""
    records: list[Record] = []
    with progress_bar(len(PEOPLE) * len(FIELD_STRENGTHS) * SCANNERS * len(plan.estimators), "harmonise") as bar:
        for person in PEOPLE:
            labels = sitk.ReadImage(str(plan.file(_file(person))))[::2, ::2, ::2]
            for prior in plan.estimators:
                records += _person(plan, person, labels, prior, bar.update)
    return Findings(records, [_table(records, list(plan.estimators))], _NOTES, partial(_draw, records))


def _person(plan: Plan, person: str, labels: sitk.Image, prior: str, done: Callable[[], object]) -> list[Record]:
    """A record for each scan: mean FLAIR of each tissue by treatment, and volumes."""
    found, first = [], None
    for strength in FIELD_STRENGTHS:
        head = known_head(labels, np.random.default_rng(int(person)), strength)
        for scanner in range(SCANNERS):
            rng = np.random.default_rng([int(person), scanner, round(10 * strength)])
            protocols = {role: random_protocol(role, strength, rng) for role in ROLES}
            images = standard_acquisition(head.maps, rng, protocols)
            flair = np.where(head.maps.mask, sitk.GetArrayFromImage(images["flair"]), np.float32(0))
            first = flair if first is None else first
            acquisitions = [Acquisition(role, volume_from_image(head.maps.image(_stripped(image, head))), protocols[role])
                            for role, image in images.items()]  # fmt: skip
            estimate = plan.estimate(prior, acquisitions, strength, f"person {person}, {strength:g} T, scanner {scanner}")
            seen = dict(zip(_METHODS, (*treated(flair, first, head.maps.mask, labels), render(estimate.maps, TARGET)), strict=True))
            volumes = brain_volumes(map_set(estimate)).volumes
            means = {method: {name: float(image[head.tissue == _ROWS[name]].mean()) for name in _TISSUES} for method, image in seen.items()}
            found.append({
                "person": person, "prior": prior, "field_strength": strength, "flair": protocols["flair"].spec, "means": means,
                "volumes_ml": {name: volumes[name].ml for name in _VOLUMES},
            })  # fmt: skip
            done()
    return found


def _stripped(image: sitk.Image, head: KnownHead) -> np.ndarray:
    return np.where(head.maps.mask, sitk.GetArrayFromImage(image), np.float32(0))


def treated(flair: np.ndarray, first: np.ndarray, mask: np.ndarray, grid: sitk.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image (z, y, x) scaled by its 99th percentile, as z-score in a mask, and with its histogram
    matched to that of ``first``."""
    inside = flair[mask]
    scaled = flair / np.float32(np.percentile(inside, 99))
    score = (flair - inside.mean()) / inside.std()
    matched = sitk.HistogramMatching(image_like(flair, grid), image_like(first, grid), 256, 15, True)
    return scaled, score, sitk.GetArrayFromImage(matched)


def variation(records: Sequence[Mapping[str, Any]], method: str, tissue: str) -> float:
    """SD of a tissue's mean over scans, in % of the mean contrast between the brightest and the darkest tissue."""
    means = np.array([[r["means"][method][name] for name in _TISSUES] for r in records])
    return float(100.0 * means[:, _TISSUES.index(tissue)].std(ddof=1) / np.ptp(means, axis=1).mean())


def _table(records: Sequence[Record], priors: Sequence[str]) -> Table:
    rows = []
    for prior in priors:
        for method in _METHODS:
            for title, strengths in (("1.5 T", (1.5,)), ("3 T", (3.0,)), ("both", FIELD_STRENGTHS)):
                some = [r for r in records if r["prior"] == prior and r["field_strength"] in strengths]
                groups = [[r for r in some if r["person"] == person] for person in PEOPLE]
                cells = (f"{np.mean([variation(group, method, tissue) for group in groups]):.1f}" for tissue in _TISSUES)
                rows.append((prior, method, title, *cells))
        groups = [[r["volumes_ml"] for r in records if r["person"] == p and r["prior"] == prior] for p in PEOPLE]
        spread = (np.mean([100.0 * np.std([v[n] for v in g], ddof=1) / np.mean([v[n] for v in g]) for g in groups]) for n in _VOLUMES)
        spreads = ", ".join(f"{name.replace('_', ' ')} {value:.1f} %" for name, value in zip(_VOLUMES, spread, strict=True))
        rows.append((prior, f"volumes: {spreads}", "both", *("" for _ in _TISSUES)))
    columns = ("prior", "method", "field strength", *(tissue.replace("_", " ") for tissue in _TISSUES))
    return Table("Variation over scans, %", columns, tuple(rows))


def _draw(records: Sequence[Record], path: Path) -> None:
    """Tissue means of all scans, by treatment, in units of the mean contrast."""
    figure, axes = page(1, len(_METHODS), 3.0, 3.0)
    for ax, method in zip(axes[0], _METHODS, strict=True):
        for record in records:
            contrast = np.mean([np.ptp([r["means"][method][t] for t in _TISSUES]) for r in records])
            strength = record["field_strength"]
            means = [record["means"][method][t] / contrast for t in _TISSUES]
            ax.plot(range(len(_TISSUES)), means, color=_COLOURS[strength], alpha=0.6, label=f"{strength:g} T")
        ax.set_xticks(range(len(_TISSUES)), [t.replace("_", "\n") for t in _TISSUES], fontsize=6)
        ax.set_title(method, fontsize=8)
    lines = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels()), strict=True))
    axes[0, 0].legend(lines.values(), lines.keys(), title="scanned at", title_fontsize=6, fontsize=6, frameon=False)
    axes[0, 0].set_ylabel("mean of FLAIR / mean contrast", fontsize=7)
    save(figure, path)
