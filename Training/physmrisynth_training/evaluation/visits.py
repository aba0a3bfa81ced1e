"""Suite ``visits``: one new lesion between two simulated visits, and false changes; and a real patient's two visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.analysis.compare import Comparison, compare_visits
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from PhysMRISynthLib.workflow.estimation.shared_errors import KEY, shared_errors
from PhysMRISynthLib.workflow.examples.example import example_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from PhysMRISynthLib.workflow.results.map_set import MapSet

from ..simulator.standard_acquisition import PROTOCOLS
from .drawing import COLOURS, page, save
from .plan import Plan, progress_bar
from .results import Findings, Table
from .subjects import PATIENT_12, PROTOCOLS_DOUBTFUL, check_patient, patient_12
from .volumes import map_set

RADII_MM = (2.5, 4.0, 6.0)
_LESION = {"PD": 0.80, "T1": 1350.0, "T2": 130.0}
_STEP = 2
_NEAR_MM = 6.0
_MOTION = ((0.05, -0.04, 0.08), (3.0, -2.0, 4.0))
"""Rotation (rad) and translation (mm) between the visits."""
_NOTES = (
    "Simulated: the embedded example at 2 mm, scanned twice by the standard protocols with other gains and noise (1 %), the second time "
    "moved by 5.4 mm and 5.9° and with one new lesion in white matter (PD 80 %, T1 1350, T2 130 ms). Found: a spot of change within 6 mm "
    "of it. False spots: all others, of one comparison. A radius of 0 mm is no lesion. Real: patient 12 at 1.5 T, two visits; z of each "
    f"tissue. {PROTOCOLS_DOUBTFUL}",
)
Record = dict[str, Any]


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if one of the real visits is missing."""
    for visit in (1, 2):
        check_patient(plan, f"{PATIENT_12}/visit{visit}")


def measure(plan: Plan) -> Findings:
    """Lesions found and false spots by radius, and z of a real patient's tissues."""
    records: list[Record] = []
    with progress_bar(len(plan.estimators) * ((1 + (1 + len(RADII_MM)) * plan.seeds) + 1), "visits") as bar:
        for prior in plan.estimators:
            for seed in range(plan.seeds):
                for radius in (0.0, *RADII_MM):
                    records.append({"prior": prior, **_simulated(plan, prior, seed, radius)})
                    bar.update()
            first, second = (_estimated(plan, prior, visit) for visit in (1, 2))
            found = compare_visits(first, second)
            records += [{"prior": prior, "real": True, **vars(change)} for change in found.changes]
            records.append({"prior": prior, "real": True, "spots": len(found.spots), "spots_ml": sum(s.volume_ml for s in found.spots)})
            bar.update()
    return Findings(records, [_found_table(records), _real_table(records)], _NOTES, partial(_draw, records, list(plan.estimators)))


def _estimated(plan: Plan, prior: str, visit: int) -> MapSet:
    subject = patient_12(plan, visit)
    return visit_of(plan.estimate(prior, subject.acquisitions, subject.field_strength, subject.name))


def visit_of(estimate: Estimate) -> MapSet:
    """An estimate as input of :func:`compare_visits`."""
    head = map_set(estimate)
    provenance = {**head.maps.provenance, KEY: shared_errors(estimate).report()}
    return replace(head, maps=replace(head.maps, provenance=provenance))


def _simulated(plan: Plan, prior: str, seed: int, radius_mm: float) -> Record:
    """One pair of visits; the new lesion's centre lies deep in white matter."""
    head = example_head(seed)
    step = (slice(None, None, _STEP),) * 3
    maps, tissue = head.maps, head.tissue[step]
    grid = maps.grid[::_STEP, ::_STEP, ::_STEP]
    known = TissueMaps(maps.pd[step], maps.t1[step], maps.t2[step], maps.mask[step], grid)
    centre = _deep_in_white(tissue, grid, np.random.default_rng(seed))
    lesion = _ball(grid, centre, radius_mm)
    pd, t1, t2 = (np.where(lesion, np.float32(_LESION[n]), v) for n, v in zip(_LESION, (known.pd, known.t1, known.t2), strict=True))
    visits = []
    for number, head_maps in enumerate((known, replace(known, pd=pd, t1=t1, t2=t2))):
        images = simulate(head_maps, PROTOCOLS, snr=100, field=0.2, seed=100 * seed + number)
        acquisitions = [Acquisition(n, volume_from_image(_moved(known.image(v), number)), PROTOCOLS[n]) for n, v in images.items()]
        visits.append(visit_of(plan.estimate(prior, acquisitions, 3.0, f"visit {number + 1}, draw {seed}")))
    found = compare_visits(visits[0], visits[1])
    return {"seed": seed, "radius_mm": radius_mm, **_judged(found, centre, radius_mm)}


def _judged(found: Comparison, centre: np.ndarray, radius_mm: float) -> Record:
    """Whether a spot is at the lesion, and the number of false ones."""
    at = np.array(found.registration.to_first.GetInverse().TransformPoint(centre.tolist())) * [-1.0, -1.0, 1.0]
    near = [spot for spot in found.spots if np.linalg.norm(np.subtract(spot.centre_ras, at)) < _NEAR_MM + radius_mm]
    rest = [spot for spot in found.spots if spot not in near] if radius_mm else found.spots
    return {
        "found": bool(near) if radius_mm else None, "false_spots": len(rest), "false_ml": sum(spot.volume_ml for spot in rest),
        "greatest_tissue_z": max(abs(change.z) for change in found.changes),
    }  # fmt: skip


def _moved(image: sitk.Image, visit: int) -> sitk.Image:
    """Move the second visit's head by its coordinates, without interpolating voxels."""
    if not visit:
        return image
    motion = sitk.Euler3DTransform()
    motion.SetRotation(*_MOTION[0])
    motion.SetTranslation(_MOTION[1])
    matrix = np.reshape(motion.GetMatrix(), (3, 3))
    moved = sitk.Image(image)
    moved.SetDirection((matrix @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    moved.SetOrigin(motion.TransformPoint(image.GetOrigin()))
    return moved


def _deep_in_white(tissue: np.ndarray, grid: sitk.Image, rng: np.random.Generator) -> np.ndarray:
    """A random position (LPS, mm) in the deepest tenth of white matter."""
    white = tissue == [t.name for t in tissue_table()].index("white_matter")
    depth = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image_like(white.astype(np.uint8), grid), insideIsPositive=True, squaredDistance=False)
    )
    deep = np.argwhere(depth > np.quantile(depth[white], 0.9))
    return np.array(grid.TransformIndexToPhysicalPoint(deep[int(rng.integers(len(deep)))][::-1].tolist()))


def _ball(grid: sitk.Image, centre: np.ndarray, radius_mm: float) -> np.ndarray:
    index = np.array(grid.TransformPhysicalPointToContinuousIndex(centre.tolist()))[::-1]
    axes = np.ogrid[tuple(slice(0, n) for n in grid.GetSize()[::-1])]
    spacing = grid.GetSpacing()[::-1]
    squared = sum((((a - c) * s) ** 2 for a, c, s in zip(axes, index, spacing, strict=True)), start=np.zeros(grid.GetSize()[::-1]))
    return squared < radius_mm**2


def _found_table(records: Sequence[Record]) -> Table:
    rows = []
    for prior in dict.fromkeys(r["prior"] for r in records):
        for radius in (0.0, *RADII_MM):
            of = [r for r in records if r["prior"] == prior and r.get("radius_mm") == radius]
            found = f"{sum(bool(r['found']) for r in of)} of {len(of)}" if radius else ""
            rows.append((
                prior, f"{radius:g}", found, f"{np.mean([r['false_spots'] for r in of]):.1f}",
                f"{np.mean([r['false_ml'] for r in of]):.2f}", f"{max(r['greatest_tissue_z'] for r in of):.1f}",
            ))  # fmt: skip
    columns = ("prior", "lesion's radius mm", "found", "false spots", "their ml", "greatest |z| of a tissue")
    return Table("A new lesion between two simulated visits", columns, tuple(rows))


def _real_table(records: Sequence[Record]) -> Table:
    rows = tuple(
        (r["prior"], r["region"], r["quantity"], f"{r['difference']:+.1f} ± {r['sd']:.1f} {r['unit']}", f"{r['z']:+.1f}")
        for r in records
        if "z" in r
    )
    spots = tuple((r["prior"], "spots of change", "", f"{r['spots']}, {r['spots_ml']:.2f} ml", "") for r in records if "spots" in r)
    return Table("Patient 12, second visit minus first", ("prior", "tissue", "quantity", "difference", "z"), (*rows, *spots))


def _draw(records: Sequence[Mapping[str, Any]], priors: Sequence[str], path: Path) -> None:
    """z of the real patient's tissues."""
    figure, axes = page(1, 1, 7.0, 3.0)
    labels = list(dict.fromkeys(f"{r['region']}\n{r['quantity']}" for r in records if "z" in r))
    for place, prior in enumerate(priors):
        scores = [r["z"] for r in records if r["prior"] == prior and "z" in r]
        axes[0, 0].bar(np.arange(len(scores)) + 0.4 * (place - (len(priors) - 1) / 2), scores, 0.4, color=COLOURS.get(prior), label=prior)
    axes[0, 0].axhspan(-2, 2, color="#dddddd", zorder=0)
    axes[0, 0].set_xticks(range(len(labels)), labels, fontsize=5, rotation=90)
    axes[0, 0].set_ylabel("z, patient 12")
    axes[0, 0].legend(fontsize=7, frameon=False)
    save(figure, path)
