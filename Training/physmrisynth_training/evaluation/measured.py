"""Suite ``measured``: estimates from weighted scans against measured maps of the same people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.imaging.tissue_maps import PER_CENT, TissueMaps
from PhysMRISynthLib.physics.tissues import BRAIN_TISSUE, PROPERTIES, tissue_table
from PhysMRISynthLib.workflow.analysis.measured_maps import Imported, UnknownUnitError, read_measured, scaled_maps
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from PhysMRISynthLib.workflow.estimation.inputs import field_strength_of, read_acquisitions
from PhysMRISynthLib.workflow.estimation.tissue_medians import FROM_LITERATURE

from .agreement import COLUMNS, TISSUE_COLOURS, agreement, cells, draw_agreement, pooled
from .drawing import page, save
from .measured_people import Person, find_people
from .plan import Plan, progress_bar
from .results import Findings, Table

TISSUES = (*BRAIN_TISSUE, "csf")
_UNITS = {"PD": "%", "T1": "ms", "T2": "ms"}
_FEWEST_VOXELS = 50
_INSIDE = 0.99
_ROWS = {tissue.name: row for row, tissue in enumerate(tissue_table())}
_NOTES = (
    "Measured maps are resampled to the grid of the estimate (rigid registration if grids differ). Tissues are those of the "
    "estimate. Voxels: bias is the mean of estimate − measured in % of their mean, limits of agreement are bias ± 1.96 SD (Bland & Altman "
    "1986). People: the same of every person's median of a tissue. Within one SD: share of voxels whose measured value lies within the "
    "estimate's SD; the measurement's own noise and remaining shifts lower it. T1 depends on the measurement method, "
    "which may explain part of a bias.",
)
Record = dict[str, Any]
Pairs = dict[tuple[str, str, str], list[tuple[np.ndarray, np.ndarray]]]
"""(estimate, measured) of every person by prior, quantity and tissue."""


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if no person has both scans and maps."""
    find_people(plan.scans, plan.maps)


def measure(plan: Plan) -> Findings:
    """Agreement of every person, quantity, tissue and prior. Raises PhysMRISynthError when no person could be compared."""
    people = find_people(plan.scans, plan.maps)
    records: list[Record] = []
    pairs: Pairs = {}
    warnings: dict[str, list[str]] = {}
    failures = []
    with progress_bar(len(people.pairs) * len(plan.estimators), "measured") as bar:
        for person in people.pairs:
            try:
                found, cautions = _compare(plan, person, pairs, bar)
            except PhysMRISynthError as error:
                failures.append(f"{person.name} is left out: {error}")
            else:
                records += found
                for warning in cautions:
                    warnings.setdefault(warning, []).append(person.name)
    if not records:
        raise PhysMRISynthError(f"No person could be compared. {' '.join(failures)}")
    tables = [_voxel_table(records, list(plan.estimators)), _people_table(records, list(plan.estimators))]
    notes = [*_NOTES, *people.notes, *(f"{', '.join(names)}: {warning}" for warning, names in warnings.items()), *failures]
    return Findings(records, tables, notes, partial(_draw, pairs, list(plan.estimators)))


def _compare(plan: Plan, person: Person, pairs: Pairs, bar: Any) -> tuple[list[Record], tuple[str, ...]]:
    """Records of one person, and warnings about the maps; extends ``pairs`` on success."""
    inputs = read_acquisitions(person.scans)
    strength, _ = field_strength_of(inputs, None)
    measured = _measured(person, strength, plan.register)
    records, own = [], {}
    for prior in plan.estimators:
        estimate = plan.estimate(prior, inputs, strength, person.name)
        reference = _on_grid(measured.maps, estimate, plan.register)
        for quantity in (p for p in PROPERTIES if p not in measured.filled):
            for tissue, where in _voxels(estimate, quantity, reference[quantity]).items():
                values, sd = _quantity(estimate.maps, quantity), _sd(estimate.maps, quantity)
                own[prior, quantity, tissue] = values[where], reference[quantity][where]
                found = agreement(values[where], reference[quantity][where], None if sd is None else sd[where])
                records.append({"person": person.name, "prior": prior, "quantity": quantity, "tissue": tissue, **asdict(found)})
        bar.update()
    if not records:
        raise PhysMRISynthError("The measured maps show no tissue of the estimate. Check that they are of the same person and space.")
    for key, values_ in own.items():
        pairs.setdefault(key, []).append(values_)
    return records, measured.warnings


def _measured(person: Person, strength: float, register: bool | None) -> Imported:
    """Raises PhysMRISynthError, with what to do about a unit that is not known."""
    try:
        maps = {quantity: read_measured(quantity, path) for quantity, path in person.maps.items()}
    except UnknownUnitError as error:
        raise PhysMRISynthError(f'{error.cause} State "Units" in the map\'s JSON sidecar: {", ".join(error.units)}.') from None
    return scaled_maps(maps, strength, register)


def _on_grid(measured: TissueMaps, estimate: Estimate, register: bool | None) -> dict[str, np.ndarray]:
    """Measured PD (%), T1 and T2 (ms) on the estimate's grid, NaN if not measured."""
    grid = estimate.maps.grid
    moved = align(measured.image(measured.t1), image_like(estimate.inputs[estimate.reference], grid), register, grid)
    inside = sitk.Resample(measured.image(measured.mask.astype(np.float32)), grid, moved.to_image, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    shown = sitk.GetArrayFromImage(inside) > _INSIDE
    found = {}
    for quantity in PROPERTIES:
        image = measured.image(_quantity(measured, quantity))
        voxels = sitk.GetArrayFromImage(sitk.Resample(image, grid, moved.to_image, sitk.sitkLinear, 0.0, sitk.sitkFloat32))
        found[quantity] = np.where(shown & (voxels > 0), voxels, np.nan)
    return found


def _quantity(maps: TissueMaps, quantity: str) -> np.ndarray:
    """PD in %, T1 and T2 in ms."""
    return {"PD": PER_CENT * maps.pd, "T1": maps.t1, "T2": maps.t2}[quantity].astype(np.float32)


def _sd(maps: TissueMaps, quantity: str) -> np.ndarray | None:
    sd = maps.sd.get(quantity)
    return None if sd is None else sd * np.float32(PER_CENT if quantity == "PD" else 1.0)


def _voxels(estimate: Estimate, quantity: str, reference: np.ndarray) -> dict[str, np.ndarray]:
    """Masks of each tissue where a quantity was both measured and estimated, without T2 of fluid, which is from the literature."""
    seen = estimate.brain & np.isfinite(reference)
    estimated = (tissue for tissue in TISSUES if quantity not in FROM_LITERATURE.get(tissue, ()))
    found = {tissue: seen & (estimate.tissue == _ROWS[tissue]) for tissue in estimated}
    return {tissue: where for tissue, where in found.items() if where.sum() >= _FEWEST_VOXELS}


def _groups(records: Sequence[Record], priors: Sequence[str]) -> list[tuple[str, str, str, list[Record]]]:
    keys = [(prior, quantity, tissue) for prior in priors for quantity in PROPERTIES for tissue in TISSUES]
    found = [(*key, [r for r in records if (r["prior"], r["quantity"], r["tissue"]) == key]) for key in keys]
    return [group for group in found if group[3]]


def _voxel_table(records: Sequence[Record], priors: Sequence[str]) -> Table:
    """Means over people of their voxelwise agreement."""
    rows = []
    for prior, quantity, tissue, members in _groups(records, priors):
        correlations = [r["correlation"] for r in members if r["correlation"] is not None]
        within = [r["within_one_sd_percent"] for r in members if r["within_one_sd_percent"] is not None]
        low, high = (float(np.mean([r["limits"][side] for r in members])) for side in (0, 1))
        rows.append((
            prior, f"{quantity} ({_UNITS[quantity]})", tissue.replace("_", " "), f"{len(members)}", f"{sum(r['count'] for r in members)}",
            f"{np.mean([r['reference'] for r in members]):.4g}", f"{np.mean([r['estimate'] for r in members]):.4g}",
            f"{np.mean([r['bias'] for r in members]):+.1f}", f"{low:+.1f} to {high:+.1f}",
            f"{np.mean(correlations):.2f}" if correlations else "–", f"{np.mean(within):.0f}" if within else "–",
        ))  # fmt: skip
    columns = ("prior", "quantity", "tissue", "people", "voxels", "measured", "estimate", *COLUMNS[3:])
    return Table("Voxels, mean over people", columns, tuple(rows))


def _people_table(records: Sequence[Record], priors: Sequence[str]) -> Table:
    """Each person's median is one pair."""
    rows = []
    for prior, quantity, tissue, members in _groups(records, priors):
        found = agreement(np.array([r["estimate"] for r in members]), np.array([r["reference"] for r in members]))
        rows.append((prior, f"{quantity} ({_UNITS[quantity]})", tissue.replace("_", " "), *cells(found)[:-1]))
    columns = ("prior", "quantity", "tissue", "people", "measured", *COLUMNS[2:-1])
    return Table("Medians of people", columns, tuple(rows))


def _draw(pairs: Mapping[tuple[str, str, str], Sequence[tuple[np.ndarray, np.ndarray]]], priors: Sequence[str], path: Path) -> None:
    """Bland-Altman plot of each quantity and prior, tissues in colours; fluid, far to the right, is left out."""
    quantities = [quantity for quantity in PROPERTIES if any(key[1] == quantity for key in pairs)]
    figure, axes = page(len(priors), len(quantities), 4.6, 3.4)
    for row, prior in enumerate(priors):
        for column, quantity in enumerate(quantities):
            shown = {t: pooled(pairs[prior, quantity, t]) for t in BRAIN_TISSUE if (prior, quantity, t) in pairs}
            draw_agreement(axes[row, column], shown, _UNITS[quantity], TISSUE_COLOURS)
            axes[row, column].set_title(f"{quantity}, {prior} prior", fontsize=9)
    save(figure, path)
